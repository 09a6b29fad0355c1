//! Identities, certificates, issuers, renewal and revocation.
//!
//! In: keys and certificates as PEM, Certificate and Issuer resources as data, the time. Out: certificates with their
//! keys, the SPIFFE ID behind a peer's chain, what to renew and when. Never: files, sockets, the clock. The one
//! exception to "no randomness": keys and serial numbers come from the crypto library's own generator.
//!
//! Three parts: workload identity ([`authority`], [`verify`], [`denylist`], [`bundle`]; SPIFFE X509-SVID), cert-manager's
//! Certificate resources as state machines ([`certificate`], [`trigger`], [`backoff`], [`solver`], [`plan`]), and what
//! both need ([`renewal`], [`status`]). Start reading at [`verify::peer`] or [`plan::Plan`].
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

pub mod authority;
pub mod backoff;
pub mod bundle;
pub mod certificate;
pub mod denylist;
pub mod plan;
pub mod profile;
pub mod renewal;
pub mod solver;
pub mod status;
pub mod trigger;
pub mod verify;

pub use authority::{Authority, Issued, PkiError, Stored};
pub use bundle::{Bundle, Bundles};
pub use certificate::{Certificate, IssuerRef};
pub use denylist::{Denied, Denylist};
pub use plan::{Issuer, IssuerKind, Plan, Progress, Reach, Source, Step};
pub use status::CertificateStatus;
pub use verify::{BadPeer, Purpose, Verified};

pub use rustls_pki_types::{CertificateDer, PrivateKeyDer};
