//! The WAF's place on the page: one transaction from the raw head of a request to the end of its response.
//!
//! In: what is in force for the call ([`Guard`]), heads and bodies as they came. Out: a decision after each stage, and what
//! was found ([`Inspected`]) at the end. ORDER: after the routes are selected, before any plugin rewrites: rules are written
//! against the request as it came. What is large leaves the thread ([`Aside`]); when there is no room for it, the call is
//! refused.

mod declared;
#[cfg(test)]
mod tests;
mod told;

use crate::message::{Form, MessageKind, UNREADABLE, refuses_unreadable};
use crate::outside::{Aside, Outside, Work};
use bytes::Bytes;
use declared::Found;
use ringwall_manifest::ringwall::waf_policy::Unreadable;
use ringwall_manifest::world::firewall::Guard;
use ringwall_model::{BodyLength, Call, CallId, Decision, Fields, Inspected, Reason, Reply, Timestamp, Version};
use ringwall_waf::bot::Sender;
use ringwall_waf::{Access, BodyRoom, Engine, Fuel, Progress, ResponseHead, Transaction};
use std::net::IpAddr;
use std::sync::Arc;

/// Bodies that are longer are judged away from the core's thread.
const SMALL: usize = 8 << 10;
/// So many slices of work, about half a millisecond each, are done on the core's thread for one phase.
const SLICES: u32 = 2;

/// A phase of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// 1
    RequestHead,
    /// 2
    RequestBody,
    /// 3
    ResponseHead,
    /// 4
    ResponseBody,
}

impl Phase {
    /// Works on the phase until it is done or the fuel is used up.
    pub fn run(self, transaction: &mut Transaction, fuel: Fuel) -> Progress {
        match self {
            Self::RequestHead => transaction.phase1(fuel),
            Self::RequestBody => transaction.phase2(fuel),
            Self::ResponseHead => transaction.phase3(fuel),
            Self::ResponseBody => transaction.phase4(fuel),
        }
    }
}

/// A call in the firewall, from its head to the end of its response.
#[derive(Debug)]
pub struct Inspection {
    guard: Arc<Guard>,
    /// Away while another thread works on it.
    transaction: Option<Transaction>,
    /// What the API's document does not declare.
    found: Option<Found>,
    /// Why the request was not read to its end, where it is refused for that.
    unread: Option<&'static str>,
    client: IpAddr,
}

impl Inspection {
    /// Begins with the head of a call; `None` where the firewall is off for it.
    pub(crate) fn begin(guard: &Arc<Guard>, call: &Call, outside: &impl Outside) -> Option<Self> {
        if guard.engine == Engine::Off {
            return None;
        }
        Some(Self::open(guard, call, outside.now()))
    }

    /// Judges the request's head, then its body.
    pub(crate) async fn request(&mut self, call: &Call, outside: &impl Outside) -> Decision {
        if let Some(refused) = self.phase(Phase::RequestHead, 0, outside).await {
            return refused;
        }
        let api = self.guard.api.clone();
        let mut fitting = None;
        if let Some(api) = api.as_deref() {
            match self.declared(api, call) {
                Ok(found) => fitting = found.map(|found| (api, found)),
                Err(refused) => return refused,
            }
        }
        let wants = self.transaction.as_ref().is_some_and(Transaction::wants_request_body);
        let mut body = Bytes::new();
        // Messages of gRPC come one by one; see `message`.
        let streams = *call.method == *b"CONNECT" || ringwall_head::fields::is_grpc(&call.fields, call.version);
        if (wants || fitting.is_some()) && call.body != BodyLength::Empty && !streams {
            body = match outside.body(self.guard.request_limit as u64 + 1).await {
                Ok(body) => body,
                Err(_) => return broken("waf/body-not-read", 400, "Bad Request"),
            };
            if wants && self.transaction.as_mut().is_some_and(|it| it.request_body(&body) == BodyRoom::Refuse) {
                return self.refused();
            }
        }
        if let Some(refused) = self.phase(Phase::RequestBody, body.len(), outside).await {
            return refused;
        }
        if let Some(refused) = self.unread(call) {
            return refused;
        }
        let whole = (!streams).then_some(&*body);
        let misfit = fitting.and_then(|(api, fitting)| self.declared_body(api, fitting, call, whole));
        misfit.unwrap_or_else(|| self.passes())
    }

    /// Begins with the head of a call whose stream carries a message.
    pub(crate) fn of_message(guard: &Arc<Guard>, call: &Call, now: Timestamp) -> Self {
        Self::open(guard, call, now)
    }

