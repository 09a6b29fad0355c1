//! Request bodies to variables.
//!
//! In: the body and what it claims to be. Out: `ARGS`, `FILES`, `XML`, `REQUEST_BODY`, error flags. Never: a body that
//! is taken in part without saying so: what cannot be read sets `REQBODY_ERROR`. Start reading at [`read`].

mod binary;
pub mod coding;
mod graphql;
mod grpc;
pub(crate) mod json;
mod multipart;
pub(crate) mod urlencoded;
pub(crate) mod xml;

use crate::Rules;
use crate::configuration::Access;
use crate::state::{Entry, State};
use crate::text::TextId;
use crate::variable::Variable as V;

/// How a body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Processor {
    #[default]
    None,
    UrlEncoded,
    Multipart,
    Json,
    Xml,
    GraphQl,
    Grpc,
    /// One message of a stream (WebSocket, server-sent events): JSON when it begins so, else one text.
    Message,
    /// One that is not text: the texts in it.
    Binary,
}

impl Processor {
    /// By the name that rules use.
    pub fn named(name: &str) -> Option<Self> {
        // Ringwall's own.
        if name.eq_ignore_ascii_case("GRAPHQL") {
            return Some(Self::GraphQl);
        }
        if name.eq_ignore_ascii_case("GRPC") {
            return Some(Self::Grpc);
        }
        const ALL: [Processor; 4] = [Processor::UrlEncoded, Processor::Multipart, Processor::Json, Processor::Xml];
        ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// The name that rules use; empty for none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::UrlEncoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            // To rules they are JSON: their values are arguments, and nobody forces `REQUEST_BODY` on them.
            Self::Json | Self::GraphQl | Self::Grpc | Self::Message | Self::Binary => "JSON",
            Self::Xml => "XML",
        }
    }

    /// By media type. JSON and XML too, which ModSecurity leaves to rules that everybody has.
    pub fn of(media: &[u8]) -> Self {
        let is = |known: &[u8]| media.eq_ignore_ascii_case(known);
        let ends = |known: &[u8]| {
            media.len() >= known.len()
                && media.get(media.len() - known.len()..).is_some_and(|end| end.eq_ignore_ascii_case(known))
        };
        if is(b"application/x-www-form-urlencoded") {
            Self::UrlEncoded
        } else if is(b"multipart/form-data") {
            Self::Multipart
        } else if grpc::is_plain(media) || grpc::is_web(media) {
            Self::Grpc
        } else if is(b"application/json") || ends(b"+json") || is(b"text/json") {
            Self::Json
        } else if is(b"text/xml") || is(b"application/xml") || ends(b"+xml") {
            Self::Xml
        } else {
            Self::None
        }
    }
}

/// The media type of a `Content-Type`, without parameters and white space.
pub(crate) fn media_type(content_type: &[u8]) -> &[u8] {
    let end = content_type.iter().position(|byte| matches!(byte, b';' | b',')).unwrap_or(content_type.len());
    content_type.get(..end).unwrap_or_default().trim_ascii()
}

/// Reads the body that was kept, by the processor in force.
///
/// # Errors
/// A body that is coded in a way that cannot be undone, or too long once it is: nothing of it was judged.
pub(crate) fn read(rules: &Rules, limit: usize, state: &mut State) -> Result<(), &'static str> {
    let mut body = std::mem::take(&mut state.request_body);
    // A message of a stream is no body: its call's head promised none, and no coding of one.
    let is_message = matches!(state.processor, Processor::Message | Processor::Binary);
    if !is_message {
        state.set_number(V::RequestBodyLength, state.request_body_seen.max(body.len() as u64));
    }
    if state.request_access == Access::On
        && !body.is_empty()
        && !is_message
        && let Some(decoded) = decoded(&body, limit, state)
    {
        match decoded {
            Ok(decoded) => body = decoded,
            Err(why) => {
                fault(state, why);
                totals(rules, state);
                return Err(why);
            }
        }
    }
    // What was read of it is among the texts; only the audit log may want to show its beginning.
    let shown = if rules.may_show_bodies() { crate::audit::BODY } else { 0 };
    let shown = body.get(..shown).unwrap_or(&body).to_vec();
    if state.request_access == Access::On && !body.is_empty() {
        let length = body.len();
        state.will_read(length);
        let has_body = matches!(state.processor, Processor::UrlEncoded | Processor::Binary);
        let is_asked = has_body || state.force_body == Access::On;
        let read = match state.processor {
            Processor::None => Ok(()),
            Processor::UrlEncoded => {
                urlencoded::read(rules.configuration.separator, rules.configuration.arguments, &body, state);
                Ok(())
            }
            Processor::Multipart => multipart::read(rules, &body, state),
            Processor::Json => json(rules, &mut body, is_asked, state),
            Processor::Xml => xml::read(rules, &body, state),
            Processor::GraphQl => {
                let read = json(rules, &mut body, is_asked, state);
                read.and_then(|()| graphql::read(rules.configuration.arguments, state))
            }
            Processor::Grpc => grpc::read(rules, limit, &body, state),
            Processor::Message => message(rules, &body, state),
            Processor::Binary => binary::read(rules, &body, state),
        };
        if let Err(why) = read {
            fault(state, why);
        }
        if is_asked {
            state.set(V::RequestBody, &body);
        }
        state.has_read(length, body.len() + shown.len());
    }
    state.request_body = shown;
    totals(rules, state);
    Ok(())
}

