//! Telemetry (telemetry.istio.io/v1, v1alpha1): how many calls are traced, and whose calls are logged.
//!
//! In: resources, workloads. Out: what each workload's two sides [`Observed`] differ in from the mesh. Follows Istio: the
//! mesh's resource, the namespace's, the workload's own, each field of the narrower one over that of the wider; of two for
//! the same the oldest counts. Differs: spans have the mesh's one collector, the access log its one form, metrics are always
//! kept, and a log's `filter` is not carried out; each is a finding.

use super::selector;
use crate::{Cursor, Node, Resource};
use ringwall_mesh::route::code;
use ringwall_model::{Finding, Inventory, Place, Role, Selector, Severity, Workload, WorkloadId};
use std::collections::BTreeMap;

/// One resource.
#[derive(Clone, Debug)]
pub struct Telemetry {
    namespace: Box<str>,
    name: Box<str>,
    created: Option<Box<str>>,
    selector: Selector,
    place: Place,
    /// In order: what each entry says, of which sides.
    says: Vec<(Mode, Side)>,
}

/// What is told of calls on one side of a workload. What is `None` is as the mesh has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Share of calls that are traced where their caller does not say, of a million.
    pub sampling: Option<u32>,
    /// Whether spans are made.
    pub spans: Option<Told>,
    /// Whether the access log is written.
    pub log: Option<Told>,
}

/// Whether something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// What is told of a workload's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Calls that come to it.
    pub server: Side,
    /// Calls that it sends; what comes to the listeners of an ingress or an egress, too.
    pub client: Side,
}

impl Observed {
    /// What holds for a listener of that role.
    pub const fn at(&self, role: Role) -> &Side {
        match role {
            Role::Inbound | Role::Gateway => &self.server,
            Role::Outbound | Role::Edge | Role::Egress => &self.client,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Both,
    Client,
    Server,
}

const MODES: [(&str, Mode); 3] =
    [("CLIENT_AND_SERVER", Mode::Both), ("CLIENT", Mode::Client), ("SERVER", Mode::Server)];
/// The provider that is always there.
const ENVOY: &str = "envoy";

/// The provider that the mesh's own resource names for spans.
pub fn provider<'a>(root: &'a Node) -> Option<&'a str> {
    let spec = root.get("spec").filter(|spec| spec.get("selector").is_none())?;
    let first = |node: &'a Node| match &node.value {
        crate::node::Value::List(items) => items.first(),
        _ => None,
    };
    first(first(spec.get("tracing")?)?.get("providers")?)?.get("name")?.as_str()
}

/// Lowers one resource. `collector` is the provider whose collector is sent spans.
pub fn lower(resource: &Resource<'_>, collector: Option<&str>) -> Telemetry {
    let spec = resource.spec();
    let selector = selector::labels(spec);
    for name in ["targetRef", "targetRefs"] {
        spec.ignored(name, "it names what is no workload here: select workloads by their labels");
    }
    spec.ignored("metrics", "metrics are always kept, in the built-in form");
    let mut says = Vec::new();
    for (nth, one) in spec.get("tracing").items().enumerate() {
        if nth == 1 {
            let title = "only the first entry of `tracing` counts";
            one.report(one.finding(code::TELEMETRY, Severity::Warning, title));
        }
        let read = tracing(one, collector);
        says.extend((nth == 0).then_some(read));
    }
    says.extend(spec.get("accessLogging").items().filter_map(logging));
    Telemetry {
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        created: resource.root.get("metadata").get("creationTimestamp").string().map(Into::into),
        selector,
        place: resource.place(),
        says,
    }
}

fn mode(one: Cursor<'_>) -> Mode {
    one.get("match").ignored("metric", "it is for metrics");
    one.get("match").get("mode").enumeration(&MODES).unwrap_or(Mode::Both)
}

fn tracing(one: Cursor<'_>, collector: Option<&str>) -> (Mode, Side) {
    for other in one.get("providers").items() {
        let name = other.get("name").required();
        if name.filled().is_some_and(|name| Some(name) != collector) {
            let title = "spans go to the collector of the whole mesh, and not to this provider";
            let help = "name it in the Telemetry of the root namespace, or in `defaultProviders.tracing`";
            name.report(name.finding(code::TELEMETRY, Severity::Warning, title).help(help));
        }
    }
    for name in ["customTags", "useRequestIdForTraceSampling", "enableIstioTags"] {
        one.ignored(name, "spans have the built-in form");
    }
    let at = one.get("randomSamplingPercentage");
    let share = at.number();
    if let Some(share) = share.filter(|share| !(0.0..=100.0).contains(share)) {
        at.refuse::<()>(format!("{share} is no percentage"));
    }
    let sampling = share.map(|share| (share.clamp(0.0, 100.0) * 10_000.0).round() as u32);
    let spans = one.get("disableSpanReporting").flag().map(told);
    (mode(one), Side { sampling, spans, log: None })
}

