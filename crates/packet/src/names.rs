//! Domain names as peers: which addresses a name has had in an answer that is still good.
//!
//! In: answers (name, address, time to live), as a DNS proxy sees them or a manifest gives them. Out: addresses of a
//! pattern, each until just before its end. Time is an argument. Bounded: [`MAX_ADDRESSES`] a name, [`MAX_NAMES`] names;
//! what expires first goes first. Never: an address that no host of the outside can have, whoever answers.

use ringwall_model::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The most names that are kept.
pub const MAX_NAMES: usize = 16_384;
/// The most addresses that are kept for one name.
pub const MAX_ADDRESSES: usize = 256;

/// A domain name, or with a leading `*.` all names below one: one label or more, never the name itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainPattern(Box<str>);

impl DomainPattern {
    /// Reads a pattern as ClusterNetworkPolicy has it; case and a final dot mean nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let label = |part: &str| {
            part.len() <= 63 && part.chars().all(inner) && ends(part.chars().next()) && ends(part.chars().next_back())
        };
        let fits = name.len() <= 253 && name.contains('.') && name.split('.').all(label);
        fits.then(|| Self(lower.into()))
    }

    /// Whether a lower-case name without a final dot is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
            None => *self.0 == *name,
        }
    }

    /// Its text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names and the addresses that they have now. A copy costs nothing until it learns something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    known: Arc<Known>,
    /// What time it is: what has ended by then is not said any more.
    now: Timestamp,
}

/// Ends by name and address.
type Known = BTreeMap<Box<str>, BTreeMap<IpAddr, Timestamp>>;

impl Names {
    /// The same at another time.
    pub fn at(&self, now: Timestamp) -> Self {
        Self { known: Arc::clone(&self.known), now }
    }

    /// Keeps an answer until `until`, when it is good no more. What changed says which of what was compiled of these
    /// names is stale.
    pub fn learn(&mut self, name: &str, address: IpAddr, until: Timestamp) -> Learnt {
        let address = address.to_canonical();
        if !is_of_outside(address) {
            return Learnt::Inside;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let all = Arc::make_mut(&mut self.known);
        let known = all.contains_key(&*name);
        if !known && all.len() >= MAX_NAMES {
            forget_first(all);
        }
        let addresses = all.entry(name.into()).or_default();
        if let Some(kept) = addresses.get_mut(&address) {
            if *kept >= until {
                return Learnt::Known;
            }
            *kept = until;
            return Learnt::Longer;
        }
        if addresses.len() >= MAX_ADDRESSES {
            let first = addresses.iter().min_by_key(|(_, until)| **until).map(|(address, _)| *address);
            first.and_then(|address| addresses.remove(&address));
        }
        addresses.insert(address, until);
        Learnt::New
    }

    /// Forgets what is no longer good at `now`. Returns how many addresses that were.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let before = self.len();
        Arc::make_mut(&mut self.known).retain(|_, addresses| {
            addresses.retain(|_, until| *until > now);
            !addresses.is_empty()
        });
        before - self.len()
    }

    /// When the next of them is no longer good.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.known.values().flat_map(BTreeMap::values).min().copied()
    }

    /// The addresses of all names that a pattern means, with their ends; one that several of them have comes with each.
    pub fn addresses<'a>(&'a self, pattern: &'a DomainPattern) -> impl Iterator<Item = (IpAddr, Timestamp)> + 'a {
        let meant = self.known.iter().filter(|(name, _)| pattern.matches(name));
        let all = meant.flat_map(|(_, addresses)| addresses.iter().map(|(address, until)| (*address, *until)));
        all.filter(|(_, until)| *until > self.now)
    }

    /// How many addresses are known, over all names.
    pub fn len(&self) -> usize {
        self.known.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

fn forget_first(all: &mut Known) {
    let last = |addresses: &BTreeMap<IpAddr, Timestamp>| addresses.values().max().copied().unwrap_or_default();
    let first = all.iter().min_by_key(|(_, addresses)| last(addresses)).map(|(name, _)| name.clone());
    first.and_then(|name| all.remove(&name));
}

/// Whether an address can be one host's of the outside: not this machine's own, nor of one link, nor of many hosts
/// (RFC 6890). Whoever answers for an allowed name may say any address: none of these is let through for it.
pub fn is_of_outside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            // 224 and above: many hosts, reserved, all hosts.
            !(matches!(first, 0 | 127 | 224..) || v4.is_link_local())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

/// Whether an answer changed what is known; the later, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Learnt {
    /// It is no address of the outside, and not kept.
    Inside,
    /// The address was known for this name, and for as long.
    Known,
    /// It was known, and not for so long.
    Longer,
    /// It was not.
    New,
}

#[cfg(test)]
mod tests {
    use super::{DomainPattern, Learnt, Names};
    use ringwall_model::Timestamp;

    #[test]
    fn a_star_means_one_label_or_more_and_not_the_name_itself() {
        #[track_caller]
        fn check(pattern: &str, name: &str, want: bool) {
            assert_eq!(DomainPattern::parse(pattern).unwrap().matches(name), want, "{pattern} {name}");
        }
        check("kubernetes.io", "kubernetes.io", true);
        check("kubernetes.io", "www.kubernetes.io", false);
        check("*.kubernetes.io", "www.kubernetes.io", true);
        check("*.kubernetes.io", "latest.blog.kubernetes.io", true);
        check("*.kubernetes.io", "kubernetes.io", false);
        check("*.kubernetes.io", "my-kubernetes.io", false);
        check("API.Example.COM.", "api.example.com", true);
        for wrong in ["", "*", "*.", "com", "a*.example.com", "a..b", "-a.example.com", "*.*.example.com", "ä.example"]
        {
            assert_eq!(DomainPattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn answers_are_good_until_they_expire() {
        let mut names = Names::default();
        let address = "192.0.2.7".parse().unwrap();
        assert_eq!(names.learn("API.example.com.", address, Timestamp(100)), Learnt::New);
        assert_eq!(names.learn("api.example.com", address, Timestamp(50)), Learnt::Known);
        let pattern = DomainPattern::parse("*.example.com").unwrap();
        let said = |names: &Names, now| names.at(Timestamp(now)).addresses(&pattern).collect::<Vec<_>>();
        assert_eq!(said(&names, 99), [(address, Timestamp(100))]);
        assert_eq!(said(&names, 100), []);
        assert_eq!(names.expire(Timestamp(99)), 0);
        assert_eq!(names.learn("api.example.com", address, Timestamp(101)), Learnt::Longer);
        assert_eq!(said(&names, 100), [(address, Timestamp(101))]);
        assert_eq!((names.expire(Timestamp(100)), names.expire(Timestamp(101))), (0, 1));
        assert!(names.is_empty());
    }

    #[test]
    fn no_name_has_an_address_that_is_not_of_the_outside() {
        #[track_caller]
        fn check(address: &str, want: Learnt) {
            let learnt = Names::default().learn("api.example.com", address.parse().unwrap(), Timestamp(1));
            assert_eq!(learnt, want, "{address}");
        }
        for inside in ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::", "::1"] {
            check(inside, Learnt::Inside);
        }
        for inside in ["::ffff:127.0.0.1", "fe80::1", "ff02::1"] {
            check(inside, Learnt::Inside);
        }
        for outside in ["10.1.2.3", "192.0.2.7", "::ffff:192.0.2.7", "fd00::1", "2001:db8::1"] {
            check(outside, Learnt::New);
        }
    }
}
