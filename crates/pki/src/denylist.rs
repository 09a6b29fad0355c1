//! Certificates that are no longer believed although their chain is good.
//!
//! A set in memory, not a CRL: a verifier that walks a CRL reads all of it at each handshake. Look up a peer here after
//! *every* handshake, also a resumed one: TLS libraries do not judge a certificate again when a session is resumed.
//! An entry lives until the last certificate that it can hold has ended, so the list stays as short as lifetimes are.

use crate::verify::Verified;
use ringwall_model::{Builtin, SpiffeId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// SHA-256 of a SubjectPublicKeyInfo.
pub type KeyHash = [u8; 32];

/// What is denied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denied {
    /// One certificate, by its serial number (big-endian, no leading zeros) under its issuer's key.
    Serial(KeyHash, Box<[u8]>),
    /// All certificates of a SPIFFE ID.
    Identity(Box<str>),
    /// All certificates with this public key.
    Key(KeyHash),
    /// All certificates signed with this issuer's key.
    Issuer(KeyHash),
}

impl Denied {
    /// The built-in rule that a refusal names.
    pub const fn rule(&self) -> Builtin {
        match self {
            Self::Serial(..) => "pki/revoked-serial",
            Self::Identity(_) => "pki/revoked-identity",
            Self::Key(_) => "pki/revoked-key",
            Self::Issuer(_) => "pki/revoked-issuer",
        }
    }
}

/// The denylist. A value: the shell swaps a changed copy in, writes [`Denylist::list`] to its file, and judges live
/// connections again with [`Denylist::denies`].
#[derive(Clone, Debug, Default)]
pub struct Denylist {
    entries: BTreeMap<Denied, Timestamp>,
}

impl Denylist {
    /// Denies until `until` (the end of the last certificate it can hold). A longer denial is never shortened.
    pub fn deny(&mut self, what: Denied, until: Timestamp) {
        let end = self.entries.entry(what).or_insert(until);
        *end = (*end).max(until);
    }

    /// Denies no more. Returns whether it was denied.
    pub fn clear(&mut self, what: &Denied) -> Option<Timestamp> {
        self.entries.remove(what)
    }

    /// The entry that denies a verified peer, if one does.
    pub fn denies(&self, peer: &Verified, now: Timestamp) -> Option<Denied> {
        let issuers = peer.issuers.iter().map(|key| Denied::Issuer(*key));
        let own = [
            Denied::Serial(peer.issuer(), peer.serial.clone()),
            Denied::Identity(peer.id.as_str().into()),
            Denied::Key(peer.key),
        ];
        own.into_iter().chain(issuers).find(|what| self.holds(what, now))
    }

    /// Whether an identity is denied: such an identity gets no new certificate.
    pub fn denies_identity(&self, id: &SpiffeId, now: Timestamp) -> bool {
        self.holds(&Denied::Identity(id.as_str().into()), now)
    }

    /// Takes out entries that have ended.
    pub fn sweep(&mut self, now: Timestamp) {
        self.entries.retain(|_, until| now < *until);
    }

    /// All entries with their ends, in order: plain data for the shell's file.
    pub fn list(&self) -> Vec<(Denied, Timestamp)> {
        self.entries.iter().map(|(what, until)| (what.clone(), *until)).collect()
    }

    /// The list that [`Denylist::list`] gave.
    pub fn restore(entries: Vec<(Denied, Timestamp)>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    fn holds(&self, what: &Denied, now: Timestamp) -> bool {
        self.entries.get(what).is_some_and(|until| now < *until)
    }
}
