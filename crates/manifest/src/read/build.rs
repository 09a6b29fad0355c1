//! Parser events to trees, within the bounds of reading.

use super::{MAX_ALIASED, MAX_DEPTH, MAX_NODES, Stop};
use crate::code;
use crate::node::{Entry, Node, Span, Style, Value};
use ringwall_model::Code;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What came of a text: the documents up to the first error that reading cannot go beyond, and the errors.
pub(super) struct Built {
    pub roots: Vec<Node>,
    pub stops: Vec<Stop>,
}

/// Builds the trees of a text. Scalars have no type yet: plain ones hold their text as [`Style::Plain`] strings.
pub(super) fn build(text: &str) -> Built {
    let mut builder = Builder { offsets: Offsets::new(text), text, ..Builder::default() };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let step = match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                let span = builder.offsets.span(text, span.start, span.end);
                builder.event(event, span)
            }
            Err(error) => Err(builder.syntax(&error)),
        };
        if let Err(stop) = step {
            builder.stops.push(stop);
            break;
        }
    }
    Built { roots: builder.roots, stops: builder.stops }
}

#[derive(Default)]
struct Builder<'t> {
    text: &'t str,
    offsets: Offsets,
    stack: Vec<Frame>,
    roots: Vec<Node>,
    stops: Vec<Stop>,
    anchors: BTreeMap<usize, Rc<(Node, usize)>>,
    nodes: usize,
    aliased: usize,
}

/// A collection that is not closed yet.
struct Frame {
    start: Span,
    anchor: usize,
    nodes: usize,
    holds: Holds,
}

