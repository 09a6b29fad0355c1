//! TLS: which certificate, which version, which peer.
//!
//! In: [`Credentials`], which `control` makes from Secrets and SVIDs and swaps whole. Out: configurations for rustls, one
//! for each connection's needs. Never: issuing, files. Follows RFC 8446, and for mesh hops the X509-SVID specification
//! (the room `pki`). The crypto provider is always given explicitly; nothing depends on a process-wide default.

mod credentials;
pub mod hello;
mod peer;

pub use credentials::{Credentials, Identity, NoSuchCredential, ServerCredential};
pub use peer::{Denials, MeshClient, MeshServer, judge};

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, OnceLock};

/// The one crypto provider.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

/// Protocols offered on connections that carry HTTP.
pub(crate) fn http_protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}
