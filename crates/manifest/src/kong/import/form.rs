//! Form arguments as a value: `a.b.c=v`, `x[]=v`, `x[1]=v`, repeated names.
//!
//! Kong gives a value its type by the schema and splits no commas; a list field with one value is a list of one.

use super::super::code;
use ringwall_model::Code;
use serde_json::{Map, Value};

/// What arguments come to.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// The value.
    pub value: Map<String, Value>,
    /// Paths of the lists in it.
    pub lists: Vec<String>,
    /// What Kong would refuse, with its help.
    pub faults: Vec<(Code, String, &'static str)>,
}

/// Fields that are lists in Kong's schemas.
const LISTS: [&str; 24] = [
    "allow",
    "claims_to_verify",
    "cookie_names",
    "deny",
    "destinations",
    "exposed_headers",
    "header_claims",
    "header_names",
    "headers",
    "hosts",
    "json",
    "key_names",
    "limit",
    "methods",
    "origins",
    "paths",
    "protocols",
    "querystring",
    "snis",
    "sources",
    "tags",
    "uri_param_names",
    "window_size",
    "bearer_jwt_auth_allowed_auds",
];

/// Fields whose text must stay text, though it looks like a number.
const TEXTS: [&str; 6] = ["key", "secret", "password", "username", "client_secret", "custom_id"];

impl Form {
    /// Reads `name=value` arguments in order.
    pub fn read(arguments: &[String]) -> Self {
        let mut form = Self::default();
        for argument in arguments {
            let (name, text) = argument.split_once('=').unwrap_or((argument, ""));
            form.argument(name, text);
        }
        form
    }

    fn argument(&mut self, name: &str, text: &str) {
        let (path, index) = match name.split_once('[') {
            Some((path, index)) => (path, Some(index.trim_end_matches(']'))),
            None => (name, None),
        };
        if index == Some("0") {
            let title = format!("Kong refuses this: `{path}: expected an array` (`{name}` begins at 0, Kong at 1)");
            self.faults.push((code::ARGUMENT_INDEX, title, "write `[]` or begin at 1"));
        }
        let last = path.rsplit('.').next().unwrap_or_default();
        let is_list = index.is_some() || LISTS.contains(&last);
        if !is_list {
            put(&mut self.value, path, typed(last, text));
            return;
        }
        if !self.lists.iter().any(|list| list == path) {
            self.lists.push(path.to_owned());
        }
        let parts = parts(path, text);
        if parts.len() > 1 {
            let title = format!("Kong splits no commas: `{text}` is one value of `{path}`");
            self.faults.push((code::ARGUMENT_COMMA, title, "repeat the argument: `name[]=a`, `name[]=b`"));
        }
        for part in parts {
            append(&mut self.value, path, typed(last, part));
        }
    }
}

/// The values meant by a text with commas: of names always, of `name:value` pairs where each part is one.
fn parts<'t>(path: &str, text: &'t str) -> Vec<&'t str> {
    let is_pairs = ["add.", "append.", "replace.", "rename."].iter().any(|section| path.contains(section));
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let is_pair = |part: &str| part.split_once(':').is_some_and(|(name, _)| super::super::schema::is_field_name(name));
    if is_pairs && !parts.iter().all(|part| is_pair(part)) { vec![text] } else { parts }
}

fn typed(name: &str, text: &str) -> Value {
    if TEXTS.contains(&name) {
        return Value::from(text);
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}

fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value)),
        Some((head, rest)) => {
            let below = map.entry(head.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(below) = below {
                put(below, rest, value);
            }
        }
    }
}

fn append(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            if let Value::Array(list) = map.entry(path.to_owned()).or_insert_with(|| Value::Array(Vec::new())) {
                list.push(value);
            }
        }
        Some((head, rest)) => {
            let below = map.entry(head.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(below) = below {
                append(below, rest, value);
            }
        }
    }
}
