use super::lower;
use crate::node::Ledger;
use crate::resource::Resource;
use crate::source::Input;
use ringwall_model::{
    Budget, Finding, Inventory, Labels, Millis, RuleBook, Selector, SpiffeId, Window, Workload, WorkloadId,
};
use ringwall_shield::{Applies, OnMissing, OnStoreFailure, Policy, Scope};

fn inventory() -> Inventory {
    let workload = |namespace: &str, app: &str| Workload {
        namespace: namespace.into(),
        name: app.into(),
        app: app.into(),
        labels: Labels::from([("istio".into(), app.into())]),
        service_account: "default".into(),
        identity: SpiffeId::of_service_account("cluster.local", namespace, "default").unwrap(),
        address: [10, 0, 0, 1].into(),
        ports: Vec::new(),
        annotations: Labels::new(),
        in_mesh: true,
        app_address: None,
        place: None,
    };
    Inventory {
        workloads: vec![workload("application", "bff"), workload("istio-system", "ingressgateway")],
        root_namespace: "istio-system".into(),
        ..Inventory::default()
    }
}

fn policy(spec: &str) -> (Policy, RuleBook, Vec<Finding>) {
    let text = format!(
        "apiVersion: ringwall.dev/v1\nkind: ShieldPolicy\nmetadata: {{name: edge, namespace: istio-system}}\nspec:\n{spec}\n"
    );
    let (sources, mut findings) = crate::read(&[Input { name: "test.yaml", bytes: text.as_bytes() }]);
    let ledger = Ledger::open(&sources.documents[0]);
    let mut rules = RuleBook::default();
    let policy = lower(&Resource::open(ledger.root()), &inventory(), &mut rules);
    findings.extend(ledger.finish().0);
    (policy, rules, findings)
}

const WHOLE: &str = "
  selector: { matchLabels: { istio: ingressgateway } }
  allow: [10.0.0.0/8]
  limits:
  - { scope: global, requests: 10000, per: minute, unauthenticatedShare: 30 }
  - { scope: address, requests: 500, per: 60s, onStoreFailure: refuse }
  - { scope: user, requests: 1000, per: minute }
  - { scope: tenant, requests: 5000, per: hour }
  connections: { max: 10000, perAddress: 100, delay: 1s }
  reputation: { deny: [198.18.0.0/15], feeds: [drop] }
  geography: { database: country, deny: [kp], onMissing: pass }
  asn: { database: asn, allow: [64500] }
  credentials: { headers: [Authorization], queryParameters: [jwt] }";

#[test]
fn every_field_is_enforced() {
    let (policy, rules, findings) = policy(WHOLE);
    assert_eq!(findings, []);
    assert_eq!(policy.applies, Applies::To([WorkloadId(1)].into()));
    let scopes: Vec<_> =
        policy.limits.iter().map(|limit| (limit.scope, limit.budget.limit, limit.budget.window)).collect();
    let want = [
        (Scope::Global, 10_000, Window::Minute),
        (Scope::Address, 500, Window::Sliding(60)),
        (Scope::User, 1_000, Window::Minute),
        (Scope::Tenant, 5_000, Window::Hour),
    ];
    assert_eq!(scopes, want);
    let part = policy.limits[0].unauthenticated.unwrap();
    assert_eq!(part.budget, Budget { limit: 3_000, window: Window::Minute });
    let name = |id| rules.name(id).unwrap().to_string();
    assert_eq!(name(policy.limits[0].because), "ShieldPolicy/istio-system/edge#/spec/limits/0");
    assert_eq!(name(part.because), "ShieldPolicy/istio-system/edge#/spec/limits/0/unauthenticatedShare");
    assert_ne!(part.stable, policy.limits[0].stable);
    assert_eq!(policy.limits[0].stable, rules.name(policy.limits[0].because).unwrap().stable);
    let connections = policy.connections.unwrap();
    let each = connections.address.unwrap();
    assert_eq!((connections.listener.unwrap().max, each.max, connections.delay), (10_000, 100, Millis(1000)));
    assert_eq!(name(each.because), "ShieldPolicy/istio-system/edge#/spec/connections/perAddress");
    let denied = policy.reputation.deny.entries.longest([198, 18, 0, 1].into());
    assert_eq!(denied.map(|id| name(*id)).as_deref(), Some("ShieldPolicy/istio-system/edge#/spec/reputation/deny/0"));
    assert_eq!(name(policy.reputation.feeds[0].1), "ShieldPolicy/istio-system/edge#/spec/reputation/feeds/0");
    let geography = policy.geography.unwrap();
    assert_eq!((geography.on_unknown, geography.on_missing), (OnMissing::Pass, OnMissing::Pass));
    assert!(geography.deny.contains_key(b"KP") && geography.allow.is_none());
    let systems = policy.systems.unwrap();
    assert_eq!(
        (systems.on_unknown, systems.on_missing, systems.allow.map(|a| a.len())),
        (OnMissing::Refuse, OnMissing::Refuse, Some(1))
    );
    assert_eq!(policy.credentials.fields, ["authorization".into()]);
}

