//! The cursor: typed reading of one node, with findings in place of failures.

use super::ledger::{Mark, nearest};
use super::number::{self, read_duration};
use super::{Ledger, Node, Value};
use crate::code;
use ipnet::IpNet;
use ringwall_model::{Code, Finding, Labels, Millis, Place, Severity};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// A place in a document: a node, or the absence of one. Copied freely; all that is learnt goes into the [`Ledger`].
///
/// A getter answers `None` when the value is absent (or null), and also when it is wrong; then an error stands in the
/// ledger. Where that difference matters, ask [`Cursor::is_present`] and [`Cursor::is_sound`].
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    pub(super) ledger: &'a Ledger<'a>,
    /// The node that holds it, for absent ones: where it should stand.
    pub(super) parent: &'a Node,
    pub(super) name: &'static str,
    pub(super) node: Option<&'a Node>,
}

impl<'a> Cursor<'a> {
    /// The field `name` of this map. What is no map (and not absent) is reported once.
    pub fn get(self, name: &'static str) -> Self {
        let Some(map) = self.present() else { return Self { name, node: None, ..self } };
        self.ledger.asked(map, name);
        if !matches!(map.value, Value::Map(_)) {
            self.wrong_type::<()>("a map");
            return Self { parent: map, name, node: None, ..self };
        }
        let node = map.get(name);
        if let Some(node) = node {
            self.ledger.mark(node, Mark::Read);
        }
        Self { parent: map, name, node, ..self }
    }

    /// The first of these fields that is present; for fields with two names (`camelCase` and `snake_case`).
    pub fn get_either(self, one: &'static str, other: &'static str) -> Self {
        let first = self.get(one);
        if first.is_present() { first } else { self.get(other) }
    }

    /// Reports an error when the value is absent.
    pub fn required(self) -> Self {
        if !self.is_present() {
            let title = format!("`{}` is missing", self.name);
            self.ledger.report(self.parent, Finding::new(code::REQUIRED, Severity::Error, self.place(), title));
        }
        self
    }

    /// Whether there is a value that is not null. An empty list or map is present.
    pub fn is_present(self) -> bool {
        self.present().is_some()
    }

    /// Whether the field is written, be it with null.
    pub const fn is_written(self) -> bool {
        self.node.is_some()
    }

    /// Whether no error stands here or below, and every field below was read or set aside. Ask it after reading, to
    /// make an unsound deny rule deny and an unsound allow rule allow nothing.
    pub fn is_sound(self) -> bool {
        self.node.is_none_or(|node| self.ledger.is_sound(node))
    }

