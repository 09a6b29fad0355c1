//! `ServiceMonitor` and `PodMonitor`: who is asked for metrics.

use super::duration;
use crate::code;
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{Millis, Place, Selector, Severity};

/// Scrape targets: ports of the Services (or Pods) that a selector matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Labels of the targets.
    pub selector: Selector,
    /// Namespaces they are looked for in; empty means the own one.
    pub namespaces: Vec<Box<str>>,
    /// What is asked.
    pub endpoints: Vec<ScrapeEndpoint>,
    /// Where it is declared.
    pub place: Place,
}

/// One port that is asked for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeEndpoint {
    /// Name of the port.
    pub port: Box<str>,
    /// Path; `/metrics` when nothing is said.
    pub path: Box<str>,
    /// How often.
    pub interval: Option<Millis>,
}

/// Lowers a `ServiceMonitor` or `PodMonitor`.
pub fn lower(resource: &Resource<'_>) -> Monitor {
    let spec = resource.spec();
    let kind = resource.root.get("kind");
    let title = format!("{} is read; Ringwall scrapes nobody, it serves its own metrics", resource.kind);
    kind.report(kind.finding(code::NOT_ENFORCED, Severity::Note, title));
    let selector = spec.get("selector").required();
    selector.descriptive(&["matchExpressions"]);
    let among = spec.get("namespaceSelector");
    among.descriptive(&["any"]);
    let endpoints = spec.get_either("endpoints", "podMetricsEndpoints");
    let monitor = Monitor {
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        selector: Selector(selector.get("matchLabels").labels().unwrap_or_default()),
        namespaces: among.get("matchNames").strings().unwrap_or_default().into_iter().map(Into::into).collect(),
        endpoints: endpoints.items().map(endpoint).collect(),
        place: resource.place(),
    };
    spec.set_rest_aside();
    monitor
}

fn endpoint(at: Cursor<'_>) -> ScrapeEndpoint {
    let endpoint = ScrapeEndpoint {
        port: at.get("port").string().unwrap_or_default().into(),
        path: at.get("path").string().unwrap_or("/metrics").into(),
        interval: duration::at(at.get("interval")),
    };
    at.set_rest_aside();
    endpoint
}
