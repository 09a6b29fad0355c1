//! `ip-restriction`: which addresses may call.

use super::Outcome;
use crate::reply;
use crate::walk::Walk;
use ipnet::IpNet;
use std::net::IpAddr;

/// Configuration of `ip-restriction`.
#[derive(Clone, Debug, Default)]
pub struct IpRestriction {
    /// Only these; empty is all. ORDER: `deny` is judged first.
    pub allow: Vec<IpNet>,
    /// Never these.
    pub deny: Vec<IpNet>,
    /// Whether `allow` was written, though nothing of it could be read: then nobody is allowed.
    pub has_allow: bool,
    /// Status of the refusal; 403 if `None`.
    pub status: Option<u16>,
    /// Message of the refusal.
    pub message: Option<Box<str>>,
}

/// Denied, or not allowed: 403. The address is the client's, which `head` derived once from trusted hops.
pub fn judge(config: &IpRestriction, walk: &mut Walk<'_>) -> Outcome {
    let address = plain(walk.call.client.address);
    let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
    if is_in(&config.deny) || (config.has_allow && !is_in(&config.allow)) {
        let said = config.message.as_deref().map(str::to_owned);
        let message = said.unwrap_or_else(|| format!("IP address not allowed: {address}"));
        return Outcome::Refuse(reply::message(config.status.unwrap_or(403), &message, walk.call.id));
    }
    Outcome::Pass
}

/// `::ffff:192.0.2.1` is 192.0.2.1.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
