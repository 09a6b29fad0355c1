//! XPath 1.0, the part that rules use as a selector of `XML`: child (`/`) and descendant (`//`) steps with a name, a
//! prefixed name, `*` or `prefix:*`, and at the end an element, `@name`, `@*` or `text()`.
//!
//! In: an expression, the prefixes that the rule binds (`xmlns`). Out: a [`Path`], matched step by step while a body is
//! read. Never: predicates, functions, other axes: a rule that needs one is an error when it is loaded.

/// So many steps a path may have: a set of them is one word.
const MOST: usize = 60;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    steps: Vec<Step>,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    axis: Axis,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Child,
    Descendant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The text of the element and all in it.
    Element,
    /// Each piece of text directly in the element.
    Text(Axis),
    Attribute(Axis, Test),
}

/// What a name must be; `None`: any.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    /// URI of the namespace; empty: none.
    space: Option<Box<str>>,
    local: Option<Box<str>>,
}

/// A name in a document: URI of its namespace (empty: none), local part.
pub(crate) type Name<'a> = (&'a [u8], &'a [u8]);

/// How far a path has come: which steps match ending at this element, and at it or one around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    here: u64,
    around: u64,
}

impl Reach {
    /// Before the first element.
    pub const START: Self = Self { here: 1, around: 1 };
}

impl Path {
    /// Reads an expression; `spaces` are the prefixes with their URIs.
    pub fn read(text: &str, spaces: &[(String, String)]) -> Result<Self, String> {
        let wrong = |what: &str| format!("XPath `{text}`: {what}");
        let mut rest = text.trim();
        let (mut steps, mut end) = (Vec::new(), End::Element);
        while !rest.is_empty() {
            let (axis, after) = match (rest.strip_prefix("//"), rest.strip_prefix('/')) {
                (Some(after), _) => (Axis::Descendant, after),
                (None, Some(after)) => (Axis::Child, after),
                (None, None) => return Err(wrong("it must begin with `/` or `//`")),
            };
            let length = after.find('/').unwrap_or(after.len());
            let (part, left) = after.split_at_checked(length).unwrap_or((after, ""));
            rest = left;
            if part == "text()" || part.starts_with('@') {
                if !rest.is_empty() {
                    return Err(wrong("an attribute or `text()` ends a path"));
                }
                end = match part.strip_prefix('@') {
                    Some(name) => End::Attribute(axis, Test::read(name, spaces).map_err(|what| wrong(&what))?),
                    None => End::Text(axis),
                };
                break;
            }
            steps.push(Step { axis, test: Test::read(part, spaces).map_err(|what| wrong(&what))? });
        }
        if steps.len() > MOST || (steps.is_empty() && end == End::Element) {
            return Err(wrong("it needs at least one step, and at most 60"));
        }
        Ok(Self { steps, end })
    }

    /// The reach at an element, from that of the element around it.
    pub fn step(&self, around: Reach, name: Name<'_>) -> Reach {
        let mut here = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let from = if step.axis == Axis::Child { around.here } else { around.around };
            if from >> index & 1 == 1 && step.test.fits(name) {
                here |= 1 << (index + 1);
            }
        }
        Reach { here, around: around.around | here }
    }

    fn done(&self, reach: Reach, axis: Axis) -> bool {
        let set = if axis == Axis::Child { reach.here } else { reach.around };
        set >> self.steps.len() & 1 == 1
    }

    /// Whether the element is what the path names.
    pub fn is_element(&self, reach: Reach) -> bool {
        self.end == End::Element && self.done(reach, Axis::Child)
    }

    /// Whether text directly in the element is.
    pub fn is_text(&self, reach: Reach) -> bool {
        matches!(self.end, End::Text(axis) if self.done(reach, axis))
    }

    /// Whether an attribute of the element is.
    pub fn is_attribute(&self, reach: Reach, name: Name<'_>) -> bool {
        matches!(&self.end, End::Attribute(axis, test) if self.done(reach, *axis) && test.fits(name))
    }
}

impl Test {
    fn read(text: &str, spaces: &[(String, String)]) -> Result<Self, String> {
        let (prefix, local) = match text.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, text),
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if local != "*" && (local.is_empty() || !local.chars().all(plain)) {
            return Err(format!("`{text}` is no name; predicates, functions and axes are not read"));
        }
        let space = match prefix {
            // `*` is any element; a name without a prefix is one without a namespace.
            None => (local != "*").then(Box::default),
            Some(prefix) => {
                let found = spaces.iter().find(|(known, _)| known == prefix);
                let (_, uri) = found.ok_or_else(|| format!("nothing binds the prefix `{prefix}` (action `xmlns`)"))?;
                Some(uri.as_str().into())
            }
        };
        Ok(Self { space, local: (local != "*").then(|| local.into()) })
    }

    fn fits(&self, (space, local): Name<'_>) -> bool {
        self.space.as_ref().is_none_or(|wanted| wanted.as_bytes() == space)
            && self.local.as_ref().is_none_or(|wanted| wanted.as_bytes() == local)
    }
}
