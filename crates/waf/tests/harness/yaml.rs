//! YAML as the case files use it: mappings, sequences, scalars.

use saphyr_parser::{Event, Parser};

/// A node of a document.
#[derive(Clone, Debug)]
pub enum Node {
    /// A scalar, whatever its style.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in its order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The first document; `None` when there is none or it cannot be read.
    pub fn read(text: &str) -> Option<Self> {
        let mut events = Parser::new_from_str(text).filter_map(|event| event.ok().map(|(event, _)| event));
        node(&mut events, None)
    }

    /// A member of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a scalar member.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Self::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The members of a sequence member, or the scalar alone.
    pub fn list(&self, key: &str) -> &[Self] {
        match self.get(key) {
            Some(Self::List(items)) => items,
            Some(single) => std::slice::from_ref(single),
            None => &[],
        }
    }

    /// The text of a scalar.
    pub fn as_text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }
}

fn node<'a>(events: &mut impl Iterator<Item = Event<'a>>, first: Option<Event<'a>>) -> Option<Node> {
    let mut next = first;
    loop {
        match next.take().or_else(|| events.next())? {
            Event::Scalar(text, ..) => return Some(Node::Text(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match events.next()? {
                        Event::SequenceEnd => return Some(Node::List(items)),
                        event => items.push(node(events, Some(event))?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut members = Vec::new();
                loop {
                    match events.next()? {
                        Event::MappingEnd => return Some(Node::Map(members)),
                        event => {
                            let key = node(events, Some(event))?.as_text().to_owned();
                            members.push((key, node(events, None)?));
                        }
                    }
                }
            }
            Event::StreamEnd | Event::DocumentEnd => return None,
            _ => {}
        }
    }
}
