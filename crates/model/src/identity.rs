//! SPIFFE identities (SPIFFE-ID specification, sections 2.1 to 2.4) with Istio's reading of the path.

use std::fmt;
use std::sync::Arc;

/// A SPIFFE ID that was checked when it was made.
///
/// INVARIANT: lower-case trust domain of `[a-z0-9.-_]`; no port, user, query, fragment or percent sign; each path
/// segment is of `[a-zA-Z0-9.-_]` and is neither empty nor `.` nor `..`; at most 2048 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    uri: Arc<str>,
    domain_end: usize,
}

/// Why a string is not a SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpiffeId {
    /// It does not begin with `spiffe://`.
    #[error("does not begin with `spiffe://`")]
    Scheme,
    /// The trust domain is empty or holds a character outside `[a-z0-9.-_]`.
    #[error("trust domain is empty or holds a character outside [a-z0-9.-_]")]
    TrustDomain,
    /// A path segment is empty, `.`, `..` or holds a character outside `[a-zA-Z0-9.-_]`.
    #[error("a path segment is empty, `.`, `..` or holds a character outside [a-zA-Z0-9.-_]")]
    Path,
    /// Longer than 2048 bytes.
    #[error("longer than 2048 bytes")]
    Length,
}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// Reads `spiffe://trust-domain/path`. The path may be absent (the ID of a trust domain itself).
    ///
    /// # Errors
    /// [`BadSpiffeId`] says which rule of the specification the string breaks.
    pub fn parse(uri: &str) -> Result<Self, BadSpiffeId> {
        if uri.len() > 2048 {
            return Err(BadSpiffeId::Length);
        }
        let rest = uri.strip_prefix(SCHEME).ok_or(BadSpiffeId::Scheme)?;
        let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
        if domain.is_empty() || !domain.chars().all(plain) {
            return Err(BadSpiffeId::TrustDomain);
        }
        let segment = |s: &str| !matches!(s, "" | "." | "..") && s.chars().all(|c| plain(c) || c.is_ascii_uppercase());
        if path.is_some_and(|path| !path.split('/').all(segment)) {
            return Err(BadSpiffeId::Path);
        }
        Ok(Self { uri: uri.into(), domain_end: SCHEME.len() + domain.len() })
    }

    /// The identity Istio gives a service account: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    ///
    /// # Errors
    /// As [`SpiffeId::parse`], when a part is not fit for a SPIFFE ID.
    pub fn of_service_account(trust_domain: &str, namespace: &str, account: &str) -> Result<Self, BadSpiffeId> {
        Self::parse(&format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{account}"))
    }

    /// The whole URI, `spiffe://…`.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The URI without `spiffe://`: what Istio's `principals` are compared with.
    pub fn principal(&self) -> &str {
        self.uri.get(SCHEME.len()..).unwrap_or_default()
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.uri.get(SCHEME.len()..self.domain_end).unwrap_or_default()
    }

    /// Namespace and service account, when the path has exactly Istio's form `/ns/<namespace>/sa/<account>`.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let mut parts = self.uri.get(self.domain_end..)?.strip_prefix("/ns/")?.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some("sa"), Some(account), None) => Some((namespace, account)),
            _ => None,
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::{BadSpiffeId, SpiffeId};

    #[test]
    fn istio_identities_have_namespace_and_account() {
        let id = SpiffeId::of_service_account("cluster.local", "application", "bff-service").unwrap();
        assert_eq!(id.principal(), "cluster.local/ns/application/sa/bff-service");
        assert_eq!(id.trust_domain(), "cluster.local");
        assert_eq!(id.service_account(), Some(("application", "bff-service")));
        // The look-alike that a regular expression over the SAN would take for namespace `infrastructure`.
        let nested = SpiffeId::parse("spiffe://td/ns/a/ns/infrastructure/sa/x").unwrap();
        assert_eq!(nested.service_account(), None);
    }

    #[test]
    fn the_specification_is_held() {
        let check = |uri: &str, want| assert_eq!(SpiffeId::parse(uri).err(), want, "{uri}");
        check("spiffe://td", None);
        check("spiffe://td/a.b/C-_9", None);
        check("https://td/a", Some(BadSpiffeId::Scheme));
        check("SPIFFE://td/a", Some(BadSpiffeId::Scheme));
        check("spiffe:///a", Some(BadSpiffeId::TrustDomain));
        check("spiffe://TD/a", Some(BadSpiffeId::TrustDomain));
        check("spiffe://td:80/a", Some(BadSpiffeId::TrustDomain));
        check("spiffe://u@td/a", Some(BadSpiffeId::TrustDomain));
        check("spiffe://td/", Some(BadSpiffeId::Path));
        check("spiffe://td/a//b", Some(BadSpiffeId::Path));
        check("spiffe://td/a/../b", Some(BadSpiffeId::Path));
        check("spiffe://td/a%2fb", Some(BadSpiffeId::Path));
        check("spiffe://td/a?q", Some(BadSpiffeId::Path));
        check(&format!("spiffe://td/{}", "a".repeat(2048)), Some(BadSpiffeId::Length));
    }
}
