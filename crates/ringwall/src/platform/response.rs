//! The page's own admission behind the data plane's: carried from request to response, and asked again there.
//!
//! In: an admitted call, its response. Out: nothing, or the refusal that takes the response's place. A body that the
//! firewall does not look at is not held.

use super::aside::Bench;
use super::force::InForce;
use bytes::Bytes;
use ringwall_dataplane::message::Response;
use ringwall_dataplane::page::{
    Admitted, Binary, Carried, Coded, Decode, Form, MessageKind, Messages, Refused, Verdict, Witness,
};
use ringwall_manifest::ringwall::waf_policy;
use ringwall_model::{Call, CallId, Decision, Inspected, Layer, Reason, RuleMatch};
use ringwall_wall::{Follows, ResponseHead};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What only the page can make.
#[derive(Debug)]
struct Carrier {
    /// Away while its response is judged.
    admitted: Option<Box<ringwall_wall::Admitted>>,
    /// What was found in messages of its stream and not told yet.
    found: Option<Found>,
}

type Found = Rc<RefCell<Vec<RuleMatch>>>;

/// So many matches are told of one stream.
const MOST_FOUND: usize = 64;

impl Carried for Carrier {
    fn told(&mut self, id: CallId) -> Option<Box<Inspected>> {
        let whole = self.admitted.as_mut().and_then(|it| it.inspection.as_mut()).and_then(|it| it.finish(id));
        let found = self.found.as_ref().map(|found| std::mem::take(&mut *found.borrow_mut())).unwrap_or_default();
        if found.is_empty() {
            return whole;
        }
        let mut inspected = whole.unwrap_or_default();
        inspected.matches.extend(found);
        Some(inspected)
    }
}

/// The witness of an admitted call.
pub fn witness(admitted: Box<ringwall_wall::Admitted>) -> Witness {
    Rc::new(RefCell::new(Carrier { admitted: Some(admitted), found: None }))
}

/// Takes the admission of a call that the firewall follows to the end of its response out of its witness; `None` where it
/// does not, or the admission is out already.
pub fn take(witness: &Witness) -> Option<Box<ringwall_wall::Admitted>> {
    let mut carried = witness.borrow_mut();
    let carrier: &mut dyn Any = &mut *carried;
    carrier.downcast_mut::<Carrier>()?.admitted.take_if(|page| page.inspection.is_some())
}

fn put_back(witness: &Witness, admitted: Box<ringwall_wall::Admitted>) {
    let mut carried = witness.borrow_mut();
    let carrier: &mut dyn Any = &mut *carried;
    if let Some(carrier) = carrier.downcast_mut::<Carrier>() {
        carrier.admitted = Some(admitted);
    }
}

/// Judges a response.
pub async fn judge(
    force: &InForce,
    mut page: Box<ringwall_wall::Admitted>,
    call: &Call,
    admitted: &Admitted,
    response: &mut Response,
) -> Result<(), Refused> {
    let without = *call.method == *b"HEAD" || matches!(response.status, 100..=199 | 204 | 304);
    let body = if without || response.tunnel.is_some() { Follows::Nothing } else { Follows::Body };
    let Response { status, fields, body: content, .. } = response;
    let head = ResponseHead { status: *status, version: call.version, fields, body };
    let hold = async |most: u64| {
        // A body that breaks off is judged as far as it came; the client sees it break off.
        let _ = content.hold(most).await;
        content.held()
    };
    let judged = ringwall_wall::response(&mut page, call, head, force, hold).await;
    put_back(&admitted.witness, page);
    judged.map_err(|refused| super::page::refuse(*refused))
}

/// The firewall for the messages of an admitted call's stream; `None` where it does not look at them.
pub fn messages(force: &InForce, call: &Call, admitted: &Admitted, kind: MessageKind) -> Option<Rc<dyn Messages>> {
    let mut carried = admitted.witness.borrow_mut();
    let carrier: &mut dyn Any = &mut *carried;
    let carrier = carrier.downcast_mut::<Carrier>()?;
    let kind = match kind {
        MessageKind::WebSocket => ringwall_wall::MessageKind::WebSocket,
        MessageKind::WebSocketAnswer => ringwall_wall::MessageKind::WebSocketAnswer,
        MessageKind::Event => ringwall_wall::MessageKind::Event,
        MessageKind::Grpc => ringwall_wall::MessageKind::Grpc,
        MessageKind::GrpcAnswer => ringwall_wall::MessageKind::GrpcAnswer,
    };
    let messages = ringwall_wall::Messages::of(carrier.admitted.as_ref()?, call, kind)?;
    Some(Rc::new(Judge {
        messages: Rc::new(messages),
        aside: force.aside.clone(),
        found: carrier.found.get_or_insert_default().clone(),
    }))
}

struct Judge {
    messages: Rc<ringwall_wall::Messages>,
    aside: Arc<Bench>,
    found: Found,
}

impl Messages for Judge {
    fn judge(&self, message: Bytes, form: Form) -> Verdict {
        let form = match form {
            Form::Text => ringwall_wall::Form::Text,
            Form::Binary => ringwall_wall::Form::Binary,
        };
        let (messages, aside, found) = (self.messages.clone(), self.aside.clone(), self.found.clone());
        Box::pin(async move {
            let now = ringwall_control::facts::now();
            let (decision, inspected) = messages.judge((&message, form), now, &*aside).await;
            let mut found = found.borrow_mut();
            let room = MOST_FOUND.saturating_sub(found.len());
            found.extend(inspected.into_iter().flat_map(|inspected| inspected.matches).take(room));
            match decision {
                Decision::Pass { .. } => Ok(()),
                Decision::Refuse { because, .. } => Err((Layer::Waf, because)),
            }
        })
    }

    fn binary(&self) -> Binary {
        match self.messages.binary() {
            waf_policy::Binary::Judge => Binary::Judge,
            waf_policy::Binary::Refuse(rule) => Binary::Refuse((Layer::Waf, Reason::Rule(rule))),
            waf_policy::Binary::Pass => Binary::Pass,
        }
    }

    fn coded(&self, codings: &[u8]) -> Coded {
        match self.messages.coded(codings) {
            ringwall_wall::Coded::Plain => Coded::Plain,
            ringwall_wall::Coded::Read(decoder) => Coded::Read(Box::new(Decoder(decoder))),
            ringwall_wall::Coded::Refuse => Coded::Refuse(self.unreadable()),
            ringwall_wall::Coded::Pass => Coded::Pass,
        }
    }

    fn unreadable(&self) -> (Layer, Reason) {
        (Layer::Waf, self.messages.unreadable())
    }

    fn longest(&self) -> usize {
        self.messages.longest()
    }

    fn too_long(&self) -> (Layer, Reason) {
        (Layer::Waf, Reason::Builtin("waf/message-too-long"))
    }
}

/// The firewall's way to undo a coding, for streams of the data plane.
struct Decoder(ringwall_waf::coding::Decoder);

impl Decode for Decoder {
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Option<usize> {
        self.0.read(input, out, most).ok()
    }
}
