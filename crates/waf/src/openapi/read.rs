//! A document to operations.

use super::schema::{ARRAY, OBJECT, Reader, escaped};
use super::{Body, Form, Note, OpenApi, Operation, Parameter, Path, Place, Segment};
use serde_json::Value;
use std::collections::BTreeMap;

/// So many paths a document may have.
const MOST: usize = 5000;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

pub(super) fn read(document: &Value) -> Result<(OpenApi, Vec<Note>), String> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.0") && !version.starts_with("3.1") {
        return Err("it is no OpenAPI 3.0 or 3.1 document: `openapi` must say so".into());
    }
    let declared = document.get("paths").and_then(Value::as_object).ok_or("it has no `paths`")?;
    if declared.len() > MOST {
        return Err(format!("it has more than {MOST} paths"));
    }
    let mut reader = Reader::new(document);
    let bases = bases(document, &mut reader);
    let mut paths = Vec::new();
    for (template, item) in declared {
        if template.starts_with("x-") {
            continue;
        }
        let pointer = format!("/paths/{}", escaped(template));
        let Some(segments) = segments(template) else {
            reader.fault(&pointer, "this path begins without `/`, or has a brace that is not closed; nothing fits it");
            continue;
        };
        let Some((item, at)) = reader.resolved(item, &pointer) else { continue };
        let operations = operations(&mut reader, template, item, &at);
        paths.push(Path { template: template.clone(), segments, operations });
    }
    // "When matching URLs, concrete (non-templated) paths would be matched before their templated counterparts."
    paths.sort_by_key(|path| {
        path.segments.iter().map(|one| matches!(one, Segment::Parameter(..))).collect::<Vec<bool>>()
    });
    Ok((OpenApi { bases, paths, schemas: reader.schemas }, reader.notes))
}

/// The path part of each server.
fn bases(document: &Value, reader: &mut Reader<'_>) -> Vec<String> {
    let servers = document.get("servers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut bases = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let mut url = server.get("url").and_then(Value::as_str).unwrap_or("/").to_owned();
        for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
            let value = variable.get("default").and_then(Value::as_str).unwrap_or_default();
            url = url.replace(&format!("{{{name}}}"), value);
        }
        let after_host =
            url.split_once("://").map_or(Some(url.as_str()), |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
        let base = after_host.unwrap_or_default().trim_end_matches('/').to_owned();
        if base.contains('{') {
            reader.fault(&format!("/servers/{index}/url"), "a variable of this server has no default; it is left out");
            continue;
        }
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    if servers.is_empty() { vec![String::new()] } else { bases }
}

fn segments(template: &str) -> Option<Vec<Segment>> {
    let one = |text: &str| {
        let Some((before, rest)) = text.split_once('{') else {
            return (!text.contains('}')).then(|| Segment::Fixed(super::decoded(text.as_bytes())));
        };
        let (name, after) = rest.split_once('}')?;
        let plain = !after.contains(['{', '}']) && !name.is_empty();
        plain.then(|| Segment::Parameter(before.into(), name.into(), after.into()))
    };
    template.strip_prefix('/')?.split('/').map(one).collect()
}

fn operations<'a>(reader: &mut Reader<'a>, template: &str, item: &'a Value, at: &str) -> BTreeMap<Box<str>, Operation> {
    let shared = parameters(reader, item, at);
    let mut operations = BTreeMap::new();
    for (key, node) in item.as_object().into_iter().flatten() {
        let pointer = format!("{at}/{}", escaped(key));
        if !METHODS.contains(&key.as_str()) {
            let silent = matches!(key.as_str(), "summary" | "description" | "parameters" | "servers" | "$ref");
            if key == "servers" || !silent && !key.starts_with("x-") {
                reader.note(&pointer, format!("`{key}` of a path is not read"));
            }
            continue;
        }
        let method = key.to_ascii_uppercase();
        let named = node.get("operationId").and_then(Value::as_str).map(str::to_owned);
        let mut own = parameters(reader, node, &pointer);
        for parameter in &shared {
            if !own.iter().any(|known| known.name == parameter.name && known.place == parameter.place) {
                own.push(Parameter { name: parameter.name.clone(), ..*parameter });
            }
        }
        let body = node.get("requestBody").map(|body| self::body(reader, body, &format!("{pointer}/requestBody")));
        if let Some(missing) = undeclared(template, &own) {
            reader
                .note(&pointer, format!("the path's `{missing}` has no parameter that says what it is: any text fits"));
        }
        let name = named.unwrap_or_else(|| format!("{method} {template}")).into();
        operations.insert(method.into(), Operation { name, parameters: own, body });
    }
    operations
}

