//! Rows of the study of Istio's authorization that were measured on Envoy or read in its control plane.

use super::{DryRun, connection_verdict, inbound};
use crate::authorization::{Action, AuthorizationPolicy, Field, Force, PathForm, RequestPrincipal, Sense, Values};
use crate::authorization::{Applies, Clause};
use crate::fixture::{HERE, KONG, NOW, call, clause, inventory, mesh, not, peer, policy, rule, with};
use crate::matching::read_block;
use crate::mesh::{Duplicates, Mesh, Policies};
use ringwall_model::{Call, Decision, Reason, Reply, RuleId, Selector, Step};
use ringwall_token::{Facts, Known};

fn judge(mesh: &Mesh, call: &Call) -> super::Verdict {
    let known = Known { facts: &Facts::default(), asked: &[], now: NOW };
    match inbound(mesh, HERE, 8080, call, &known) {
        Step::Done(verdict) => verdict,
        other => panic!("{other:?}"),
    }
}

fn passes(mesh: &Mesh, call: &Call) -> bool {
    matches!(judge(mesh, call).judgement.decision, Decision::Pass { .. })
}

/// One ALLOW rule of one condition: does the call pass?
#[track_caller]
fn check(clause: Clause, call: Call, want: bool) {
    let text = format!("{clause:?}");
    let allow = mesh(vec![policy("p", Action::Allow, 0, vec![rule(vec![], vec![], vec![clause.clone()])])]);
    assert_eq!(passes(&allow, &call), want, "ALLOW {text}");
    let deny = mesh(vec![policy("p", Action::Deny, 0, vec![rule(vec![], vec![], vec![clause])])]);
    assert_eq!(passes(&deny, &call), !want, "DENY {text}");
}

fn get(identity: Option<&str>) -> Call {
    call(identity, "GET", "/api/v1/agents")
}

fn header(name: &str, value: &str) -> Clause {
    clause(Field::Header(name.into()), &[value])
}

fn typed(field: Field, values: Values) -> Clause {
    Clause { field, values, sense: Sense::Any }
}

#[test]
fn principals_are_identities_without_their_scheme() {
    let is = |value: &str| clause(Field::Principal, &[value]);
    check(is("cluster.local/ns/infrastructure/sa/kong-gateway"), get(Some(KONG)), true);
    check(is("cluster.local/ns/infrastructure/sa/kong"), get(Some(KONG)), false);
    check(is("*/sa/kong-gateway"), get(Some(KONG)), true);
    check(is("cluster.local/ns/infra*"), get(Some(KONG)), true);
    check(is("*"), get(Some(KONG)), true);
    check(is("*"), get(None), false);
    check(not(is("*")), get(None), true);
    check(not(is("cluster.local/ns/x/sa/y")), get(None), true);
    check(
        is("cluster.local/ns/infrastructure/sa/kong-gateway"),
        get(Some("spiffe://evil.td/ns/infrastructure/sa/kong-gateway")),
        false,
    );
}

#[test]
fn namespaces_are_read_strictly() {
    let is = |value: &str| clause(Field::Namespace, &[value]);
    check(is("infrastructure"), get(Some(KONG)), true);
    check(is("infra*ture"), get(Some(KONG)), true);
    check(is("infra"), get(Some(KONG)), false);
    check(is("*"), get(None), false);
    // Envoy's regular expression over the URI takes both of these for namespace `infrastructure` (documented).
    check(is("infrastructure"), get(Some("spiffe://cluster.local/ns/a/ns/infrastructure/sa/x")), false);
    check(is("a"), get(Some("spiffe://cluster.local/ns/a/ns/infrastructure/sa/x")), false);
    let account = |ns: &str, name: &str| typed(Field::ServiceAccount, Values::Accounts(vec![(ns.into(), name.into())]));
    check(account("infrastructure", "kong-gateway"), get(Some(KONG)), true);
    check(account("application", "kong-gateway"), get(Some(KONG)), false);
    check(
        account("infrastructure", "kong-gateway"),
        get(Some("spiffe://td/ns/a/ns/infrastructure/sa/kong-gateway")),
        false,
    );
    check(clause(Field::TrustDomain, &["cluster.local"]), get(Some(KONG)), true);
    check(clause(Field::TrustDomain, &["*.local"]), get(Some(KONG)), true);
    check(clause(Field::TrustDomain, &["cluster"]), get(Some(KONG)), false);
    check(not(clause(Field::TrustDomain, &["cluster.local"])), get(None), true);
}

