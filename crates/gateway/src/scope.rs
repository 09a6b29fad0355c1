//! Which plugins run on a route: exactly one configuration of each name, the most specific.
//!
//! Follows Kong's plugins iterator: the first that exists of route and service and consumer, route and consumer, service
//! and consumer, route and service, consumer, route, service, everywhere. Never merged, never two of one name.

use crate::entity::{Consumer, ConsumerIndex, Route, RouteIndex};
use crate::plugin::{Plugin, PluginIndex, Scope};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Configurations of one plugin with where each runs.
type Candidates = Vec<(Scope, PluginIndex)>;

/// The plugins of one route, in the order in which they run.
#[derive(Clone, Debug, Default)]
pub struct Plan(Vec<Slot>);

/// All configurations of one plugin that can apply to a route, the most specific first.
#[derive(Clone, Debug)]
pub struct Slot(Vec<(Option<ConsumerIndex>, PluginIndex)>);

impl Plan {
    /// No plugin at all.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The plugins of a route.
    pub fn of(index: RouteIndex, route: &Route, plugins: &[Plugin]) -> Self {
        let mut slots: BTreeMap<(Reverse<u32>, &str), Candidates> = BTreeMap::new();
        for (number, plugin) in (0_u32..).zip(plugins) {
            let Scope { route: on_route, service, .. } = plugin.scope;
            let here = on_route.is_none_or(|on| on == index) && service.is_none_or(|on| Some(on) == route.service);
            if here {
                let key = (Reverse(plugin.config.priority()), plugin.config.name());
                slots.entry(key).or_default().push((plugin.scope, PluginIndex(number)));
            }
        }
        Self(slots.into_values().map(Slot::of).collect())
    }

    /// The slots in order.
    pub fn slots(&self) -> &[Slot] {
        &self.0
    }
}

impl Slot {
    fn of(mut candidates: Vec<(Scope, PluginIndex)>) -> Self {
        candidates.sort_by_key(|(scope, index)| (specificity(scope), *index));
        Self(candidates.into_iter().map(|(scope, index)| (scope.consumer, index)).collect())
    }

    /// The one configuration that runs for a consumer.
    pub fn pick(&self, consumer: Option<ConsumerIndex>) -> Option<PluginIndex> {
        self.0.iter().find(|(only, _)| only.is_none() || *only == consumer).map(|(_, index)| *index)
    }

    /// All of them: what `check` needs to say which never runs.
    pub fn all(&self) -> impl Iterator<Item = PluginIndex> {
        self.0.iter().map(|(_, index)| *index)
    }
}

fn specificity(scope: &Scope) -> u8 {
    match (scope.route.is_some(), scope.service.is_some(), scope.consumer.is_some()) {
        (true, true, true) => 0,
        (true, false, true) => 1,
        (false, true, true) => 2,
        (true, true, false) => 3,
        (false, false, true) => 4,
        (true, false, false) => 5,
        (false, true, false) => 6,
        (false, false, false) => 7,
    }
}

/// Consumers by what names them and their credentials. Keys are kept as SHA-256, so that looking one up takes as long
/// whatever the key: the order of hashes tells nothing of the order of keys.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    names: BTreeMap<Box<str>, ConsumerIndex>,
    keys: BTreeMap<[u8; 32], (ConsumerIndex, u32)>,
    tokens: BTreeMap<Box<str>, (ConsumerIndex, u32)>,
    users: BTreeMap<Box<str>, (ConsumerIndex, u32)>,
}

impl Directory {
    /// Of these consumers.
    pub fn of(consumers: &[Consumer]) -> Self {
        let mut directory = Self::default();
        for (number, consumer) in (0_u32..).zip(consumers) {
            let index = ConsumerIndex(number);
            let names = [Some(&consumer.id), consumer.username.as_ref(), consumer.custom_id.as_ref()];
            names.into_iter().flatten().for_each(|name| {
                directory.names.entry(name.clone()).or_insert(index);
            });
            for (number, credential) in (0_u32..).zip(&consumer.keys) {
                directory.keys.insert(digest(credential.key.as_bytes()), (index, number));
            }
            for (number, credential) in (0_u32..).zip(&consumer.jwt) {
                directory.tokens.insert(credential.key.clone(), (index, number));
            }
            for (number, credential) in (0_u32..).zip(&consumer.basic) {
                directory.users.insert(credential.username.clone(), (index, number));
            }
        }
        directory
    }

    /// A consumer by id, user name or custom id.
    pub fn named(&self, name: &str) -> Option<ConsumerIndex> {
        self.names.get(name).copied()
    }

    /// The consumer of an API key, and which of its keys.
    pub fn of_key(&self, key: &[u8]) -> Option<(ConsumerIndex, u32)> {
        self.keys.get(&digest(key)).copied()
    }

    /// The consumer of a `jwt` credential, and which of them.
    pub fn of_token(&self, key: &str) -> Option<(ConsumerIndex, u32)> {
        self.tokens.get(key).copied()
    }

    /// The consumer of a `basic-auth` user name, and which of its credentials.
    pub fn of_user(&self, name: &str) -> Option<(ConsumerIndex, u32)> {
        self.users.get(name).copied()
    }
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().unwrap_or_default()
}
