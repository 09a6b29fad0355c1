//! Tokens that a key set has proved good before.
//!
//! A signature is a fact about a token and a set of keys that never changes, and to check it costs more than all the rest
//! of a call. INVARIANT: only good signatures are remembered, by a hash of the whole token; times, issuer and audience are
//! judged each time; another set of keys remembers nothing. Bounded: two generations, of which the older one goes.

use crate::Token;
use aws_lc_rs::digest;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Tokens of one generation.
const MOST: usize = 2048;

/// SHA-256 of a token.
type Hash = [u8; 32];

/// What a set of keys has proved.
#[derive(Debug, Default)]
pub(super) struct Proved(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    recent: BTreeSet<Hash>,
    older: BTreeSet<Hash>,
}

impl Proved {
    /// The name under which a token is remembered.
    pub(super) fn hash(token: &Token) -> Option<Hash> {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(token.signed());
        // The signature as bytes: base64url has no other text for them that `encoding` reads.
        context.update(b".");
        context.update(token.signature());
        context.finish().as_ref().try_into().ok()
    }

    /// Whether it was proved before.
    pub(super) fn holds(&self, hash: &Hash) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.recent.contains(hash) {
            return true;
        }
        let older = known.older.remove(hash);
        if older {
            known.enter(*hash);
        }
        older
    }

    /// Remembers it.
    pub(super) fn enter(&self, hash: Hash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).enter(hash);
    }
}

impl Generations {
    fn enter(&mut self, hash: Hash) {
        if self.recent.len() >= MOST {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(hash);
    }
}

impl Clone for Proved {
    /// A copy may get other keys: it has proved nothing.
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Proved};

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let proved = Proved::default();
        let hash = |number: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            hash
        };
        (0..=MOST).for_each(|number| proved.enter(hash(number)));
        assert!(proved.holds(&hash(0)), "of the older generation, and of the recent one from now on");
        (MOST + 1..3 * MOST).for_each(|number| proved.enter(hash(number)));
        assert!(!proved.holds(&hash(0)) && !proved.holds(&hash(1)));
        assert!(proved.holds(&hash(3 * MOST - 1)));
    }
}