    /// A string.
    pub fn string(self) -> Option<&'a str> {
        let node = self.present()?;
        match &node.value {
            Value::String(text) => Some(text),
            _ => self.wrong_type("a string"),
        }
    }

    /// A string that is not empty.
    pub fn filled(self) -> Option<&'a str> {
        let text = self.string()?;
        if text.is_empty() { self.refuse(format!("`{}` is empty", self.name)) } else { Some(text) }
    }

    /// The strings of a list; what is no string is reported and left out. `None` when there is no list.
    pub fn strings(self) -> Option<Vec<&'a str>> {
        Some(self.list()?.filter_map(Self::string).collect())
    }

    /// An integer within a range.
    pub fn integer(self, range: RangeInclusive<i64>) -> Option<i64> {
        let node = self.present()?;
        let Value::Integer(number) = node.value else { return self.wrong_type("an integer") };
        if range.contains(&number) {
            return Some(number);
        }
        self.refuse(format!("`{number}` is not within {} to {}", range.start(), range.end()))
    }

    /// A TCP or UDP port, 1 to 65535.
    pub fn port(self) -> Option<u16> {
        self.integer(1..=65535).and_then(|number| u16::try_from(number).ok())
    }

    /// Any number.
    pub fn number(self) -> Option<f64> {
        let node = self.present()?;
        match node.value {
            Value::Float(number) => Some(number),
            Value::Integer(number) => Some(number as f64),
            _ => self.wrong_type("a number"),
        }
    }

    /// A truth value.
    pub fn flag(self) -> Option<bool> {
        let node = self.present()?;
        match node.value {
            Value::Bool(truth) => Some(truth),
            _ => self.wrong_type("`true` or `false`"),
        }
    }

    /// A span of time as Go and protobuf write it: `1h30m`, `0.5s`, `100ms`; rounded down to milliseconds.
    pub fn duration(self) -> Option<Millis> {
        let text = self.string()?;
        match read_duration(text) {
            Some(span) => Some(span),
            None => {
                self.refuse_with(format!("`{text}` is not a duration"), "durations look like `1h30m`, `5s`, `250ms`")
            }
        }
    }

    /// A wrapped or plain number of protobuf: `5`, or the same as a string (`"5"`), as proto JSON allows.
    pub fn proto_integer(self, range: RangeInclusive<i64>) -> Option<i64> {
        let text = match &self.present()?.value {
            Value::String(text) => text,
            _ => return self.integer(range),
        };
        match text.parse::<i64>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.refuse(format!("`{text}` is not an integer within {} to {}", range.start(), range.end())),
        }
    }

    /// An amount of a Kubernetes resource (`500m`, `2Gi`), in thousandths.
    pub fn quantity(self) -> Option<i128> {
        let node = self.present()?;
        let text: &str = match &node.value {
            Value::String(text) => text,
            Value::Integer(_) | Value::Float(_) => &node.written,
            _ => return self.wrong_type("a quantity"),
        };
        let read = number::read_quantity(text);
        if read.is_none() {
            self.refuse_with::<()>(format!("`{text}` is not a quantity"), "quantities look like `500m`, `2`, `1Gi`");
        }
        read
    }

    /// One of a few words.
    pub fn enumeration<T: Copy>(self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let all = names.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let mut finding = self.finding(code::VALUE, Severity::Error, format!("`{text}` is none of {all}"));
        if let Some(near) = nearest(text, &names) {
            finding = finding.help(format!("did you mean `{near}`?"));
            finding.fix = Some(near.into());
        }
        self.report(finding);
        None
    }

    /// An IP address.
    pub fn address(self) -> Option<IpAddr> {
        let text = self.string()?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => self.refuse(format!("`{text}` is not an IP address")),
        }
    }

    /// A CIDR block, or a single address, as Istio's `ipBlocks` have it.
    pub fn block(self) -> Option<IpNet> {
        let text = self.string()?;
        let read = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match read {
            Some(block) => Some(block.trunc()),
            None => self.refuse_with(
                format!("`{text}` is not a CIDR block"),
                "CIDR blocks look like `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`",
            ),
        }
    }

    /// The items of a list. `None` when there is none; an empty list is `Some`.
    pub fn list(self) -> Option<impl Iterator<Item = Self> + use<'a>> {
        let node = self.present()?;
        let Value::List(items) = &node.value else { return self.wrong_type("a list") };
        Some(items.iter().map(move |item| {
            self.ledger.mark(item, Mark::Read);
            Self { parent: node, name: self.name, node: Some(item), ..self }
        }))
    }

    /// The items of a list; none when it is absent or wrong.
    pub fn items(self) -> impl Iterator<Item = Self> + use<'a> {
        self.list().into_iter().flatten()
    }

    /// A map whose keys are free, such as labels. `None` when there is none; an empty map is `Some`.
    pub fn map(self) -> Option<impl Iterator<Item = (&'a str, Self)> + use<'a>> {
        let node = self.present()?;
        let Value::Map(entries) = &node.value else { return self.wrong_type("a map") };
        self.ledger.mark(node, Mark::Free);
        Some(entries.iter().map(move |entry| {
            self.ledger.mark(&entry.value, Mark::Read);
            (&*entry.key, Self { parent: node, name: self.name, node: Some(&entry.value), ..self })
        }))
    }

    /// The entries of a map with free keys; none when it is absent or wrong.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        self.map().into_iter().flatten()
    }

    /// Labels or annotations: text by text. `None` when there is no map.
    pub fn labels(self) -> Option<Labels> {
        let entries = self.map()?;
        Some(entries.filter_map(|(key, value)| Some((key.into(), value.string()?.into()))).collect())
    }

    /// Whatever stands here, read wholly, for what an engine takes as it is.
    pub fn whole(self) -> Option<&'a Node> {
        let node = self.present()?;
        self.mark_whole(node);
        Some(node)
    }

    /// Whatever stands here, looked at without being read: the fields in it stay unread.
    pub fn peek(self) -> Option<&'a Node> {
        self.present()
    }

    /// Sets the field `name` of this map aside: it is known, it has no effect here, and a note says why.
    pub fn ignored(self, name: &'static str, why: &str) {
        let Some(map) = self.present() else { return };
        self.ledger.asked(map, name);
        let Some(node) = map.get(name) else { return };
        self.ledger.mark(node, Mark::Ignored);
        let title = format!("field `{name}` is not enforced: {why}");
        let place = Place::key(self.ledger.document(), self.ledger.place(node).pointer);
        self.ledger.report(node, Finding::new(code::IGNORED, Severity::Note, place, title));
    }

    /// Sets fields aside that say nothing about the network (resources, probes, comments): recorded, without a note.
    pub fn descriptive(self, names: &[&'static str]) {
        let Some(map) = self.present() else { return };
        for name in names {
            self.ledger.asked(map, name);
            if let Some(node) = map.get(name) {
                self.ledger.mark(node, Mark::Ignored);
            }
        }
    }

    /// Sets every field of this map aside that was not asked for: for foreign formats of which only a part concerns us.
    pub fn set_rest_aside(self) {
        let Some(Value::Map(entries)) = self.present().map(|node| &node.value) else { return };
        for entry in entries {
            self.ledger.mark(&entry.value, Mark::Ignored);
        }
    }

    /// Where it stands; where it is absent, the map that lacks it.
    pub fn place(self) -> Place {
        self.ledger.place(self.node.unwrap_or(self.parent))
    }

    /// Where its key stands.
    pub fn key_place(self) -> Place {
        let place = self.place();
        if self.node.is_some() { Place::key(place.document, place.pointer) } else { place }
    }

    /// The name of this field, or of the list it is an item of.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// A finding at this place, to be completed and given to [`Cursor::report`].
    pub fn finding(self, code: Code, severity: Severity, title: impl Into<String>) -> Finding {
        Finding::new(code, severity, self.place(), title)
    }

    /// Enters a finding that belongs to this place.
    pub fn report(self, finding: Finding) {
        self.ledger.report(self.node.unwrap_or(self.parent), finding);
    }

    /// Reports a value that is not allowed; always `None`.
    pub fn refuse<T>(self, title: impl Into<String>) -> Option<T> {
        self.report(self.finding(code::VALUE, Severity::Error, title));
        None
    }

    /// Reports a value that is not allowed, and what would be; always `None`.
    pub fn refuse_with<T>(self, title: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.report(self.finding(code::VALUE, Severity::Error, title).help(help));
        None
    }

    fn present(self) -> Option<&'a Node> {
        self.node.filter(|node| node.value != Value::Null)
    }

    fn wrong_type<T>(self, wanted: &str) -> Option<T> {
        let node = self.node?;
        let what = if self.name.is_empty() { "the document".into() } else { format!("`{}`", self.name) };
        let title = format!("{what} must be {wanted}, and is {}", node.type_name());
        let mut finding = self.finding(code::TYPE, Severity::Error, title);
        if wanted == "a string" && !node.written.is_empty() {
            finding = finding.help(format!("write it in quotes: `\"{}\"`", node.written));
            finding.fix = Some(format!("\"{}\"", node.written));
        }
        self.ledger.report_type(node, finding);
        None
    }

    fn mark_whole(self, node: &Node) {
        self.ledger.mark(node, Mark::Read);
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| self.mark_whole(item)),
            Value::Map(entries) => entries.iter().for_each(|entry| self.mark_whole(&entry.value)),
            _ => {}
        }
    }
}
