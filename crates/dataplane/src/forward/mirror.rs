//! Copies of a call to the mirrors of its route: sent and forgotten.
//!
//! In: an admitted call, and its body on the way to the upstream. Out: the same body; copies of calls that came whole;
//! an event for each that a rule refuses.
//! Never: a wait, a change or a failure for the call itself. Bounded: a copy holds at most [`LARGEST`] bytes, a thread at
//! most [`MOST`] copies, each for at most [`PATIENCE`]; what is beyond that is dropped, and told so.
//! Follows Envoy's shadowing (`-shadow` behind the host's name, answers read and dropped), but for one thing: a copy goes
//! out when its body has come whole, not beside it.

use super::attempt::{Attempt, Fate};
use super::{Forwarding, low_bits, outgoing_fields};
use crate::clock;
use crate::exchange::Record;
use crate::message::{Body, BodyError, Frame, Source};
use crate::page::{Admitted, Answer, Draw, Mirror, Upstream};
use crate::worker::{Conversation, Thread};
use bytes::{Bytes, BytesMut};
use ringwall_model::{BodyLength, Call, Event, Fields, Millis, RefusedCopy, UpstreamChange};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The longest body of a copy, in bytes.
const LARGEST: usize = 64 * 1024;
/// Copies that one thread has at a time.
const MOST: usize = 256;
/// The longest that a copy takes, answer included.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends copies of a call once its body has gone by; the body goes on as it is.
pub(super) fn watch(
    admitted: &Admitted,
    conversation: &Rc<Conversation>,
    (call, fields): (&Call, &Fields),
    record: &Record,
    body: Body,
) -> Body {
    let begin = |mirror: &Mirror| match mirror {
        Mirror::To { upstream, call: None } => Copy::begin(conversation, upstream, call.clone(), fields.clone()),
        Mirror::To { upstream, call: Some(call) } => {
            let mut fields = outgoing_fields(call, conversation);
            record.propagate(&mut fields);
            Copy::begin(conversation, upstream, (**call).clone(), fields)
        }
        Mirror::Refused { cluster, by } => {
            conversation.shared.events.tell(Event::Copy(Box::new(RefusedCopy {
                id: call.id,
                started: call.received,
                role: conversation.listener.role,
                workload: conversation.workload.clone(),
                cluster: cluster.clone(),
                refused: *by,
                decided: admitted.decided.clone(),
            })));
            None
        }
    };
    let copies: Vec<Copy> = admitted.mirrors.iter().filter_map(begin).collect();
    if copies.is_empty() {
        return body;
    }
    // A length that is known beforehand to be too much is not copied for nothing.
    let is_long = matches!(body.length(), BodyLength::Known(length) if length > LARGEST as u64);
    if is_long {
        copies.into_iter().for_each(Copy::give_up);
        return body;
    }
    if body.is_over() {
        copies.into_iter().for_each(|copy| copy.send(&Bytes::new()));
        return body;
    }
    let length = body.length();
    Body::stream(Watched { body, seen: BytesMut::new(), copies }, length)
}

/// A body that is being copied.
struct Watched {
    body: Body,
    seen: BytesMut,
    /// None once they were sent, or can no longer be.
    copies: Vec<Copy>,
}

impl Source for Watched {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(self.body.poll_next(context));
        match &next {
            Some(Ok(Frame::Bytes(bytes))) if self.seen.len().saturating_add(bytes.len()) > LARGEST => {
                self.copies.drain(..).for_each(Copy::give_up);
                self.seen = BytesMut::new();
            }
            Some(Ok(Frame::Bytes(bytes))) if !self.copies.is_empty() => self.seen.extend_from_slice(bytes),
            Some(Err(_)) => self.copies.drain(..).for_each(Copy::give_up),
            _ => {}
        }
        // A reader that knows the length does not ask for the end.
        if matches!(next, None | Some(Ok(Frame::Trailers(_)))) || self.body.is_over() {
            let whole = std::mem::take(&mut self.seen).freeze();
            self.copies.drain(..).for_each(|copy| copy.send(&whole));
        }
        Poll::Ready(next)
    }
}

