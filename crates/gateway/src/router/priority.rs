//! The priority of a route, as a number: higher is asked first.
//!
//! Kong's layout (most significant first): 3 bits how many kinds of condition the route has, 1 bit whether all hosts are
//! plain, 8 bits how many fields it asks for, 1 bit whether its paths are regular expressions, 32 bits `regex_priority`,
//! 19 bits the length of its prefix. So more kinds of condition outrank a longer path.

use crate::entity::{Ends, EndsIp, Route};

/// Priority of a route for calls, when only `paths` of it are looked at.
pub fn of_calls(route: &Route, paths: &[&str]) -> u64 {
    let kinds = [
        route.methods.is_empty(),
        route.hosts.is_empty(),
        route.headers.is_empty(),
        route.snis.is_empty(),
        paths.is_empty(),
    ];
    let weight = kinds.into_iter().filter(|is_empty| !is_empty).count() as u64;
    let plain_hosts = !route.hosts.is_empty() && !route.hosts.iter().any(|host| host.contains('*'));
    let first = paths.first().copied().unwrap_or_default();
    let is_regex = first.starts_with('~');
    let length = if is_regex { 0 } else { first.len() as u64 & 0x7_ffff };
    let regex_priority = if is_regex { u64::from(route.regex_priority) } else { 0 };
    weight << 61
        | u64::from(plain_hosts) << 60
        | (route.headers.len().min(255) as u64) << 52
        | u64::from(is_regex) << 51
        | regex_priority << 19
        | length
}

/// Priority of a route for connections: a server name, or both ends, outrank one end; an address outranks a port, a port
/// a range.
pub fn of_streams(route: &Route) -> u64 {
    let has_name = !route.snis.is_empty();
    let has_both_ends = !route.sources.is_empty() && !route.destinations.is_empty();
    u64::from(has_name || has_both_ends) << 61 | of_ends(&route.sources) << 4 | of_ends(&route.destinations)
}

fn of_ends(ends: &[Ends]) -> u64 {
    ends.iter().fold(0, |weight, end| {
        let ip = match end.ip {
            Some(EndsIp::One(_)) => 0b1000,
            Some(EndsIp::Range(_)) => 0b0001,
            None => 0,
        };
        weight | ip | if end.port.is_some() { 0b0100 } else { 0 }
    })
}
