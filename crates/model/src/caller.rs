//! Who is calling, as far as a layer has verified it.

use std::sync::Arc;

/// The verified caller of one request. A field is filled only from something that was verified (a signed token, a
/// credential), never from a header that the client may write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caller {
    /// The user: the token's `sub`, or the consumer's username.
    pub user: Option<Box<str>>,
    /// The tenant: the token's tenant claim.
    pub tenant: Option<Box<str>>,
    /// Kong consumer, by username, custom id or id.
    pub consumer: Option<Box<str>>,
    /// Credential that was used (its key or id, never its secret).
    pub credential: Option<Box<str>>,
    /// All claims of the verified token.
    pub claims: Option<Arc<serde_json::Value>>,
}

impl Caller {
    /// Whether anything at all was verified.
    pub const fn is_authenticated(&self) -> bool {
        self.claims.is_some() || self.consumer.is_some()
    }
}
