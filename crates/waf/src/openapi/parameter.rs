//! Parameters of a request's head: from bytes to values, and by their schemas.

use super::schema::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING, SchemaId, Schemas};
use super::{Form, Operation, Parameter, Place, check, json, shown};
use serde_json::{Map, Value};

/// So many parameters a query may have.
const MOST: usize = 1000;

/// Whether all parameters fit. The error: where, and what is wrong.
pub(super) fn judge<'a>(
    schemas: &Schemas,
    operation: &Operation,
    path: &[(&str, Vec<u8>)],
    query: &[u8],
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Result<(), (String, String)> {
    let mut given = Vec::new();
    for (name, value) in pairs(query).take(MOST + 1) {
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| ("query".to_owned(), "it is not UTF-8".to_owned()));
        given.push((text(name)?, text(value)?));
    }
    if given.len() > MOST {
        return Err(("query".into(), format!("it has more than {MOST} parameters")));
    }
    let declared = |name: &str| {
        operation.parameters.iter().filter(|one| one.place == Place::Query).any(|one| match one.form {
            Form::Deep => {
                name.strip_prefix(&*one.name).is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'))
            }
            _ => *one.name == *name,
        })
    };
    if let Some((name, _)) = given.iter().find(|(name, _)| !declared(name)) {
        return Err((format!("query {}", shown(name)), "the document declares no such parameter".into()));
    }
    for parameter in &operation.parameters {
        let name = &*parameter.name;
        let values: Vec<String> = match parameter.place {
            Place::Query if parameter.form == Form::Deep => {
                deep(schemas, parameter, &given)?;
                continue;
            }
            Place::Query => given.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect(),
            Place::Path => path.iter().filter(|(known, _)| *known == name).map(|(_, value)| lossy(value)).collect(),
            Place::Header => {
                let named = fields.clone().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
                named.map(|(_, value)| lossy(value.trim_ascii())).collect()
            }
            Place::Cookie => cookies(fields.clone(), name),
        };
        one(schemas, parameter, values)?;
    }
    Ok(())
}

fn one(schemas: &Schemas, parameter: &Parameter, values: Vec<String>) -> Result<(), (String, String)> {
    let place = place(parameter);
    if values.is_empty() {
        let missing = || (place.clone(), "it is missing".to_owned());
        return if parameter.required { Err(missing()) } else { Ok(()) };
    }
    let wrong = |what: &str| Err((place.clone(), what.to_owned()));
    let is_array = parameter.schema.is_some_and(|schema| schemas.types(schema) & ARRAY != 0);
    let value = match (parameter.form, values.as_slice()) {
        (Form::Unreadable, _) => return wrong("the document writes it in a way that is not read"),
        (Form::Json, [text]) => match json::read(text.as_bytes()) {
            Ok(value) => Some(value),
            Err(_) => return wrong("it is no JSON"),
        },
        (Form::Separated(byte), [text]) if is_array => {
            let parts: Vec<String> = text.split(char::from(byte)).map(str::to_owned).collect();
            typed(schemas, parameter.schema, &parts)
        }
        (Form::Repeated, _) if is_array => typed(schemas, parameter.schema, &values),
        (_, [_]) => typed(schemas, parameter.schema, &values),
        _ => return wrong("it is given more than once"),
    };
    match (parameter.schema, value) {
        (Some(schema), Some(value)) => {
            check::judge(schemas, schema, &value).map_err(|(pointer, what)| (format!("{place}{pointer}"), what))
        }
        (Some(_), None) => wrong("it does not have the type that the document says"),
        (None, _) => Ok(()),
    }
}

/// `name[key]=value` as one object.
fn deep(schemas: &Schemas, parameter: &Parameter, given: &[(String, String)]) -> Result<(), (String, String)> {
    let place = place(parameter);
    let mut object = Map::new();
    for (name, value) in given {
        let inner = name.strip_prefix(&*parameter.name).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
        let Some(key) = inner else { continue };
        let property = parameter.schema.and_then(|schema| schemas.property(schema, key));
        let value = typed(schemas, property, std::slice::from_ref(value)).unwrap_or_else(|| value.clone().into());
        if object.insert(key.to_owned(), value).is_some() {
            return Err((place, format!("`{}` is given more than once", shown(key))));
        }
    }
    match (parameter.schema, object.is_empty()) {
        (_, true) if parameter.required => Err((place, "it is missing".into())),
        (_, true) | (None, _) => Ok(()),
        (Some(schema), false) => {
            let judged = check::judge(schemas, schema, &Value::Object(object));
            judged.map_err(|(pointer, what)| (format!("{place}{pointer}"), what))
        }
    }
}

fn place(parameter: &Parameter) -> String {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
        Place::Cookie => "cookie",
    };
    format!("{place} {}", parameter.name)
}

/// Texts as a value of the schema's type; `None`: they are of none of its types.
pub(super) fn typed(schemas: &Schemas, schema: Option<SchemaId>, values: &[String]) -> Option<Value> {
    let types = schema.map_or(0, |schema| schemas.types(schema));
    if types & ARRAY != 0 {
        let items = schema.and_then(|schema| schemas.get(schema)?.items);
        let each = values.iter().map(|value| typed(schemas, items, std::slice::from_ref(value)));
        return each.collect::<Option<Vec<Value>>>().map(Value::Array);
    }
    let [text] = values else { return None };
    scalar(text, types)
}

fn scalar(text: &str, types: u8) -> Option<Value> {
    let number = || {
        // JSON's own spelling of numbers: no sign before, no infinity, no hexadecimal.
        let value: Value = serde_json::from_str(text).ok()?;
        (value.is_number() && !text.starts_with(char::is_whitespace) && !text.ends_with(char::is_whitespace))
            .then_some(value)
    };
    let word = || match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    };
    let found = None
        .or_else(|| if types & (INTEGER | NUMBER) != 0 { number() } else { None })
        .or_else(|| if types & BOOLEAN != 0 { word() } else { None })
        .or_else(|| if types & NULL != 0 && text.is_empty() { Some(Value::Null) } else { None });
    found.or_else(|| (types == 0 || types & STRING != 0).then(|| text.into())).filter(|_| types != OBJECT)
}

/// The pairs of a query or form, decoded (`application/x-www-form-urlencoded`).
pub(super) fn pairs(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let decoded = |text: &[u8]| {
        let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        super::decoded(&spaced)
    };
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (decoded(pair.get(..at).unwrap_or_default()), decoded(pair.get(at + 1..).unwrap_or_default()))
    })
}

fn cookies<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, name: &str) -> Vec<String> {
    let lines = fields.filter(|(known, _)| known.eq_ignore_ascii_case(b"cookie"));
    let all = lines.flat_map(|(_, line)| line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii));
    let values = all.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.map(lossy).collect()
}

/// What is not UTF-8 fits no pattern and no list of values.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
