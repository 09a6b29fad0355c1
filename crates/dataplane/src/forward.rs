//! An admitted call goes to its upstream: tries, times, and what went wrong in Envoy's words.
// waypoint: request/5 — the witness in hand, the bytes go out
//!
//! In: the [`Admitted`] witness, the call as the last layer left it, its body. Out: the upstream's response, or a
//! [`Failure`]. Never: a decision whether the call may pass. Follows Envoy's router filter in retries, timeouts, response
//! flags and details.

mod attempt;
mod mirror;
mod replay;

use crate::clock;
use crate::connect;
use crate::exchange::{Note, Record};
use crate::http1::client::Broken;
use crate::message::{Body, BodyError, Frame, Response, Source};
use crate::page::{Admitted, Answer, Draw, Place, Upstream};
use crate::pool::Cluster;
use crate::websocket;
use crate::worker::Conversation;
use attempt::{Attempt, Fate};
use bytes::Bytes;
use replay::Replay;
use ringwall_head::fields;
use ringwall_model::{Call, CallId, Fields, Millis, Role, UpstreamChange};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Why there is no response.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Status for the client.
    pub status: u16,
    /// Body for the client.
    pub says: String,
    /// For the event.
    pub note: Note,
}

/// Sends an admitted call and gives its response.
///
/// # Errors
/// [`Failure`], as the client is to see it.
pub(crate) async fn forward(
    admitted: &Admitted,
    conversation: &Rc<Conversation>,
    call: &Call,
    body: Body,
    record: &mut Record,
) -> Result<Response, Failure> {
    let upstream = &*admitted.upstream;
    let draw = Draw { dice: low_bits(call.id), affinity: admitted.affinity };
    let timeout = upstream.timeout.filter(|timeout| *timeout > Millis(0));
    let deadline = timeout.map(|timeout| Instant::now() + timeout.duration());
    let cluster = upstream.open.of(&conversation.shared.clusters, &upstream.cluster);
    let Some(slot) = cluster.request(upstream.limits.requests) else {
        conversation.shared.changed(&upstream.cluster, UpstreamChange::Overflow);
        return Err(Failure::overflow());
    };
    // Only WebSocket: `Upgrade: h2c` would open a channel to the upstream that no layer reads.
    let upgrade = fields::upgrade(&call.fields).filter(|name| name.eq_ignore_ascii_case(b"websocket"));
    let upgrade = upgrade.map(<[u8]>::to_vec);
    if call.method.as_ref() == b"CONNECT" {
        return Box::pin(tunnel(upstream, conversation, draw)).await;
    }
    let mut outgoing = outgoing_fields(call, conversation);
    record.propagate(&mut outgoing);
    let opens_socket = upgrade.is_some() && websocket::opens(call);
    if opens_socket {
        websocket::ask(call, &mut outgoing);
    }
    let body = match admitted.mirrors.as_slice() {
        [] => body,
        // A stream of messages is nobody's to copy.
        _ if upgrade.is_some() => body,
        _ => mirror::watch(admitted, conversation, (call, &outgoing), record, body),
    };
    let forwarding = Forwarding { conversation, upstream, draw, call, fields: outgoing, upgrade, cluster };
    let mut patience = Patience::until(deadline);
    let mut tries = pin!(forwarding.tries(Replay::new(body, conversation.shared.limits.replay), record));
    let answered = poll_fn(|context| patience.poll(tries.as_mut(), context)).await;
    let mut response = answered.unwrap_or_else(|| {
        conversation.shared.changed(&upstream.cluster, UpstreamChange::TimedOut);
        Err(Failure::timeout())
    })?;
    if opens_socket && !websocket::agreed(call, &response) {
        return Err(Failure::protocol());
    }
    let length = response.body.length();
    if !response.body.is_over() {
        let bounded = Bounded { body: response.body, patience: Patience::until(deadline), _slot: slot };
        response.body = Body::stream(bounded, length);
    }
    Ok(response)
}