const fn told(disabled: bool) -> Told {
    if disabled { Told::No } else { Told::Yes }
}

fn logging(one: Cursor<'_>) -> Option<(Mode, Side)> {
    let mode = mode(one);
    let mut built_in = true;
    for other in one.get("providers").items() {
        let name = other.get("name").required();
        built_in = name.filled() == Some(ENVOY);
        if !built_in {
            let title = "this provider writes nothing here: the access log is the built-in one";
            name.report(name.finding(code::TELEMETRY, Severity::Warning, title).help("providers: [{name: envoy}]"));
        }
    }
    let disabled = one.get("disabled").flag().unwrap_or(false);
    let filter = one.get("filter");
    if filter.is_present() {
        filter.set_rest_aside();
        let title = "the filter is not carried out: every call is written";
        filter.report(filter.finding(code::TELEMETRY, Severity::Warning, title));
    }
    built_in.then_some((mode, Side { log: Some(told(disabled)), ..Side::default() }))
}

/// What holds for each workload that a resource is for.
pub fn compile(
    all: &[Telemetry],
    inventory: &Inventory,
    root: &str,
    findings: &mut Vec<Finding>,
) -> BTreeMap<WorkloadId, Observed> {
    let mut sorted: Vec<&Telemetry> = all.iter().collect();
    sorted.sort_by_key(|one| (one.created.is_none(), one.created.as_deref(), &*one.name, &*one.namespace));
    let mut idle = vec![None; sorted.len()];
    for (nth, one) in sorted.iter().enumerate().filter(|(_, one)| one.selector.0.is_empty()) {
        let before = sorted.iter().take(nth).find(|it| it.selector.0.is_empty() && it.namespace == one.namespace);
        idle.iter_mut().skip(nth).take(1).for_each(|idle| *idle = before.copied());
    }
    let mut observed = BTreeMap::new();
    for (id, workload) in (0_u32..).map(WorkloadId).zip(&inventory.workloads) {
        let mut one = Observed::default();
        for level in [Level::Mesh, Level::Namespace, Level::Workload] {
            let mut fitting = sorted.iter().zip(&mut idle).filter(|(it, _)| level.fits(it, workload, root));
            let Some((first, _)) = fitting.next() else { continue };
            first.says.iter().for_each(|(mode, says)| one.take(*mode, *says));
            for (_, idle) in fitting.filter(|_| level == Level::Workload) {
                idle.get_or_insert(first);
            }
        }
        if one != Observed::default() {
            observed.insert(id, one);
        }
    }
    for (one, before) in sorted.iter().zip(idle) {
        let Some(before) = before else { continue };
        let title =
            format!("`{}` is for workloads that `{}` is for already: the older one counts", one.name, before.name);
        let finding = Finding::new(code::TELEMETRY, Severity::Warning, one.place.clone(), title);
        findings.push(finding.related(before.place.clone(), "this one counts"));
    }
    observed
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Mesh,
    Namespace,
    Workload,
}

impl Level {
    fn fits(self, one: &Telemetry, workload: &Workload, root: &str) -> bool {
        let (everybody, home) = (one.selector.0.is_empty(), one.namespace == workload.namespace);
        match self {
            Self::Mesh => everybody && &*one.namespace == root,
            Self::Namespace => everybody && home && &*one.namespace != root,
            Self::Workload => !everybody && home && one.selector.matches(&workload.labels),
        }
    }
}

impl Observed {
    fn take(&mut self, mode: Mode, says: Side) {
        if mode != Mode::Client {
            self.server.take(says);
        }
        if mode != Mode::Server {
            self.client.take(says);
        }
    }
}

impl Side {
    fn take(&mut self, says: Self) {
        self.sampling = says.sampling.or(self.sampling);
        self.spans = says.spans.or(self.spans);
        self.log = says.log.or(self.log);
    }
}

#[cfg(test)]
mod tests;
