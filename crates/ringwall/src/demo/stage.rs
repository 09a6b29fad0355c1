//! What a scenario stands on: the running platform, and requests made the way its clients make them.

use super::client::{Old, Tls, Way};
use crate::platform::Platform;
use serde_json::{Value, json};
use std::sync::Arc;

/// The host that the edge serves.
pub const HOST: &str = "api.platform.local";
/// The issuer of the platform's tokens.
pub const ISSUER: &str = "https://keycloak.platform.local/realms/platform";

/// The running platform, for scenarios.
pub struct Stage {
    /// The platform.
    pub platform: Arc<Platform>,
    /// Stores of the data zone that are real servers; byte echoes stand for the others.
    pub real: Vec<&'static str>,
}

impl Stage {
    /// TLS to the edge, as a browser does it.
    pub fn edge(&self) -> Way {
        let tls = Tls { name: HOST.into(), roots: self.platform.edge_roots(), identity: None, old: Old::No };
        Way { to: self.platform.edge(443), from: None, prelude: Vec::new(), tls: Some(tls) }
    }

    /// A good token of user `alice` of tenant `acme`.
    pub fn token(&self) -> String {
        self.token_of("alice", "acme")
    }

    /// A good token.
    pub fn token_of(&self, user: &str, tenant: &str) -> String {
        self.token_with(user, tenant, &json!({}))
    }

    /// A token whose claims are good but for the ones given.
    pub fn token_with(&self, user: &str, tenant: &str, changes: &Value) -> String {
        let now = ringwall_control::facts::now().seconds();
        let mut claims = json!({
            "iss": ISSUER, "sub": user, "aud": "platform-api", "azp": "web", "tenant_id": tenant,
            "roles": ["member"], "iat": now, "nbf": now, "exp": now + 600,
        });
        if let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
            claims.extend(changes.clone());
        }
        self.platform.sign(&claims)
    }

    /// A request to the edge with a good token.
    pub fn good(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.token());
        request(method, path, HOST, &[&[("Authorization", bearer.as_str())], fields].concat(), body)
    }
}

/// Writes a request.
pub fn request(method: &str, path: &str, host: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ringwall-demo\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let mut bytes = format!("{text}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
