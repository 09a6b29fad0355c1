//! JOSE: reads tokens and key sets and verifies signatures; judges every claim, time included, from arguments.
//!
//! In: bytes of a token, of a key set, of a discovery document; `now` as an argument. Out: [`Token`], [`Claims`],
//! [`JwkSet`], and what the shell knows of both, [`Facts`]. Never: sockets, clock, fetching; no claim is believed before
//! [`JwkSet::verify`] or [`KeySource::verify`] said so. Follows RFC 7515 (JWS, compact form), 7517 (JWK), 7518 (JWA),
//! 7519 (JWT), 8037 (EdDSA), 8725 (best current practice). Not here: JWE, nested tokens, `x5c`, unencoded payloads.
//! Start reading at [`Token::read`], then [`KeySource::verify`].
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod algorithm;
pub mod claims;
pub mod discovery;
pub mod encoding;
pub mod facts;
pub mod jwk;
pub mod key;
pub mod sign;
pub mod source;
pub mod spki;
pub mod token;

pub use algorithm::Algorithm;
pub use claims::{BadTime, Claims};
pub use discovery::Discovery;
pub use facts::{DiscoveryAnswer, Facts, KeyAnswer, Known};
pub use jwk::{BadKeySet, JwkSet};
pub use key::{BadKey, BadSignature, Key};
pub use sign::DevelopmentSigner;
pub use source::{KeySource, Verification};
pub use token::{BadToken, Token};
