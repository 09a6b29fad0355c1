//! Plugins that say who may call: `acl`, `basic-auth`, `bot-detection`, `cors`, `ip-restriction`, `key-auth`,
//! `request-termination`.

use super::super::schema::{Flag, flag, is_field_name, tell, texts};
use super::super::{Lowering, code};
use super::anonymous;
use crate::Cursor;
use ringwall_gateway::Compatibility;
use ringwall_gateway::plugin::acl::{Acl, Groups};
use ringwall_gateway::plugin::basic_auth::BasicAuth;
use ringwall_gateway::plugin::bot_detection::BotDetection;
use ringwall_gateway::plugin::cors::{Cors, Origin};
use ringwall_gateway::plugin::ip_restriction::IpRestriction;
use ringwall_gateway::plugin::key_auth::KeyAuth;
use ringwall_gateway::plugin::request_termination::RequestTermination;
use ringwall_gateway::router::Pattern;
use ringwall_model::Severity;

/// `acl`: exactly one of `allow` and `deny`.
pub fn acl(at: Cursor<'_>) -> Acl {
    let (allow, deny) = (texts(at.get("allow")), texts(at.get("deny")));
    let groups = match (allow, deny) {
        (Some(allow), None) => Groups::Allow(allow.into_iter().collect()),
        (None, Some(deny)) => Groups::Deny(deny.into_iter().collect()),
        (allow, _) => {
            let title = "Kong refuses this: `config: only one of these fields must be non-empty: 'allow', 'deny'`";
            tell(at, code::SCHEMA, Severity::Error, title, "");
            Groups::Allow(allow.unwrap_or_default().into_iter().collect())
        }
    };
    at.ignored("include_consumer_groups", "consumer groups are of the commercial edition");
    at.ignored("always_use_authenticated_groups", "groups of both kinds count");
    Acl { groups, hide_groups_header: flag(at.get("hide_groups_header"), Flag::Off).is_on() }
}

