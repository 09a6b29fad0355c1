//! One request and its response, phase by phase, in slices of work.
//!
//! In: heads and bodies as bytes. Out: [`Progress`] of each phase, then a [`Report`]. The caller calls the phases in
//! order; a phase that yields is called again. `Send`: it may move to another thread between two calls.
//! Start reading at [`Transaction::head`].

use crate::audit::{self, AuditFormat};
use crate::body;
use crate::bot;
use crate::collections::Collections;
use crate::configuration::{Access, Engine, Overflow};
use crate::fill;
use crate::judge::Run;
use crate::report::{self, Interruption, Report};
use crate::state::{State, Value};
use crate::variable::Variable;
use crate::{Profile, Waf};
use ringwall_model::{Call, Version};
use std::net::SocketAddr;
use std::sync::Arc;

/// How much work one call may do; about one unit a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuel(pub u64);

impl Fuel {
    /// As much as it takes.
    pub const ENDLESS: Self = Self(u64::MAX);
    /// About half a millisecond.
    pub const SLICE: Self = Self(500_000);
}

/// How a phase went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done and nothing refuses.
    Pass,
    /// Out of fuel; call the phase again.
    Yield,
    /// The transaction is refused: see [`Transaction::interruption`].
    Interrupt,
}

/// What becomes of a part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRoom {
    /// It was kept, more may follow.
    More,
    /// The body is not (or no longer) judged; the rest may pass.
    Full,
    /// The body is longer than its limit and the transaction is refused.
    Refuse,
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The request line as it came, without its line end.
    pub line: &'a [u8],
    /// Method.
    pub method: &'a [u8],
    /// Target as sent.
    pub target: &'a [u8],
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
    /// Who sends.
    pub client: SocketAddr,
    /// The local end.
    pub server: SocketAddr,
    /// Names the request in logs.
    pub id: &'a str,
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Status code.
    pub status: u16,
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
}

/// One request and its response.
#[derive(Debug)]
pub struct Transaction {
    waf: Arc<Waf>,
    profile: Arc<Profile>,
    /// Always there until the transaction is dropped.
    state: Option<Box<State>>,
    /// Whether the body that belongs to a phase was read.
    request_read: bool,
    response_read: bool,
    is_event: bool,
}

impl Transaction {
    pub(crate) fn new(waf: Arc<Waf>, profile: Arc<Profile>, state: Box<State>) -> Self {
        Self { waf, profile, state: Some(state), request_read: false, response_read: false, is_event: false }
    }

    /// Gives the transaction the collections that outlive it. Without them `initcol` opens nothing.
    pub fn keep_in(&mut self, collections: &Arc<Collections>) {
        if let Some(state) = &mut self.state {
            state.collections = Some(Arc::clone(collections));
        }
    }

    /// Says where the client is: members of `GEO`, such as `COUNTRY_CODE`. Before phase 1.
    pub fn geography(&mut self, members: &[(&str, &str)]) {
        let Some(state) = self.state.as_mut().filter(|_| self.waf.rules.use_of(Variable::Geo)) else { return };
        for (name, value) in members {
            let (name, value) = (state.texts.keep(name.as_bytes()), state.texts.keep(value.as_bytes()));
            state.push(Variable::Geo, name, value);
        }
    }

    /// Says what the signs of a program add up to, as `TX:ringwall_bot_score`, `…_signs` and `…_crawler`. Before phase 1.
    pub fn bots(&mut self, verdict: &bot::Verdict) {
        let (slots, Some(state)) = (&self.waf.rules.slots, &mut self.state) else { return };
        let texts = [
            ("ringwall_bot_signs", verdict.names()),
            ("ringwall_bot_crawler", verdict.crawler.clone().unwrap_or_default()),
        ];
        for (name, text) in texts {
            if let Some(slot) = slots.get(name).filter(|_| !text.is_empty()) {
                let text = state.texts.keep(text.as_bytes());
                state.set_slot(*slot, Value::Text(text));
            }
        }
        if let Some(slot) = slots.get("ringwall_bot_score") {
            state.set_slot(*slot, Value::Number(verdict.score.into()));
        }
    }

