//! `request-transformer`, `response-transformer` and `correlation-id`.

use super::super::schema::{Flag, flag, is_field_name, tell};
use super::super::{Lowering, code};
use crate::Cursor;
use ringwall_gateway::Compatibility;
use ringwall_gateway::plugin::correlation_id::{CorrelationId, Generator};
use ringwall_gateway::plugin::request_transformer::{Changes, RequestTransformer};
use ringwall_gateway::plugin::response_transformer::ResponseTransformer;
use ringwall_gateway::template::Template;
use ringwall_model::Severity;

/// `request-transformer`
pub fn request(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> RequestTransformer {
    let names = |section: &'static str, kind: &'static str| names(at.get(section).get(kind), kind, lowering);
    let pairs = |section: &'static str, kind: &'static str| -> Vec<(Box<str>, Template)> {
        pairs(at.get(section).get(kind), kind)
            .into_iter()
            .filter_map(|(item, name, value)| Some((name, template(item, value, lowering)?)))
            .collect()
    };
    let renames =
        |kind: &'static str| -> Vec<(Box<str>, Box<str>)> { pairs_of_names(at.get("rename").get(kind), kind) };
    let changes = |kind: &'static str| Changes {
        remove: names("remove", kind),
        rename: renames(kind),
        replace: pairs("replace", kind),
        add: pairs("add", kind),
        append: pairs("append", kind),
    };
    let uri = at.get("replace").get("uri");
    let config = RequestTransformer {
        uri: uri.filled().and_then(|text| template(uri, text, lowering)),
        method: at.get("http_method").filled().map(Into::into),
        headers: changes("headers"),
        query: changes("querystring"),
    };
    for section in ["remove", "rename", "replace", "add", "append"] {
        bodies(at.get(section).get("body"));
    }
    config
}

/// `response-transformer`
pub fn response(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> ResponseTransformer {
    let plain = |section: &'static str| -> Vec<(Box<str>, Box<str>)> {
        let found = pairs(at.get(section).get("headers"), "response headers");
        found.into_iter().map(|(_, name, value)| (name, value.into())).collect()
    };
    let remove = at.get("remove").get("headers");
    let mut removed = Vec::new();
    for item in remove.items() {
        let Some(text) = item.string() else { continue };
        if text.contains(',') {
            let here = match lowering.compatibility() {
                Compatibility::Safe => "here each of them is removed",
                Compatibility::Kong => "and so nothing is removed here",
            };
            let title = format!("Kong takes `{text}` for one field and removes nothing; {here}");
            tell(item, code::COMMA, Severity::Warning, title, "write each name for itself");
        }
        removed.push(text.into());
    }
    for section in ["remove", "rename", "replace", "add", "append"] {
        bodies(at.get(section).get("json"));
        at.get(section).descriptive(&["json_types"]);
    }
    let rename = pairs_of_names(at.get("rename").get("headers"), "headers");
    ResponseTransformer {
        remove: removed,
        rename,
        replace: plain("replace"),
        add: plain("add"),
        append: plain("append"),
    }
}

/// A change to bodies, where it says anything.
fn bodies(at: Cursor<'_>) {
    if at.list().is_some_and(|mut items| items.next().is_some()) {
        let _ = at.whole();
        tell(at, code::BODY, Severity::Error, "bodies are not changed: this would have no effect", "change fields");
    }
}

/// Names of a `remove` section.
fn names(at: Cursor<'_>, kind: &str, lowering: &Lowering<'_, '_>) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for item in at.items() {
        let Some(text) = item.string() else { continue };
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if kind == "headers" && !is_field_name(text) {
            let means_many = parts.len() > 1 && parts.iter().all(|part| is_field_name(part));
            let severity = if means_many { lowering.refused_by_kong() } else { Severity::Error };
            let title = format!("Kong refuses this: `config.remove.headers: '{text}' is not a valid header`");
            let help = if means_many { "write each name for itself; here each of them is removed" } else { "" };
            tell(item, if means_many { code::COMMA } else { code::SCHEMA }, severity, title, help);
            names.extend(parts.into_iter().filter(|_| means_many).map(Into::into));
        } else {
            names.push(text.into());
        }
    }
    names
}

/// `name:value` pairs.
fn pairs<'a>(at: Cursor<'a>, kind: &str) -> Vec<(Cursor<'a>, Box<str>, &'a str)> {
    let mut pairs = Vec::new();
    for item in at.items() {
        let Some(text) = item.string() else { continue };
        let split = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        match split.filter(|(name, value)| !name.is_empty() && !value.is_empty()) {
            Some((name, _)) if kind.ends_with("headers") && !is_field_name(name) => {
                let title = format!("Kong refuses this: `'{name}' is not a valid header`");
                tell(item, code::SCHEMA, Severity::Error, title, "");
            }
            Some((name, value)) => pairs.push((item, name.into(), value)),
            None => {
                let title = format!("Kong refuses this: `invalid value: {text}` (not `name:value`)");
                tell(item, code::SCHEMA, Severity::Error, title, "");
            }
        }
    }
    pairs
}

fn pairs_of_names(at: Cursor<'_>, kind: &str) -> Vec<(Box<str>, Box<str>)> {
    pairs(at, kind).into_iter().map(|(_, from, to)| (from, to.into())).collect()
}

/// A value that may hold expressions. One that cannot be read drops the change, with an error.
fn template(at: Cursor<'_>, text: &str, lowering: &Lowering<'_, '_>) -> Option<Template> {
    let template = match Template::read(text) {
        Ok(template) => template,
        Err(fault) => {
            let title = format!("expression `{}` cannot be read", fault.0);
            let help = "known are `headers.x`, `query_params.x`, `uri_captures[1]`, literals, `or`, `..`, \
                        and Ringwall's `uuid`, `date`, `msec`";
            tell(at, code::TEMPLATE, Severity::Error, title, help);
            return None;
        }
    };
    if template.uses_own_variables() {
        let here = match lowering.compatibility() {
            Compatibility::Safe => "here it is what its name says",
            Compatibility::Kong => "and so it is here",
        };
        let title = format!("Kong has no variable in `{text}` and sends an empty field; {here}");
        tell(at, code::TEMPLATE_VARIABLE, Severity::Warning, title, "");
    }
    Some(template)
}

/// `correlation-id`
pub fn correlation_id(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> CorrelationId {
    let generators =
        [("uuid", Generator::Uuid), ("uuid#counter", Generator::UuidCounter), ("tracker", Generator::Tracker)];
    let name = at.get("header_name");
    let header_name = name.filled().unwrap_or("Kong-Request-ID");
    if !is_field_name(header_name) {
        tell(name, code::SCHEMA, Severity::Error, "Kong refuses this: `config.header_name: invalid header name`", "");
    }
    let title = match lowering.compatibility() {
        Compatibility::Safe => "Kong keeps whatever name a client sends; here only a trusted peer's is kept",
        Compatibility::Kong => "any client may choose the name by which logs are joined",
    };
    tell(at, code::CORRELATION, Severity::Note, title, "");
    CorrelationId {
        header_name: header_name.into(),
        generator: at.get("generator").enumeration(&generators).unwrap_or_default(),
        echo_downstream: flag(at.get("echo_downstream"), Flag::Off).is_on(),
    }
}
