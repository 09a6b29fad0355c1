//! Spans of traced calls: kept here, rendered in what a collector reads; whoever has a socket posts them.
//!
//! In: exchanges that have a [`ringwall_model::Span`]. Out: Zipkin's JSON v2, or OTLP 1.x in its JSON form with the names of
//! OpenTelemetry's HTTP conventions. Bounded: what nobody fetches makes room for what is newer, and is counted. A target is
//! cut off where Envoy cuts its own (`max_path_tag_length`).

mod otlp;
mod zipkin;

use crate::{log, redact};
use ringwall_model::Exchange;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

pub use otlp::otlp;
pub use zipkin::zipkin;

/// Spans that may wait to be fetched.
const MOST: usize = 4096;
/// Bytes of a text of a call.
const LONGEST: usize = 256;

/// One finished span.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its place in the trace.
    pub place: ringwall_model::Span,
    side: Side,
    /// Authority, method and target, one behind the other: one piece of memory for all.
    text: String,
    /// Where the method and the target begin.
    at: (usize, usize),
    /// Microseconds since 1970.
    started: u64,
    /// Microseconds.
    duration: u64,
    workload: Arc<str>,
    peer: SocketAddr,
    status: u16,
    flags: &'static str,
    cluster: Arc<str>,
    call: ringwall_model::CallId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

impl Finished {
    fn of(exchange: &Exchange, place: &ringwall_model::Span) -> Self {
        let whole = exchange.authority.len() + exchange.method.len() + exchange.target.len();
        let mut text = String::with_capacity(whole.min(3 * LONGEST));
        let mut add = |part: &str| {
            text.push_str(&part[..part.floor_char_boundary(LONGEST)]);
            text.len()
        };
        let at = (add(&redact::text(&exchange.authority)), add(&redact::text(&exchange.method)));
        add(&redact::target(&exchange.target));
        Self {
            place: place.clone(),
            side: if log::is_inbound(exchange.role) { Side::Server } else { Side::Client },
            text,
            at,
            started: exchange.started.0.saturating_mul(1000),
            duration: exchange.duration.0.saturating_mul(1000).max(1),
            workload: exchange.workload.clone(),
            peer: exchange.peer,
            status: exchange.status,
            flags: exchange.flags,
            cluster: exchange.cluster.clone(),
            call: exchange.id,
        }
    }

    fn authority(&self) -> &str {
        &self.text[..self.at.0]
    }

    fn method(&self) -> &str {
        &self.text[self.at.0..self.at.1]
    }

    fn target(&self) -> &str {
        &self.text[self.at.1..]
    }
}

/// Spans that wait to be fetched.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<VecDeque<Finished>>);

/// What became of a span that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It waits.
    Waits,
    /// It waits, and the oldest went for it: who asks wants to know of now.
    ForAnother,
}

impl Waiting {
    /// Keeps the span of a traced exchange; `None` for one that is not traced.
    pub(crate) fn keep(&self, exchange: &Exchange) -> Option<Kept> {
        let span = Finished::of(exchange, exchange.span.as_deref()?);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = waiting.len() >= MOST;
        if is_full {
            waiting.pop_front();
        }
        waiting.push_back(span);
        Some(if is_full { Kept::ForAnother } else { Kept::Waits })
    }

    /// The oldest ones.
    pub(crate) fn take(&self, most: usize) -> Vec<Finished> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(most);
        waiting.drain(..count).collect()
    }
}

/// JSON of so many spans, in memory that is taken once: a batch that grows is copied, and its pages are cleared each time.
fn json(spans: &impl serde::Serialize, count: usize) -> Vec<u8> {
    const USUAL: usize = 768;
    let mut text = Vec::with_capacity(count.saturating_mul(USUAL));
    // Nothing in a span, and no memory, refuses to be written.
    let _written = serde_json::to_writer(&mut text, spans);
    text
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, MOST, Waiting, otlp, zipkin};
    use crate::telemetry::tests::exchange;
    use ringwall_model::{Exchange, Role, Span};

    fn traced(id: u64, parent: Option<u64>) -> Exchange {
        Exchange { span: Some(Box::new(Span { trace: 0xabc, id, parent })), ..exchange(Role::Edge) }
    }

    #[test]
    fn spans_read_as_zipkin_and_as_otlp() {
        let waiting = Waiting::default();
        assert!(waiting.keep(&exchange(Role::Edge)).is_none(), "not traced");
        for exchange in [traced(7, None), Exchange { status: 503, ..traced(8, Some(7)) }] {
            waiting.keep(&exchange);
        }
        let spans = waiting.take(10);
        let read = |text: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        let (zipkin, otlp) = (read(zipkin(&spans)), read(otlp(&spans)));
        assert_eq!(zipkin[0]["traceId"], "00000000000000000000000000000abc");
        assert_eq!((&zipkin[0]["id"], &zipkin[0]["parentId"]), (&"0000000000000007".into(), &serde_json::Value::Null));
        assert_eq!(zipkin[1]["parentId"], "0000000000000007");
        assert_eq!(zipkin[1]["remoteEndpoint"], serde_json::json!({ "ipv4": "10.0.0.7", "port": 5555 }));
        assert_eq!(zipkin[1]["tags"]["http.status_code"], "503");
        let resource = &otlp["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "infrastructure/kong-gateway-0");
        let second = &resource["scopeSpans"][0]["spans"][1];
        assert_eq!((&second["parentSpanId"], &second["status"]["code"]), (&"0000000000000007".into(), &2.into()));
        assert_eq!(second["endTimeUnixNano"], "1795449852234000000");
        assert_eq!(second["attributes"][2]["value"]["intValue"], "503");
        for text in [zipkin.to_string(), otlp.to_string()] {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn nobody_fetches_and_memory_stays_bounded() {
        let waiting = Waiting::default();
        let long = Exchange { target: vec![b'a'; 100_000].into(), ..traced(1, None) };
        let dropped = (0..MOST + 3).filter(|_| waiting.keep(&long) == Some(super::Kept::ForAnother)).count();
        let left = waiting.take(usize::MAX);
        assert_eq!((dropped, left.len(), left[0].target().len()), (3, MOST, LONGEST));
    }
}