    fn open(guard: &Arc<Guard>, call: &Call, now: Timestamp) -> Self {
        let mut transaction = guard.waf.begin(&guard.profile, now);
        transaction.keep_in(&guard.collections);
        if let Some(bots) = &guard.bots {
            let fields = call.fields.iter().map(|field| (&*field.name, &*field.value));
            let address = call.client.address;
            let last_minute = Some(guard.collections.arrival(address, now));
            transaction.bots(&bots.judge(fields, Sender { address, last_minute }));
        }
        transaction.call(call);
        let client = call.client.address;
        Self { guard: Arc::clone(guard), transaction: Some(transaction), found: None, unread: None, client }
    }

    /// What is in force for the messages of a call's stream; `None` where they are not looked at.
    pub(crate) fn guard_of_messages(&self, kind: MessageKind) -> Option<Arc<Guard>> {
        let looks = if kind.is_answer() { self.guard.responses } else { self.guard.requests };
        (looks == Access::On).then(|| Arc::clone(&self.guard))
    }

    /// Whether answers to the call are looked at.
    pub(crate) fn looks_at_answers(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::wants_events)
    }

    /// Judges one message of a stream.
    pub(crate) async fn message(
        &mut self,
        kind: MessageKind,
        (message, form): (&[u8], Form),
        call: &Call,
        aside: &impl Aside,
    ) -> Decision {
        if let Some(refused) = self.phase(Phase::RequestHead, 0, aside).await {
            return refused;
        }
        if kind.is_answer() {
            return self.answer(kind, (message, form), call, aside).await;
        }
        let Some(transaction) = &mut self.transaction else { return self.passes() };
        let room = match (kind, form) {
            (MessageKind::Grpc, _) => transaction.request_body(message),
            (_, Form::Text) => transaction.message(message),
            (_, Form::Binary) => transaction.binary_message(message),
        };
        if room == BodyRoom::Refuse {
            return self.refused();
        }
        let refused = self.phase(Phase::RequestBody, message.len(), aside).await;
        refused.or_else(|| self.unread(call)).unwrap_or_else(|| self.passes())
    }

    /// One from the service.
    async fn answer(
        &mut self,
        kind: MessageKind,
        (message, form): (&[u8], Form),
        call: &Call,
        aside: &impl Aside,
    ) -> Decision {
        let Some(transaction) = &mut self.transaction else { return self.passes() };
        let (status, media, message): (_, &[u8], _) = match (kind, form) {
            // It was asked not to compress them.
            (MessageKind::GrpcAnswer, _) if message.first() == Some(&1) && refuses_unreadable(&self.guard) => {
                return unreadable(502);
            }
            // Texts in a message of Protocol Buffers stand as they are: rules over answers find them there.
            (MessageKind::GrpcAnswer, _) => (200, b"application/grpc", message.get(5..).unwrap_or_default()),
            (MessageKind::WebSocketAnswer, Form::Text) => (101, b"text/plain", message),
            (MessageKind::WebSocketAnswer, Form::Binary) => (101, b"application/octet-stream", message),
            _ => (200, b"text/event-stream", message),
        };
        let head = ResponseHead { status, protocol: call.version.as_str().as_bytes() };
        transaction.response_head(&head, [(&b"content-type"[..], media)].into_iter());
        if let Some(refused) = self.phase(Phase::ResponseHead, 0, aside).await {
            return refused;
        }
        if self.transaction.as_mut().is_some_and(|transaction| transaction.event(message) == BodyRoom::Refuse) {
            return self.refused();
        }
        self.phase(Phase::ResponseBody, message.len(), aside).await.unwrap_or_else(|| self.passes())
    }

    /// Judges the head of a request that is refused anyway, its arguments too; nothing of its body can be told. Gives the
    /// rule that weighs most, if one matched.
    pub(crate) async fn damaged(&mut self, outside: &impl Outside) -> Option<Decision> {
        let mut refused = self.phase(Phase::RequestHead, 0, outside).await;
        if refused.is_none() {
            refused = self.phase(Phase::RequestBody, 0, outside).await;
        }
        let report = self.transaction.as_mut()?.report();
        refused.or_else(|| (!report.matched.is_empty()).then(|| Decision::Pass { because: self.guard.reason(&report) }))
    }

    /// Judges a response's head.
    pub async fn response_head(
        &mut self,
        status: u16,
        version: Version,
        fields: &Fields,
        aside: &impl Aside,
    ) -> Decision {
        if let Some(transaction) = &mut self.transaction {
            let head = ResponseHead { status, protocol: version.as_str().as_bytes() };
            transaction.response_head(&head, fields.iter().map(|field| (&*field.name, &*field.value)));
        }
        self.phase(Phase::ResponseHead, 0, aside).await.unwrap_or_else(|| self.passes())
    }

    /// How many bytes of the response's body are wanted; `None`: it is not looked at and need not be held.
    pub fn wants_response(&self) -> Option<u64> {
        let wants = self.transaction.as_ref().is_some_and(Transaction::wants_response_body);
        wants.then_some(self.guard.response_limit as u64 + 1)
    }

    /// Judges a response's body: the first bytes that were wanted, or all of it when it is shorter. Without a body, the
    /// empty one.
    pub async fn response_body(&mut self, body: &[u8], aside: &impl Aside) -> Decision {
        let room = self.transaction.as_mut().map_or(BodyRoom::Full, |transaction| transaction.response_body(body));
        if room == BodyRoom::Refuse {
            return self.refused();
        }
        self.phase(Phase::ResponseBody, body.len(), aside).await.unwrap_or_else(|| self.passes())
    }

    /// The refusal of a response whose body was to be looked at and cannot be read: it is in a coding that is not read, or
    /// its client asked for parts of it, in which nothing is whole.
    pub(crate) fn unreadable_response(&self, status: u16, fields: &Fields) -> Option<Decision> {
        if !self.looks_at_answers() || !refuses_unreadable(&self.guard) {
            return None;
        }
        let is_wanted = self.wants_response().is_some();
        let parts = |media: &Bytes| media.to_ascii_lowercase().starts_with(b"multipart/byteranges");
        if status == 206 && (is_wanted || fields.first("content-type").is_some_and(parts)) {
            return Some(unreadable(416));
        }
        let coded = |coding: &Bytes| !ringwall_waf::coding::is_read(coding);
        (is_wanted && fields.all("content-encoding").any(coded)).then(|| unreadable(502))
    }

    /// Ends the transaction with phase 5 and says what it found; `None` when that is nothing.
    pub fn finish(&mut self, id: CallId) -> Option<Box<Inspected>> {
        told::told(&mut self.transaction.take()?, (self.found.take(), self.unread.take()), id)
    }

    /// Works on a phase: here while it is small, else aside. A refusal, or `None`.
    async fn phase(&mut self, phase: Phase, length: usize, aside: &impl Aside) -> Option<Decision> {
        if length <= SMALL {
            for _ in 0..SLICES {
                match phase.run(self.transaction.as_mut()?, Fuel::SLICE) {
                    Progress::Pass => return None,
                    Progress::Interrupt => return Some(self.refused()),
                    Progress::Yield => {}
                }
            }
        }
        let work =
            Work { transaction: self.transaction.take()?, client: self.client, phase, progress: Progress::Yield };
        match aside.aside(work).await {
            Ok(work) => {
                self.transaction = Some(work.transaction);
                (work.progress != Progress::Pass).then(|| self.refused())
            }
            Err(busy) => {
                self.transaction = busy.0.map(|work| work.transaction);
                Some(broken("waf/no-room", 503, "Service Unavailable"))
            }
        }
    }

    /// The refusal of a request that could not be read to its end, behind which anything may stand.
    fn unread(&mut self, call: &Call) -> Option<Decision> {
        let why = self.transaction.as_ref()?.unread().or_else(|| self.in_two_ways(call));
        let why = why.filter(|_| self.guard.unread.request == Unreadable::Refuse)?;
        self.unread = Some(why);
        Some(broken("waf/request-unreadable", 400, "Bad Request"))
    }

    /// Whether servers would read a body in one way or another, by the one or the other of two types.
    fn in_two_ways(&self, call: &Call) -> Option<&'static str> {
        let mut types = call.fields.all("content-type");
        let first = types.next().filter(|_| self.guard.engine == Engine::On && call.body != BodyLength::Empty)?;
        types.any(|other| other != first).then_some("it has two different types")
    }

    fn passes(&self) -> Decision {
        Decision::Pass { because: self.guard.passes() }
    }

    fn refused(&mut self) -> Decision {
        let Some(transaction) = &mut self.transaction else { return broken("waf/no-room", 503, "Service Unavailable") };
        let because = self.guard.reason(&transaction.report());
        let by = transaction.interruption();
        let status = by.map_or(403, |by| by.status);
        let reply = match by.and_then(|by| by.location.clone()) {
            _ if status == 0 => Reply::Drop,
            Some(location) => Reply::redirect(status, location),
            None => Reply::text(status, Bytes::from_static(says(status).as_bytes())),
        };
        Decision::Refuse { because, reply }
    }
}

const fn says(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        500..=599 => "the response was withheld",
        _ => "Forbidden",
    }
}

/// What a client gets in place of an answer that cannot be read.
fn unreadable(status: u16) -> Decision {
    let reply = Reply::text(status, Bytes::from_static(says(status).as_bytes()));
    Decision::Refuse { because: UNREADABLE, reply }
}

fn broken(rule: &'static str, status: u16, says: &'static str) -> Decision {
    Decision::Refuse { because: Reason::Builtin(rule), reply: Reply::text(status, Bytes::from_static(says.as_bytes())) }
}
