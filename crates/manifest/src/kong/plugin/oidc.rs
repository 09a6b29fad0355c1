//! `oidc` (community kong-oidc, in its several schemas) and `openid-connect` (commercial).
//!
//! Which schema is meant is told by its fields: `issuer` is the commercial one's, `discovery` and `bearer_jwt_auth_*` the
//! community's. What the community plugin refuses and has a plain meaning is taken, with a finding.

use super::super::schema::{Flag, tell, texts, word};
use super::super::{Lowering, code};
use crate::Cursor;
use crate::node::Value;
use ringwall_gateway::Compatibility;
use ringwall_gateway::plugin::oidc::{Audience, Flow, Oidc};
use ringwall_model::{Millis, Severity};
use ringwall_token::{Algorithm, KeySource};
use std::sync::Arc;

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Fields of either plugin for the login flow and its sessions, which only matter there.
const LOGIN_FIELDS: [&str; 26] = [
    "redirect_uri",
    "redirect_uri_path",
    "response_type",
    "session_secret",
    "recovery_page_path",
    "logout_path",
    "redirect_after_logout_uri",
    "redirect_after_logout_with_id_token_hint",
    "post_logout_redirect_uri",
    "revoke_tokens_on_logout",
    "token_endpoint_auth_method",
    "id_token_header_name",
    "access_token_header_name",
    "access_token_as_bearer",
    "disable_id_token_header",
    "disable_access_token_header",
    "login_action",
    "login_redirect_uri",
    "logout_methods",
    "logout_redirect_uri",
    "logout_query_arg",
    "session_cookie_name",
    "session_storage",
    "response_mode",
    "pkce",
    "refresh_tokens",
];

/// Fields that change how documents are fetched, not what is accepted.
const FETCH_FIELDS: [&str; 7] =
    ["timeout", "http_proxy", "https_proxy", "introspection_cache_ignore", "cache_ttl", "keepalive", "http_version"];

/// Lowers the configuration.
pub fn lower(at: Cursor<'_>, name: &'static str, lowering: &Lowering<'_, '_>) -> Oidc {
    at.descriptive(&LOGIN_FIELDS);
    for field in FETCH_FIELDS {
        at.ignored(field, "documents are fetched by Ringwall's own rules");
    }
    let is_community = name == "oidc";
    let (issuer, discovery) = issuer(at, is_community, lowering);
    let client = client(at, is_community, lowering);
    let bearer_jwt = word(at.get("bearer_jwt_auth_enable"), lowering.refused_by_kong());
    let keys = if issuer.is_empty() {
        KeySource::Nowhere
    } else {
        KeySource::Discovery { issuer: Arc::clone(&issuer), at: discovery }
    };
    tls(at, is_community, lowering);
    unsupported(at);
    Oidc {
        name,
        issuer,
        keys,
        audience: audience(at, client, bearer_jwt),
        scopes: scopes(at, lowering),
        algorithms: algorithms(at, is_community && bearer_jwt == Some(Flag::On)),
        flow: flow(at, is_community, bearer_jwt, lowering),
        realm: at.get("realm").string().unwrap_or("kong").into(),
        header_claims: header_claims(at),
        userinfo_header: userinfo(at, is_community, lowering),
        groups_claim: path(at.get("groups_claim")),
        consumer_claim: path(at.get("consumer_claim")),
        leeway: leeway(at, lowering),
    }
}

