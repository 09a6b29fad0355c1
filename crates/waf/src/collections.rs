//! Collections that outlive a transaction: `IP`, `GLOBAL`, `SESSION`, `USER`, `RESOURCE`.
//!
//! In: names, values, points in time. Out: values that have not expired. Survives a new rule set; bounded: when it is
//! full, what expires first makes room.

use crate::operator;
use crate::variable::Variable;
use ringwall_model::{Millis, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Name = (u8, Vec<u8>, Vec<u8>);

#[derive(Clone, Debug)]
struct Member {
    value: Vec<u8>,
    until: Timestamp,
    changed: Timestamp,
}

/// Members by collection, key and name. Shared by all transactions of a process.
#[derive(Debug)]
pub struct Collections {
    members: Mutex<BTreeMap<Name, Member>>,
    most: usize,
}

impl Collections {
    /// Room for so many members.
    pub fn new(most: usize) -> Self {
        Self { members: Mutex::default(), most: most.max(1) }
    }

    /// How many members there are, expired ones included.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts one more call of an address: how many it sent since its minute began, this one among them.
    pub fn arrival(&self, address: IpAddr, now: Timestamp) -> u64 {
        const NAME: &[u8] = b"ringwall calls";
        let key = match address.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            // A client has a whole /64 to choose from.
            IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
        };
        self.add(Variable::Ip, &key, NAME, 1, now, 60);
        let count = self.get(Variable::Ip, &key, NAME, now).map_or(1, |count| operator::number(&count));
        u64::try_from(count).unwrap_or(1)
    }

    pub(crate) fn get(&self, collection: Variable, key: &[u8], name: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        let members = self.lock();
        let member = members.get(&full(collection, key, name))?;
        (member.until > now).then(|| member.value.clone())
    }

    pub(crate) fn assign(
        &self,
        collection: Variable,
        key: &[u8],
        name: &[u8],
        value: Vec<u8>,
        now: Timestamp,
        timeout: u64,
    ) {
        self.put(full(collection, key, name), now, timeout, |_| value);
    }

    pub(crate) fn add(&self, collection: Variable, key: &[u8], name: &[u8], by: i64, now: Timestamp, timeout: u64) {
        self.put(full(collection, key, name), now, timeout, |old| {
            operator::number(old).saturating_add(by).to_string().into_bytes()
        });
    }

    pub(crate) fn remove(&self, collection: Variable, key: &[u8], name: &[u8]) {
        self.lock().remove(&full(collection, key, name));
    }

    pub(crate) fn expire(&self, collection: Variable, key: &[u8], name: &[u8], until: Timestamp) {
        if let Some(member) = self.lock().get_mut(&full(collection, key, name)) {
            member.until = until;
        }
    }

    /// Lowers a number by `by` for each `per` seconds since it was last changed, not below zero.
    pub(crate) fn deprecate(&self, collection: Variable, key: &[u8], name: &[u8], by: i64, per: u64, now: Timestamp) {
        if let Some(member) = self.lock().get_mut(&full(collection, key, name)) {
            let times = now.since(member.changed).0 / per.max(1).saturating_mul(1000);
            let less = by.saturating_mul(i64::try_from(times).unwrap_or(i64::MAX));
            if times > 0 {
                member.value = operator::number(&member.value).saturating_sub(less).max(0).to_string().into_bytes();
                member.changed = now;
            }
        }
    }

    fn put(&self, name: Name, now: Timestamp, timeout: u64, change: impl FnOnce(&[u8]) -> Vec<u8>) {
        let mut members = self.lock();
        if !members.contains_key(&name) && members.len() >= self.most {
            members.retain(|_, member| member.until > now);
            if members.len() >= self.most
                && let Some(first) = members.iter().min_by_key(|(_, member)| member.until).map(|(name, _)| name.clone())
            {
                members.remove(&first);
            }
        }
        let until = now.plus(Millis::seconds(timeout));
        let member = members.entry(name).or_insert_with(|| Member { value: Vec::new(), until, changed: now });
        if member.until <= now {
            *member = Member { value: Vec::new(), until, changed: now };
        }
        member.value = change(&member.value);
        member.changed = now;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn full(collection: Variable, key: &[u8], name: &[u8]) -> Name {
    (collection as u8, key.to_vec(), name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::Collections;
    use crate::variable::Variable;
    use ringwall_model::Timestamp;

    #[test]
    fn calls_are_counted_by_the_minute_and_the_network() {
        let shelf = Collections::new(9);
        let from = |address: &str, second: u64| shelf.arrival(address.parse().unwrap(), Timestamp(second * 1000));
        assert_eq!([from("192.0.2.1", 0), from("192.0.2.1", 59), from("::ffff:192.0.2.1", 59)], [1, 2, 3]);
        assert_eq!([from("2001:db8::1", 0), from("2001:db8::2", 0), from("192.0.2.2", 0)], [1, 2, 1]);
        assert_eq!(from("192.0.2.1", 60), 1);
    }

    #[test]
    fn members_expire_and_are_bounded() {
        let shelf = Collections::new(2);
        let at = |seconds: u64| Timestamp(seconds * 1000);
        shelf.add(Variable::Ip, b"a", b"n", 5, at(0), 10);
        shelf.add(Variable::Ip, b"a", b"N", 2, at(1), 10);
        assert_eq!(shelf.get(Variable::Ip, b"a", b"n", at(2)).unwrap(), b"7");
        shelf.deprecate(Variable::Ip, b"a", b"n", 1, 1, at(4));
        assert_eq!(shelf.get(Variable::Ip, b"a", b"n", at(4)).unwrap(), b"4");
        assert_eq!(shelf.get(Variable::Ip, b"a", b"n", at(10)), None);
        for key in [b"b", b"c", b"d"] {
            shelf.assign(Variable::Ip, key, b"x", b"1".to_vec(), at(20), 10);
        }
        assert_eq!(shelf.len(), 2);
    }
}
