//! Cross-origin resource sharing of a route.
//!
//! In: a [`Cors`] policy, a call. Out: the answer to a preflight, or fields for the response. Never: a refusal; the
//! browser refuses. Follows the Fetch standard as Envoy's CORS filter does.

use super::matching::StringMatch;
use bytes::Bytes;
use ringwall_model::{Call, FieldEdit, Millis, Reply};

/// A policy.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Origins that are allowed.
    pub origins: Vec<StringMatch>,
    /// `access-control-allow-methods`.
    pub methods: Option<Bytes>,
    /// `access-control-allow-headers`.
    pub headers: Option<Bytes>,
    /// `access-control-expose-headers`.
    pub expose: Option<Bytes>,
    /// `access-control-max-age`, in whole seconds.
    pub max_age: Option<Millis>,
    /// Whether credentials may be sent.
    pub credentials: Credentials,
    /// What becomes of a preflight of another origin.
    pub unmatched: Unmatched,
}

/// Whether a browser may send credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// `access-control-allow-credentials: true`.
    Allowed,
}

/// What becomes of a preflight whose origin is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// It goes to the application.
    #[default]
    Forward,
    /// It is answered without any permission.
    Answer,
}

/// What the policy makes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: no origin, or one that is not allowed.
    Nothing,
    /// The call goes on, and the response gets these fields.
    Fields(Vec<FieldEdit>),
    /// The preflight is answered.
    Preflight(Reply),
}

/// Judges a call.
pub fn judge(cors: &Cors, call: &Call) -> Answer {
    let Some(origin) = call.fields.first("origin").filter(|origin| !origin.is_empty()) else { return Answer::Nothing };
    let asked = call.fields.first("access-control-request-method").is_some_and(|method| !method.is_empty());
    let preflight = asked && &*call.method == b"OPTIONS";
    if !cors.origins.iter().any(|allowed| allowed.matches(origin)) {
        return match (preflight, cors.unmatched) {
            (true, Unmatched::Answer) => Answer::Preflight(empty(Vec::new())),
            _ => Answer::Nothing,
        };
    }
    if preflight { Answer::Preflight(empty(permissions(cors, origin))) } else { Answer::Fields(response(cors, origin)) }
}

fn empty(fields: Vec<(&'static str, Bytes)>) -> Reply {
    Reply::Http { status: 200, fields, body: Bytes::new() }
}

fn permissions(cors: &Cors, origin: &Bytes) -> Vec<(&'static str, Bytes)> {
    let mut fields = vec![("access-control-allow-origin", origin.clone())];
    if cors.credentials == Credentials::Allowed {
        fields.push(("access-control-allow-credentials", Bytes::from_static(b"true")));
    }
    fields.extend(cors.methods.clone().map(|methods| ("access-control-allow-methods", methods)));
    fields.extend(cors.headers.clone().map(|headers| ("access-control-allow-headers", headers)));
    fields.extend(cors.max_age.map(|age| ("access-control-max-age", (age.0 / 1000).to_string().into())));
    fields
}

fn response(cors: &Cors, origin: &Bytes) -> Vec<FieldEdit> {
    let set = |name: &'static [u8], value: Bytes| FieldEdit::Set(Bytes::from_static(name), value);
    let mut edits = vec![set(b"access-control-allow-origin", origin.clone())];
    if cors.credentials == Credentials::Allowed {
        edits.push(set(b"access-control-allow-credentials", Bytes::from_static(b"true")));
    }
    edits.extend(cors.expose.clone().map(|expose| set(b"access-control-expose-headers", expose)));
    edits
}
