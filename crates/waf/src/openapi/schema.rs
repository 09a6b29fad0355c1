//! Schemas: the subset of JSON Schema that OpenAPI 3.0 and 3.1 documents use.
//!
//! Read: `type` (one or several), `nullable`, `enum`, `const`, `minimum`, `maximum`, `exclusiveMinimum`,
//! `exclusiveMaximum` (both as number and as the boolean of 3.0), `multipleOf`, `minLength`, `maxLength`, `pattern` (a
//! linear regular expression), `format`, `items`, `prefixItems`, `minItems`, `maxItems`, `uniqueItems`, `properties`,
//! `required`, `additionalProperties`, `minProperties`, `maxProperties`, `allOf`, `anyOf`, `oneOf`, `not`, `$ref` within
//! the document, and the boolean schemas. Any other keyword that decides is a [`Note`].

use super::Note;
use super::format::Format;
use regex_automata::meta::{Config, Regex};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Names a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SchemaId(u32);

/// All schemas of a document.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    list: Vec<Schema>,
}

/// So many schemas a document may have.
const MOST: usize = 20_000;
/// Compiled size of one pattern, in bytes.
const LARGEST: usize = 1 << 20;

/// One bit for each type of JSON.
pub(super) const NULL: u8 = 1;
pub(super) const BOOLEAN: u8 = 2;
pub(super) const INTEGER: u8 = 4;
pub(super) const NUMBER: u8 = 8;
pub(super) const STRING: u8 = 16;
pub(super) const ARRAY: u8 = 32;
pub(super) const OBJECT: u8 = 64;

/// What a value must be.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Nothing fits: `false`, or something that could not be read.
    pub never: bool,
    /// Types that fit; 0: all.
    pub types: u8,
    pub values: Option<Vec<Value>>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub pattern: Option<Regex>,
    pub format: Option<Format>,
    pub items: Option<SchemaId>,
    pub prefix: Vec<SchemaId>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique: bool,
    pub properties: BTreeMap<String, SchemaId>,
    pub required: Vec<String>,
    /// What other properties must be.
    pub additional: Option<SchemaId>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub all_of: Vec<SchemaId>,
    pub any_of: Vec<SchemaId>,
    pub one_of: Vec<SchemaId>,
    pub not: Option<SchemaId>,
}

impl Schemas {
    /// A schema by its name.
    pub fn get(&self, id: SchemaId) -> Option<&Schema> {
        self.list.get(id.0 as usize)
    }

    /// The schema of a property, also through `allOf`.
    pub fn property(&self, id: SchemaId, name: &str) -> Option<SchemaId> {
        let schema = self.get(id)?;
        let own = schema.properties.get(name).copied();
        own.or_else(|| schema.all_of.iter().find_map(|part| self.get(*part)?.properties.get(name).copied()))
    }

    /// The types that fit, also through `allOf`; 0: all.
    pub fn types(&self, id: SchemaId) -> u8 {
        let Some(schema) = self.get(id) else { return 0 };
        let parts = || schema.all_of.iter().filter_map(|part| self.get(*part)).map(|part| part.types);
        if schema.types != 0 { schema.types } else { parts().find(|types| *types != 0).unwrap_or(0) }
    }
}

/// Reads schemas of one document.
pub(super) struct Reader<'a> {
    pub document: &'a Value,
    pub notes: Vec<Note>,
    pub schemas: Schemas,
    known: BTreeMap<String, SchemaId>,
}

/// Keywords that describe and do not decide.
#[rustfmt::skip]
const SILENT: [&str; 18] = [
    "title", "description", "default", "example", "examples", "deprecated", "externalDocs", "xml", "readOnly",
    "writeOnly", "discriminator", "$schema", "$id", "$comment", "$defs", "definitions", "$anchor", "contentEncoding",
];

impl<'a> Reader<'a> {
    pub fn new(document: &'a Value) -> Self {
        Self { document, notes: Vec::new(), schemas: Schemas::default(), known: BTreeMap::new() }
    }

