//! A call's place in a trace: what its caller says of it, and what the next hop is told.
//!
//! In: request fields, the call's own random name. Out: a [`Span`], or none where the call is not traced. Follows W3C Trace
//! Context level 1 (`traceparent`) and Zipkin's B3 in both of its forms. Differs: of two that disagree, B3 counts; what
//! cannot be read is as if it were not there, so that nobody's trace is refused.

use bytes::Bytes;
use ringwall_model::{CallId, Fields, Span, hex};

/// How many calls of a million are traced when the caller does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling(pub u32);

/// What a caller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing about whether it is traced; perhaps where it belongs.
    Open(Option<(u128, u64)>),
    /// It is traced.
    Sampled(Option<(u128, u64)>),
    /// It is not.
    NotSampled,
}

impl Sampling {
    /// The span of a call: as its caller decided, else by its own random name.
    pub fn span(self, id: CallId, fields: &Fields) -> Option<Span> {
        let before = match told(fields) {
            Told::NotSampled => return None,
            Told::Sampled(before) => before,
            Told::Open(before) if low(id.0) % 1_000_000 < u64::from(self.0) => before,
            Told::Open(_) => return None,
        };
        // No name of a trace or a span is zero.
        let own = (low(id.0 >> 64) ^ low(id.0)).max(1);
        let trace = before.map_or_else(|| id.0.max(1), |(trace, _)| trace);
        Some(Span { trace, id: own, parent: before.map(|(_, span)| span) })
    }
}

/// Tells the next hop of the call's span, or that it is not traced. What a caller said stays when there is no span.
pub fn propagate(span: Option<&Span>, fields: &mut Fields) {
    let Some(span) = span else {
        if matches!(told(fields), Told::Open(_)) {
            fields.0.retain(|field| !field.is("b3") && !field.is("x-b3-sampled"));
            fields.push("x-b3-sampled", "0");
        }
        return;
    };
    fields.0.retain(|field| !REPLACED.iter().any(|name| field.is(name)));
    // One piece of memory for all.
    let mut text = Vec::with_capacity(W3C + 16);
    text.extend_from_slice(b"00-");
    text.extend_from_slice(&hex::long(span.trace));
    text.push(b'-');
    text.extend_from_slice(&hex::digits(span.id));
    text.extend_from_slice(b"-01");
    span.parent.into_iter().for_each(|parent| text.extend_from_slice(&hex::digits(parent)));
    let text = Bytes::from(text);
    fields.push("traceparent", text.slice(..W3C));
    fields.push("x-b3-traceid", text.slice(3..35));
    fields.push("x-b3-spanid", text.slice(36..52));
    fields.push("x-b3-sampled", "1");
    if span.parent.is_some() {
        fields.push("x-b3-parentspanid", text.slice(W3C..));
    }
}

/// Bytes of a `traceparent`.
const W3C: usize = 55;

