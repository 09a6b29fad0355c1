use super::{Challenge, Selector, Solver, choose};
use ringwall_model::Labels;

fn http() -> Solver {
    Solver { challenge: Challenge::Http01, selector: None }
}

fn dns() -> Solver {
    Solver { challenge: Challenge::Dns01, selector: None }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn select(solver: Solver, names: &[&str], zones: &[&str], pairs: &[(&str, &str)]) -> Solver {
    let own = |list: &[&str]| list.iter().map(|text| Box::from(*text)).collect();
    Solver {
        selector: Some(Selector { dns_names: own(names), dns_zones: own(zones), labels: labels(pairs) }),
        ..solver
    }
}

#[track_caller]
fn check(solvers: &[Solver], name: &str, want: Option<usize>) {
    assert_eq!(choose(solvers, name, &labels(&[("team", "edge")])), want, "{name}");
}

#[test]
fn the_most_specific_solver_is_taken() {
    // Without selectors the first wins; a wildcard passes HTTP over.
    check(&[http(), dns()], "api.platform.local", Some(0));
    check(&[http(), dns()], "*.platform.local", Some(1));
    check(&[dns(), http()], "api.platform.local", Some(0));
    check(&[http()], "*.platform.local", None);
    check(&[], "a.example", None);
    // Any selector that fits beats none.
    check(&[http(), select(dns(), &[], &["example"], &[])], "a.example", Some(1));
    check(&[http(), select(dns(), &[], &["other"], &[])], "a.example", Some(0));
    check(&[http(), select(dns(), &[], &[], &[])], "a.example", Some(1));
    // A name beats a zone, a longer zone a shorter one, more labels fewer.
    check(&[select(dns(), &[], &["a.example"], &[]), select(dns(), &["a.example"], &[], &[])], "a.example", Some(1));
    check(&[select(dns(), &[], &["example"], &[]), select(dns(), &[], &["b.example"], &[])], "a.b.example", Some(1));
    check(&[select(dns(), &[], &["b.example"], &[]), select(dns(), &[], &["example"], &[])], "a.b.example", Some(0));
    check(
        &[select(dns(), &[], &["example"], &[]), select(dns(), &[], &["example"], &[("team", "edge")])],
        "a.example",
        Some(1),
    );
    check(&[select(dns(), &[], &["example"], &[("team", "core")])], "a.example", None);
    // Of equals the first.
    check(&[select(dns(), &[], &["example"], &[]), select(http(), &[], &["example"], &[])], "a.example", Some(0));
    // Zones end at a dot, and hold wildcards.
    check(&[select(dns(), &[], &["example"], &[])], "aexample", None);
    check(&[select(dns(), &[], &["b.example"], &[])], "*.b.example", Some(0));
    check(&[select(dns(), &["*.b.example"], &[], &[])], "*.b.example", Some(0));
}
