//! What the page says of one call.

use crate::firewall::Inspection;
use ringwall_mesh::route::{MirrorChoice, RouteChoice};
use ringwall_model::{Call, Caller, FieldEdit, Inspected, Layer, Millis, Reason, Reply, Trace, WorkloadId};
use std::sync::Arc;

/// What the page says of one call.
#[derive(Debug)]
pub enum Outcome {
    /// Every layer let it pass.
    Admitted(Box<Admitted>),
    /// A layer ended it: refused it, or answered it.
    Refused(Box<Refused>),
}

impl Outcome {
    /// What the layers said, in order.
    pub fn trace(&self) -> &Trace {
        match self {
            Self::Admitted(admitted) => &admitted.trace,
            Self::Refused(refused) => &refused.trace,
        }
    }
}

/// The witness that every layer let a call pass. Only the page makes one, and forwarding demands it.
#[derive(Debug)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "also rooms of this workspace must not make one; the attribute only binds others"
)]
pub struct Admitted {
    /// Where the call goes.
    pub hop: Hop,
    /// Copies of it, for the mirrors of its routes.
    pub copies: Vec<Copied>,
    /// Changes to the response's fields, in order.
    pub response_edits: Vec<FieldEdit>,
    /// The longest body it may have; the data plane counts one of unknown length.
    pub body_limit: Option<u64>,
    /// Hold it back so long.
    pub delay: Option<Millis>,
    /// Who is calling, as far as it was verified.
    pub caller: Caller,
    /// Names for events.
    pub labels: Labels,
    /// What the layers said.
    pub trace: Trace,
    /// The firewall's transaction, which goes on with the response.
    pub inspection: Option<Inspection>,
    /// Nobody outside this crate can name this.
    pub(crate) _witness: (),
}

/// Where an admitted call goes.
#[derive(Clone, Debug)]
pub enum Hop {
    /// To the application of the listener's own workload, in clear text inside its own host.
    Application {
        /// The workload.
        workload: WorkloadId,
        /// Its port.
        port: u16,
    },
    /// To another workload or outside, as this workload.
    Upstream {
        /// Whose identity calls.
        source: WorkloadId,
        /// The chosen route.
        route: Box<RouteChoice>,
    },
}

/// A copy of an admitted call. Nothing of it changes the call's own fate.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Whose identity sends it.
    pub source: WorkloadId,
    /// Where it goes.
    pub to: MirrorChoice,
    /// The call as it was where its route copied it; `None`: as it goes on.
    pub call: Option<Box<Call>>,
    /// The rule of a NetworkPolicy that refuses it: then it is not sent.
    pub refused: Option<Reason>,
}

/// A call that ends at the page.
#[derive(Debug)]
pub struct Refused {
    /// The layer that ended it.
    pub layer: Layer,
    /// Why.
    pub because: Reason,
    /// Whether this is a refusal or an answer that a rule gives (a redirect, a direct response, a preflight).
    pub kind: Kind,
    /// What the client gets.
    pub reply: Reply,
    /// Envoy's response flag; empty for none.
    pub flag: &'static str,
    /// `response_code_details` in Envoy's words.
    pub details: Arc<str>,
    /// Changes to the reply's fields, in order.
    pub response_edits: Vec<FieldEdit>,
    /// Hold the answer back so long: a fault on purpose, or a limit that slows down.
    pub delay: Option<Millis>,
    /// Who is calling, as far as it was verified.
    pub caller: Caller,
    /// Names for events.
    pub labels: Labels,
    /// What the layers said.
    pub trace: Trace,
    /// What the firewall found, if it found anything.
    pub inspected: Option<Box<Inspected>>,
}

/// Whether a call that ends at the page was refused or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Refused.
    Refusal,
    /// Answered by a rule.
    Answer,
}

/// Names for events.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Ingress or mesh route.
    pub route: Option<Arc<str>>,
    /// Kong route.
    pub gateway_route: Option<Arc<str>>,
    /// Kong service.
    pub gateway_service: Option<Arc<str>>,
}