/// `CONNECT`: bytes both ways to the destination that the page chose (RFC 9110 section 9.3.6).
async fn tunnel(upstream: &Upstream, conversation: &Conversation, draw: Draw) -> Result<Response, Failure> {
    let shared = &conversation.shared;
    let to = shared.page.choose(upstream, &[], draw).ok_or_else(Failure::unhealthy)?;
    let opened = connect::open_as(shared, upstream, &to, vec![b"istio".to_vec()]).await;
    let opened = opened.map_err(|why| Failure::reset("UF", &why.says()))?;
    Ok(Response { status: 200, fields: Fields::default(), body: Body::empty(), tunnel: Some(opened.io) })
}

/// A call's name is 128 random bits: its last half is the call's dice.
fn low_bits(id: CallId) -> u64 {
    u64::try_from(id.0 & u128::from(u64::MAX)).unwrap_or_default()
}

/// Fields for the next hop.
fn outgoing_fields(call: &Call, conversation: &Conversation) -> Fields {
    let mut outgoing = fields::passing(&call.fields);
    outgoing.set("x-request-id", Bytes::copy_from_slice(call.id.uuid().as_bytes()));
    if matches!(conversation.listener.role, Role::Edge | Role::Gateway | Role::Egress) {
        fields::append_forwarded_for(&mut outgoing, conversation.forwarded.clone());
        outgoing.set("x-forwarded-proto", call.scheme.as_str());
    }
    outgoing
}

/// One call on its way out.
struct Forwarding<'a> {
    conversation: &'a Rc<Conversation>,
    upstream: &'a Upstream,
    draw: Draw,
    call: &'a Call,
    fields: Fields,
    upgrade: Option<Vec<u8>>,
    cluster: &'a Arc<Cluster>,
}

impl Forwarding<'_> {
    async fn tries(&self, mut body: Replay, record: &mut Record) -> Result<Response, Failure> {
        let page = &self.conversation.shared.page;
        let mut tried: Vec<Arc<Place>> = Vec::new();
        let mut left = self.upstream.retries;
        loop {
            // A try after a failure goes where the dice fall: what is alike has no better place than that.
            let dice = self.draw.dice.rotate_left(tried.len() as u32);
            let draw = Draw { dice, affinity: self.draw.affinity.filter(|_| tried.is_empty()) };
            let Some(to) = page.choose(self.upstream, &tried, draw) else { return Err(Failure::unhealthy()) };
            let begun = Instant::now();
            let attempt = Attempt { of: self, to: &to };
            let fate = attempt.run(body.next()).await;
            let after = Millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
            let answer = fate.status().map_or_else(|| Answer::Failed(clock::now()), |s| Answer::Status(s, after));
            page.observed(self.upstream, &to, answer);
            if let Some(address) = fate.address() {
                record.upstream(Some(address), after);
            }
            let again = left > 0 && self.may_retry(&fate) && body.can_repeat();
            if !again {
                let used_up = self.upstream.retries > 0 && left == 0;
                return self.settle(fate, record, if used_up { Retried::UsedUp } else { Retried::Spare });
            }
            left -= 1;
            self.conversation.shared.changed(&self.upstream.cluster, UpstreamChange::Retried);
            tried.push(to);
            tokio::time::sleep(backoff(tried.len(), dice)).await;
        }
    }

    fn may_retry(&self, fate: &Fate) -> bool {
        let on = &self.upstream.retry_on;
        match fate {
            Fate::Answered { response, .. } => response.tunnel.is_none() && on.names(response.status),
            Fate::Unreachable { .. } => on.connect_failure || on.reset || on.server_error || on.gateway_error,
            Fate::Broken { why: Broken::Request(_), .. } | Fate::NoSockets { .. } | Fate::Overflow => false,
            // Envoy counts these as resets; a call that means the same twice may be sent twice.
            Fate::Broken { .. } => on.reset || on.server_error || on.gateway_error || self.is_safe(),
            Fate::Late { .. } => on.server_error || on.gateway_error || on.names(504),
        }
    }

    /// RFC 9110 section 9.2.1.
    fn is_safe(&self) -> bool {
        matches!(self.call.method.as_ref(), b"GET" | b"HEAD" | b"OPTIONS") && self.upgrade.is_none()
    }

    fn settle(&self, fate: Fate, record: &mut Record, retried: Retried) -> Result<Response, Failure> {
        match fate {
            Fate::Answered { response, .. } => {
                if retried == Retried::UsedUp && self.upstream.retry_on.names(response.status) {
                    record.note(Note { flags: "URX", details: "via_upstream".into() });
                }
                Ok(response)
            }
            Fate::Unreachable { why, .. } => Err(Failure::reset("UF", &why.says())),
            Fate::Broken { why: Broken::Request(error), .. } => Err(Failure::request(error)),
            Fate::Broken { why: Broken::Malformed, .. } => Err(Failure::protocol()),
            Fate::Broken { .. } => Err(Failure::reset("UC", "connection termination")),
            Fate::NoSockets { .. } => Err(Failure::no_sockets()),
            Fate::Late { .. } => Err(Failure::per_try_timeout()),
            Fate::Overflow => Err(Failure::overflow()),
        }
    }
}

