//! RequestAuthentication (security.istio.io/v1, v1beta1).
//!
//! In: a resource. Out: [`RequestAuthentication`] and findings. An issuer that cannot be read wholly has no keys: none
//! of its tokens is good.

use super::{codes_authorization as codes, selector};
use crate::{Cursor, Resource};
use ringwall_mesh::request_authentication::{ClaimOutput, JwtRule, Location, OriginalToken, RequestAuthentication};
use ringwall_model::{RuleBook, Severity};
use ringwall_token::{JwkSet, KeySource};
use std::sync::Arc;

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> RequestAuthentication {
    let spec = resource.spec();
    let id = resource.rule(rules, "");
    RequestAuthentication {
        id,
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        applies: selector::lower(spec),
        rules: spec.get("jwtRules").items().map(|at| rule(resource, rules, at)).collect(),
    }
}

fn rule(resource: &Resource<'_>, rules: &mut RuleBook, at: Cursor<'_>) -> JwtRule {
    let issuer: Arc<str> = at.get("issuer").required().filled().unwrap_or_default().into();
    let audiences = at.get("audiences").items().filter_map(Cursor::filled).map(Into::into).collect();
    let keys = keys(at, &issuer);
    let locations = locations(at);
    let payload = at.get("outputPayloadToHeader");
    let output_payload_to_header = payload.filled().and_then(|name| header_name(payload, name));
    let output_claims = at.get("outputClaimToHeaders").items().filter_map(claim_output).collect();
    let forward = at.get("forwardOriginalToken").flag().unwrap_or_default();
    let spaced_claims = at.get("spaceDelimitedClaims").items().filter_map(Cursor::filled).map(Into::into).collect();
    at.ignored("timeout", "key sets are fetched with the timeout of the program's settings");
    JwtRule {
        id: resource.rule_at(rules, at),
        issuer,
        audiences,
        keys: if at.is_sound() { keys } else { KeySource::Nowhere },
        locations,
        output_payload_to_header,
        output_claims,
        original: if forward { OriginalToken::Forward } else { OriginalToken::Strip },
        spaced_claims,
    }
}

fn keys(at: Cursor<'_>, issuer: &Arc<str>) -> KeySource {
    let (uri, inline) = (at.get_either("jwksUri", "jwks_uri"), at.get("jwks"));
    if uri.is_present() && inline.is_present() {
        let title = "an issuer has its keys in one place: `jwksUri` or `jwks`";
        inline.report(inline.finding(codes::TWO_KEY_SOURCES, Severity::Error, title));
    }
    if let Some(text) = inline.filled() {
        return match JwkSet::read(text.as_bytes()) {
            Ok(set) => KeySource::Inline(Arc::new(set)),
            Err(fault) => {
                inline.report(inline.finding(codes::KEYS, Severity::Error, format!("`jwks` cannot be used: {fault}")));
                KeySource::Nowhere
            }
        };
    }
    match uri.filled() {
        Some(address) => {
            check_address(uri, address);
            KeySource::Uri(address.into())
        }
        None => KeySource::Discovery { issuer: Arc::clone(issuer), at: None },
    }
}

fn check_address(at: Cursor<'_>, address: &str) {
    if address.strip_prefix("http://").is_some_and(|rest| !rest.is_empty()) {
        let title = format!("keys are fetched without TLS from `{address}`: who stands between can sign tokens");
        at.report(at.finding(codes::KEY_ADDRESS, Severity::Warning, title).help("use an `https://` address"));
    } else if address.strip_prefix("https://").is_none_or(str::is_empty) {
        at.report(at.finding(codes::KEY_ADDRESS, Severity::Error, format!("`{address}` is not an HTTP address")));
    }
}

fn locations(at: Cursor<'_>) -> Vec<Location> {
    let header = |item: Cursor<'_>| {
        let name = item.get("name").required();
        let prefix = item.get("prefix").string().unwrap_or_default().into();
        Some(Location::Header { name: header_name(name, name.filled()?)?, prefix })
    };
    let mut all: Vec<Location> = at.get("fromHeaders").items().filter_map(header).collect();
    all.extend(at.get("fromParams").items().filter_map(Cursor::filled).map(|name| Location::Parameter(name.into())));
    all.extend(at.get("fromCookies").items().filter_map(Cursor::filled).map(|name| Location::Cookie(name.into())));
    if all.is_empty() { Location::standard() } else { all }
}

fn claim_output(at: Cursor<'_>) -> Option<ClaimOutput> {
    let (header, claim) = (at.get("header").required(), at.get("claim").required());
    let claim = claim.filled();
    Some(ClaimOutput { header: header_name(header, header.filled()?)?, claim: claim?.into() })
}

/// A header name in lower case; Istio takes letters, digits, `-` and `_`.
fn header_name(at: Cursor<'_>, name: &str) -> Option<Box<str>> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Some(name.to_ascii_lowercase().into());
    }
    at.report(at.finding(codes::HEADER_NAME, Severity::Error, format!("`{name}` is not a header name")));
    None
}
