//! Messages of a stream, judged one by one: text of a WebSocket, server-sent events, messages of gRPC.
//!
//! In: what the page admitted, and each message whole. Out: a decision about it. Each message is judged by a transaction of
//! its own, with the head of its call: the stream is not held, and what was refused once is not carried over to the next.

use crate::firewall::Inspection;
use crate::outcome::Admitted;
use crate::outside::Aside;
use ringwall_manifest::world::firewall::Guard;
use ringwall_model::{Call, Decision, Inspected, Timestamp};
use std::sync::Arc;

/// What the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// What a WebSocket's client says: text, and what is text in binary messages.
    WebSocket,
    /// A server-sent event, from the service.
    Event,
    /// A message of gRPC with its prefix, from the client.
    Grpc,
    /// The same, from the service.
    GrpcAnswer,
}

/// The longest message that programs of gRPC take unless they are told otherwise, in bytes.
const GRPC_LONGEST: usize = 4 << 20;

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
        let guard = inspection.guard_of_messages(kind, call)?;
        Some(Self { guard, call: call.clone(), kind })
    }

    /// The longest message that is judged, in bytes; a longer one is to be refused.
    pub fn longest(&self) -> usize {
        match self.kind {
            MessageKind::Event => self.guard.response_limit,
            // The transaction says what becomes of one that is longer than the policy's limit.
            MessageKind::GrpcAnswer => self.guard.response_limit.max(GRPC_LONGEST),
            MessageKind::WebSocket | MessageKind::Grpc => self.guard.request_limit,
        }
    }

    /// Judges one message, and says what was found in it.
    pub async fn judge(
        &self,
        message: &[u8],
        now: Timestamp,
        aside: &impl Aside,
    ) -> (Decision, Option<Box<Inspected>>) {
        let mut inspection = Inspection::of_message(&self.guard, &self.call, now);
        let decision = inspection.message(self.kind, message, &self.call, aside).await;
        (decision, inspection.finish(self.call.id))
    }
}
