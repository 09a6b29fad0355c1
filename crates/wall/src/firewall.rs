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

use crate::message::MessageKind;
use crate::outside::{Aside, Outside, Work};
use bytes::Bytes;
use declared::Found;
use ringwall_manifest::world::firewall::Guard;
use ringwall_model::{BodyLength, Call, CallId, Decision, Fields, Inspected, Reason, Reply, Timestamp, Version};
use ringwall_waf::bot::Sender;
use ringwall_waf::{BodyRoom, Engine, Fuel, Progress, ResponseHead, Transaction};
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
        Self { guard: Arc::clone(guard), transaction: Some(transaction), found: None, client }
    }

    /// What is in force for the messages of a call's stream; `None` where they are not looked at.
    pub(crate) fn guard_of_messages(&self, kind: MessageKind, call: &Call) -> Option<Arc<Guard>> {
        let fresh = Self::of_message(&self.guard, call, Timestamp(0));
        let transaction = fresh.transaction.as_ref()?;
        let wants = match kind {
            MessageKind::Event | MessageKind::GrpcAnswer => transaction.wants_events(),
            MessageKind::WebSocket | MessageKind::Grpc => transaction.wants_request_body(),
        };
        wants.then(|| Arc::clone(&self.guard))
    }

    /// Judges one message of a stream.
    pub(crate) async fn message(
        &mut self,
        kind: MessageKind,
        message: &[u8],
        call: &Call,
        aside: &impl Aside,
    ) -> Decision {
        if let Some(refused) = self.phase(Phase::RequestHead, 0, aside).await {
            return refused;
        }
        let Some(transaction) = &mut self.transaction else { return self.passes() };
        let room = match kind {
            MessageKind::WebSocket => transaction.message(message),
            MessageKind::Grpc => transaction.request_body(message),
            MessageKind::Event | MessageKind::GrpcAnswer => {
                let head = ResponseHead { status: 200, protocol: call.version.as_str().as_bytes() };
                let (media, message): (&[u8], _) = match kind {
                    // Texts in a message of Protocol Buffers stand as they are: rules over answers find them there.
                    MessageKind::GrpcAnswer => (b"application/grpc", message.get(5..).unwrap_or_default()),
                    _ => (b"text/event-stream", message),
                };
                transaction.response_head(&head, [(&b"content-type"[..], media)].into_iter());
                if let Some(refused) = self.phase(Phase::ResponseHead, 0, aside).await {
                    return refused;
                }
                self.transaction.as_mut().map_or(BodyRoom::Full, |transaction| transaction.event(message))
            }
        };
        if room == BodyRoom::Refuse {
            return self.refused();
        }
        let phase = match kind {
            MessageKind::Event | MessageKind::GrpcAnswer => Phase::ResponseBody,
            MessageKind::WebSocket | MessageKind::Grpc => Phase::RequestBody,
        };
        self.phase(phase, message.len(), aside).await.unwrap_or_else(|| self.passes())
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

    /// Ends the transaction with phase 5 and says what it found; `None` when that is nothing.
    pub fn finish(&mut self, id: CallId) -> Option<Box<Inspected>> {
        told::told(&mut self.transaction.take()?, self.found.take(), id)
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
        500..=599 => "the response was withheld",
        _ => "Forbidden",
    }
}

fn broken(rule: &'static str, status: u16, says: &'static str) -> Decision {
    Decision::Refuse { because: Reason::Builtin(rule), reply: Reply::text(status, Bytes::from_static(says.as_bytes())) }
}