/// The issuer, and the address of its document when that does not follow from it.
fn issuer(at: Cursor<'_>, is_community: bool, lowering: &Lowering<'_, '_>) -> (Arc<str>, Option<Arc<str>>) {
    let (field, discovery) = (at.get("issuer"), at.get("discovery"));
    let document = discovery.filled();
    if is_community && field.is_present() {
        let title = "Kong refuses this: `config.issuer: unknown field`";
        let help = "the community plugin wants `discovery: <issuer>/.well-known/openid-configuration`; here both work";
        tell(field, code::OIDC_FIELDS, lowering.refused_by_kong(), title, help);
    }
    let derived = document.map(|address| address.strip_suffix(WELL_KNOWN).unwrap_or(address));
    let named = field.filled().map(|issuer| issuer.strip_suffix(WELL_KNOWN).unwrap_or(issuer));
    let Some(issuer) = named.or(derived) else {
        let title = "neither `issuer` nor `discovery`: no token can be verified, so every call is refused";
        tell(at, code::OIDC_FIELDS, Severity::Error, title, "set `discovery`, or `issuer`");
        return ("".into(), None);
    };
    let elsewhere = document.filter(|address| *address != format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')));
    (issuer.into(), elsewhere.map(Into::into))
}

/// The first client, and what is missing of it.
fn client(at: Cursor<'_>, is_community: bool, lowering: &Lowering<'_, '_>) -> Option<Box<str>> {
    let client = texts(at.get("client_id")).and_then(|clients| clients.into_iter().next());
    let secret = at.get("client_secret");
    let _ = texts(secret);
    if is_community && client.is_none() {
        tell(
            at,
            code::OIDC_FIELDS,
            Severity::Error,
            "Kong refuses this: `config.client_id: required field missing`",
            "",
        );
    }
    if is_community && !secret.is_present() {
        let title = "Kong refuses this: `config.client_secret: required field missing`";
        let help = "bearer tokens are verified by the issuer's keys; no secret is needed here";
        tell(at, code::OIDC_FIELDS, lowering.refused_by_kong(), title, help);
    }
    client
}

fn flow(at: Cursor<'_>, is_community: bool, bearer_jwt: Option<Flag>, lowering: &Lowering<'_, '_>) -> Flow {
    let refused = lowering.refused_by_kong();
    let field = at.get("bearer_only");
    let bearer_only = word(field, refused);
    let introspects = at.get("introspection_endpoint").is_present();
    let methods = at.get("auth_methods");
    let has_bearer = texts(methods).is_none_or(|methods| methods.iter().any(|method| &**method == "bearer"));
    let unauthenticated = at.get("unauth_action").string();
    let passes = unauthenticated == Some("pass");
    // Then the community plugin answers 401 as well, before any login.
    let denies = unauthenticated == Some("deny");
    if is_community && bearer_only == Some(Flag::On) && !introspects && !denies {
        let title = "`bearer_only` counts in Kong only beside `introspection_endpoint`: calls without a token are sent to log in";
        tell(
            field,
            code::OIDC_LOGIN,
            Severity::Warning,
            title,
            "here bearer only means it; in Kong `unauth_action: deny` does",
        );
    }
    let accepts = if is_community { bearer_only == Some(Flag::On) || bearer_jwt == Some(Flag::On) } else { has_bearer };
    match (accepts, passes) {
        (true, true) => Flow::PassUnauthenticated,
        (true, false) => {
            if is_community && bearer_only != Some(Flag::On) && !denies {
                let title = "the login flow is not supported: calls without a bearer token end with 401";
                tell(at, code::OIDC_LOGIN, Severity::Warning, title, "set `unauth_action: deny`");
            }
            Flow::BearerOnly
        }
        (false, _) => {
            let title = "the login flow is not supported: every call of these routes is refused";
            tell(at, code::OIDC_LOGIN, Severity::Error, title, "set `bearer_only: \"yes\"`");
            Flow::Login
        }
    }
}

/// The community plugin wants `aud` to hold the allowed ones, else the client; the commercial one looks at `aud` only
/// when it is told to.
fn audience(at: Cursor<'_>, client: Option<Box<str>>, bearer_jwt: Option<Flag>) -> Audience {
    let written = at.get("bearer_jwt_auth_allowed_auds");
    let allowed = texts(written).or_else(|| texts(at.get("audience_required")));
    at.ignored("audience", "it is what login asks for, not what tokens must have");
    match (allowed, client) {
        (Some(allowed), _) => Audience::OneOf(allowed),
        (None, Some(client)) if bearer_jwt == Some(Flag::On) => Audience::Client(client),
        (None, _) => {
            let title = "tokens of the issuer are taken whoever they are for";
            let help = "name the audience: `bearer_jwt_auth_allowed_auds` (community) or `audience_required`";
            tell(at, code::OIDC_AUDIENCE, Severity::Warning, title, help);
            Audience::Any
        }
    }
}

fn scopes(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> Vec<Box<str>> {
    let scope = at.get("scope").string();
    let _ = texts(at.get("scopes"));
    if let Some(required) = texts(at.get("scopes_required")) {
        return required;
    }
    match word(at.get("validate_scope"), lowering.refused_by_kong()) {
        Some(Flag::On) => scope.unwrap_or("openid").split_ascii_whitespace().map(Into::into).collect(),
        _ => Vec::new(),
    }
}

/// Only signatures that the issuer alone can make: an HMAC's key is known to both sides.
fn algorithms(at: Cursor<'_>, is_community: bool) -> Vec<Algorithm> {
    let named = at.get("bearer_jwt_auth_signing_algs");
    let asymmetric = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
    let names: Vec<Box<str>> = match texts(named) {
        Some(names) => names,
        None if is_community => vec!["RS256".into()],
        None => asymmetric.into_iter().map(Into::into).collect(),
    };
    let read: Vec<Algorithm> = names.iter().filter_map(|name| Algorithm::named(name)).collect();
    let kept: Vec<Algorithm> = read.iter().copied().filter(|algorithm| !algorithm.is_symmetric()).collect();
    if kept.len() < names.len() {
        let title = "an algorithm that is unknown or made with a shared secret is left out";
        tell(named, code::OIDC_FIELDS, Severity::Warning, title, "");
    }
    kept
}

fn header_claims(at: Cursor<'_>) -> Vec<(Vec<Box<str>>, Box<str>)> {
    let pairs = |claims: &'static str, names: &'static str| {
        let (claims, names) = (texts(at.get(claims)).unwrap_or_default(), texts(at.get(names)).unwrap_or_default());
        claims.into_iter().map(|claim| vec![claim]).zip(names).collect::<Vec<_>>()
    };
    let community = pairs("header_claims", "header_names");
    if community.is_empty() { pairs("upstream_headers_claims", "upstream_headers_names") } else { community }
}

fn userinfo(at: Cursor<'_>, is_community: bool, lowering: &Lowering<'_, '_>) -> Option<Box<str>> {
    let name = at.get("userinfo_header_name").filled().unwrap_or("X-USERINFO");
    let disabled = word(at.get("disable_userinfo_header"), lowering.refused_by_kong()) == Some(Flag::On);
    (is_community && !disabled).then(|| name.into())
}

fn path(at: Cursor<'_>) -> Option<Vec<Box<str>>> {
    texts(at).filter(|path| !path.is_empty())
}

fn leeway(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> Millis {
    let seconds = at.get("leeway").integer(0..=3600).and_then(|seconds| u64::try_from(seconds).ok());
    let default = match lowering.compatibility() {
        Compatibility::Safe => 60,
        Compatibility::Kong => 120,
    };
    Millis::seconds(seconds.unwrap_or(default))
}

fn tls(at: Cursor<'_>, is_community: bool, lowering: &Lowering<'_, '_>) {
    let field = at.get("ssl_verify");
    // A truth value is the commercial plugin's own form.
    let is_flag = matches!(field.peek().map(|node| &node.value), Some(Value::Bool(_)));
    let verifies = if is_flag && !is_community {
        field.flag().map(|truth| if truth { Flag::On } else { Flag::Off })
    } else {
        word(field, lowering.refused_by_kong())
    };
    if is_community && verifies != Some(Flag::On) {
        let title =
            "in Kong the provider's certificate is not verified unless `ssl_verify` says \"yes\"; here it always is";
        tell(if field.is_present() { field } else { at }, code::OIDC_TLS, Severity::Note, title, "");
    }
}

fn unsupported(at: Cursor<'_>) {
    let introspection = at.get("introspection_endpoint");
    if introspection.string().is_some() {
        let title = "tokens are verified by the issuer's keys, not by introspection: revoked ones pass until they end";
        tell(introspection, code::PLUGIN_SETTING, Severity::Warning, title, "");
    }
    at.descriptive(&["introspection_endpoint_auth_method", "use_jwks", "skip_already_auth_requests", "consumer_by"]);
    for name in ["filters", "ignore_auth_filters"] {
        let field = at.get(name);
        if field.whole().is_some_and(|node| node.as_str() != Some("")) {
            let title = format!("`{name}` is not supported: those paths need a token too");
            tell(field, code::PLUGIN_SETTING, Severity::Warning, title, "give them a route of their own");
        }
    }
}
