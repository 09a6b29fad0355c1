//! Kong's dialect: declarative files, the `KONG_*` settings of a Deployment, and scripts that call the Admin API.
//!
//! In: documents from `read` (Kong files are of YAML 1.1). Out: a `Gateway` and findings. Never: a configuration that
//! Kong would refuse, unless its meaning is plain and the finding says so (`Compatibility::Safe`); with
//! `Compatibility::Kong` what Kong refuses is an error. Kong's own words stand in the titles of findings.
//! Start reading at [`lower`]; [`deployment::lower`] and [`import::import`] are the other two doors.

pub mod code;
mod consumer;
mod declarative;
pub mod deployment;
pub mod import;
mod overlap;
mod plugin;
mod route;
mod schema;
mod service;
mod upstream;

pub use declarative::lower;
pub use deployment::Deployment;

use ringwall_gateway::{Compatibility, Parts, RouteIndex, Scope, ServiceIndex};
use ringwall_model::{RuleBook, Severity};
use std::collections::BTreeMap;

use crate::Cursor;

/// What gathers while Kong's documents are lowered.
struct Lowering<'a, 'r> {
    rules: &'r mut RuleBook,
    parts: Parts,
    services: BTreeMap<Box<str>, ServiceIndex>,
    routes: BTreeMap<Box<str>, RouteIndex>,
    consumers: BTreeMap<Box<str>, ringwall_gateway::ConsumerIndex>,
    /// Plugins as they stand, lowered last: they name consumers.
    plugins: Vec<(Cursor<'a>, Scope)>,
    /// The cursor of each lowered plugin, by its number: where cross findings are put.
    plugin_cursors: Vec<Cursor<'a>>,
    route_cursors: Vec<Cursor<'a>>,
}

impl Lowering<'_, '_> {
    const fn compatibility(&self) -> Compatibility {
        self.parts.settings.compatibility
    }

    /// How bad it is that Kong refuses what has a plain meaning.
    const fn refused_by_kong(&self) -> Severity {
        match self.compatibility() {
            Compatibility::Kong => Severity::Error,
            Compatibility::Safe => Severity::Warning,
        }
    }
}

#[cfg(test)]
mod tests;
