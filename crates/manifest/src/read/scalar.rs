//! The types of plain scalars: YAML 1.2 core schema (section 10.3.2), and YAML 1.1 as lyaml has it, which Kong uses.

use crate::node::{Node, Style, Value};

/// Which rules give a plain scalar its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// YAML 1.2 core.
    Core,
    /// YAML 1.1, libyaml's and lyaml's part of it.
    Yaml11,
}

/// Whether scalars that the two schemas read differently are noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    /// Note them.
    Note,
    /// JSON: there is no difference.
    Skip,
}

/// A note: JSON pointer, title, help.
pub(super) type ScalarNote = (String, String, String);

/// Gives every plain scalar of a tree its type. Recursion is bounded by the depth limit of reading.
pub(super) fn settle(node: &mut Node, schema: Schema, compare: Compare, at: &mut String, notes: &mut Vec<ScalarNote>) {
    let length = at.len();
    match &mut node.value {
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                at.push_str(&format!("/{index}"));
                settle(item, schema, compare, at, notes);
                at.truncate(length);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                at.push('/');
                at.push_str(&entry.key.replace('~', "~0").replace('/', "~1"));
                settle(&mut entry.value, schema, compare, at, notes);
                at.truncate(length);
            }
        }
        Value::String(text) if node.style == Style::Plain => {
            let text = std::mem::take(text);
            let (core, old) = (core(&text), yaml11(&text));
            if compare == Compare::Note && !same(&core, &old) {
                notes.push(note(at, &text, &core, &old, schema));
            }
            node.value = if schema == Schema::Core { core } else { old };
            match &mut node.value {
                Value::String(kept) => *kept = text,
                _ => node.written = text,
            }
        }
        _ => {}
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => one == other || (one.is_nan() && other.is_nan()),
        (Value::Float(float), Value::Integer(whole)) | (Value::Integer(whole), Value::Float(float)) => {
            *float == *whole as f64
        }
        _ => one == other,
    }
}

fn note(at: &str, text: &str, core: &Value, old: &Value, schema: Schema) -> ScalarNote {
    let (here, there) = match schema {
        Schema::Core => ("1.2", "1.1"),
        Schema::Yaml11 => ("1.1", "1.2"),
    };
    let (taken, other) = if schema == Schema::Core { (core, old) } else { (old, core) };
    let title =
        format!("`{text}` is read as {} (YAML {here}); YAML {there} reads {}", describe(taken), describe(other));
    let plain = match taken {
        Value::Bool(truth) => format!("write `{truth}`, or `\"{text}\"` if a text is meant"),
        Value::Integer(number) => format!("write `{number}`, or `\"{text}\"` if a text is meant"),
        _ => format!("write `\"{text}\"`"),
    };
    (at.to_owned(), title, plain)
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(truth) => format!("`{truth}`"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        _ => "a text".into(),
    }
}

/// The value of a plain scalar in the core schema; a text is given back empty, the caller has it.
pub(super) fn core(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8, text);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16, text);
    }
    decimal(text)
}

/// The same in YAML 1.1 (types `bool`, `int`, `float`, `null` of yaml.org), in the part that lyaml has: no binary
/// numbers, `y` and `n` are texts, dates are texts.
pub(super) fn yaml11(text: &str) -> Value {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return core(text);
    }
    if let Some(value) = sexagesimal(digits) {
        return Value::Integer(if negative { -value } else { value });
    }
    let bare: String = digits.chars().filter(|c| *c != '_').collect();
    if bare.starts_with("0x") || bare.starts_with("0o") {
        return core(&bare);
    }
    if bare.len() > 1 && bare.starts_with('0') && bare.chars().all(|c| matches!(c, '0'..='7')) {
        return match i64::from_str_radix(&bare, 8) {
            Ok(value) => Value::Integer(if negative { -value } else { value }),
            Err(_) => Value::String("".into()),
        };
    }
    decimal(&format!("{}{bare}", if negative { "-" } else { "" }))
}

/// `12:30` is 750 in YAML 1.1: base 60, every part after the first below 60.
fn sexagesimal(digits: &str) -> Option<i64> {
    if !digits.contains(':') || digits.starts_with('0') {
        return None;
    }
    let mut value: i64 = 0;
    for (index, part) in digits.split(':').enumerate() {
        let plain = !part.is_empty() && part.len() <= 18 && part.chars().all(|c| c.is_ascii_digit());
        let number: i64 = if plain { part.parse().ok()? } else { return None };
        if index > 0 && (number > 59 || part.len() > 2) {
            return None;
        }
        value = value.checked_mul(60)?.checked_add(number)?;
    }
    Some(value)
}

fn radix(digits: &str, radix: u32, text: &str) -> Value {
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    match i64::from_str_radix(digits, radix) {
        Ok(value) if plain => Value::Integer(value),
        _ => decimal(text),
    }
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, else a text.
fn decimal(text: &str) -> Value {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, part) = match mantissa.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits =
        digits(whole) && part.is_none_or(digits) && !(whole.is_empty() && part.is_none_or(str::is_empty));
    if !mantissa_fits || exponent.is_some_and(|exponent| exponent.is_empty() || !digits(exponent)) {
        return Value::String("".into());
    }
    let whole_number = part.is_none() && exponent.is_none();
    match text.strip_prefix('+').unwrap_or(text).parse::<i64>() {
        Ok(number) if whole_number => Value::Integer(number),
        _ => text.parse().map_or_else(|_| Value::String("".into()), Value::Float),
    }
}