/// `basic-auth`
pub fn basic_auth(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> BasicAuth {
    BasicAuth {
        hide_credentials: flag(at.get("hide_credentials"), Flag::Off).is_on(),
        anonymous: anonymous(at, lowering),
        realm: at.get("realm").string().unwrap_or("service").into(),
    }
}

/// `key-auth`
pub fn key_auth(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> KeyAuth {
    let names = at.get("key_names");
    let key_names = texts(names).unwrap_or_else(|| vec!["apikey".into()]);
    for name in key_names.iter().filter(|name| !is_field_name(name)) {
        let title = format!("Kong refuses this: `config.key_names: bad header name '{name}'`");
        tell(names, code::SCHEMA, Severity::Error, title, "");
    }
    let body = at.get("key_in_body");
    if body.flag() == Some(true) {
        let title = "keys in bodies are not supported: such calls are refused";
        tell(body, code::PLUGIN_SETTING, Severity::Warning, title, "send the key in a field");
    }
    KeyAuth {
        key_names,
        key_in_header: flag(at.get("key_in_header"), Flag::On).is_on(),
        key_in_query: flag(at.get("key_in_query"), Flag::On).is_on(),
        hide_credentials: flag(at.get("hide_credentials"), Flag::Off).is_on(),
        anonymous: anonymous(at, lowering),
        run_on_preflight: flag(at.get("run_on_preflight"), Flag::On).is_on(),
    }
}

/// `bot-detection`
pub fn bot_detection(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> BotDetection {
    let list = |name: &'static str| {
        let at = at.get(name);
        let compile = |text: Box<str>| match Pattern::compile_for_field(&text, lowering.compatibility()) {
            Ok(pattern) => Some(pattern),
            Err(fault) => {
                let title = format!("Kong refuses this: `config.{name}: invalid regex: '{text}'` ({})", fault.0);
                tell(at, code::PATTERN, Severity::Error, title, "");
                None
            }
        };
        texts(at).unwrap_or_default().into_iter().filter_map(compile).collect()
    };
    BotDetection { allow: list("allow"), deny: list("deny") }
}

/// `cors`
pub fn cors(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> Cors {
    let compatibility = lowering.compatibility();
    let origins = texts(at.get("origins")).unwrap_or_default();
    let is_any = origins.is_empty() || origins.iter().any(|origin| &**origin == "*");
    let credentials = flag(at.get("credentials"), Flag::Off);
    if is_any && credentials.is_on() {
        let title = match compatibility {
            Compatibility::Safe => {
                "any origin with credentials: every page could act as the user, so here without them"
            }
            Compatibility::Kong => "any origin with credentials: every page can act as the user",
        };
        tell(at, code::CORS_ANY, Severity::Warning, title, "name the origins");
    }
    let read = |origin: &str| {
        let origin_rule = Origin::read(origin, compatibility);
        if origin_rule.is_none() {
            let title = format!("Kong refuses this: `config.origins: '{origin}' is not a valid regex`");
            tell(at.get("origins"), code::PATTERN, Severity::Error, title, "");
        }
        origin_rule
    };
    let origin_rules: Vec<Origin> = origins.iter().filter_map(|origin| read(origin)).collect();
    // What could not be read must not leave the list empty, which means any.
    let origin_rules =
        if origin_rules.is_empty() && !origins.is_empty() { vec![Origin::Exact("".into())] } else { origin_rules };
    let all = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    at.ignored("private_network", "browsers have taken it back");
    at.ignored("allow_origin_absent", "a call without `Origin` gets no such field");
    Cors {
        origins: origin_rules,
        methods: texts(at.get("methods")).unwrap_or_else(|| all.into_iter().map(Into::into).collect()),
        headers: texts(at.get("headers")).unwrap_or_default(),
        exposed_headers: texts(at.get("exposed_headers")).unwrap_or_default(),
        credentials: credentials.is_on(),
        max_age: at.get("max_age").integer(0..=i64::from(u32::MAX)).and_then(|it| it.try_into().ok()),
        preflight_continue: flag(at.get("preflight_continue"), Flag::Off).is_on(),
    }
}

/// `ip-restriction`: at least one list.
pub fn ip_restriction(at: Cursor<'_>) -> IpRestriction {
    let (allow, deny) = (at.get("allow"), at.get("deny"));
    if !allow.is_present() && !deny.is_present() {
        let title = "Kong refuses this: `config: at least one of these fields must be non-empty: 'allow', 'deny'`";
        tell(at, code::SCHEMA, Severity::Error, title, "");
    }
    let blocks = |at: Cursor<'_>| at.items().filter_map(Cursor::block).collect();
    if allow.is_present() && deny.is_present() {
        let title = "both lists hold: an address in `deny` is refused even if `allow` names it; neither is geography";
        tell(at, code::ADDRESSES, Severity::Note, title, "countries are a matter of `ShieldPolicy`");
    }
    IpRestriction {
        // Kong takes an empty list for none.
        has_allow: allow.items().next().is_some(),
        allow: blocks(allow),
        deny: blocks(deny),
        status: at.get("status").integer(100..=999).and_then(|it| it.try_into().ok()),
        message: at.get("message").string().map(Into::into),
    }
}

/// `request-termination`
pub fn termination(at: Cursor<'_>) -> RequestTermination {
    let status = at.get("status_code").integer(100..=599).and_then(|it| it.try_into().ok());
    let (message, body) = (at.get("message").string(), at.get("body").string());
    let kind = at.get("content_type").string().unwrap_or("application/json; charset=utf-8");
    if message.is_some() && (body.is_some() || at.get("content_type").is_written()) {
        let title = "Kong refuses this: `config: message cannot be used with content_type or body`";
        tell(at, code::SCHEMA, Severity::Error, title, "");
    }
    at.ignored("echo", "calls are not echoed");
    RequestTermination {
        status: status.unwrap_or(503),
        message: message.map(Into::into),
        body: body.map(|body| (body.to_owned().into(), kind.to_owned().into())),
        trigger: at.get("trigger").string().map(Into::into),
    }
}
