//! A declarative file as text.

use serde_json::{Map, Value};

/// Renders the entities of a file, with its version. Every text is quoted, so that YAML 1.1 and 1.2 read the same.
pub fn render(file: &Value) -> String {
    let mut out = String::from("_format_version: \"3.0\"\n");
    if let Value::Object(entities) = file {
        map(entities, 0, &mut out);
    }
    out
}

fn map(entries: &Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in entries {
        indent(depth, out);
        out.push_str(key);
        out.push(':');
        below(value, depth, out);
    }
}

/// A value after `key:` or `-`; collections begin a new line, list items of a map stand on the line of their dash.
fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::Array(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Object(entries) => {
            out.push('\n');
            map(entries, depth + 1, out);
        }
        Value::Array(items) => {
            out.push('\n');
            for item in items {
                indent(depth, out);
                out.push('-');
                match item {
                    Value::Object(entries) if !entries.is_empty() => {
                        let mut text = String::new();
                        map(entries, depth + 1, &mut text);
                        out.push(' ');
                        out.push_str(text.trim_start());
                    }
                    other => below(other, depth, out),
                }
            }
        }
        // JSON's quoting is YAML's (section 7.3.1 of YAML 1.2; the same in 1.1 for these escapes).
        scalar => {
            out.push(' ');
            out.push_str(&scalar.to_string());
            out.push('\n');
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}
