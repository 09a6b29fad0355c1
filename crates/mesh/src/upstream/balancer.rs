//! Load balancing: which endpoint gets a call.
//!
//! In: [`BalancerPolicy`], who may be called, how busy each is, dice, the hash of a call. Out: an index. Never: a look
//! at sockets. Consistent hashing is by highest random weight, which moves only the calls of an endpoint that goes.

use super::{BalancerPolicy, HashOn};
use ringwall_model::Call;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The state of one destination's balancing. Shared between threads.
#[derive(Debug, Default)]
pub struct Balancer {
    next: AtomicUsize,
}

impl Balancer {
    /// Chooses one of `endpoints` (indices of those that may be called, never the same twice). `busy` tells how many
    /// calls one has under way; `hash` is [`hash`] of the call; `dice` are random bits. `None` when there is none.
    pub fn choose(
        &self,
        policy: &BalancerPolicy,
        endpoints: &[usize],
        busy: impl Fn(usize) -> u32,
        hash: Option<u64>,
        dice: u64,
    ) -> Option<usize> {
        let count = endpoints.len();
        let at = |random: u64| endpoints.get(usize::try_from(random % count.max(1) as u64).unwrap_or(0)).copied();
        match (policy, hash) {
            (BalancerPolicy::RoundRobin | BalancerPolicy::Passthrough, _) => {
                endpoints.get(self.next.fetch_add(1, Ordering::Relaxed).checked_rem(count)?).copied()
            }
            (BalancerPolicy::LeastRequest, _) => {
                let (one, other) = (at(dice & 0xffff_ffff)?, at(dice >> 32)?);
                Some(if busy(other) < busy(one) { other } else { one })
            }
            (BalancerPolicy::ConsistentHash(_), Some(hash)) => {
                endpoints.iter().copied().max_by_key(|index| mix(hash ^ mix(*index as u64 + 1)))
            }
            (BalancerPolicy::Random | BalancerPolicy::ConsistentHash(_), _) => at(dice),
        }
    }
}

/// The hash of what the policy names in the call; `None` when the call lacks it.
pub fn hash(on: &HashOn, call: &Call) -> Option<u64> {
    Some(match on {
        HashOn::Header(name) => fnv(call.fields.first(name)?),
        HashOn::SourceAddress => hash_of_address(on, call.client.address)?,
        HashOn::Query(name) => fnv(pairs(call.views.query.as_ref()?, b'&', name)?),
        HashOn::Cookie { name, .. } => fnv(call.fields.all("cookie").find_map(|line| pairs(line, b';', name))?),
    })
}

/// The hash of a connection's source, when that is what the policy names.
pub fn hash_of_address(on: &HashOn, address: IpAddr) -> Option<u64> {
    match (on, address) {
        (HashOn::SourceAddress, IpAddr::V4(address)) => Some(fnv(&address.octets())),
        (HashOn::SourceAddress, IpAddr::V6(address)) => Some(fnv(&address.octets())),
        _ => None,
    }
}

fn pairs<'a>(text: &'a [u8], between: u8, name: &str) -> Option<&'a [u8]> {
    text.split(|byte| *byte == between).find_map(|pair| {
        let value = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Balancer, BalancerPolicy, HashOn};

    #[test]
    fn each_policy_chooses_in_its_way() {
        let balancer = Balancer::default();
        let choose = |policy, endpoints: &[usize], hash, dice| {
            balancer.choose(&policy, endpoints, |index| if index == 7 { 9 } else { 0 }, hash, dice)
        };
        let rounds: Vec<_> = (0..4).map(|_| choose(BalancerPolicy::RoundRobin, &[4, 7], None, 0)).collect();
        assert_eq!(rounds, [Some(4), Some(7), Some(4), Some(7)]);
        assert_eq!(choose(BalancerPolicy::LeastRequest, &[7, 4], None, 1 << 32), Some(4));
        assert_eq!(choose(BalancerPolicy::Random, &[7, 4], None, 3), Some(4));
        assert_eq!(choose(BalancerPolicy::Random, &[], None, 3), None);
        let sticky = BalancerPolicy::ConsistentHash(HashOn::SourceAddress);
        for hash in 0..64 {
            let chosen = choose(sticky.clone(), &[0, 1, 2], Some(hash), 0).unwrap();
            let left: Vec<usize> = [0, 1, 2].into_iter().filter(|index| *index != (chosen + 1) % 3).collect();
            assert_eq!(
                choose(sticky.clone(), &left, Some(hash), 5),
                Some(chosen),
                "only calls of the one that goes move"
            );
        }
    }
}