enum Holds {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: BTreeSet<Box<str>>, key: Option<(Box<str>, Span)> },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), span)?;
                self.finished(node, anchor, 1)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", span)?;
                self.open(anchor, span, Holds::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", span)?;
                self.open(anchor, span, Holds::Map { entries: Vec::new(), seen: BTreeSet::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Node, Stop> {
        let mut node = Node::new(Value::String(text.into()), span);
        let plain = style == ScalarStyle::Plain;
        node.style = match tag {
            None if plain => Style::Plain,
            None => Style::Quoted,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Style::Quoted,
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Style::Quoted,
            Some(tag) if tag.is_yaml_core_schema() && plain && is_scalar_tag(&tag.suffix) => Style::Plain,
            Some(tag) => return Err(bad_tag(tag, span)),
        };
        Ok(node)
    }

    fn collection_tag(&self, tag: Option<&Tag>, fits: &str, span: Span) -> Result<(), Stop> {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == fits) => Err(bad_tag(tag, span)),
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, start: Span, holds: Holds) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(start));
        }
        if let Some(Frame { holds: Holds::Map { key: None, .. }, .. }) = self.stack.last() {
            return Err(bad_key(start));
        }
        self.stack.push(Frame { start, anchor, nodes: 1, holds });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.holds {
            Holds::List(items) => Value::List(items),
            Holds::Map { entries, seen, .. } => Value::Map(merged(entries, &seen)?),
        };
        let span = Span { start: frame.start.start, end: self.trimmed(frame.start.start, end.end) };
        self.finished(Node::new(value, span), frame.anchor, frame.nodes)
    }

    /// A block collection ends where the next token begins; what is shown ends with its last text.
    fn trimmed(&self, start: u32, end: u32) -> u32 {
        let text = self.text.get(start as usize..end as usize).unwrap_or_default();
        let mut kept = text.trim_end();
        // Comments before the next token belong to what follows.
        while let Some((before, line)) = kept.rsplit_once('\n') {
            if !line.trim_start().starts_with('#') {
                break;
            }
            kept = before.trim_end();
        }
        start.saturating_add(u32::try_from(kept.len()).unwrap_or(u32::MAX))
    }

    /// A node is complete: it goes into the collection around it, or is a document.
    fn finished(&mut self, node: Node, anchor: usize, nodes: usize) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes + self.aliased > MAX_NODES {
            let title = format!("more than {MAX_NODES} values in one file");
            return Err(Stop { code: code::SIZE, span: node.span, title, help: None });
        }
        if anchor > 0 {
            // An anchored value is kept twice, so it counts like an alias: nested anchors multiply as well.
            self.count_aliased(nodes, node.span)?;
            self.anchors.insert(anchor, Rc::new((node.clone(), nodes)));
        }
        let Some(frame) = self.stack.last_mut() else {
            // Comments between two `---` are no document.
            if !(node.style == Style::Plain && node.value == Value::String("".into())) {
                self.roots.push(node);
            }
            return Ok(());
        };
        frame.nodes += nodes;
        match &mut frame.holds {
            Holds::List(items) => items.push(node),
            Holds::Map { entries, seen, key } => match key.take() {
                Some((key, key_span)) => entries.push(Entry { key, key_span, value: node }),
                None => {
                    let Value::String(text) = node.value else { return Err(bad_key(node.span)) };
                    if !seen.insert(text.clone()) && &*text != "<<" {
                        return Err(duplicate(&text, node.span));
                    }
                    *key = Some((text, node.span));
                }
            },
        }
        // The counts of the frames around grow when this one closes.
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(kept) = self.anchors.get(&anchor).map(Rc::clone) else {
            let title = "alias of an anchor that is not complete".into();
            let help = Some("a value cannot contain itself".into());
            return Err(Stop { code: code::ALIAS, span, title, help });
        };
        let (node, nodes) = &*kept;
        self.count_aliased(*nodes, span)?;
        let mut copy = node.clone();
        copy.span = span;
        if self.stack.len() + depth(&copy) > MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.finished(copy, 0, *nodes)
    }

    fn count_aliased(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.aliased = self.aliased.saturating_add(nodes);
        if self.aliased <= MAX_ALIASED {
            return Ok(());
        }
        let title = format!("aliases of this file stand for more than {MAX_ALIASED} values");
        Err(Stop { code: code::ALIAS, span, title, help: Some("write the values out, or in several files".into()) })
    }

    fn syntax(&self, error: &ScanError) -> Stop {
        let told = self.offsets.byte(self.text, error.marker().index());
        // The parser complains after the white space in which the tab stands.
        let before = self.text.get(..told as usize).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let indent = before.get(line..).filter(|indent| indent.trim().is_empty()).and_then(|indent| indent.find('\t'));
        let start = indent.map_or(told, |at| u32::try_from(line + at).unwrap_or(told));
        let rest = self.text.get(start as usize..).unwrap_or_default();
        let end =
            start.saturating_add(rest.chars().next().map_or(0, |c| if c == '\n' { 0 } else { c.len_utf8() as u32 }));
        // The parser has a limit of its own, and looks ahead.
        if error.info().contains("recursion limit") {
            return too_deep(Span { start, end });
        }
        let tab = rest.starts_with('\t');
        let title = if tab { "a tab where YAML wants spaces".into() } else { error.info().trim().to_owned() };
        let help = tab.then(|| "indent with spaces".to_owned()).or_else(|| advice(error.info()));
        Stop { code: code::SYNTAX, span: Span { start, end }, title, help }
    }
}

/// What would be right, for the parser's more common complaints.
fn advice(info: &str) -> Option<String> {
    let advice = match info {
        _ if info.contains("mapping values are not allowed") => "put a text that holds `: ` in quotes",
        _ if info.contains("did not find expected key") => "keys of one map begin in the same column",
        _ if info.contains("simple key expect") => "a key is followed by `:`",
        _ if info.contains("block collection") => "items of one list begin in the same column",
        _ if info.contains("unexpected end of stream") || info.contains("quoted scalar") => "close the quotes",
        _ if info.contains("flow sequence") => "a list that begins with `[` ends with `]`, with `,` between its items",
        _ if info.contains("flow mapping") => "a map that begins with `{` ends with `}`, with `,` between its keys",
        _ if info.contains("anchor") || info.contains("alias") => "an alias `*name` follows its anchor `&name`",
        _ => return None,
    };
    Some(advice.into())
}