#[test]
fn a_policy_applies_where_it_says() {
    let applies = |selector: &str| policy(&format!("{selector}  connections: {{max: 1, perAddress: 0}}")).0.applies;
    assert_eq!(applies(""), Applies::Everywhere);
    assert_eq!(applies("  selector: {}\n"), Applies::To([WorkloadId(1)].into()));
    assert_eq!(applies("  selector: {matchLabels: {istio: other}}\n"), Applies::To([].into()));
    assert!(inventory().select("istio-system", &Selector::default()).count() == 1);
}

#[track_caller]
fn check(spec: &str, want: &[&str]) {
    let findings = policy(spec).2;
    let mut told: Vec<String> =
        findings.iter().map(|finding| format!("{} {}", finding.code, finding.primary.pointer)).collect();
    told.sort();
    assert_eq!(told, want, "{spec}");
}

#[test]
fn what_was_not_meant_is_told() {
    let limit = |rest: &str| format!("  limits: [{{requests: 10, per: minute, {rest}}}]");
    check(&limit("scope: global, unauthenticatedShare: 100"), &["RW5001 /spec/limits/0/unauthenticatedShare"]);
    check(&limit("scope: user, unauthenticatedShare: 10"), &["RW5002 /spec/limits/0/unauthenticatedShare"]);
    check(&limit("scope: user, onStoreFailure: pass"), &["RW5012 /spec/limits/0"]);
    let two = "  limits: [{scope: global, requests: 10, per: minute}, {scope: user, requests: 10, per: minute}]";
    check(two, &["RW5003 /spec/limits/1"]);
    let lists = |allow: &str, deny: &str| format!("  allow: [{allow}]\n  reputation: {{deny: [{deny}]}}");
    check(&lists("10.0.0.0/8", "10.1.0.0/16"), &["RW5004 /spec/reputation/deny/0"]);
    check(&lists("10.1.0.0/16", "10.0.0.0/8"), &[]);
    check(&lists("0.0.0.0/0", "\"2a00::/16\""), &["RW5005 /spec/allow/0"]);
    check(&lists("", "192.0.2.1, 198.51.100.1"), &["RW5006 /spec/reputation/deny"]);
    check("  geography: {database: c, allow: []}", &["RW5007 /spec/geography/allow"]);
    check("  selector: {matchLabels: {a: b}}\n  connections: {perAddress: 1}", &["RW5008 /spec/selector"]);
    check("  asn: {database: a, allow: [1], deny: [1]}", &["RW5009 /spec/asn/allow"]);
    check("  connections: {max: 5}", &["RW5010 /spec/connections"]);
    check("  connections: {max: 5, perAddress: 5}", &["RW5010 /spec/connections/perAddress"]);
    check("  allow: [10.0.0.0/8]", &["RW5011 /spec"]);
}

#[test]
fn what_is_wrong_is_an_error_and_admits_nothing() {
    check("  limits: [{scope: user, requests: many, per: minute}]", &["RW0021 /spec/limits/0/requests"]);
    check("  limits: [{scope: user, requests: 5, per: fortnight}]", &["RW0022 /spec/limits/0/per"]);
    check("  limits: [{scope: user, requests: 5, per: 1500ms}]", &["RW0022 /spec/limits/0/per"]);
    check("  limits: [{scope: user, requests: 5, per: 25h}]", &["RW0022 /spec/limits/0/per"]);
    check("  geography: {deny: [DE]}", &["RW0023 /spec/geography"]);
    check("  geography: {database: c, deny: [Germany]}", &["RW0022 /spec/geography/deny/0"]);
    check(
        "  connections: {max: -1, perAddress: 1}",
        &["RW0022 /spec/connections/max", "RW5010 /spec/connections/perAddress"],
    );
    check("  reputation: {deny: [10.0.0.0/33]}", &["RW0022 /spec/reputation/deny/0", "RW5011 /spec"]);
    let (policy, ..) = policy("  limits: [{scope: user, requests: many, per: minute}]\n  connections: {max: many}");
    assert_eq!(policy.limits[0].budget.limit, 0);
    assert_eq!(policy.connections.and_then(|c| c.listener).map(|limit| limit.max), Some(0));
}

#[test]
fn the_store_s_failure_is_the_policy_s_word_unless_the_limit_has_its_own() {
    let limits = "  onStoreFailure: pass\n  limits: [{scope: user, requests: 5, per: minute}, {scope: user, requests: 5, per: hour, onStoreFailure: refuse}]";
    let of: Vec<_> = policy(limits).0.limits.iter().map(|limit| limit.on_store_failure).collect();
    assert_eq!(of, [OnStoreFailure::Pass, OnStoreFailure::Refuse]);
}
