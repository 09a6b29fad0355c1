//! The routing resources of the platform as it was first written, and what is said of them.

mod selection;
mod tracing;

use super::{Networking, Taken, lower};
use crate::istio::envoy_filter::{Effect, Extra};
use crate::{Input, Ledger, Resource};
use ringwall_mesh::route::{Routes, code};
use ringwall_model::{Code, Inventory, RuleBook};

const WRITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/as-written");

/// Lowers the files whose names begin so, and puts their routes together for an empty inventory.
#[expect(clippy::disallowed_methods, reason = "a test reads the manifests from disk")]
fn lowered(prefixes: &[&str]) -> (Networking, Vec<Code>) {
    let mut files: Vec<_> = std::fs::read_dir(WRITTEN).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.retain(|path| prefixes.iter().any(|prefix| name(path).starts_with(prefix)));
    assert_eq!(files.len(), prefixes.len());
    let read: Vec<_> = files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect();
    let inputs: Vec<_> = read.iter().map(|(name, bytes)| Input { name, bytes }).collect();
    let (sources, mut findings) = crate::read(&inputs);
    let (mut into, mut rules) = (Networking::default(), RuleBook::default());
    for document in &sources.documents {
        let ledger = Ledger::open(document);
        assert_eq!(lower(&Resource::open(ledger.root()), &mut rules, None, &mut into), Taken::Lowered);
        findings.extend(ledger.finish().0);
    }
    findings.extend(Routes::compile(&into.routes, &Inventory::default()).1);
    (into, findings.into_iter().map(|finding| finding.code).collect())
}

#[track_caller]
fn check(prefixes: &[&str], want: Code) {
    let (_, codes) = lowered(prefixes);
    assert!(codes.contains(&want), "{want} is not among {codes:?}");
}

#[test]
fn what_does_not_mean_what_it_looks_like_is_said() {
    check(&["29", "37"], code::CONFLICTING_GATEWAYS);
    check(&["04", "44"], code::CONFLICTING_RULES);
    check(&["04", "12"], code::REPLACED_RULE);
    check(&["12"], code::CONSECUTIVE_ERRORS);
    check(&["44"], code::TOTAL_EJECTION);
    check(&["11"], code::RETRIES_OVER_TIMEOUT);
    check(&["11"], code::REPEATED_CALLS);
    check(&["37"], code::RAW_PREFIX);
    check(&["34"], code::ENVOY_FILTER_NO_MATCH);
    check(&["35"], code::LIST_BYPASS);
    check(&["43"], code::SECOND_ACCESS_LOG);
    check(&["02"], code::LEGACY_SETTING);
    check(&["02"], code::ALLOW_ANY);
    check(&["02"], code::PATH_NORMALIZATION);
}

#[test]
fn envoy_filters_become_data() {
    let (into, _) = lowered(&["34", "35"]);
    let found: Vec<_> = into.extras.iter().flat_map(|extras| &extras.found).collect();
    assert!(matches!(found[0], Extra::ConnectionLimit { most: 10_000, effect: Effect::NeverMatches, .. }));
    let Extra::Blocklist { addresses, status, body, .. } = found[1] else { panic!("{found:?}") };
    assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1", "198.51.100.1"]);
    assert_eq!((*status, &**body), (403, "Forbidden - IP blocked"));
}
