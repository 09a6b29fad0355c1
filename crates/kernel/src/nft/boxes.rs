//! Networks and ranges of ports as rectangles that do not overlap: the kernel's sets of intervals refuse an interval
//! that lies over another one.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses and ports, both ends of both in it. Addresses as numbers, so that both families are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rectangle {
    /// First and last address.
    pub addresses: (u128, u128),
    /// First and last port.
    pub ports: Ports,
}

/// First and last port.
type Ports = (u16, u16);

/// Every port.
pub const ALL_PORTS: Ports = (0, u16::MAX);

/// First and last address of a network, as numbers.
pub fn ends(network: &IpNet) -> (u128, u128) {
    (number(network.network()), number(network.broadcast()))
}

/// An address as a number.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Rectangles that cover the same, of which no two overlap; sorted, as few in a row of addresses as can be.
pub fn disjoint(rectangles: &[Rectangle]) -> Vec<Rectangle> {
    // What begins, and what ends, at each address where something changes.
    let mut changes: BTreeMap<u128, Vec<(Ports, Turn)>> = BTreeMap::new();
    for rectangle in rectangles {
        let (first, last) = rectangle.addresses;
        changes.entry(first).or_default().push((rectangle.ports, Turn::Begin));
        if let Some(behind) = last.checked_add(1) {
            changes.entry(behind).or_default().push((rectangle.ports, Turn::End));
        }
    }
    let mut open: BTreeMap<Ports, usize> = BTreeMap::new();
    let mut strips: Vec<Strip> = Vec::new();
    let mut changes = changes.into_iter().peekable();
    while let Some((first, turns)) = changes.next() {
        for (ports, turn) in turns {
            let count = open.entry(ports).or_default();
            match turn {
                Turn::Begin => *count += 1,
                Turn::End => *count = count.saturating_sub(1),
            }
        }
        open.retain(|_, count| *count > 0);
        let last = changes.peek().map_or(u128::MAX, |(next, _)| next.saturating_sub(1));
        let ports = merged(open.keys().copied());
        match strips.last_mut() {
            Some((addresses, before)) if *before == ports && addresses.1.checked_add(1) == Some(first) => {
                addresses.1 = last;
            }
            _ => strips.push(((first, last), ports)),
        }
    }
    let all = strips
        .into_iter()
        .flat_map(|(addresses, ports)| ports.into_iter().map(move |ports| Rectangle { addresses, ports }));
    all.collect()
}

/// Addresses in a row with the same ports.
type Strip = ((u128, u128), Vec<Ports>);

#[derive(Clone, Copy)]
enum Turn {
    Begin,
    End,
}

/// Ranges of ports, sorted by their first, as ranges that neither overlap nor touch.
fn merged(ranges: impl Iterator<Item = Ports>) -> Vec<Ports> {
    let mut merged: Vec<Ports> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is covered stays covered, nothing else is, and nothing twice.
        #[test]
        fn the_same_is_covered_once(
            input in proptest::collection::vec((0_u128..40, 0_u128..20, 0_u16..30, 0_u16..15), 0..12)
        ) {
            let given: Vec<Rectangle> = input
                .into_iter()
                .map(|(a, width, p, height)| Rectangle { addresses: (a, a + width), ports: (p, p + height) })
                .collect();
            let made = disjoint(&given);
            let count = |all: &[Rectangle], a: u128, p: u16| {
                let holds = |r: &&Rectangle| (r.addresses.0..=r.addresses.1).contains(&a) && (r.ports.0..=r.ports.1).contains(&p);
                all.iter().filter(holds).count()
            };
            for a in 0..64 {
                for p in 0..48 {
                    prop_assert_eq!(count(&made, a, p), count(&given, a, p).min(1));
                }
            }
        }
    }

    #[test]
    fn all_addresses_have_an_end() {
        let all = [Rectangle { addresses: (0, u128::MAX), ports: ALL_PORTS }];
        assert_eq!(disjoint(&all), all);
    }

    #[test]
    fn neighbours_become_one() {
        let net = |text: &str| Rectangle { addresses: ends(&text.parse().unwrap()), ports: ALL_PORTS };
        assert_eq!(disjoint(&[net("10.0.0.0/9"), net("10.128.0.0/9"), net("10.1.0.0/16")]), [net("10.0.0.0/8")]);
    }
}