/// The body without its content codings; `None`: it has none.
fn decoded(body: &[u8], limit: usize, state: &State) -> Option<Result<Vec<u8>, &'static str>> {
    let codings = codings(state, V::RequestHeaders);
    let media = media_type(state.texts.bytes(state.content_type));
    if state.processor == Processor::Grpc && !grpc::is_web(media) && !codings.is_empty() {
        // Messages of gRPC are compressed each for itself: its servers would not undo this (gRPC over HTTP/2).
        return Some(Err(coding::UNKNOWN));
    }
    coding::decode(&codings, body, limit, coding::Beyond::Refuse)
}

/// Reads JSON; the body is used up unless somebody asks for it.
fn json(rules: &Rules, body: &mut Vec<u8>, is_asked: bool, state: &mut State) -> Result<(), &'static str> {
    json::read(rules, if is_asked { body.clone() } else { std::mem::take(body) }, state)
}

/// The values of all `Content-Encoding` fields.
pub(crate) fn codings(state: &State, fields: V) -> Vec<u8> {
    let named = |entry: &&Entry| state.texts.bytes(entry.name).eq_ignore_ascii_case(b"content-encoding");
    let values = state.list(fields).iter().filter(named).map(|entry| state.texts.bytes(entry.value));
    values.collect::<Vec<_>>().join(&b',')
}

/// One message: JSON, or a text that is the argument `message`.
fn message(rules: &Rules, body: &[u8], state: &mut State) -> Result<(), &'static str> {
    if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) && json::read(rules, body.to_vec(), state).is_ok() {
        return Ok(());
    }
    let (name, value) = (state.texts.keep(b"message"), state.texts.keep(body));
    argument(state, rules.configuration.arguments, name, value)
}

/// Notes that the body could not be read.
pub(crate) fn fault(state: &mut State, why: &'static str) {
    state.faults.push(why);
    for (flag, text) in [(V::ReqbodyError, V::ReqbodyErrorMsg), (V::ReqbodyProcessorError, V::ReqbodyProcessorErrorMsg)]
    {
        state.set(flag, b"1");
        state.set(text, why.as_bytes());
    }
}

/// Adds an argument of the body.
fn argument(state: &mut State, most: usize, name: TextId, value: TextId) -> Result<(), &'static str> {
    if state.list(V::Args).len() >= most {
        return Err("too many arguments");
    }
    state.push(V::Args, name, value);
    Ok(())
}

fn totals(rules: &Rules, state: &mut State) {
    let length = |id: TextId| state.texts.text(id).map_or(0, |text| u64::from(text.length));
    if rules.use_of(V::ArgsCombinedSize) {
        let sum = state.list(V::Args).iter().map(|entry| length(entry.name) + length(entry.value)).sum();
        state.set_number(V::ArgsCombinedSize, sum);
    }
    if rules.use_of(V::FilesCombinedSize) {
        let sizes = state.list(V::FilesSizes).iter();
        let sum = sizes.map(|entry| crate::operator::number(state.texts.bytes(entry.value)).unsigned_abs()).sum();
        state.set_number(V::FilesCombinedSize, sum);
    }
}
