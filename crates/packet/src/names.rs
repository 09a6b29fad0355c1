//! Domain names as peers: which addresses a name has had in an answer that is still good.
//!
//! In: answers (name, address, time to live), as a DNS proxy sees them or a manifest gives them. Out: addresses of a
//! pattern. Time is an argument. Bounded: [`MAX_ADDRESSES`] a name, [`MAX_NAMES`] names; what expires first goes first.

use ringwall_model::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;

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

/// Names and the addresses that they have now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    known: BTreeMap<Box<str>, BTreeMap<IpAddr, Timestamp>>,
}

impl Names {
    /// None yet.
    pub const fn new() -> Self {
        Self { known: BTreeMap::new() }
    }

    /// Keeps an answer until `until`. Returns whether an address came to be known that was not: then what was compiled
    /// of these names is stale.
    pub fn learn(&mut self, name: &str, address: IpAddr, until: Timestamp) -> Learnt {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let known = self.known.contains_key(&*name);
        if !known && self.known.len() >= MAX_NAMES {
            self.forget_first();
        }
        let addresses = self.known.entry(name.into()).or_default();
        let address = address.to_canonical();
        if let Some(kept) = addresses.get_mut(&address) {
            *kept = (*kept).max(until);
            return Learnt::Known;
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
        self.known.retain(|_, addresses| {
            addresses.retain(|_, until| *until > now);
            !addresses.is_empty()
        });
        before - self.len()
    }

    /// When the next of them is no longer good.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.known.values().flat_map(BTreeMap::values).min().copied()
    }

    /// The addresses of all names that a pattern means.
    pub fn addresses<'a>(&'a self, pattern: &'a DomainPattern) -> impl Iterator<Item = IpAddr> + 'a {
        let meant = self.known.iter().filter(|(name, _)| pattern.matches(name));
        meant.flat_map(|(_, addresses)| addresses.keys().copied())
    }

    /// How many addresses are known, over all names.
    pub fn len(&self) -> usize {
        self.known.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn forget_first(&mut self) {
        let last = |addresses: &BTreeMap<IpAddr, Timestamp>| addresses.values().max().copied().unwrap_or_default();
        let first = self.known.iter().min_by_key(|(_, addresses)| last(addresses)).map(|(name, _)| name.clone());
        first.and_then(|name| self.known.remove(&name));
    }
}

/// Whether an answer changed what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// The address was known for this name.
    Known,
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
        assert_eq!(names.addresses(&pattern).collect::<Vec<_>>(), [address]);
        assert_eq!(names.expire(Timestamp(99)), 0);
        assert_eq!(names.expire(Timestamp(100)), 1);
        assert!(names.is_empty());
    }
}
