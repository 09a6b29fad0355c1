//! Positive security for an API: what its OpenAPI document declares passes, nothing else.
//!
//! In: a document (OpenAPI 3.0 or 3.1) as a JSON tree; then requests. Out: the operation that a request is, or a
//! [`Misfit`] that names operation and place. Never: a request that is taken because a part of the document was not
//! understood: what cannot be read is a [`Note`], and where it decides, nothing fits. Start reading at [`OpenApi::read`],
//! then [`OpenApi::head`] and [`OpenApi::body`].
//!
//! Judged: methods, paths with parameters, query, header, cookie and path parameters with their schemas, required bodies,
//! media types, JSON and form bodies by a subset of JSON Schema (see `openapi/schema.rs`). A query parameter that is not
//! declared is a misfit; header fields and cookies that are not declared pass, since browsers and proxies add them.
//! Not judged: security schemes (the gateway's), responses, callbacks, multipart parts beyond the media type.

mod check;
mod format;
mod json;
mod parameter;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use crate::body::urlencoded;
use schema::{SchemaId, Schemas};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A document, lowered.
#[derive(Debug)]
pub struct OpenApi {
    /// Path prefixes of its servers, at least one, without a trailing `/`.
    bases: Vec<String>,
    /// The most concrete first.
    paths: Vec<Path>,
    schemas: Schemas,
}

/// A part of the document that is not read, or that no request can fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// JSON pointer to it.
    pub pointer: String,
    /// What becomes of it, one sentence.
    pub what: String,
    /// Whether a part that decides was wrong, so that nothing fits it.
    pub is_fault: bool,
}

/// Why a request does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The operation, when the path and method are one's: `getOrder`, else `GET /orders/{id}`.
    pub operation: Option<Box<str>>,
    /// Where in the request: `query limit`, or a JSON pointer into the body, `body /items/0/price`.
    pub place: String,
    /// What is wrong, one sentence.
    pub what: String,
    /// 404, 405, 415 or 400.
    pub status: u16,
}

/// An operation that a request's head fits.
#[derive(Clone, Copy, Debug)]
pub struct Fitting<'a> {
    operation: &'a Operation,
}

impl Fitting<'_> {
    /// Its `operationId`, else method and path.
    pub fn name(&self) -> &str {
        &self.operation.name
    }
}

#[derive(Debug)]
struct Path {
    template: String,
    segments: Vec<Segment>,
    operations: BTreeMap<Box<str>, Operation>,
}

/// Names of path parameters with their decoded values.
type PathValues<'a> = Vec<(&'a str, Vec<u8>)>;

#[derive(Debug)]
enum Segment {
    Fixed(Vec<u8>),
    /// Text before, the parameter's name, text after.
    Parameter(Vec<u8>, Box<str>, Vec<u8>),
}

#[derive(Debug)]
struct Operation {
    name: Box<str>,
    parameters: Vec<Parameter>,
    body: Option<Body>,
}

#[derive(Debug)]
struct Parameter {
    name: Box<str>,
    place: Place,
    required: bool,
    form: Form,
    schema: Option<SchemaId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a parameter's value is written (OpenAPI 3.1, "Style Values").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One text; an array by repetition.
    Repeated,
    /// An array between these bytes.
    Separated(u8),
    /// `name[key]=value`.
    Deep,
    /// The value is JSON.
    Json,
    /// It cannot be read: no value fits.
    Unreadable,
}

#[derive(Debug)]
struct Body {
    required: bool,
    /// Media types or ranges, lower case, with the schema of their content.
    media: Vec<(Box<str>, Option<SchemaId>)>,
}

/// One schema by itself, for `@validateSchema`.
#[derive(Debug)]
pub(crate) struct Standalone {
    schemas: Schemas,
    root: SchemaId,
}

impl Standalone {
    /// Reads a JSON Schema. The error is the first part that cannot be read, or is not judged: a rule means all of it.
    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let document: serde_json::Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut reader = schema::Reader::new(&document);
        let root = reader.schema(&document, "");
        match reader.notes.into_iter().next() {
            Some(note) => Err(format!("{}: {}", note.pointer, note.what)),
            None => Ok(Self { schemas: reader.schemas, root }),
        }
    }

    /// Whether a text is JSON that fits.
    pub(crate) fn fits(&self, text: &[u8]) -> bool {
        json::read(text).is_ok_and(|value| check::judge(&self.schemas, self.root, &value).is_ok())
    }
}

/// The head of a request as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method as sent.
    pub method: &'a [u8],
    /// Target as sent, with its query.
    pub target: &'a [u8],
}

impl OpenApi {
    /// Reads a document.
    ///
    /// # Errors
    /// A sentence, when it is no OpenAPI 3.0 or 3.1 document, or holds more than the engine takes.
    pub fn read(document: &serde_json::Value) -> Result<(Self, Vec<Note>), String> {
        read::read(document)
    }

