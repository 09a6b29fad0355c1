use super::{Mode, PeerAuthentication, PeerRules};
use crate::fixture::{HERE, call, inventory, workload};
use crate::mesh::{AutoTls, Mesh, Policies};
use ringwall_model::{Reason, RuleId, Selector};

fn resource(id: u32, namespace: &str, name: &str, label: Option<&str>, mode: Option<Mode>) -> PeerAuthentication {
    let labels = label.map(|value| ("app".into(), value.into()));
    PeerAuthentication {
        id: RuleId(id),
        namespace: namespace.into(),
        name: name.into(),
        selector: Selector(labels.into_iter().collect()),
        created: "".into(),
        mode,
        ports: Vec::new(),
    }
}

#[track_caller]
fn check(all: &[PeerAuthentication], want: (Mode, Option<u32>)) {
    let workload = workload("application", &[("app", "bff-service")]);
    let because = want.1.map_or(Reason::NoRuleApplies, |id| Reason::Rule(RuleId(id)));
    assert_eq!(PeerRules::of(&workload, all, "istio-system").mode(8080), (want.0, because));
    let turned: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(PeerRules::of(&workload, &turned, "istio-system").mode(8080), (want.0, because), "turned");
}

#[test]
fn the_narrowest_scope_wins() {
    let mesh = |mode| resource(1, "istio-system", "mesh", None, mode);
    let namespace = |mode| resource(2, "application", "namespace", None, mode);
    let own = |mode| resource(3, "application", "own", Some("bff-service"), mode);
    let (disable, permissive, strict) = (Some(Mode::Disable), Some(Mode::Permissive), Some(Mode::Strict));
    check(&[], (Mode::Permissive, None));
    check(&[mesh(strict)], (Mode::Strict, Some(1)));
    check(&[mesh(strict), namespace(permissive)], (Mode::Permissive, Some(2)));
    check(&[mesh(strict), namespace(permissive), own(disable)], (Mode::Disable, Some(3)));
    check(&[mesh(strict), namespace(None), own(None)], (Mode::Strict, Some(1)));
    check(&[resource(4, "application", "other", Some("other"), disable), mesh(strict)], (Mode::Strict, Some(1)));
    check(&[resource(4, "istio-system", "selects", Some("bff-service"), disable)], (Mode::Permissive, None));
    check(&[resource(4, "data", "elsewhere", None, strict)], (Mode::Permissive, None));
}

#[test]
fn the_oldest_of_a_scope_wins_then_the_name() {
    let namespace = |id, name: &str, created: &str, mode| PeerAuthentication {
        created: created.into(),
        ..resource(id, "application", name, None, Some(mode))
    };
    let older = namespace(1, "b", "2024-01-01T00:00:00Z", Mode::Strict);
    let newer = namespace(2, "a", "2025-01-01T00:00:00Z", Mode::Disable);
    check(&[older, newer], (Mode::Strict, Some(1)));
    check(&[namespace(1, "b", "", Mode::Strict), namespace(2, "a", "", Mode::Disable)], (Mode::Disable, Some(2)));
}

#[test]
fn port_modes_are_the_workloads_own() {
    let ports = vec![(9090, Some(Mode::Disable)), (9091, None)];
    let own =
        PeerAuthentication { ports, ..resource(3, "application", "own", Some("bff-service"), Some(Mode::Strict)) };
    let workload = workload("application", &[("app", "bff-service")]);
    let rules = PeerRules::of(&workload, std::slice::from_ref(&own), "istio-system");
    assert_eq!([8080, 9090, 9091].map(|port| rules.mode(port).0), [Mode::Strict, Mode::Disable, Mode::Strict]);
    // What clients infer is the namespace's word, never the workload's own.
    assert_eq!(rules.inferred(), Mode::Permissive);
}

#[test]
fn strict_refuses_plaintext_and_clients_infer_mutual_tls() {
    let strict = resource(1, "istio-system", "mesh", None, Some(Mode::Strict));
    let mesh = Mesh::of(&Policies { peers: vec![strict], ..Policies::default() }, &inventory());
    let facts = ringwall_token::Facts::default();
    let known = ringwall_token::Known { facts: &facts, asked: &[], now: crate::fixture::NOW };
    let because =
        |identity: Option<&str>| match crate::judge::inbound(&mesh, HERE, 8080, &call(identity, "GET", "/"), &known) {
            ringwall_model::Step::Done(verdict) => verdict.judgement.decision.because(),
            other => panic!("{other:?}"),
        };
    assert_eq!(because(None), Reason::Rule(RuleId(1)));
    assert_eq!(because(Some(crate::fixture::KONG)), Reason::NoRuleApplies);
    assert_eq!(mesh.auto_tls(HERE), AutoTls::Mutual);
    assert_eq!(mesh.mtls(ringwall_model::WorkloadId(9), 1), Mode::Strict);
    let disabled = resource(1, "istio-system", "mesh", None, Some(Mode::Disable));
    let mesh = Mesh::of(&Policies { peers: vec![disabled], ..Policies::default() }, &inventory());
    assert_eq!(mesh.auto_tls(HERE), AutoTls::Plaintext);
}