/// Whether all retries were used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retried {
    UsedUp,
    Spare,
}

/// Envoy's default: full jitter over 25 ms, doubled each time, at most 250 ms.
fn backoff(tries: usize, dice: u64) -> Duration {
    let most = (25_u64 << tries.min(4)).min(250);
    Duration::from_millis(dice % most.max(1))
}

impl Failure {
    fn reset(flags: &'static str, reason: &str) -> Self {
        let details = format!("upstream_reset_before_response_started{{{}}}", reason.replace([' ', ','], "_"));
        let says = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
        Self { status: 503, says, note: Note { flags, details: details.into() } }
    }

    fn overflow() -> Self {
        Self::reset("UO", "overflow")
    }

    fn unhealthy() -> Self {
        let note = Note { flags: "UH", details: "no_healthy_upstream".into() };
        Self { status: 503, says: "no healthy upstream".into(), note }
    }

    fn timeout() -> Self {
        let note = Note { flags: "UT", details: "response_timeout".into() };
        Self { status: 504, says: "upstream request timeout".into(), note }
    }

    fn per_try_timeout() -> Self {
        let note = Note { flags: "UT", details: "upstream_per_try_timeout".into() };
        Self { status: 504, says: "upstream request timeout".into(), note }
    }

    fn no_sockets() -> Self {
        let note = Note { flags: "UPE", details: "upstream_takes_no_websockets".into() };
        let says = "the service speaks HTTP/2 and takes WebSockets neither in it (RFC 8441) nor in HTTP/1.1";
        Self { status: 502, says: says.into(), note }
    }

    fn protocol() -> Self {
        Self { status: 502, ..Self::reset("UPE", "protocol error") }
    }

    /// The request's own body was at fault.
    fn request(error: BodyError) -> Self {
        let (status, flags, details) = match error {
            BodyError::TooLarge => (413, "-", "request_payload_too_large"),
            BodyError::Malformed => (400, "DPE", "http1.codec_error"),
            BodyError::TimedOut => (408, "SI", "stream_idle_timeout"),
            BodyError::Refused => (403, "-", "message_refused"),
            BodyError::Closed => (400, "DC", "downstream_remote_disconnect"),
        };
        Self { status, says: error.to_string(), note: Note { flags, details: details.into() } }
    }
}

/// A response body that must end by the route's timeout, and that counts its request as open until it does.
struct Bounded {
    body: Body,
    patience: Patience,
    _slot: crate::pool::Slot,
}

impl Source for Bounded {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Poll::Ready(next) = self.body.poll_next(context) {
            return Poll::Ready(next);
        }
        self.patience.poll_over(context).map(|()| Some(Err(BodyError::TimedOut)))
    }
}

/// How long something is waited for. The timer is made when there is something to wait for, which most often there is
/// not.
struct Patience {
    deadline: Option<Instant>,
    late: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Until then; without a time, for ever.
    const fn until(deadline: Option<Instant>) -> Self {
        Self { deadline, late: None }
    }

    /// Ready when it is over.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        late.as_mut().poll(context)
    }

    /// What is waited for, or `None` when it is over before.
    fn poll<F: Future>(&mut self, awaited: Pin<&mut F>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match awaited.poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_over(context).map(|()| None),
        }
    }
}
