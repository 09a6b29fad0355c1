//! Kong's router and plugins.
//!
//! In: a [`Gateway`] (lowered from declarative configuration by `manifest`) and a `Call`. Out: which route a call takes
//! ([`route::select`]), what its plugins say of it ([`judge::request`]), where it goes ([`judge::Target`]). Never:
//! sockets, files, clock, randomness, threads; `now` and random bits are arguments.
//!
//! Follows Kong Gateway 3.9 (router flavour `traditional_compatible`). Where Kong's own behaviour is a hole,
//! [`Compatibility::Safe`] (the default) closes it and [`Compatibility::Kong`] restores it; each such place says so.
//! Start reading at [`route`], then [`judge`].
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod conformance;
pub mod entity;
pub mod gateway;
pub mod judge;
pub mod plugin;
pub mod reply;
pub mod route;
pub mod router;
pub mod scope;
pub mod settings;
pub mod template;
pub mod walk;

pub use entity::{
    Consumer, ConsumerIndex, HttpsRedirect, Route, RouteIndex, RouteProtocol, Service, ServiceIndex, ServiceProtocol,
    Upstream, UpstreamTarget,
};
pub use gateway::{Gateway, Parts};
pub use judge::{Target, Verdict};
pub use plugin::{Plugin, PluginIndex, Scope};
pub use route::{Selected, Selection};
pub use settings::{Compatibility, Settings};
pub use uuid::Uuid;
