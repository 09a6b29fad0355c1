//! Secret and ConfigMap. The values of a Secret never show: not in `Debug`, not in findings.

use super::Declared;
use crate::code;
use crate::node::{Cursor, Node, Value};
use crate::resource::Resource;
use base64::Engine;
use ringwall_model::{Finding, Place, Severity};
use std::collections::BTreeMap;
use std::fmt;

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted(Vec<u8>);

impl Redacted {
    /// Wraps bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves, for those who use them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}

/// A Secret.
#[derive(Clone, Debug)]
pub struct Secret {
    /// `type`, such as `kubernetes.io/tls`; `Opaque` when absent.
    pub kind: Box<str>,
    /// Values by key, decoded.
    pub values: BTreeMap<Box<str>, Redacted>,
    /// Where it is declared.
    pub place: Place,
}

impl Secret {
    /// Certificate chain and key in PEM, as `kubernetes.io/tls` and Istio's generic Secrets name them.
    pub fn key_pair(&self) -> Option<(&Redacted, &Redacted)> {
        let pair = |chain, key| Some((self.values.get(chain)?, self.values.get(key)?));
        pair("tls.crt", "tls.key").or_else(|| pair("cert", "key"))
    }

    /// Certificates of authorities in PEM, for mutual TLS.
    pub fn authorities(&self) -> Option<&Redacted> {
        self.values.get("ca.crt").or_else(|| self.values.get("cacert"))
    }
}

/// Lowers a `Secret`.
pub fn lower(resource: &Resource<'_>, declared: &mut Declared) {
    let root = resource.root;
    let kind = root.get("type").string().unwrap_or("Opaque");
    root.descriptive(&["immutable"]);
    let mut values = BTreeMap::new();
    for (key, value) in root.get("data").entries() {
        let Some(text) = secret_text(value) else { continue };
        let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        match base64::engine::general_purpose::STANDARD.decode(packed) {
            Ok(bytes) => _ = values.insert(Box::from(key), Redacted::new(bytes)),
            Err(_) => {
                let finding = value.finding(code::VALUE, Severity::Error, format!("`data.{key}` is not base64"));
                value.report(finding.help("encode it in base64, or move it to `stringData`"));
            }
        }
    }
    for (key, value) in root.get("stringData").entries() {
        if let Some(text) = secret_text(value) {
            values.insert(key.into(), Redacted::new(text.as_bytes()));
        }
    }
    let secret = Secret { kind: kind.into(), values, place: resource.place() };
    if kind == "kubernetes.io/tls" && secret.key_pair().is_none() {
        let title = "a Secret of type `kubernetes.io/tls` has `tls.crt` and `tls.key`";
        root.report(Finding::new(code::REQUIRED, Severity::Error, resource.place(), title));
    }
    declared.secrets.insert((resource.namespace.into(), resource.name.into()), secret);
}

/// The text of a value, with an error that does not repeat it.
fn secret_text<'a>(value: Cursor<'a>) -> Option<&'a str> {
    match value.peek().map(|node: &Node| &node.value) {
        Some(Value::String(text)) => Some(text),
        None => None,
        Some(_) => {
            let finding = value.finding(code::TYPE, Severity::Error, "a value of a Secret must be a string");
            value.report(finding.help("write it in quotes"));
            None
        }
    }
}

/// Lowers a `ConfigMap`.
pub fn lower_config_map(resource: &Resource<'_>, declared: &mut Declared) {
    let root = resource.root;
    let entries = root.get("data").entries();
    let texts = entries.filter_map(|(key, value)| Some((key.into(), value.string()?.into()))).collect();
    root.descriptive(&["binaryData", "immutable"]);
    declared.config_maps.insert((resource.namespace.into(), resource.name.into()), texts);
}