#[test]
fn headers_match_line_by_line() {
    let loose = |clause: Clause, call: &Call| {
        let authorizations = vec![policy("p", Action::Allow, 0, vec![rule(vec![], vec![], vec![clause])])];
        let policies = Policies { authorizations, duplicates: Duplicates::MatchEach, ..Policies::default() };
        passes(&Mesh::of(&policies, &inventory()), call)
    };
    let two = with(get(None), &[("x-tenant", "a"), ("X-Tenant", "b")]);
    assert!(loose(header("x-tenant", "a"), &two) && loose(header("x-tenant", "b"), &two));
    assert!(!loose(header("x-tenant", "a,b"), &two) && !loose(not(header("x-tenant", "b")), &two));
    let joined = with(get(None), &[("x-tenant", "a,b")]);
    assert!(loose(header("x-tenant", "a,b"), &joined) && !loose(header("x-tenant", "a"), &joined));
    check(header("x-tenant", "*"), with(get(None), &[("x-tenant", "")]), true);
    check(header("x-tenant", "*"), get(None), false);
    check(not(header("x-tenant", "*")), get(None), true);
    check(header("x-tenant", "a*"), with(get(None), &[("X-TENANT", "ab")]), true);
    check(header("x-tenant", "a*"), with(get(None), &[("X-TENANT", "Ab")]), false);
}

