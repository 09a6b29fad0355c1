//! Which ACME solver is taken for a name.
//!
//! Follows cert-manager's solver picker: solvers whose challenge the server does not offer are passed over; one without
//! a selector fits every name and yields to any that fits by its selector; among those, a DNS name counts more than a
//! zone, a longer zone more than a shorter one, then the number of labels; of equals the first is taken.

use ringwall_model::Labels;

/// One solver of an ACME issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solver {
    /// What it can prove.
    pub challenge: Challenge,
    /// What it is for; `None` when it says nothing.
    pub selector: Option<Selector>,
}

/// A way to prove that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A file on port 80.
    Http01,
    /// A record in the name's zone.
    Dns01,
}

/// What a solver is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Exactly these names.
    pub dns_names: Vec<Box<str>>,
    /// Names in these zones.
    pub dns_zones: Vec<Box<str>>,
    /// Certificates with these labels.
    pub labels: Labels,
}

/// The challenges that ACME servers offer for a name: for a wildcard only DNS (RFC 8555 section 7.1.3 leaves it to the
/// server; every server known to us does so).
pub fn offered(name: &str) -> &'static [Challenge] {
    if name.starts_with("*.") { &[Challenge::Dns01] } else { &[Challenge::Http01, Challenge::Dns01] }
}

/// The index of the solver that is taken for `name` of a Certificate with `labels`.
pub fn choose(solvers: &[Solver], name: &str, labels: &Labels) -> Option<usize> {
    let mut best: Option<(usize, Rank)> = None;
    for (index, solver) in solvers.iter().enumerate() {
        if !offered(name).contains(&solver.challenge) {
            continue;
        }
        let Some(rank) = rank(solver, name, labels) else { continue };
        if best.is_none_or(|(_, other)| rank > other) {
            best = Some((index, rank));
        }
    }
    best.map(|(index, _)| index)
}

/// Names, labels of the longest zone, labels; a solver without a selector ranks below all of these.
type Rank = Option<(usize, usize, usize)>;

fn rank(solver: &Solver, name: &str, labels: &Labels) -> Option<Rank> {
    let Some(selector) = &solver.selector else { return Some(None) };
    if !selector.labels.iter().all(|(key, value)| labels.get(key) == Some(value)) {
        return None;
    }
    let names = selector.dns_names.iter().filter(|known| known.eq_ignore_ascii_case(name)).count();
    let bare = name.strip_prefix("*.").unwrap_or(name).to_ascii_lowercase();
    let within = |zone: &str| bare.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let zones = selector.dns_zones.iter().map(|zone| zone.to_ascii_lowercase()).filter(|zone| within(zone));
    let zone = zones.map(|zone| zone.split('.').count()).max().unwrap_or(0);
    let wrong_name = !selector.dns_names.is_empty() && names == 0;
    let wrong_zone = !selector.dns_zones.is_empty() && zone == 0;
    if wrong_name || wrong_zone {
        return None;
    }
    Some(Some((names, zone, selector.labels.len())))
}

#[cfg(test)]
mod tests;