    /// The operations: method, path and name.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.paths.iter().flat_map(|path| {
            path.operations.iter().map(|(method, one)| (&**method, path.template.as_str(), &*one.name))
        })
    }

    /// The operation whose path, method and parameters a request fits.
    ///
    /// # Errors
    /// A [`Misfit`].
    pub fn head<'a>(
        &self,
        asked: Asked<'_>,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<Fitting<'_>, Misfit> {
        let none = |what: &str, status| Misfit { operation: None, place: "path".into(), what: what.into(), status };
        let target = asked.target;
        let question = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) =
            (target.get(..question).unwrap_or_default(), target.get(question + 1..).unwrap_or_default());
        let Some((found, values)) = self.find(path) else {
            return Err(none("the document declares no such path", 404));
        };
        let method = String::from_utf8_lossy(asked.method);
        let operation = found.operations.get(&*method);
        let operation = operation.ok_or_else(|| Misfit {
            place: "method".into(),
            ..none(&format!("`{}` declares no {}", found.template, shown(&method)), 405)
        })?;
        let judged = parameter::judge(&self.schemas, operation, &values, query, fields);
        judged.map_err(|(place, what)| Misfit { operation: Some(operation.name.clone()), place, what, status: 400 })?;
        Ok(Fitting { operation })
    }

    /// Whether a whole body fits the operation.
    ///
    /// # Errors
    /// A [`Misfit`].
    pub fn body(&self, fitting: Fitting<'_>, content_type: &[u8], body: &[u8]) -> Result<(), Misfit> {
        let operation = fitting.operation;
        let misfit = |place: String, what: String, status| Misfit {
            operation: Some(operation.name.clone()),
            place,
            what,
            status,
        };
        let Some(declared) = &operation.body else {
            let fits = body.is_empty();
            return if fits {
                Ok(())
            } else {
                Err(misfit("body".into(), "the operation declares no body".into(), 400))
            };
        };
        if body.is_empty() {
            let fits = !declared.required;
            return if fits { Ok(()) } else { Err(misfit("body".into(), "the operation requires a body".into(), 400)) };
        }
        let media = String::from_utf8_lossy(crate::body::media_type(content_type)).to_ascii_lowercase();
        let Some((_, schema)) = declared.media.iter().find(|(range, _)| in_range(&media, range)) else {
            let what = format!("the operation declares no body of type {}", shown(&media));
            return Err(misfit("content-type".into(), what, 415));
        };
        let is_json = media == "application/json" || media.ends_with("+json");
        let is_form = media == "application/x-www-form-urlencoded";
        if !is_json && !is_form {
            return Ok(());
        }
        // JSON is read whether or not it has a schema: a body that is not what it says fits nothing.
        let content = if is_json { json::read(body) } else { form(&self.schemas, *schema, body) };
        let content = content.map_err(|what| misfit("body".into(), what, 400))?;
        let Some(schema) = schema else { return Ok(()) };
        let judged = check::judge(&self.schemas, *schema, &content);
        judged.map_err(|(pointer, what)| misfit(format!("body {pointer}").trim_end().to_owned(), what, 400))
    }

    /// The first path that fits, with the decoded values of its parameters.
    fn find(&self, path: &[u8]) -> Option<(&Path, PathValues<'_>)> {
        self.bases.iter().find_map(|base| {
            let rest = path.strip_prefix(base.as_bytes())?.strip_prefix(b"/")?;
            let segments: Vec<Vec<u8>> = rest.split(|byte| *byte == b'/').map(decoded).collect();
            self.paths.iter().find_map(|declared| Some((declared, declared.fits(&segments)?)))
        })
    }
}

impl Path {
    fn fits(&self, given: &[Vec<u8>]) -> Option<PathValues<'_>> {
        if given.len() != self.segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (segment, given) in self.segments.iter().zip(given) {
            match segment {
                Segment::Fixed(text) if text == given => {}
                Segment::Fixed(_) => return None,
                Segment::Parameter(before, name, after) => {
                    let value = given.strip_prefix(before.as_slice())?.strip_suffix(after.as_slice())?;
                    // An empty value, a dot segment or a separator is another path to whoever normalizes it.
                    if value.is_empty()
                        || matches!(given.as_slice(), b"." | b"..")
                        || value.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0))
                    {
                        return None;
                    }
                    values.push((&**name, value.to_vec()));
                }
            }
        }
        Some(values)
    }
}

/// Percent-decoded (RFC 3986 section 2.1); a broken escape stays.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    urlencoded::decode_path(text, &mut out);
    out
}

/// Whether a media type lies in a range such as `application/*`.
fn in_range(media: &str, range: &str) -> bool {
    match range.strip_suffix('*') {
        Some("*/") => true,
        Some(start) => media.starts_with(start),
        None => media == range,
    }
}

/// A form as an object of texts, each of the type that its property has; a name given twice is an array.
fn form(schemas: &Schemas, schema: Option<SchemaId>, body: &[u8]) -> Result<serde_json::Value, String> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in parameter::pairs(body) {
        let text = |bytes| String::from_utf8(bytes).map_err(|_| "the form is not UTF-8".to_owned());
        fields.entry(text(name)?).or_default().push(text(value)?);
    }
    let typed = |(name, values): (String, Vec<String>)| {
        let property = schema.and_then(|schema| schemas.property(schema, &name));
        let value = parameter::typed(schemas, property, &values).unwrap_or_else(|| values.clone().into());
        (name, value)
    };
    Ok(serde_json::Value::Object(fields.into_iter().map(typed).collect()))
}

/// A text of a request for a sentence: bounded, on one line.
fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= 60 && text.chars().all(|c| !c.is_control()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect())
}
