//! Where the keys of an issuer come from, and the check of a token against them.
//!
//! In: a token, what is known. Out: verified, refused, or the question whose answer is needed first. Never: fetching.

use crate::facts::{DiscoveryAnswer, KeyAnswer, Known};
use crate::{BadSignature, JwkSet, Token};
use ringwall_model::Question;
use std::sync::Arc;

/// Where the keys of an issuer come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// From the manifest itself.
    Inline(Arc<JwkSet>),
    /// From this address.
    Uri(Arc<str>),
    /// From the address that this issuer's discovery document names.
    Discovery {
        /// Issuer identifier.
        issuer: Arc<str>,
        /// Address of the document, when it is configured; else it is derived from the issuer.
        at: Option<Arc<str>>,
    },
    /// From nowhere: the manifest names keys that cannot be read. No token of this issuer is ever good.
    Nowhere,
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The signature is good.
    Verified,
    /// It is not.
    Refused(BadSignature),
    /// This must be known first; judge again with the answer.
    Ask(Question),
    /// The keys were asked for, and nothing usable came.
    Unanswered,
}

impl KeySource {
    /// Checks a token's signature. When the set at hand lacks the key that the token names, the set is asked for anew,
    /// once a call; how often it is really fetched is for the shell to limit, since anyone can write a `kid`.
    pub fn verify(&self, token: &Token, known: &Known<'_>) -> Verification {
        match self {
            Self::Inline(set) => outcome(set.verify(token)),
            Self::Uri(uri) => verify_at(uri, token, known),
            Self::Discovery { issuer, at } => match known.facts.discovery.get(issuer) {
                Some(DiscoveryAnswer::Document(document)) => verify_at(&document.jwks_uri, token, known),
                Some(DiscoveryAnswer::Unanswered) => Verification::Unanswered,
                None => ask(Question::Discovery { issuer: Arc::clone(issuer), at: at.clone() }, known),
            },
            Self::Nowhere => Verification::Unanswered,
        }
    }
}

fn verify_at(uri: &Arc<str>, token: &Token, known: &Known<'_>) -> Verification {
    match known.facts.keys.get(uri) {
        Some(KeyAnswer::Set(set)) => match (set.verify(token), token.kid()) {
            (Err(BadSignature::NoKey), Some(kid)) if !set.holds(kid) => {
                let question = Question::Keys { uri: Arc::clone(uri), kid: Some(kid.into()) };
                if known.may_ask(&question) {
                    Verification::Ask(question)
                } else {
                    Verification::Refused(BadSignature::NoKey)
                }
            }
            (verdict, _) => outcome(verdict),
        },
        Some(KeyAnswer::Unanswered) => Verification::Unanswered,
        None => ask(Question::Keys { uri: Arc::clone(uri), kid: None }, known),
    }
}

fn ask(question: Question, known: &Known<'_>) -> Verification {
    if known.may_ask(&question) { Verification::Ask(question) } else { Verification::Unanswered }
}

const fn outcome(verdict: Result<(), BadSignature>) -> Verification {
    match verdict {
        Ok(()) => Verification::Verified,
        Err(fault) => Verification::Refused(fault),
    }
}

#[cfg(test)]
mod tests;
