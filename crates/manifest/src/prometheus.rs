//! What watches the wall: alert rules, scrape targets, dashboards.
//!
//! In: `PrometheusRule`, `ServiceMonitor`, `PodMonitor` (monitoring.coreos.com/v1), Grafana dashboards as JSON. Out:
//! [`Watched`], plain data. Never: evaluation; this build evaluates no expression, and a note says so.

pub mod dashboard;
pub mod duration;
pub mod monitor;
pub mod rule;

pub use dashboard::{Dashboard, Panel};
pub use monitor::Monitor;
pub use rule::{AlertRule, RuleGroup};

use crate::resource::Resource;

/// All that watches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// Groups of alert and recording rules.
    pub groups: Vec<RuleGroup>,
    /// Scrape targets.
    pub monitors: Vec<Monitor>,
    /// Dashboards.
    pub dashboards: Vec<Dashboard>,
}

/// Lowers one resource of the Prometheus operator.
pub fn lower(resource: &Resource<'_>, watched: &mut Watched) {
    match resource.kind {
        "PrometheusRule" => watched.groups.extend(rule::lower(resource)),
        _ => watched.monitors.push(monitor::lower(resource)),
    }
}
