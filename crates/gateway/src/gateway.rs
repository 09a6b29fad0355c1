//! One API gateway: its entities, compiled.

use crate::entity::{Consumer, Route, RouteIndex, Service, ServiceIndex, Upstream};
use crate::plugin::{Plugin, PluginIndex};
use crate::router::Router;
use crate::scope::{Directory, Plan};
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
    /// Plugins; [`PluginIndex`] indexes them.
    pub plugins: Vec<Plugin>,
    router: Router,
    plans: Vec<Plan>,
    directory: Directory,
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
    /// Plugins that are enabled.
    pub plugins: Vec<Plugin>,
}

impl Gateway {
    /// Compiles the router and the order of the plugins.
    pub fn assemble(parts: Parts) -> Self {
        let Parts { settings, services, routes, consumers, upstreams, plugins } = parts;
        let router = Router::compile(&routes, &services, settings.compatibility);
        let plans =
            (0_u32..).zip(&routes).map(|(number, route)| Plan::of(RouteIndex(number), route, &plugins)).collect();
        let directory = Directory::of(&consumers);
        Self { settings, services, routes, consumers, upstreams, plugins, router, plans, directory }
    }

    /// The plugins of a route, in the order in which they run.
    pub fn plan(&self, route: RouteIndex) -> &Plan {
        const NONE: &Plan = &Plan::none();
        self.plans.get(route.0 as usize).unwrap_or(NONE)
    }

    /// A plugin by number.
    pub fn plugin(&self, index: PluginIndex) -> Option<&Plugin> {
        self.plugins.get(index.0 as usize)
    }

    /// Consumers by what names them and their credentials.
    pub const fn directory(&self) -> &Directory {
        &self.directory
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
