//! Laws: the index finds what trying every rule finds; denies only narrow, allows only widen, order changes nothing.

use crate::authorization::attributes::Attributes;
use crate::authorization::layout::Authorization;
use crate::authorization::{Action, AuthorizationPolicy, Clause, Field, PathForm, Rule, Sense, Values};
use crate::fixture::{HERE, NOW, call, clause, mesh, policy, with};
use crate::judge::{attributes, inbound};
use crate::matching::read_block;
use crate::mesh::WorkloadRules;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use ringwall_model::{Call, Decision, RuleId, Step};
use ringwall_token::{Facts, Known};

const IDENTITIES: [&str; 4] = [
    "spiffe://cluster.local/ns/a/sa/x",
    "spiffe://cluster.local/ns/b/sa/y",
    "spiffe://td/ns/a/sa/x",
    "spiffe://td/odd",
];

fn clauses() -> impl Strategy<Value = Clause> {
    let texts = |field: Field, values: &'static [&'static str]| {
        vec(select(values), 1..3).prop_map(move |values| clause(field.clone(), &values)).boxed()
    };
    let paths = vec(select(&["/a", "/a/*", "*/b", "/a/{*}", "/{**}/b", "*"][..]), 1..3).prop_map(|values| Clause {
        field: Field::Path,
        values: Values::Paths(values.into_iter().filter_map(PathForm::read).collect()),
        sense: Sense::Any,
    });
    let blocks = vec(select(&["10.0.0.0/8", "10.1.2.3", "192.0.2.0/24", "::/0"][..]), 1..3).prop_map(|values| Clause {
        field: Field::PeerAddress,
        values: Values::Blocks(values.into_iter().filter_map(read_block).collect()),
        sense: Sense::Any,
    });
    let positive = prop_oneof![
        texts(Field::Principal, &["cluster.local/ns/a/sa/x", "*/sa/x", "cluster.local/*", "*", "td/odd"]),
        texts(Field::Namespace, &["a", "b", "*"]),
        texts(Field::Method, &["GET", "POST", "*"]),
        texts(Field::Header("x-t".into()), &["1", "2", "*", "1*"]),
        texts(Field::Host, &["BFF.local:8080", "*.local:8080", "x"]),
        paths,
        blocks,
    ];
    (positive, any::<bool>()).prop_map(|(clause, turn)| if turn { crate::fixture::not(clause) } else { clause })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let part = || vec(vec(clauses(), 1..3), 0..3);
    let rule = (part(), part(), vec(clauses(), 0..2)).prop_map(|(from, to, when)| Rule {
        id: RuleId(0),
        index: 0,
        from,
        to,
        when,
    });
    vec(rule, 0..9)
}

fn policies() -> impl Strategy<Value = Vec<AuthorizationPolicy>> {
    let one = (select(&["p", "q", "r", "s"][..]), select(&[Action::Allow, Action::Deny][..]), rules())
        .prop_map(|(name, action, rules)| policy(name, action, 0, rules));
    vec(one, 0..4)
}

fn calls() -> impl Strategy<Value = Call> {
    let identity = prop_oneof![Just(None), select(&IDENTITIES[..]).prop_map(Some)];
    let header = prop_oneof![Just(None), select(&["1", "2", "12", ""][..]).prop_map(Some)];
    let target = select(&["/a", "/a/b", "/a/b/c", "/b", "/"][..]);
    (identity, select(&["GET", "POST", "PUT"][..]), target, header).prop_map(|(identity, method, target, header)| {
        let call = call(identity, method, target);
        match header {
            Some(value) => with(call, &[("X-T", value)]),
            None => call,
        }
    })
}

fn passes(policies: Vec<AuthorizationPolicy>, call: &Call) -> (bool, String) {
    let known = Known { facts: &Facts::default(), asked: &[], now: NOW };
    let Step::Done(verdict) = inbound(&mesh(policies), HERE, 8080, call, &known) else { panic!("asks") };
    (matches!(verdict.judgement.decision, Decision::Pass { .. }), verdict.details.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_index_finds_what_trying_all_finds(policies in policies(), call in calls()) {
        let borrowed: Vec<_> = policies.iter().collect();
        let laid = Authorization::of(&borrowed, &["cluster.local".into()]);
        let rules = WorkloadRules::default();
        let seen: Attributes<'_> = attributes(&rules, 8080, &call, None, &[]);
        for set in [Some(&laid.http.deny), laid.http.allow.as_ref()].into_iter().flatten() {
            let one_by_one = set.rules().iter().find(|rule| rule.matches(&seen)).map(|rule| rule.name.clone());
            assert_eq!(set.first(&seen).map(|rule| rule.name.clone()), one_by_one);
        }
    }

    #[test]
    fn a_deny_never_admits_more(policies in policies(), more in rules(), call in calls()) {
        let before = passes(policies.clone(), &call).0;
        let mut with = policies;
        with.push(policy("t", Action::Deny, 0, more));
        assert!(before || !passes(with, &call).0);
    }

    #[test]
    fn an_allow_beside_another_never_refuses_more(policies in policies(), more in rules(), call in calls()) {
        let mut without = policies;
        without.push(policy("t", Action::Allow, 0, vec![]));
        let before = passes(without.clone(), &call).0;
        without.push(policy("u", Action::Allow, 0, more));
        assert!(!before || passes(without, &call).0);
    }

    #[test]
    fn the_order_of_policies_changes_nothing(policies in policies(), call in calls()) {
        let mut named: Vec<_> = policies;
        for (number, policy) in named.iter_mut().enumerate() {
            policy.name = format!("{}{number}", policy.name).into();
        }
        let forward = passes(named.clone(), &call);
        named.reverse();
        assert_eq!(forward, passes(named, &call));
    }
}
