//! The lists of a ShieldPolicy: networks, feeds, countries, autonomous systems.

use super::{Lowering, code};
use crate::node::Cursor;
use ipnet::IpNet;
use ringwall_model::{RuleId, Severity};
use ringwall_shield::{AddressList, AddressSet, Geography, OnMissing, Reputation, Systems};
use std::collections::BTreeMap;
use std::sync::Arc;

const ON_MISSING: [(&str, OnMissing); 2] = [("refuse", OnMissing::Refuse), ("pass", OnMissing::Pass)];

impl Lowering<'_, '_> {
    pub(super) fn allow(&mut self, at: Cursor<'_>) -> AddressSet<RuleId> {
        let mut set = AddressSet::default();
        for entry in at.items() {
            let Some(network) = entry.block() else { continue };
            if network.prefix_len() < if matches!(network, IpNet::V4(_)) { 8 } else { 16 } {
                let title = format!("`{network}` is so wide that the policy guards against few");
                entry.report(entry.finding(code::WIDE_ALLOW, Severity::Warning, title));
            }
            set.insert(network, self.rule(entry).0);
        }
        set
    }

    pub(super) fn reputation(&mut self, at: Cursor<'_>) -> Reputation {
        let mut deny = AddressList::default();
        let (mut documentation, list) = (true, at.get("deny"));
        for entry in list.items() {
            let Some(network) = entry.block() else { continue };
            documentation &= is_documentation(network);
            deny.entries.insert(network, self.rule(entry).0);
        }
        if documentation && !deny.entries.is_empty() {
            let title =
                "only addresses kept for documentation (RFC 5737, RFC 3849) are refused: no call comes from there";
            list.report(list.finding(code::DOCUMENTATION_ADDRESSES, Severity::Warning, title));
        }
        let feeds = at.get("feeds").items().filter_map(|feed| Some((Arc::from(feed.filled()?), self.rule(feed).0)));
        Reputation { deny, feeds: feeds.collect() }
    }

    pub(super) fn geography(&mut self, at: Cursor<'_>) -> Option<Geography> {
        if !at.is_present() {
            return None;
        }
        let database = Arc::from(at.get("database").required().filled().unwrap_or_default());
        let (deny, allow) = (self.codes(at.get("deny"), country), self.codes(at.get("allow"), country));
        review(at, deny.as_ref(), allow.as_ref(), "country");
        let (on_unknown, on_missing) = on_missing(at, allow.is_some());
        let because = self.rule(at).0;
        Some(Geography { because, database, deny: deny.unwrap_or_default(), allow, on_unknown, on_missing })
    }

    pub(super) fn systems(&mut self, at: Cursor<'_>) -> Option<Systems> {
        if !at.is_present() {
            return None;
        }
        let database = Arc::from(at.get("database").required().filled().unwrap_or_default());
        let (deny, allow) = (self.codes(at.get("deny"), system), self.codes(at.get("allow"), system));
        review(at, deny.as_ref(), allow.as_ref(), "system");
        let (on_unknown, on_missing) = on_missing(at, allow.is_some());
        let because = self.rule(at).0;
        Some(Systems { because, database, deny: deny.unwrap_or_default(), allow, on_unknown, on_missing })
    }

    /// `None` when there is no list: empty is not absent. A list that is no list allows and denies nothing, beside the
    /// error that it is.
    fn codes<K: Ord>(&mut self, at: Cursor<'_>, read: fn(Cursor<'_>) -> Option<K>) -> Option<BTreeMap<K, RuleId>> {
        if !at.is_present() {
            return None;
        }
        Some(at.items().filter_map(|entry| Some((read(entry)?, self.rule(entry).0))).collect())
    }
}

/// An address that the database does not know is refused by an allow list, and passes a deny list, unless it is said
/// otherwise. A database that is not there refuses.
fn on_missing(at: Cursor<'_>, with_allow: bool) -> (OnMissing, OnMissing) {
    let by_list = if with_allow { OnMissing::Refuse } else { OnMissing::Pass };
    let of = |name| at.get(name).enumeration(&ON_MISSING);
    (of("onUnknown").unwrap_or(by_list), of("onMissing").unwrap_or_default())
}

fn country(at: Cursor<'_>) -> Option<[u8; 2]> {
    let text = at.string()?;
    match <[u8; 2]>::try_from(text.as_bytes()) {
        Ok(letters) if letters.iter().all(u8::is_ascii_alphabetic) => Some(letters.map(|c| c.to_ascii_uppercase())),
        _ => at.refuse_with(
            format!("`{text}` is not a country code"),
            "codes have two letters (ISO 3166-1), such as `DE`",
        ),
    }
}

fn system(at: Cursor<'_>) -> Option<u32> {
    at.integer(1..=i64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok())
}

fn review<K: Ord>(at: Cursor<'_>, deny: Option<&BTreeMap<K, RuleId>>, allow: Option<&BTreeMap<K, RuleId>>, what: &str) {
    let Some(allow) = allow else { return };
    let list = at.get("allow");
    if allow.is_empty() {
        let title = format!("an empty list allows no {what}: every call is refused");
        list.report(list.finding(code::EMPTY_ALLOW, Severity::Warning, title).help("leave it out to allow all"));
    }
    if deny.is_some_and(|deny| deny.keys().any(|key| allow.contains_key(key))) {
        let title = format!("the same {what} is denied and allowed: it is denied");
        list.report(list.finding(code::DENIED_AND_ALLOWED, Severity::Warning, title));
    }
}

fn is_documentation(network: IpNet) -> bool {
    const KEPT: [&str; 5] = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"];
    KEPT.iter().filter_map(|kept| kept.parse::<IpNet>().ok()).any(|kept| kept.contains(&network))
}
