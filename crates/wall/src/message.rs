//! Messages of a stream, judged one by one: those of a WebSocket, server-sent events, messages of gRPC.
//!
//! In: what the page admitted, and each message whole. Out: a decision about it. Each message is judged by a transaction of
//! its own, with the head of its call: the stream is not held, and what was refused once is not carried over to the next.

use crate::firewall::Inspection;
use crate::outcome::Admitted;
use crate::outside::Aside;
use ringwall_manifest::ringwall::waf_policy::{Binary, Unreadable};
use ringwall_manifest::world::firewall::Guard;
use ringwall_model::{Call, Decision, Inspected, Reason, Timestamp};
use ringwall_waf::{Engine, coding};
use std::sync::Arc;

/// What the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// What a WebSocket's client says.
    WebSocket,
    /// What its server says.
    WebSocketAnswer,
    /// A server-sent event, from the service.
    Event,
    /// A message of gRPC with its prefix, from the client.
    Grpc,
    /// The same, from the service.
    GrpcAnswer,
}

impl MessageKind {
    /// Whether it comes from the service: the rules over answers judge it.
    pub(crate) const fn is_answer(self) -> bool {
        match self {
            Self::WebSocketAnswer | Self::Event | Self::GrpcAnswer => true,
            Self::WebSocket | Self::Grpc => false,
        }
    }
}

/// How a message of a WebSocket is meant to be read (RFC 6455 section 5.6); all others are text here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// UTF-8.
    Text,
    /// In a format of the application's own.
    Binary,
}

/// What becomes of a stream of the service in a coding.
#[derive(Debug)]
pub enum Coded {
    /// It is not coded.
    Plain,
    /// This undoes it.
    Read(coding::Decoder),
    /// It cannot be read, and is refused.
    Refuse,
    /// It cannot be read, and passes.
    Pass,
}

/// The longest message that programs of gRPC take unless they are told otherwise, in bytes.
const GRPC_LONGEST: usize = 4 << 20;
/// What refuses an answer that cannot be read.
pub(crate) const UNREADABLE: Reason = Reason::Builtin("waf/response-unreadable");

/// The firewall for the messages of one stream.
#[derive(Debug)]
pub struct Messages {
    guard: Arc<Guard>,
    call: Call,
    kind: MessageKind,
}

impl Messages {
    /// For an admitted call; `None` where the firewall does not look at what it carries.
    pub fn of(admitted: &Admitted, call: &Call, kind: MessageKind) -> Option<Self> {
        let inspection = admitted.inspection.as_ref()?;
        Some(Self::under(inspection.guard_of_messages(kind)?, call.clone(), kind))
    }

    pub(crate) const fn under(guard: Arc<Guard>, call: Call, kind: MessageKind) -> Self {
        Self { guard, call, kind }
    }

    /// The longest message that is judged, in bytes; a longer one is to be refused.
    pub fn longest(&self) -> usize {
        match self.kind {
            MessageKind::Event => self.guard.response_limit,
            // The transaction says what becomes of one that is longer than the policy's limit.
            MessageKind::GrpcAnswer | MessageKind::WebSocketAnswer => self.guard.response_limit.max(GRPC_LONGEST),
            MessageKind::WebSocket | MessageKind::Grpc => self.guard.request_limit,
        }
    }

    /// Judges one message, and says what was found in it.
    pub async fn judge(
        &self,
        message: (&[u8], Form),
        now: Timestamp,
        aside: &impl Aside,
    ) -> (Decision, Option<Box<Inspected>>) {
        let mut inspection = Inspection::of_message(&self.guard, &self.call, now);
        let decision = inspection.message(self.kind, message, &self.call, aside).await;
        (decision, inspection.finish(self.call.id))
    }

    /// What becomes of binary messages. Where nothing is refused, they are judged and pass.
    pub fn binary(&self) -> Binary {
        match self.guard.unread.binary {
            Binary::Refuse(_) if self.guard.engine != Engine::On => Binary::Judge,
            binary => binary,
        }
    }

    /// What becomes of a stream with that `Content-Encoding`.
    pub fn coded(&self, codings: &[u8]) -> Coded {
        match coding::Decoder::of(codings) {
            Ok(None) => Coded::Plain,
            Ok(Some(decoder)) => Coded::Read(decoder),
            Err(_) if refuses_unreadable(&self.guard) => Coded::Refuse,
            Err(_) => Coded::Pass,
        }
    }

    /// What refuses a stream that cannot be read.
    pub const fn unreadable(&self) -> Reason {
        UNREADABLE
    }
}

/// Whether an answer that cannot be read is refused.
pub(crate) fn refuses_unreadable(guard: &Guard) -> bool {
    guard.engine == Engine::On && guard.unread.response == Unreadable::Refuse
}