fn undeclared<'a>(template: &'a str, parameters: &[Parameter]) -> Option<&'a str> {
    let names = template.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let declared = |name: &str| parameters.iter().any(|one| one.place == Place::Path && *one.name == *name);
    names.into_iter().find(|name| !declared(name))
}

fn parameters<'a>(reader: &mut Reader<'a>, node: &'a Value, at: &str) -> Vec<Parameter> {
    let list = node.get("parameters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut out = Vec::new();
    for (index, one) in list.iter().enumerate() {
        let Some((one, at)) = reader.resolved(one, &format!("{at}/parameters/{index}")) else { continue };
        let text = |name: &str| one.get(name).and_then(Value::as_str);
        let place = match text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            _ => {
                reader.fault(&at, "`in` is none of path, query, header, cookie; the parameter is left out");
                continue;
            }
        };
        let Some(name) = text("name") else {
            reader.fault(&at, "a parameter without a name is left out");
            continue;
        };
        // These three are the operation's own business ("Parameter Object", `name`).
        if place == Place::Header && ["accept", "content-type", "authorization"].contains(&&*name.to_ascii_lowercase())
        {
            continue;
        }
        let required = place == Place::Path || one.get("required").and_then(Value::as_bool).unwrap_or(false);
        let content = one.get("content").and_then(Value::as_object).and_then(|content| content.iter().next());
        let schema = match content {
            Some((media, node)) => node
                .get("schema")
                .map(|schema| reader.schema(schema, &format!("{at}/content/{}/schema", escaped(media)))),
            None => one.get("schema").map(|schema| reader.schema(schema, &format!("{at}/schema"))),
        };
        let form = match content {
            Some((media, _)) if media == "application/json" => Form::Json,
            Some(_) => Form::Unreadable,
            None => form(one, place, schema.map_or(0, |schema| reader.schemas.types(schema))),
        };
        if form == Form::Unreadable {
            reader.fault(&at, "this style, or content, is not read; a request that has the parameter does not fit");
        }
        out.push(Parameter { name: name.into(), place, required, form, schema });
    }
    out
}

fn form(one: &Value, place: Place, types: u8) -> Form {
    let style = one.get("style").and_then(Value::as_str);
    let explode = one.get("explode").and_then(Value::as_bool);
    match (place, style) {
        (Place::Query, Some("deepObject")) => Form::Deep,
        // An exploded object has no name of its own in the query.
        (_, _) if types == OBJECT => Form::Unreadable,
        (Place::Query, None | Some("form")) if explode.unwrap_or(true) => Form::Repeated,
        (Place::Query, None | Some("form")) => Form::Separated(b','),
        (Place::Query, Some("spaceDelimited")) => Form::Separated(b' '),
        (Place::Query, Some("pipeDelimited")) => Form::Separated(b'|'),
        (Place::Path | Place::Header, None | Some("simple")) => Form::Separated(b','),
        (Place::Cookie, None | Some("form")) if types & ARRAY == 0 => Form::Repeated,
        _ => Form::Unreadable,
    }
}

fn body<'a>(reader: &mut Reader<'a>, node: &'a Value, at: &str) -> Body {
    let Some((node, at)) = reader.resolved(node, at) else { return Body { required: true, media: Vec::new() } };
    let required = node.get("required").and_then(Value::as_bool).unwrap_or(false);
    let content = node.get("content").and_then(Value::as_object);
    let mut media = Vec::new();
    for (range, node) in content.into_iter().flatten() {
        let pointer = format!("{at}/content/{}", escaped(range));
        let schema = node.get("schema").map(|schema| reader.schema(schema, &format!("{pointer}/schema")));
        let name = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let judged =
            name == "application/json" || name.ends_with("+json") || name == "application/x-www-form-urlencoded";
        if schema.is_some() && !judged {
            reader.note(&pointer, format!("bodies of type {name} are not judged by their schema"));
        }
        media.push((name.into(), schema));
    }
    // Ranges after types: the most specific decides.
    media.sort_by_key(|(name, _): &(Box<str>, _)| name.ends_with('*'));
    Body { required, media }
}