/// One copy, before it is sent.
struct Copy {
    conversation: Rc<Conversation>,
    to: Arc<Upstream>,
    call: Call,
    fields: Fields,
    /// Given back when it is over.
    _place: Place,
}

/// One of the places that a thread has for copies.
struct Place(Rc<Thread>);

impl Place {
    fn take(thread: &Rc<Thread>) -> Option<Self> {
        let open = thread.copies.get();
        (open < MOST).then(|| {
            thread.copies.set(open + 1);
            Self(thread.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.copies.set(self.0.copies.get().saturating_sub(1));
    }
}

impl Copy {
    fn begin(conversation: &Rc<Conversation>, to: &Arc<Upstream>, mut call: Call, mut fields: Fields) -> Option<Self> {
        let Some(place) = Place::take(&conversation.thread) else {
            conversation.shared.changed(&to.cluster, UpstreamChange::NotMirrored);
            return None;
        };
        call.authority = shadow(&call.authority);
        fields.remove("host");
        let (conversation, to) = (conversation.clone(), to.clone());
        Some(Self { conversation, to, call, fields, _place: place })
    }

    fn send(self, body: &Bytes) {
        let body = body.clone();
        tokio::task::spawn_local(async move {
            let sent = tokio::select! {
                sent = timeout(PATIENCE, self.run(body)) => sent.unwrap_or(Sent::No),
                () = self.conversation.until_drain() => Sent::No,
            };
            match sent {
                Sent::Yes => self.conversation.shared.changed(&self.to.cluster, UpstreamChange::Mirrored),
                Sent::No => self.give_up(),
            }
        });
    }

    fn give_up(self) {
        self.conversation.shared.changed(&self.to.cluster, UpstreamChange::NotMirrored);
    }

    async fn run(&self, body: Bytes) -> Sent {
        let Self { conversation, to: upstream, call, fields, .. } = self;
        let shared = &conversation.shared;
        let cluster = upstream.open.of(&shared.clusters, &upstream.cluster);
        let Some(_slot) = cluster.request(upstream.limits.requests) else {
            shared.changed(&upstream.cluster, UpstreamChange::Overflow);
            return Sent::No;
        };
        let draw = Draw { dice: low_bits(call.id), affinity: None };
        let Some(to) = shared.page.choose(upstream, &[], draw) else { return Sent::No };
        let forwarding =
            Forwarding { conversation, upstream, draw, call, fields: fields.clone(), upgrade: None, cluster };
        let begun = Instant::now();
        let fate = Attempt { of: &forwarding, to: &to }.run(Body::full(body)).await;
        let after = Millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        let answer = fate.status().map_or_else(|| Answer::Failed(clock::now()), |status| Answer::Status(status, after));
        shared.page.observed(upstream, &to, answer);
        let Fate::Answered { mut response, .. } = fate else { return Sent::No };
        // Read to its end when it is short: its connection can be used again then.
        let _ = response.body.hold(LARGEST as u64).await;
        Sent::Yes
    }
}

/// Whether the mirror had a copy and answered.
enum Sent {
    Yes,
    No,
}

/// The host's name with `-shadow` behind it, before its port.
fn shadow(authority: &Bytes) -> Bytes {
    let bracket = authority.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = authority.iter().rposition(|byte| *byte == b':').filter(|at| *at >= bracket);
    let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
    [host, b"-shadow", port].concat().into()
}

#[cfg(test)]
mod tests {
    use super::shadow;
    use bytes::Bytes;

    #[test]
    fn the_port_stays_behind_the_name() {
        for (host, wanted) in [
            ("a.b", "a.b-shadow"),
            ("a.b:80", "a.b-shadow:80"),
            ("[::1]:80", "[::1]-shadow:80"),
            ("[::1]", "[::1]-shadow"),
        ] {
            assert_eq!(shadow(&Bytes::from(host)), wanted, "{host}");
        }
    }
}
