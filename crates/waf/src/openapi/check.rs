//! A value by a schema (JSON Schema 2020-12, validation vocabulary).
//!
//! Bounded: every visit of a value by a schema costs fuel, so that alternatives within alternatives end as a misfit.

use super::schema::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING, Schema, SchemaId, Schemas, escaped};
use regex_automata::Input;
use serde_json::{Map, Value};

/// JSON pointer into the value, and what is wrong there.
pub(super) type Wrong = (String, String);

/// Visits of values by schemas for one body.
const FUEL: usize = 500_000;
/// Schemas within schemas.
const DEEPEST: usize = 256;
const COSTLY: &str = "judging it by this schema takes too long";

/// Whether a value fits a schema.
pub(super) fn judge(schemas: &Schemas, schema: SchemaId, value: &Value) -> Result<(), Wrong> {
    Judge { schemas, fuel: FUEL, exhausted: false }.value(schema, value, "", 0)
}

struct Judge<'a> {
    schemas: &'a Schemas,
    fuel: usize,
    exhausted: bool,
}

impl Judge<'_> {
    fn value(&mut self, id: SchemaId, value: &Value, at: &str, depth: usize) -> Result<(), Wrong> {
        let wrong = |what: &str| Err((at.to_owned(), what.to_owned()));
        if self.fuel == 0 || depth > DEEPEST {
            self.exhausted = true;
            return wrong(COSTLY);
        }
        self.fuel -= 1;
        let schemas = self.schemas;
        let Some(schema) = schemas.get(id).filter(|schema| !schema.never) else {
            return wrong("the document lets no value stand here");
        };
        if schema.types != 0 && schema.types & type_of(value) == 0 {
            return wrong(&format!("it is {}, not {}", name(type_of(value)), name(schema.types)));
        }
        if let Some(values) = &schema.values
            && !values.iter().any(|known| same(known, value))
        {
            return wrong("it is none of the values that the document lists");
        }
        match value {
            Value::Number(number) => {
                numeric(schema, number.as_f64().unwrap_or(f64::INFINITY)).or_else(|what| wrong(&what))?
            }
            Value::String(text) => textual(schema, text).or_else(|what| wrong(&what))?,
            Value::Array(items) => self.array(schema, items, at, depth)?,
            Value::Object(fields) => self.object(schema, fields, at, depth)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(schema, value, at, depth)
    }

    fn array(&mut self, schema: &Schema, items: &[Value], at: &str, depth: usize) -> Result<(), Wrong> {
        let wrong = |what: String| Err((at.to_owned(), what));
        let count = items.len() as u64;
        if let Some(least) = schema.min_items.filter(|least| count < *least) {
            return wrong(format!("it has {count} items, fewer than {least}"));
        }
        if let Some(most) = schema.max_items.filter(|most| count > *most) {
            return wrong(format!("it has {count} items, more than {most}"));
        }
        if schema.unique {
            for (index, item) in items.iter().enumerate() {
                self.fuel = self.fuel.saturating_sub(index);
                if items.iter().take(index).any(|other| same(item, other)) {
                    return wrong(format!("item {index} stands there twice"));
                }
                if self.fuel == 0 {
                    self.exhausted = true;
                    return wrong(COSTLY.into());
                }
            }
        }
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = schema.prefix.get(index).copied().or(schema.items) {
                self.value(id, item, &format!("{at}/{index}"), depth + 1)?;
            }
        }
        Ok(())
    }

    fn object(&mut self, schema: &Schema, fields: &Map<String, Value>, at: &str, depth: usize) -> Result<(), Wrong> {
        let wrong = |what: String| Err((at.to_owned(), what));
        if let Some(missing) = schema.required.iter().find(|name| !fields.contains_key(name.as_str())) {
            return wrong(format!("the property `{missing}` is missing"));
        }
        let count = fields.len() as u64;
        if let Some(least) = schema.min_properties.filter(|least| count < *least) {
            return wrong(format!("it has {count} properties, fewer than {least}"));
        }
        if let Some(most) = schema.max_properties.filter(|most| count > *most) {
            return wrong(format!("it has {count} properties, more than {most}"));
        }
        for (name, value) in fields {
            let place = || format!("{at}/{}", escaped(&super::shown(name)));
            match (schema.properties.get(name), schema.additional) {
                (Some(id), _) => self.value(*id, value, &place(), depth + 1)?,
                (None, Some(id)) if self.schemas.get(id).is_none_or(|additional| additional.never) => {
                    return Err((place(), "the document declares no such property".into()));
                }
                (None, Some(id)) => self.value(id, value, &place(), depth + 1)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn combined(&mut self, schema: &Schema, value: &Value, at: &str, depth: usize) -> Result<(), Wrong> {
        let wrong = |what: &str| Err((at.to_owned(), what.to_owned()));
        for part in &schema.all_of {
            self.value(*part, value, at, depth + 1)?;
        }
        if !schema.any_of.is_empty() {
            let fits = schema.any_of.iter().any(|part| self.value(*part, value, at, depth + 1).is_ok());
            if !fits {
                return wrong(if self.exhausted { COSTLY } else { "it fits none of the alternatives (`anyOf`)" });
            }
        }
        if !schema.one_of.is_empty() {
            let fits = schema.one_of.iter().filter(|part| self.value(**part, value, at, depth + 1).is_ok()).count();
            // Without fuel an alternative may have been cut off: then nothing is certain.
            if self.exhausted {
                return wrong(COSTLY);
            }
            if fits != 1 {
                return wrong(&format!("it fits {fits} of the alternatives (`oneOf`), not one"));
            }
        }
        if let Some(not) = schema.not {
            let fits = self.value(not, value, at, depth + 1).is_ok();
            if self.exhausted || fits {
                return wrong(if self.exhausted { COSTLY } else { "it fits what it must not (`not`)" });
            }
        }
        Ok(())
    }
}

fn numeric(schema: &Schema, number: f64) -> Result<(), String> {
    let out = |what: &str, bound: f64| Err(format!("it is {what} {bound}"));
    if let Some(least) = schema.minimum.filter(|least| number < *least) {
        return out("less than", least);
    }
    if let Some(most) = schema.maximum.filter(|most| number > *most) {
        return out("more than", most);
    }
    if let Some(bound) = schema.above.filter(|bound| number <= *bound) {
        return out("not more than", bound);
    }
    if let Some(bound) = schema.below.filter(|bound| number >= *bound) {
        return out("not less than", bound);
    }
    if let Some(step) = schema.multiple_of {
        let times = number / step;
        // Steps such as 0.01 have no exact binary form.
        if (times - times.round()).abs() > 1e-9 * times.abs().max(1.0) {
            return out("no multiple of", step);
        }
    }
    match schema.format {
        Some(format) if !format.admits(number) => Err(format!("it does not have the format {format:?}")),
        _ => Ok(()),
    }
}

fn textual(schema: &Schema, text: &str) -> Result<(), String> {
    if schema.min_length.is_some() || schema.max_length.is_some() {
        let length = text.chars().count() as u64;
        if let Some(least) = schema.min_length.filter(|least| length < *least) {
            return Err(format!("it is {length} characters long, less than {least}"));
        }
        if let Some(most) = schema.max_length.filter(|most| length > *most) {
            return Err(format!("it is {length} characters long, more than {most}"));
        }
    }
    if schema.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(Input::new(text))) {
        return Err("it does not have the pattern of the document".into());
    }
    match schema.format {
        Some(format) if !format.holds(text) => Err(format!("it does not have the format {format:?}")),
        _ => Ok(()),
    }
}

/// A whole number has both bits: it is a number too.
fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if number.is_f64() && number.as_f64().is_some_and(|it| it.fract() != 0.0) => NUMBER,
        Value::Number(_) => INTEGER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

fn name(types: u8) -> String {
    let all = [
        (NULL, "null"),
        (BOOLEAN, "a boolean"),
        (NUMBER, "a number"),
        (INTEGER, "an integer"),
        (STRING, "a string"),
        (ARRAY, "an array"),
        (OBJECT, "an object"),
    ];
    let named: Vec<&str> = all
        .iter()
        // A number may be an integer; saying both says nothing more.
        .filter(|(bit, _)| types & bit != 0 && !(*bit == INTEGER && types & NUMBER != 0))
        .map(|(_, name)| *name)
        .collect();
    named.join(" or ")
}

/// Equal as JSON: `1` and `1.0` are one number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, value)| other.get(key).is_some_and(|it| same(value, it)))
        }
        _ => one == other,
    }
}
