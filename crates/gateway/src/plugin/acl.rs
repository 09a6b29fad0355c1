//! `acl`: which groups may call.

use super::Outcome;
use crate::reply;
use crate::walk::Walk;
use std::collections::BTreeSet;

/// Configuration of `acl`: exactly one of the two kinds of list.
#[derive(Clone, Debug)]
pub struct Acl {
    /// Which groups.
    pub groups: Groups,
    /// Whether `X-Consumer-Groups` tells the service the caller's groups.
    pub hide_groups_header: bool,
}

/// Groups that may, or may not, call.
#[derive(Clone, Debug)]
pub enum Groups {
    /// Only members of one of these.
    Allow(BTreeSet<Box<str>>),
    /// Nobody of these.
    Deny(BTreeSet<Box<str>>),
}

/// Nobody known: 401. Not allowed: 403.
pub fn judge(config: &Acl, walk: &mut Walk<'_>) -> Outcome {
    if !walk.is_authenticated() && walk.consumer.is_none() {
        return Outcome::Refuse(reply::message(401, "Unauthorized", walk.call.id));
    }
    let own = walk.consumer().map(|consumer| consumer.groups.clone()).unwrap_or_default();
    let groups: BTreeSet<Box<str>> = own.into_iter().chain(walk.groups.iter().cloned()).collect();
    let may = match &config.groups {
        Groups::Allow(allowed) => groups.iter().any(|group| allowed.contains(group)),
        Groups::Deny(denied) => !groups.iter().any(|group| denied.contains(group)),
    };
    if !may {
        return Outcome::Refuse(reply::message(403, "You cannot consume this service", walk.call.id));
    }
    if !config.hide_groups_header && !groups.is_empty() {
        let list: Vec<&str> = groups.iter().map(|group| &**group).collect();
        walk.set("X-Consumer-Groups", list.join(", "));
    }
    Outcome::Pass
}