#[test]
fn repeated_security_headers_are_refused_unless_told_otherwise() {
    let policies = vec![policy("p", Action::Allow, 0, vec![rule(vec![], vec![], vec![header("x-tenant", "a")])])];
    let strict = mesh(policies);
    let refused = |fields: &[(&'static str, &str)]| {
        judge(&strict, &with(get(None), fields)).judgement.decision.because()
            == Reason::Builtin("mesh/duplicate-security-header")
    };
    assert!(refused(&[("x-tenant", "a"), ("x-tenant", "b")]));
    assert!(refused(&[("x-tenant", "a"), ("X_Tenant", "b")]));
    assert!(!refused(&[("x-tenant", "a"), ("accept", "a"), ("accept", "b")]));
    assert!(passes(&strict, &with(get(None), &[("x-tenant", "a")])));
}

#[test]
fn methods_paths_and_hosts() {
    check(clause(Field::Method, &["GET"]), get(None), true);
    check(clause(Field::Method, &["get"]), get(None), false);
    check(clause(Field::Host, &["BFF.local:8080"]), get(None), true);
    check(clause(Field::Host, &["bff.local"]), get(None), false);
    check(clause(Field::Host, &["*.LOCAL:8080"]), get(None), true);
    let path = |value: &str| typed(Field::Path, Values::Paths(vec![PathForm::read(value).unwrap()]));
    check(path("/api/v1/agents"), call(None, "GET", "/api/v1/agents?x=1"), true);
    check(path("/api/v1/*"), get(None), true);
    check(path("/api/v1/agents/*"), get(None), false);
    check(path("*/agents"), get(None), true);
    check(path("/api/*/agents"), get(None), false);
    check(path("/api/{*}/agents"), get(None), true);
    check(path("/api/{**}"), get(None), true);
    check(path("/api/{*}"), get(None), false);
    check(path("/API/v1/agents"), get(None), false);
}

#[test]
fn addresses_ports_and_server_names() {
    let within = |field, block: &str| typed(field, Values::Blocks(vec![read_block(block).unwrap()]));
    check(within(Field::PeerAddress, "10.0.0.0/8"), get(None), true);
    check(within(Field::PeerAddress, "192.0.2.9"), get(None), false);
    check(within(Field::ClientAddress, "192.0.2.9"), get(None), true);
    check(within(Field::ClientAddress, "10.0.0.0/8"), get(None), false);
    check(within(Field::DestinationAddress, "10.9.9.9"), get(None), true);
    check(not(within(Field::PeerAddress, "10.0.0.0/8")), get(None), false);
    check(typed(Field::Port, Values::Ports(vec![1, 8080])), get(None), true);
    check(typed(Field::Port, Values::Ports(vec![80])), get(None), false);
    check(clause(Field::ServerName, &["outbound_.8080_.*"]), get(Some(KONG)), true);
    check(clause(Field::ServerName, &["*"]), get(None), false);
}

#[test]
fn what_needs_a_token_is_absent_without_one() {
    let any = typed(Field::RequestPrincipal, Values::RequestPrincipals(vec![RequestPrincipal::read("*").unwrap()]));
    check(any.clone(), get(Some(KONG)), false);
    check(not(any), get(Some(KONG)), true);
    check(clause(Field::Claim(["iss".into()].into()), &["*"]), get(None), false);
    check(not(clause(Field::Claim(["iss".into()].into()), &["x"])), get(None), true);
    check(clause(Field::Nothing, &["*"]), get(None), false);
    check(not(clause(Field::Nothing, &["*"])), get(None), true);
}

#[test]
fn empty_is_not_absent() {
    assert!(passes(&mesh(vec![]), &get(None)));
    let nothing = mesh(vec![policy("deny-all", Action::Allow, 0, vec![])]);
    assert_eq!(judge(&nothing, &get(None)).judgement.decision.because(), Reason::DefaultDeny { considered: 0 });
    assert!(passes(&mesh(vec![policy("allow-all", Action::Allow, 0, vec![rule(vec![], vec![], vec![])])]), &get(None)));
    let dry = AuthorizationPolicy { force: Force::DryRun, ..policy("deny-all", Action::Allow, 0, vec![]) };
    let verdict = judge(&mesh(vec![dry]), &get(None));
    assert_eq!(verdict.judgement.decision.because(), Reason::NoRuleApplies);
    assert_eq!((verdict.notes.dry_allow, verdict.notes.dry_deny), (DryRun::Refuse(None), DryRun::Absent));
}

#[test]
fn refusals_are_worded_as_envoys() {
    let post = || rule(vec![], vec![clause(Field::Method, &["GET"])], vec![]);
    let never = || rule(vec![], vec![clause(Field::Method, &["X"])], vec![]);
    let details = |policies: Vec<AuthorizationPolicy>| judge(&mesh(policies), &get(None)).details.to_string();
    let matched = |name: &str| format!("rbac_access_denied_matched_policy[ns[application]-policy[{name}");
    assert_eq!(details(vec![policy("x", Action::Deny, 0, vec![post()])]), matched("x]-rule[0]]"));
    assert_eq!(details(vec![policy("x", Action::Allow, 0, vec![never()])]), "rbac_access_denied_matched_policy[none]");
    // Byte by byte: `a` before `z`, and `rule[10]` before `rule[2]`.
    let both = vec![policy("z", Action::Deny, 0, vec![post()]), policy("a", Action::Deny, 9, vec![post()])];
    assert_eq!(details(both), matched("a]-rule[0]]"));
    let mut many: Vec<_> = (0..11).map(|_| post()).collect();
    many[0] = never();
    many[1] = never();
    assert_eq!(details(vec![policy("x", Action::Deny, 0, many)]), matched("x]-rule[10]]"));
    let refused = judge(&mesh(vec![policy("x", Action::Deny, 7, vec![post()])]), &get(None)).judgement.decision;
    let Decision::Refuse { because, reply: Reply::Http { status, body, .. } } = refused else { panic!("{refused:?}") };
    assert_eq!((because, status, &*body), (Reason::Rule(RuleId(7)), 403, &b"RBAC: access denied"[..]));
}

#[test]
fn actions_are_unions_and_deny_comes_first() {
    let all = || vec![rule(vec![], vec![], vec![])];
    let kong = || vec![rule(vec![clause(Field::Principal, &["*/sa/kong-gateway"])], vec![], vec![])];
    let other = || vec![rule(vec![clause(Field::Principal, &["*/sa/other"])], vec![], vec![])];
    let either = mesh(vec![policy("a", Action::Allow, 0, kong()), policy("b", Action::Allow, 5, other())]);
    assert!(passes(&either, &get(Some(KONG))) && !passes(&either, &get(None)));
    let denied = mesh(vec![policy("a", Action::Allow, 0, all()), policy("b", Action::Deny, 5, kong())]);
    assert!(!passes(&denied, &get(Some(KONG))) && passes(&denied, &get(None)));
    let custom = mesh(vec![policy("a", Action::Custom, 3, kong())]);
    assert_eq!(judge(&custom, &get(Some(KONG))).judgement.decision.because(), Reason::Rule(RuleId(3)));
    assert!(passes(&custom, &get(None)));
    let audit = judge(&mesh(vec![policy("a", Action::Audit, 4, kong())]), &get(Some(KONG)));
    assert_eq!(audit.notes.audit, Some(RuleId(4)));
    assert_eq!(audit.judgement.decision.because(), Reason::NoRuleApplies);
}

#[test]
fn policies_are_selected_by_namespace_and_labels() {
    let applies = |namespace: &str, label: &str| {
        let selector = Selector([("app".into(), label.into())].into());
        let deny = policy("p", Action::Deny, 0, vec![rule(vec![], vec![], vec![])]);
        let deny = AuthorizationPolicy { namespace: namespace.into(), applies: Applies::To(selector), ..deny };
        !passes(&mesh(vec![deny]), &get(None))
    };
    assert!(applies("application", "bff-service") && applies("istio-system", "bff-service"));
    assert!(!applies("application", "other") && !applies("istio-system", "other") && !applies("data", "bff-service"));
}

fn tcp(action: Action, rules: Vec<crate::authorization::Rule>, port: u16) -> super::Verdict {
    connection_verdict(&mesh(vec![policy("p", action, 0, rules)]), HERE, port, &peer(Some(KONG)))
}

#[test]
fn connections_without_http_drop_what_only_http_has() {
    let passes = |verdict: super::Verdict| matches!(verdict.judgement.decision, Decision::Pass { .. });
    let kong = || clause(Field::Principal, &["*/sa/kong-gateway"]);
    let port = |number| typed(Field::Port, Values::Ports(vec![number]));
    let post = || clause(Field::Method, &["POST"]);
    assert!(passes(tcp(Action::Allow, vec![rule(vec![kong()], vec![port(5432)], vec![])], 5432)));
    assert!(!passes(tcp(Action::Allow, vec![rule(vec![kong()], vec![port(5432)], vec![])], 5433)));
    // One HTTP field anywhere drops the whole ALLOW rule, even from one of several operations.
    assert!(!passes(tcp(Action::Allow, vec![rule(vec![kong()], vec![post()], vec![])], 5432)));
    let mut two = rule(vec![kong()], vec![port(5432)], vec![]);
    two.to.push(vec![post()]);
    assert!(!passes(tcp(Action::Allow, vec![two], 5432)));
    // A DENY rule loses the field and refuses every connection.
    let denied = tcp(Action::Deny, vec![rule(vec![], vec![post()], vec![])], 5432);
    assert_eq!(&*denied.details, "rbac_access_denied_matched_policy[ns[application]-policy[p]-rule[0]]");
    assert_eq!(denied.judgement.decision.because(), Reason::Rule(RuleId(0)));
    assert!(matches!(denied.judgement.decision, Decision::Refuse { reply: Reply::Drop, .. }));
    assert!(passes(tcp(Action::Deny, vec![rule(vec![], vec![port(80), post()], vec![])], 5432)));
    // The client of a connection is its peer, and its destination the workload.
    let client = typed(Field::ClientAddress, Values::Blocks(vec![read_block("10.1.2.3").unwrap()]));
    let there = typed(Field::DestinationAddress, Values::Blocks(vec![read_block("10.9.9.9").unwrap()]));
    assert!(passes(tcp(Action::Allow, vec![rule(vec![client], vec![], vec![there])], 5432)));
}
