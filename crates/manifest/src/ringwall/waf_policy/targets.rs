//! Which calls a WafPolicy is for.

use super::code;
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{Inventory, Labels, RuleName, Selector, Severity, WorkloadId};
use std::collections::BTreeSet;

/// Which calls a policy is for. All that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// At these workloads; `None`: at all.
    workloads: Option<BTreeSet<WorkloadId>>,
    /// Whether a selector chose them.
    selected: bool,
    /// Hosts; a leading `*.` stands for one or more labels.
    hosts: Vec<Box<str>>,
    /// Kong routes by name.
    pub kong_routes: Vec<Box<str>>,
    /// Kong services by name.
    pub kong_services: Vec<Box<str>>,
    /// VirtualServices.
    pub virtual_services: Vec<VirtualServiceTarget>,
}

/// A VirtualService, or one of its routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServiceTarget {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// The name of one of its routes.
    pub route: Option<Box<str>>,
}

/// What is known of a call when its policy is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// The workload of the listener, and the gateway behind it, if the call goes on to one.
    pub workloads: [Option<WorkloadId>; 2],
    /// `Host` or `:authority`.
    pub authority: &'a [u8],
    /// Name of Kong's route.
    pub kong_route: Option<&'a str>,
    /// Name of Kong's service.
    pub kong_service: Option<&'a str>,
    /// The rule of the VirtualService, and the name of its route.
    pub virtual_service: Option<(&'a RuleName, &'a str)>,
}

/// How narrowly a policy fits a call; the greatest is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fit {
    route: u8,
    host: u8,
    workload: u8,
}

impl Targets {
    /// How narrowly the policy fits a call; `None` when it is not for it.
    pub fn fit(&self, subject: &Subject<'_>) -> Option<Fit> {
        let at = |workloads: &BTreeSet<WorkloadId>| {
            subject.workloads.iter().flatten().any(|workload| workloads.contains(workload))
        };
        if !self.workloads.as_ref().is_none_or(at) {
            return None;
        }
        let workload = match (self.selected, &self.workloads) {
            (true, _) => 2,
            (false, Some(_)) => 1,
            (false, None) => 0,
        };
        Some(Fit { route: self.route(subject)?, host: self.host(subject.authority)?, workload })
    }

    /// Whether no list of routes is given.
    pub fn names_no_route(&self) -> bool {
        self.kong_routes.is_empty() && self.kong_services.is_empty() && self.virtual_services.is_empty()
    }

    /// 0: not narrowed; 1: by service; 2: by route.
    fn route(&self, subject: &Subject<'_>) -> Option<u8> {
        if self.names_no_route() {
            return Some(0);
        }
        let listed =
            |list: &[Box<str>], name: Option<&str>| name.is_some_and(|name| list.iter().any(|it| **it == *name));
        if listed(&self.kong_routes, subject.kong_route) {
            return Some(2);
        }
        let fits = |target: &VirtualServiceTarget| {
            let (rule, route) = subject.virtual_service?;
            let same = rule.namespace == target.namespace && rule.name == target.name;
            match &target.route {
                None => same.then_some(1),
                Some(name) => (same && **name == *route).then_some(2),
            }
        };
        let widest = listed(&self.kong_services, subject.kong_service).then_some(1);
        self.virtual_services.iter().filter_map(fits).max().max(widest)
    }

    /// 0: not narrowed; 1: by a pattern; 2: by name.
    fn host(&self, authority: &[u8]) -> Option<u8> {
        if self.hosts.is_empty() {
            return Some(0);
        }
        let host = host_of(authority);
        let fits = |wanted: &str| match wanted.strip_prefix('*') {
            None => host.eq_ignore_ascii_case(wanted.as_bytes()).then_some(2),
            Some(suffix) => {
                let at = host.len().checked_sub(suffix.len()).filter(|at| *at > 0)?;
                host.get(at..)?.eq_ignore_ascii_case(suffix.as_bytes()).then_some(1)
            }
        };
        self.hosts.iter().filter_map(|wanted| fits(wanted)).max()
    }
}

/// The host without its port and without the dot at its end.
fn host_of(authority: &[u8]) -> &[u8] {
    let is_port = |at: &usize| authority.get(at + 1..).is_some_and(|rest| rest.iter().all(u8::is_ascii_digit));
    let colon = authority.iter().rposition(|byte| *byte == b':').filter(is_port);
    let host = authority.get(..colon.unwrap_or(authority.len())).unwrap_or_default();
    host.strip_suffix(b".").unwrap_or(host)
}

/// Lowers `spec.targets`.
pub(super) fn lower(resource: &Resource<'_>, at: Cursor<'_>, inventory: &Inventory) -> Targets {
    let mut targets = Targets {
        hosts: at.get("hosts").items().filter_map(host).collect(),
        kong_routes: names(at.get("kongRoutes")),
        kong_services: names(at.get("kongServices")),
        virtual_services: at.get("virtualServices").items().filter_map(|it| virtual_service(resource, it)).collect(),
        ..Targets::default()
    };
    for name in ["hosts", "kongRoutes", "kongServices", "virtualServices"] {
        let list = at.get(name);
        if list.list().is_some_and(|mut items| items.next().is_none()) {
            let title = format!("an empty list of `{name}` is no target; leave it out for all calls");
            list.report(list.finding(code::WAF_TARGETS_NOTHING, Severity::Error, title));
        }
    }
    let selector = at.get("selector");
    let labels: Labels = selector.get("matchLabels").labels().unwrap_or_default();
    targets.selected = !labels.is_empty();
    let everywhere = *resource.namespace == *inventory.root_namespace;
    // A VirtualService may be guarded from its own namespace, wherever the gateway is that serves it.
    let own_routes = !targets.virtual_services.is_empty()
        && targets.virtual_services.iter().all(|target| *target.namespace == *resource.namespace);
    if !targets.selected && (everywhere || own_routes) {
        return targets;
    }
    let chosen: BTreeSet<WorkloadId> =
        inventory.select(resource.namespace, &Selector(labels)).map(|(id, _)| id).collect();
    if chosen.is_empty() {
        let title = format!("no workload of namespace `{}` is selected: the policy guards nothing", resource.namespace);
        let at = if selector.is_present() { selector } else { at };
        at.report(at.finding(code::WAF_TARGETS_NOTHING, Severity::Warning, title));
    }
    targets.workloads = Some(chosen);
    targets
}

fn names(at: Cursor<'_>) -> Vec<Box<str>> {
    at.items().filter_map(Cursor::filled).map(Box::from).collect()
}

fn host(at: Cursor<'_>) -> Option<Box<str>> {
    let text = at.filled()?.to_ascii_lowercase();
    let rest = text.strip_prefix("*.").unwrap_or(&text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
    if rest.is_empty() || !rest.chars().all(plain) {
        return at.refuse_with(format!("`{text}` is no host"), "hosts look like `api.example.com`, `*.example.com`");
    }
    Some(text.into())
}

fn virtual_service(resource: &Resource<'_>, at: Cursor<'_>) -> Option<VirtualServiceTarget> {
    let name = at.get("name").required().filled();
    let namespace = at.get("namespace").filled().unwrap_or(resource.namespace);
    let route = at.get("route").filled().map(Box::from);
    Some(VirtualServiceTarget { namespace: namespace.into(), name: name?.into(), route })
}