/// The fields of a caller that a span replaces.
const REPLACED: [&str; 6] = ["b3", "traceparent", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-parentspanid"];

/// The fields that tell of a trace.
const NAMES: [&str; 6] = ["b3", "traceparent", "x-b3-sampled", "x-b3-flags", "x-b3-traceid", "x-b3-spanid"];

fn told(fields: &Fields) -> Told {
    // Most callers say nothing.
    if !fields.iter().any(|field| matches!(field.name.len(), 2 | 10..=12) && NAMES.iter().any(|name| field.is(name))) {
        return Told::Open(None);
    }
    let [single, w3c, sampled, flags, trace, span] =
        fields.only_each(NAMES).map(|value| value.and_then(|value| std::str::from_utf8(value).ok()));
    if let Some(told) = single.and_then(of_single) {
        return told;
    }
    let ids = || Some((trace_id(trace?)?, span_id(span?)?));
    match sampled {
        Some("1" | "true") => Told::Sampled(ids()),
        Some("0" | "false") => Told::NotSampled,
        // `x-b3-flags: 1` is debug, which implies a trace.
        _ if flags == Some("1") => Told::Sampled(ids()),
        _ => match (ids(), w3c.and_then(of_w3c)) {
            (None, Some(told)) => told,
            (Some(ids), Some(Told::Sampled(_))) => Told::Sampled(Some(ids)),
            (Some(_), Some(Told::NotSampled)) => Told::NotSampled,
            (ids, _) => Told::Open(ids),
        },
    }
}

/// `{trace}-{span}`, `{trace}-{span}-{decision}[-{parent}]` or `{decision}` alone.
fn of_single(value: &str) -> Option<Told> {
    let decided = |word: &str, ids| match word {
        "1" | "d" => Some(Told::Sampled(ids)),
        "0" => Some(Told::NotSampled),
        _ => None,
    };
    let mut parts = value.split('-');
    let (first, span) = (parts.next()?, parts.next());
    let Some(span) = span else { return decided(first, None) };
    let ids = Some((trace_id(first)?, span_id(span)?));
    parts.next().map_or(Some(Told::Open(ids)), |word| decided(word, ids))
}

/// `00-{trace}-{span}-{flags}`; of a later version what this one knows (section 3.2.4).
fn of_w3c(value: &str) -> Option<Told> {
    let mut parts = value.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_known = of_hex(version, 2)? != 0xff && (version != "00" || parts.next().is_none()) && trace.len() == 32;
    let ids = is_known.then_some((trace_id(trace)?, span_id(span)?));
    ids?;
    Some(if of_hex(flags, 2)? & 1 == 1 { Told::Sampled(ids) } else { Told::NotSampled })
}

fn trace_id(text: &str) -> Option<u128> {
    of_hex(text, 32).or_else(|| of_hex(text, 16)).filter(|id| *id != 0)
}

fn span_id(text: &str) -> Option<u64> {
    of_hex(text, 16).map(low).filter(|id| *id != 0)
}

fn of_hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(id: u128) -> u64 {
    id as u64
}

#[cfg(test)]
mod tests {
    use super::{Sampling, propagate};
    use ringwall_model::{CallId, Fields, Span};

    const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    const PARENT: u64 = 0xb7ad_6b71_6920_3331;
    const ALL: u32 = 1_000_000;

    fn fields(all: &[(&'static str, &'static str)]) -> Fields {
        let mut fields = Fields::default();
        all.iter().for_each(|(name, value)| fields.push(*name, *value));
        fields
    }

    #[test]
    fn the_caller_decides_about_its_trace() {
        let id = CallId(4);
        let span = |sampling: u32, all: &[(&'static str, &'static str)]| Sampling(sampling).span(id, &fields(all));
        let w3c = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let ids = [("x-b3-traceid", "0af7651916cd43dd8448eb211c80319c"), ("x-b3-spanid", "b7ad6b7169203331")];
        let child = Some(Span { trace: TRACE, id: 4, parent: Some(PARENT) });
        let root = Some(Span { trace: 4, id: 4, parent: None });
        assert_eq!(span(0, &[("traceparent", w3c)]), child);
        assert_eq!(span(0, &[("X-B3-Sampled", "1"), ids[0], ids[1]]), child);
        assert_eq!(span(0, &[("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1")]), child);
        assert_eq!(span(0, &[("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-d-0000000000000001")]), child);
        assert_eq!(span(0, &[("x-b3-sampled", "1")]), root);
        assert_eq!(span(5, &ids), child, "a trace without a decision, and ours is yes");
        for no in [
            &[("x-b3-sampled", "0"), ("traceparent", w3c)][..],
            &[("b3", "0")],
            &[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")],
        ] {
            assert_eq!(span(ALL, no), None, "{no:?}");
        }
        // What cannot be read says nothing.
        for unread in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd-b7ad6b7169203331-01",
            "",
        ] {
            assert_eq!(span(0, &[("traceparent", unread)]), None, "{unread}");
            assert_eq!(span(ALL, &[("traceparent", unread)]), root, "{unread}");
        }
        assert_eq!(span(5, &[]), root);
        assert_eq!(span(4, &[]), None);
    }

    #[test]
    fn the_next_hop_decides_alike_and_hangs_below() {
        let mut onward = fields(&[("b3", "1"), ("x-b3-parentspanid", "0000000000000009")]);
        let span = Span { trace: TRACE, id: 7, parent: None };
        propagate(Some(&span), &mut onward);
        assert_eq!(Sampling(0).span(CallId(1), &onward), Some(Span { trace: TRACE, id: 1, parent: Some(7) }));
        assert_eq!(onward.first("traceparent").unwrap(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01");
        assert_eq!(onward.first("x-b3-parentspanid"), None);
        let mut silent = fields(&[]);
        propagate(None, &mut silent);
        assert_eq!(Sampling(ALL).span(CallId(1), &silent), None);
        let before = fields(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]);
        let mut kept = before.clone();
        propagate(None, &mut kept);
        assert_eq!(kept, before, "what the caller said stays");
    }
}