    pub fn note(&mut self, pointer: &str, what: impl Into<String>) {
        self.notes.push(Note { pointer: pointer.into(), what: what.into(), is_fault: false });
    }

    pub fn fault(&mut self, pointer: &str, what: impl Into<String>) {
        self.notes.push(Note { pointer: pointer.into(), what: what.into(), is_fault: true });
    }

    /// The node that a node stands for: itself, or what its `$ref` names, with its pointer. `None`: noted as a fault.
    pub fn resolved(&mut self, node: &'a Value, pointer: &str) -> Option<(&'a Value, String)> {
        let (mut node, mut at) = (node, pointer.to_owned());
        for _ in 0..32 {
            let Some(reference) = node.get("$ref") else { return Some((node, at)) };
            let target = reference.as_str().and_then(|text| text.strip_prefix('#'));
            let Some(found) = target.and_then(|target| self.document.pointer(&percent(target))) else {
                self.fault(&at, format!("`$ref` {reference} names nothing in this document; nothing fits it"));
                return None;
            };
            at = percent(target.unwrap_or_default());
            node = found;
        }
        self.fault(pointer, "`$ref` leads round in a circle; nothing fits it");
        None
    }

    /// Reads the schema at a pointer.
    pub fn schema(&mut self, node: &'a Value, pointer: &str) -> SchemaId {
        let resolved = self.resolved(node, pointer);
        let at = resolved.as_ref().map_or(pointer, |(_, at)| at).to_owned();
        if let Some(known) = self.known.get(&at) {
            return *known;
        }
        let id = SchemaId(u32::try_from(self.schemas.list.len()).unwrap_or(u32::MAX));
        // Its place first: it may name itself.
        self.schemas.list.push(Schema { never: true, ..Schema::default() });
        self.known.insert(at.clone(), id);
        if self.schemas.list.len() > MOST {
            self.fault(&at, format!("more than {MOST} schemas; nothing fits this one"));
            return id;
        }
        let schema = match resolved {
            Some((Value::Bool(all), _)) => Schema { never: !*all, ..Schema::default() },
            Some((Value::Object(fields), _)) => self.object(fields, &at),
            Some(_) => {
                self.fault(&at, "a schema is an object or a boolean; nothing fits this one");
                Schema { never: true, ..Schema::default() }
            }
            None => Schema { never: true, ..Schema::default() },
        };
        if let Some(place) = self.schemas.list.get_mut(id.0 as usize) {
            *place = schema;
        }
        id
    }

    fn object(&mut self, fields: &'a Map<String, Value>, at: &str) -> Schema {
        let mut schema = Schema::default();
        for (name, value) in fields {
            let pointer = format!("{at}/{}", escaped(name));
            if !self.keyword(&mut schema, name, value, &pointer) {
                self.fault(&pointer, format!("`{name}` cannot be read; nothing fits this schema"));
                schema.never = true;
            }
        }
        if fields.get("nullable") == Some(&Value::Bool(true)) && schema.types != 0 {
            schema.types |= NULL;
        }
        // The boolean form of 3.0 makes the other bound exclusive.
        if fields.get("exclusiveMinimum") == Some(&Value::Bool(true)) {
            schema.above = schema.minimum;
        }
        if fields.get("exclusiveMaximum") == Some(&Value::Bool(true)) {
            schema.below = schema.maximum;
        }
        schema
    }