    /// Takes the request's head; `fields` in order, repetitions kept.
    pub fn head<'a>(&mut self, head: &RequestHead<'_>, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        if let Some(state) = &mut self.state {
            fill::request(&self.waf.rules, state, head, fields);
        }
    }

    /// Takes the request's head from a call: the raw one, whatever layers before have changed since. A head with faults
    /// is taken too, as far as it can be told apart.
    pub fn call(&mut self, call: &Call) {
        let line: &[u8] = &call.raw.line;
        let first = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let last = line.iter().rposition(|byte| *byte == b' ').unwrap_or(line.len());
        let id = if self.waf.rules.use_of(Variable::UniqueId) { call.id.to_string() } else { String::new() };
        let head = RequestHead {
            line,
            method: part(line, 0..first),
            target: part(line, first + 1..last),
            protocol: part(line, last + 1..line.len()),
            client: SocketAddr::new(call.client.address, call.peer.address.port()),
            server: call.local,
            id: &id,
        };
        // HTTP/2 carries the host as `:authority` (RFC 9113 section 8.3.1); rules know it as `Host`.
        let host = call.fields.first("host").is_none() && call.version == Version::Http2 && !call.authority.is_empty();
        let host = host.then_some((&b"host"[..], &*call.authority));
        self.head(&head, host.into_iter().chain(raw_fields(&call.raw.head)));
    }

    /// Whether the request's body should be given.
    pub fn wants_request_body(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.engine != Engine::Off && state.request_access == Access::On)
    }

    /// Takes a part of the request's body, after phase 1.
    pub fn request_body(&mut self, part: &[u8]) -> BodyRoom {
        let wants = self.wants_request_body();
        let files = &self.waf.rules.configuration;
        let Some(state) = &mut self.state else { return BodyRoom::Full };
        state.request_body_seen = state.request_body_seen.saturating_add(part.len() as u64);
        if !wants {
            return BodyRoom::Full;
        }
        let is_upload = state.processor == body::Processor::Multipart;
        let most = if is_upload { files.request_limit } else { files.request_limit.min(files.request_no_files_limit) };
        let limit = self.profile.settings.request_limit.unwrap_or(most);
        let room = limit.saturating_sub(state.request_body.len());
        if part.len() <= room {
            state.request_body.extend_from_slice(part);
            return BodyRoom::More;
        }
        state.request_body.extend_from_slice(part.get(..room).unwrap_or_default());
        state.set(Variable::InboundDataError, b"1");
        if self.profile.settings.request_overflow.unwrap_or(files.request_overflow) == Overflow::Partial {
            return BodyRoom::Full;
        }
        self.limit(413, "the request body is longer than its limit", 2)
    }

    /// Takes one whole message of a stream (WebSocket text, a server-sent event) in place of a body, after phase 1.
    /// A transaction judges one message; the stream is not held back meanwhile.
    pub fn message(&mut self, message: &[u8]) -> BodyRoom {
        self.message_by(body::Processor::Message, message)
    }

    /// The same for a message that is not text, in a format that only its application knows.
    pub fn binary_message(&mut self, message: &[u8]) -> BodyRoom {
        self.message_by(body::Processor::Binary, message)
    }

    fn message_by(&mut self, processor: body::Processor, message: &[u8]) -> BodyRoom {
        if let Some(state) = &mut self.state {
            state.processor = processor;
            state.set(Variable::ReqbodyProcessor, processor.name().as_bytes());
        }
        self.request_body(message)
    }

    /// Why the arguments or the body of the request were not read to their end, when they were not and the transaction
    /// may refuse: what stands behind that was seen by no rule. After phase 2.
    pub fn unread(&self) -> Option<&'static str> {
        self.state.as_ref().filter(|state| state.engine == Engine::On)?.faults.first().copied()
    }

    /// Takes one whole event of a response that is a stream (a server-sent event) in place of its body, after phase 3.
    pub fn event(&mut self, event: &[u8]) -> BodyRoom {
        self.is_event = true;
        self.response_body(event)
    }

    /// Whether events of a stream should be given: where the bodies of responses are looked at.
    pub fn wants_events(&self) -> bool {
        let on = |state: &State| state.engine != Engine::Off && state.response_access == Access::On;
        self.state.as_deref().is_some_and(on)
    }

    /// Takes the response's head.
    pub fn response_head<'a>(&mut self, head: &ResponseHead<'_>, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        if let Some(state) = &mut self.state {
            fill::response(&self.waf.rules, state, head, fields);
        }
    }

    /// Whether the response's body should be given: only listed media types are judged.
    pub fn wants_response_body(&self) -> bool {
        if self.is_event {
            return self.wants_events();
        }
        let Some(state) = &self.state else { return false };
        let media = body::media_type(state.texts.bytes(state.content_type));
        let listed = self.profile.settings.response_types.as_ref();
        let listed = listed.unwrap_or(&self.waf.rules.configuration.response_types);
        state.engine != Engine::Off
            && state.response_access == Access::On
            && listed.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(media))
    }

    /// Takes a part of the response's body, after phase 3.
    pub fn response_body(&mut self, part: &[u8]) -> BodyRoom {
        let wants = self.wants_response_body();
        let files = &self.waf.rules.configuration;
        let Some(state) = &mut self.state else { return BodyRoom::Full };
        if !wants {
            return BodyRoom::Full;
        }
        let limit = self.profile.settings.response_limit.unwrap_or(files.response_limit);
        let room = limit.saturating_sub(state.response_body.len());
        if part.len() <= room {
            state.response_body.extend_from_slice(part);
            return BodyRoom::More;
        }
        state.response_body.extend_from_slice(part.get(..room).unwrap_or_default());
        state.set(Variable::OutboundDataError, b"1");
        if self.profile.settings.response_overflow.unwrap_or(files.response_overflow) == Overflow::Partial {
            return BodyRoom::Full;
        }
        self.limit(500, "the response body is longer than its limit", 4)
    }

    /// Request head.
    pub fn phase1(&mut self, fuel: Fuel) -> Progress {
        self.phase(1, fuel)
    }

    /// Request body.
    pub fn phase2(&mut self, fuel: Fuel) -> Progress {
        if !std::mem::replace(&mut self.request_read, true)
            && let Some(state) = &mut self.state
        {
            let limit = self.profile.settings.request_limit.unwrap_or(self.waf.rules.configuration.request_limit);
            if let Err(why) = body::read(&self.waf.rules, limit, state) {
                let status = if why == body::coding::UNKNOWN { 415 } else { 413 };
                self.limit(if why == body::coding::BROKEN { 400 } else { status }, why, 2);
            }
        }
        self.phase(2, fuel)
    }

    /// Response head.
    pub fn phase3(&mut self, fuel: Fuel) -> Progress {
        self.phase(3, fuel)
    }

    /// Response body.
    pub fn phase4(&mut self, fuel: Fuel) -> Progress {
        if !std::mem::replace(&mut self.response_read, true)
            && let Some(state) = &mut self.state
        {
            let mut body = std::mem::take(&mut state.response_body);
            let codings = body::codings(state, Variable::ResponseHeaders);
            let limit = self.profile.settings.response_limit.unwrap_or(self.waf.rules.configuration.response_limit);
            // What cannot be read of a response does not hold it back: it is the application's own.
            let decoded = body::coding::decode(&codings, &body, limit, body::coding::Beyond::Cut);
            if let Some(Ok(decoded)) = decoded {
                body = decoded;
            }
            if !body.is_empty() {
                state.will_read(body.len());
                state.set(Variable::ResponseBody, &body);
                state.has_read(body.len(), body.len());
            }
            state.response_body = body;
        }
        self.phase(4, fuel)
    }

    /// Logging; runs also when the transaction was refused, and refuses nothing.
    pub fn phase5(&mut self, fuel: Fuel) -> Progress {
        self.phase(5, fuel)
    }

    /// The refusal, if there is one that is in force.
    pub fn interruption(&self) -> Option<&Interruption> {
        let state = self.state.as_ref().filter(|state| state.engine == Engine::On)?;
        state.interruption.as_ref()
    }

    /// All that the transaction has to say so far.
    pub fn report(&mut self) -> Report {
        self.state.as_mut().map_or_else(Report::default, |state| report::render(&self.waf, state))
    }

    /// The audit record, after phase 5; `None` when the rule files say that this transaction is not kept.
    /// `id` names it, in letters, digits and dashes.
    pub fn audit(&mut self, id: &str, format: AuditFormat) -> Option<String> {
        let report = self.report();
        let state = self.state.as_ref()?;
        audit::record(&self.waf.rules, state, &report, id, format)
    }

    /// Work done so far; a measure that no clock disturbs.
    pub fn spent(&self) -> Fuel {
        Fuel(self.state.as_ref().map_or(0, |state| state.spent))
    }

    /// The most bytes that the transaction has held so far: bodies, texts, and what is known of them.
    pub fn memory(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.most())
    }

    fn phase(&mut self, phase: u8, fuel: Fuel) -> Progress {
        let Some(state) = &mut self.state else { return Progress::Pass };
        if state.engine == Engine::Off {
            return Progress::Pass;
        }
        if phase != 5 && state.engine == Engine::On && state.interruption.is_some() {
            return Progress::Interrupt;
        }
        let mut machine = self.waf.machine();
        let rules = &self.waf.rules;
        let progress = Run { rules, profile: &self.profile, state, machine: &mut machine }.phase(phase, fuel);
        self.waf.give_back(machine);
        progress
    }

    /// A limit of the engine itself refuses.
    fn limit(&mut self, status: u16, message: &str, phase: u8) -> BodyRoom {
        let Some(state) = &mut self.state else { return BodyRoom::Full };
        if state.interruption.is_none() {
            let (message, tags) = (message.to_owned(), Vec::new());
            state.interruption = Some(Interruption { status, rule: 0, message, tags, location: None, phase });
        }
        if state.engine == Engine::On { BodyRoom::Refuse } else { BodyRoom::Full }
    }
}

fn part(line: &[u8], range: std::ops::Range<usize>) -> &[u8] {
    line.get(range).unwrap_or_default()
}

/// The field lines of a head as they came, in order; what holds no colon is a name without a value.
fn raw_fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let lines = head.split(|byte| *byte == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty()).map(|line| {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        (part(line, 0..colon), part(line, colon + 1..line.len()).trim_ascii())
    })
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            self.waf.recycle(state);
        }
    }
}
