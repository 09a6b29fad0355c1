//! Key sets and discovery documents: fetched, cached, refreshed; swapped apart from the World.
//!
//! In: questions of the engines. Out: [`Facts`], of which "no answer in time" is a part. Never: two fetches of one thing
//! at once, or one fetch more often than the cool-down allows: anybody can write a `kid`, so anybody can ask.

use crate::fetch::{Fetcher, Resolve};
use arc_swap::ArcSwap;
use ringwall_model::{Millis, Question, Timestamp};
use ringwall_token::{Discovery, DiscoveryAnswer, Facts, JwkSet, KeyAnswer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;

/// How long one fetch may take; a call waits no longer than that for an answer.
pub const PATIENCE: Millis = Millis(3_000);
/// The most different things that are asked about; a further one is "unanswered".
const MOST: usize = 256;

/// What answers in the stead of an issuer: the document's bytes.
pub type StandIn = dyn Fn(&Question) -> Option<Vec<u8>> + Send + Sync;

/// Keeps what was learned, and learns on demand.
pub struct FactsKeeper {
    facts: ArcSwap<Facts>,
    fetcher: Fetcher,
    cooldown: Millis,
    /// Answers in the stead of an issuer that cannot be reached; development only.
    stand_in: Option<Box<StandIn>>,
    /// When each thing was last fetched. The lock is held during a fetch: later askers wait for that very answer.
    fetched: Mutex<BTreeMap<Arc<str>, Arc<Mutex<Timestamp>>>>,
}

impl FactsKeeper {
    /// A keeper that knows nothing yet.
    pub fn new(resolve: Arc<dyn Resolve>, cooldown: Millis) -> Self {
        let facts = ArcSwap::from_pointee(Facts::default());
        Self { facts, fetcher: Fetcher::new(resolve), cooldown, stand_in: None, fetched: Mutex::default() }
    }

    /// The same keeper, with answers in the stead of issuers that cannot be reached: for development, where the issuer
    /// that manifests name does not exist. Whoever sets this must say so on the first screen.
    #[must_use]
    pub fn with_stand_in(mut self, answer: Box<StandIn>) -> Self {
        self.stand_in = Some(answer);
        self
    }

    /// What is known now.
    pub fn facts(&self) -> Arc<Facts> {
        self.facts.load_full()
    }

    /// Answers a question: fetches unless the cool-down forbids it, and returns what is known then.
    pub async fn answer(&self, question: &Question) -> Arc<Facts> {
        let (subject, address) = match question {
            Question::Keys { uri, .. } => (uri.clone(), uri.to_string()),
            Question::Discovery { issuer, at: Some(at) } => (issuer.clone(), at.to_string()),
            Question::Discovery { issuer, at: None } => {
                (issuer.clone(), format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
            }
        };
        let Some(turn) = self.turn(&subject).await else { return self.unanswered(question, &subject) };
        let mut last = turn.lock().await;
        let now = now();
        if last.0 != 0 && now.since(*last) < self.cooldown {
            return self.facts();
        }
        *last = now;
        let fetched = self.fetcher.get(&address, PATIENCE).await.ok();
        let body = fetched.or_else(|| self.stand_in.as_ref().and_then(|answer| answer(question)));
        self.learn(question, &subject, body.as_deref());
        self.facts()
    }

    /// Fetches again all key sets that were fetched before; called by the clock, so that a withdrawn key is forgotten.
    pub async fn refresh(&self) {
        let known: Vec<Arc<str>> = self.facts().keys.keys().cloned().collect();
        for uri in known {
            if let Ok(body) = self.fetcher.get(&uri, PATIENCE).await {
                self.learn(&Question::Keys { uri: uri.clone(), kid: None }, &uri, Some(&body));
            }
        }
    }

    async fn turn(&self, subject: &Arc<str>) -> Option<Arc<Mutex<Timestamp>>> {
        let mut fetched = self.fetched.lock().await;
        if fetched.len() >= MOST && !fetched.contains_key(subject) {
            return None;
        }
        Some(fetched.entry(subject.clone()).or_default().clone())
    }

    fn unanswered(&self, question: &Question, subject: &Arc<str>) -> Arc<Facts> {
        self.learn(question, subject, None);
        self.facts()
    }

    /// Takes an answer in. A failed fetch never drops a set that was good: keys stay as they are until they are replaced.
    fn learn(&self, question: &Question, subject: &Arc<str>, body: Option<&[u8]>) {
        self.facts.rcu(|facts| {
            let mut facts = Facts::clone(facts);
            match question {
                Question::Keys { .. } => {
                    let read = body.and_then(|bytes| JwkSet::read(bytes).ok());
                    let known = matches!(facts.keys.get(subject), Some(KeyAnswer::Set(_)));
                    match read {
                        Some(set) => drop(facts.keys.insert(subject.clone(), KeyAnswer::Set(Arc::new(set)))),
                        None if known => {}
                        None => drop(facts.keys.insert(subject.clone(), KeyAnswer::Unanswered)),
                    }
                }
                Question::Discovery { issuer, .. } => {
                    let read = body.and_then(|bytes| Discovery::read(bytes, issuer).ok());
                    let known = matches!(facts.discovery.get(subject), Some(DiscoveryAnswer::Document(_)));
                    match read {
                        Some(found) => {
                            drop(facts.discovery.insert(subject.clone(), DiscoveryAnswer::Document(Arc::new(found))));
                        }
                        None if known => {}
                        None => drop(facts.discovery.insert(subject.clone(), DiscoveryAnswer::Unanswered)),
                    }
                }
            }
            facts
        });
    }
}

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
