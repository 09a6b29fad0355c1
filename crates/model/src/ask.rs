//! How an engine says what it needs from the outside world, without touching it.

use std::sync::Arc;

/// What an engine answers: it is done, or it needs something first. An engine is asked again from the start with the
/// answer at hand; it is pure, so asking again is resuming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// It has decided.
    Done(T),
    /// It needs an answer. "No answer in time" is an answer too; no question is put twice for one call.
    Ask(Question),
    /// It needs the body: up to so many bytes of it, or all of it if it is shorter.
    Need(u64),
}

/// What can be asked of the outside world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// The JSON Web Key Set at this address; with a key id when the set at hand lacks that key.
    Keys {
        /// Address of the set.
        uri: Arc<str>,
        /// The key that is missing from the set at hand.
        kid: Option<Box<str>>,
    },
    /// The key set address of an OpenID provider, by its issuer (OpenID Connect Discovery 1.0).
    Discovery {
        /// Issuer identifier.
        issuer: Arc<str>,
        /// Address of the document, when the manifest gives it; else it is derived from the issuer.
        at: Option<Arc<str>>,
    },
}