fn too_deep(span: Span) -> Stop {
    let help = Some("no manifest needs so many; look for a bracket that is not closed".into());
    Stop { code: code::DEPTH, span, title: format!("nested more than {MAX_DEPTH} levels deep"), help }
}

fn is_scalar_tag(suffix: &str) -> bool {
    matches!(suffix, "int" | "float" | "bool" | "null")
}

fn bad_tag(tag: &Tag, span: Span) -> Stop {
    let shown =
        if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { format!("{}{}", tag.handle, tag.suffix) };
    let help = Some("take the tag out; manifests have no use for it".into());
    Stop { code: code::TAG, span, title: format!("tag `{shown}` has no meaning here"), help }
}

fn bad_key(span: Span) -> Stop {
    let title = "a key must be a text, and is a list or a map".into();
    // `{{ value }}` is the usual cause: a template that was not rendered.
    let help = Some("if this is a template (`{{ … }}`), render it first, or put it in quotes".into());
    Stop { code: code::KEY, span, title, help }
}

fn duplicate(key: &str, span: Span) -> Stop {
    let title = format!("key `{key}` stands twice in this map");
    Stop { code: code::DUPLICATE_KEY, span, title, help: Some("keep one of them".into()) }
}

/// Puts merge keys (`<<`, YAML 1.1) into the map: what stands in the map itself wins, then the first of the merged.
fn merged(entries: Vec<Entry>, seen: &BTreeSet<Box<str>>) -> Result<Vec<Entry>, Stop> {
    if !seen.contains("<<") {
        return Ok(entries);
    }
    let mut have: BTreeSet<Box<str>> = seen.clone();
    let mut kept = Vec::new();
    let mut added = Vec::new();
    for entry in entries {
        if &*entry.key != "<<" {
            kept.push(entry);
            continue;
        }
        let wrong = Stop {
            code: Code(code::SYNTAX.0),
            span: entry.value.span,
            title: "`<<` merges a map or a list of maps".into(),
            help: None,
        };
        let maps = match entry.value.value {
            Value::Map(entries) => vec![entries],
            Value::List(items) => {
                let maps =
                    items.into_iter().map(|item| if let Value::Map(map) = item.value { Some(map) } else { None });
                let Some(maps) = maps.collect() else { return Err(wrong) };
                maps
            }
            _ => return Err(wrong),
        };
        for entry in maps.into_iter().flatten() {
            if have.insert(entry.key.clone()) {
                added.push(entry);
            }
        }
    }
    kept.extend(added);
    Ok(kept)
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or_default(),
        _ => 0,
    }
}

/// The parser counts characters; spans count bytes. The byte of every 64th character bridges the two.
#[derive(Default)]
struct Offsets {
    ascii: bool,
    every: Vec<u32>,
}

impl Offsets {
    const STEP: usize = 64;

    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self { ascii: true, every: Vec::new() };
        }
        let every = text.char_indices().step_by(Self::STEP).map(|(byte, _)| byte as u32).collect();
        Self { ascii: false, every }
    }

    fn byte(&self, text: &str, character: usize) -> u32 {
        let length = text.len() as u32;
        if self.ascii {
            return u32::try_from(character).unwrap_or(length).min(length);
        }
        let Some(near) = self.every.get(character / Self::STEP) else { return length };
        let rest = text.get(*near as usize..).unwrap_or_default();
        rest.char_indices().nth(character % Self::STEP).map_or(length, |(byte, _)| near + byte as u32)
    }

    fn span(&self, text: &str, start: Marker, end: Marker) -> Span {
        Span { start: self.byte(text, start.index()), end: self.byte(text, end.index()) }
    }
}