    /// Reads one keyword. `false`: its value makes no sense.
    fn keyword(&mut self, schema: &mut Schema, name: &str, value: &'a Value, at: &str) -> bool {
        match name {
            "type" => return types(value).map(|types| schema.types |= types).is_some(),
            "enum" => schema.values = value.as_array().cloned(),
            "const" => schema.values = Some(vec![value.clone()]),
            "pattern" => return self.pattern(schema, value, at),
            "format" => return self.format(schema, value, at),
            "items" => schema.items = Some(self.schema(value, at)),
            "prefixItems" => return self.list(value, at, &mut schema.prefix),
            "allOf" => return self.list(value, at, &mut schema.all_of),
            "anyOf" => return self.list(value, at, &mut schema.any_of),
            "oneOf" => return self.list(value, at, &mut schema.one_of),
            "not" => schema.not = Some(self.schema(value, at)),
            "additionalProperties" => schema.additional = Some(self.schema(value, at)),
            "uniqueItems" => schema.unique = value.as_bool().unwrap_or(true),
            "nullable" => return value.is_boolean(),
            "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {}
            "properties" => {
                let Some(properties) = value.as_object() else { return false };
                for (name, property) in properties {
                    let id = self.schema(property, &format!("{at}/{}", escaped(name)));
                    schema.properties.insert(name.clone(), id);
                }
            }
            "required" => {
                let names = value.as_array().map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)));
                let Some(names) = names.and_then(Iterator::collect) else { return false };
                schema.required = names;
            }
            silent if SILENT.contains(&silent) || silent.starts_with("x-") => {}
            other => return self.bound(schema, other, value, at),
        }
        true
    }

    fn bound(&mut self, schema: &mut Schema, name: &str, value: &Value, at: &str) -> bool {
        let number = match name {
            "minimum" => &mut schema.minimum,
            "maximum" => &mut schema.maximum,
            "exclusiveMinimum" => &mut schema.above,
            "exclusiveMaximum" => &mut schema.below,
            "multipleOf" => &mut schema.multiple_of,
            _ => {
                let count = match name {
                    "minLength" => &mut schema.min_length,
                    "maxLength" => &mut schema.max_length,
                    "minItems" => &mut schema.min_items,
                    "maxItems" => &mut schema.max_items,
                    "minProperties" => &mut schema.min_properties,
                    "maxProperties" => &mut schema.max_properties,
                    _ => {
                        self.note(at, format!("the keyword `{name}` is not judged: values that break it pass"));
                        return true;
                    }
                };
                *count = value.as_u64();
                return count.is_some();
            }
        };
        *number = value.as_f64().filter(|number| name != "multipleOf" || *number > 0.0);
        number.is_some()
    }

    fn list(&mut self, value: &'a Value, at: &str, out: &mut Vec<SchemaId>) -> bool {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else { return false };
        for (index, part) in list.iter().enumerate() {
            out.push(self.schema(part, &format!("{at}/{index}")));
        }
        true
    }

    /// ECMA-262 means the end of the text by `$`, not the end of a line; so does this.
    fn pattern(&mut self, schema: &mut Schema, value: &Value, at: &str) -> bool {
        let Some(text) = value.as_str() else { return false };
        let config = Config::new().nfa_size_limit(Some(LARGEST)).hybrid_cache_capacity(LARGEST);
        match Regex::builder().configure(config).build(text) {
            Ok(regex) => schema.pattern = Some(regex),
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().next_back().unwrap_or_default();
                self.fault(at, format!("`pattern` is no linear regular expression ({why}); nothing fits this schema"));
                schema.never = true;
            }
        }
        true
    }

    fn format(&mut self, schema: &mut Schema, value: &Value, at: &str) -> bool {
        let Some(name) = value.as_str() else { return false };
        match Format::named(name) {
            Ok(format) => schema.format = format,
            Err(()) => self.note(at, format!("the format `{name}` is not judged")),
        }
        true
    }
}

fn types(value: &Value) -> Option<u8> {
    let one = |name: &Value| {
        Some(match name.as_str()? {
            "null" => NULL,
            "boolean" => BOOLEAN,
            "integer" => INTEGER,
            "number" => NUMBER | INTEGER,
            "string" => STRING,
            "array" => ARRAY,
            "object" => OBJECT,
            _ => return None,
        })
    };
    match value {
        Value::Array(names) => names.iter().try_fold(0, |types, name| Some(types | one(name)?)),
        name => one(name),
    }
}

/// A name as a part of a JSON pointer (RFC 6901).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A URI fragment as a JSON pointer.
fn percent(text: &str) -> String {
    let mut out = Vec::new();
    crate::body::urlencoded::decode_path(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
