//! One API gateway: its entities, compiled.

use crate::entity::{Consumer, Route, RouteIndex, Service, ServiceIndex, Upstream};
use crate::router::Router;
use crate::settings::Settings;

/// One API gateway of a World. Made by [`Gateway::assemble`]; immutable.
#[derive(Clone, Debug, Default)]
pub struct Gateway {
    /// Settings of the whole gateway.
    pub settings: Settings,
    /// Services; [`ServiceIndex`] indexes them.
    pub services: Vec<Service>,
    /// Routes; [`RouteIndex`] indexes them.
    pub routes: Vec<Route>,
    /// Consumers.
    pub consumers: Vec<Consumer>,
    /// Upstreams.
    pub upstreams: Vec<Upstream>,
    router: Router,
}

/// What a gateway is made of.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Settings of the whole gateway.
    pub settings: Settings,
    /// Services.
    pub services: Vec<Service>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Consumers.
    pub consumers: Vec<Consumer>,
    /// Upstreams.
    pub upstreams: Vec<Upstream>,
}

impl Gateway {
    /// Compiles the router and the order of the plugins.
    pub fn assemble(parts: Parts) -> Self {
        let Parts { settings, services, routes, consumers, upstreams } = parts;
        let router = Router::compile(&routes, &services, settings.compatibility);
        Self { settings, services, routes, consumers, upstreams, router }
    }

    /// The compiled router.
    pub const fn router(&self) -> &Router {
        &self.router
    }

    /// A route by number.
    pub fn route(&self, index: RouteIndex) -> Option<&Route> {
        self.routes.get(index.0 as usize)
    }

    /// A service by number.
    pub fn service(&self, index: ServiceIndex) -> Option<&Service> {
        self.services.get(index.0 as usize)
    }

    /// An upstream by the name that services use as their host.
    pub fn upstream(&self, name: &str) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| &*upstream.name == name)
    }
}
