//! Blanks secrets out of excerpts: the values of Secrets, and values of keys that are named like one.

use crate::node::{Node, Value};
use crate::source::Document;

/// The lines with every secret byte replaced by `*`; line ends and lengths stay. `offset` is the byte of the file where
/// the lines begin.
pub(super) fn secrets(lines: &str, offset: usize, document: &Document) -> String {
    let mut hidden = Vec::new();
    if is_secret(&document.root) {
        for name in ["data", "stringData"] {
            hidden.extend(document.root.get(name).map(|node| node.span));
        }
    }
    named(&document.root, &mut hidden);
    if hidden.is_empty() {
        return lines.to_owned();
    }
    let covered =
        |at: usize| hidden.iter().any(|span| (span.start as usize..span.end as usize).contains(&(offset + at)));
    let mut kept = String::with_capacity(lines.len());
    for (at, c) in lines.char_indices() {
        // As many stars as bytes, so that places after it stay right.
        if covered(at) && !c.is_whitespace() {
            kept.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            kept.push(c);
        }
    }
    kept
}

fn is_secret(root: &Node) -> bool {
    root.get("kind").and_then(Node::as_str) == Some("Secret")
}

/// Scalars under keys such as `client_secret` or `password`. What only names a Secret (`secretName`) is no secret.
fn named(node: &Node, hidden: &mut Vec<crate::node::Span>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                match &entry.value.value {
                    Value::Map(_) | Value::List(_) => named(&entry.value, hidden),
                    _ if is_secret_key(&entry.key) => hidden.push(entry.value.span),
                    _ => {}
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| named(item, hidden)),
        _ => {}
    }
}

fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    matches!(&*key, "secret" | "password" | "client_secret" | "clientsecret" | "token" | "private_key" | "apikey")
        || key.ends_with("_password")
        || key.ends_with("_secret")
}
