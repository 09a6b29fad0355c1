//! Fields that are for one connection only, and what goes on to the next hop (RFC 9110 section 7.6.1).

use crate::{fault, octets};
use bytes::Bytes;
use ringwall_model::{Fault, Fields};

/// Whether a field of that name never goes on to the next hop.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    // By length first: asked of each field of each message, and seldom true.
    match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        18 => is("proxy-authenticate"),
        19 => is("proxy-authorization"),
        _ => false,
    }
}

/// Fields that frame or route a message, or that later hops rely on: to nominate one of them in `Connection` is an
/// attempt to make this hop and the next one see two messages.
const NEVER_NOMINATED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// The names that `Connection` nominates, as sent.
pub fn nominated(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields.all("connection").flat_map(|value| octets::elements(value))
}

/// Takes out the fields that `Connection` nominates, so that every layer judges only what goes on to the next hop.
/// What belongs to this connection (`Upgrade`, `TE`, `Keep-Alive`) stays until [`strip_hop_by_hop`].
pub(crate) fn drop_nominated(fields: &mut Fields, faults: &mut Vec<Fault>) {
    let is_in = |names: &[&str], name: &[u8]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    let passing = |name: &&[u8]| !is_hop_by_hop(name) && !name.eq_ignore_ascii_case(b"close");
    let names: Vec<Box<[u8]>> = nominated(fields).filter(passing).map(Into::into).collect();
    for name in names {
        if is_in(NEVER_NOMINATED, &name) || name.starts_with(b":") {
            fault::note(faults, fault::NOMINATED);
        } else {
            fields.0.retain(|field| !field.name.eq_ignore_ascii_case(&name));
        }
    }
}

/// The fields that go on to the next hop, with room for what this one adds.
pub fn passing(fields: &Fields) -> Fields {
    const ROOM: usize = 4;
    let mut passing = Fields(Vec::with_capacity(fields.0.len() + ROOM));
    passing.0.extend(fields.iter().cloned());
    strip_hop_by_hop(&mut passing);
    passing
}

/// Takes out everything that is for this connection only: nominated fields, and those of [`is_hop_by_hop`].
/// `TE: trailers` stays as such, because gRPC needs it on every hop.
pub fn strip_hop_by_hop(fields: &mut Fields) {
    // What nominates is hop by hop itself.
    if !fields.iter().any(|field| is_hop_by_hop(&field.name)) {
        return;
    }
    let wants_trailers =
        fields.all("te").flat_map(|value| octets::elements(value)).any(|te| te.eq_ignore_ascii_case(b"trailers"));
    drop_nominated(fields, &mut Vec::new());
    fields.0.retain(|field| !is_hop_by_hop(&field.name));
    if wants_trailers {
        fields.push("te", "trailers");
    }
}

/// Whether a request carries messages of gRPC: over HTTP/2, `application/grpc` alone or with a format (`+proto`).
pub fn is_grpc(fields: &Fields, version: ringwall_model::Version) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some(media) = fields.first("content-type").filter(|_| version == ringwall_model::Version::Http2) else {
        return false;
    };
    let named = media.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    named && matches!(media.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
}

/// Leaves of `Accept-Encoding` the codings that can be read on the way back (RFC 9110 section 12.5.3); `identity` when none
/// is left. What is not there stays so: nobody compresses unasked.
pub fn accept_codings(fields: &mut Fields, is_read: impl Fn(&[u8]) -> bool) {
    let name = |element: &[u8]| octets::trim(element.split(|octet| *octet == b';').next().unwrap_or_default()).to_vec();
    let fits = |element: &&[u8]| is_read(&name(element));
    let elements = || fields.all("accept-encoding").flat_map(|value| octets::elements(value));
    if elements().all(|element| fits(&element)) {
        return;
    }
    let left: Vec<&[u8]> = elements().filter(fits).collect();
    let value = if left.is_empty() { b"identity".to_vec() } else { left.join(&b", "[..]) };
    fields.set("accept-encoding", value);
}

/// The protocol that the peer asks to change to: `Upgrade`, when `Connection` nominates it (RFC 9110 section 7.8).
pub fn upgrade(fields: &Fields) -> Option<&[u8]> {
    nominated(fields).any(|name| name.eq_ignore_ascii_case(b"upgrade")).then_some(())?;
    fields.only("upgrade").map(AsRef::as_ref)
}

/// Whether the connection ends with this message (RFC 9112 section 9.3).
pub fn closes(fields: &Fields, version: ringwall_model::Version) -> bool {
    let says = |word: &[u8]| nominated(fields).any(|name| name.eq_ignore_ascii_case(word));
    match version {
        ringwall_model::Version::Http10 => says(b"close") || !says(b"keep-alive"),
        _ => says(b"close"),
    }
}

/// Adds an address, as text, at the right of `X-Forwarded-For`, as one line, whatever number of lines came.
pub fn append_forwarded_for(fields: &mut Fields, address: Bytes) {
    let mut list: Vec<u8> = Vec::new();
    for value in fields.all("x-forwarded-for") {
        list.extend_from_slice(value);
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return fields.push("x-forwarded-for", address);
    }
    list.extend_from_slice(&address);
    fields.set("x-forwarded-for", list);
}

#[cfg(test)]
mod tests {
    use super::{
        accept_codings, append_forwarded_for, closes, drop_nominated, is_hop_by_hop, strip_hop_by_hop, upgrade,
    };
    use ringwall_model::{Fields, Version};

    fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.push(*name, *value));
        fields
    }

    #[test]
    fn what_is_for_this_connection_ends_here() {
        let mut sent = fields(&[
            ("host", "a"),
            ("Connection", "x-secret, Upgrade"),
            ("connection", "close ,x-other"),
            ("X-Secret", "1"),
            ("x-other", "2"),
            ("Upgrade", "websocket"),
            ("TE", "gzip, trailers"),
            ("Transfer-Encoding", "chunked"),
            ("x-kept", "3"),
        ]);
        assert_eq!(upgrade(&sent), Some(&b"websocket"[..]));
        assert!(closes(&sent, Version::Http11));
        strip_hop_by_hop(&mut sent);
        assert_eq!(sent, fields(&[("host", "a"), ("x-kept", "3"), ("te", "trailers")]));
    }

    #[test]
    fn only_codings_that_can_be_read_are_asked_for() {
        let known = |name: &[u8]| matches!(name, b"gzip" | b"br" | b"identity");
        for (asked, left) in [
            (&["gzip, br;q=0.5"][..], &["gzip, br;q=0.5"][..]),
            (&["gzip, deflate;q=0.5, br ;q=1", "zstd, *"], &["gzip, br ;q=1"]),
            (&["zstd"], &["identity"]),
            (&["*"], &["identity"]),
            (&[], &[]),
        ] {
            let lines = |values: &[&'static str]| values.iter().map(|it| ("accept-encoding", *it)).collect::<Vec<_>>();
            let mut sent = fields(&lines(asked));
            accept_codings(&mut sent, known);
            assert_eq!(sent, fields(&lines(left)), "{asked:?}");
        }
    }

    #[test]
    fn fields_that_frame_or_route_cannot_be_nominated() {
        for name in ["Host", "content-length", "Transfer-Encoding", "x-forwarded-for", ":path"] {
            let mut faults = Vec::new();
            let mut sent = Fields::default();
            sent.push("connection", format!("close, {name}"));
            sent.push("host", "a");
            drop_nominated(&mut sent, &mut faults);
            // `Transfer-Encoding` is hop by hop already: to nominate it says nothing new.
            assert_eq!(faults.is_empty(), name == "Transfer-Encoding", "{name}");
            assert!(sent.first("host").is_some());
        }
    }

    #[test]
    fn each_field_of_one_connection_is_known_in_any_case() {
        let known = ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"];
        for name in known.iter().chain(&["trailer", "transfer-encoding", "upgrade"]) {
            assert!(is_hop_by_hop(name.as_bytes()) && is_hop_by_hop(name.to_uppercase().as_bytes()), "{name}");
            assert!(!is_hop_by_hop(format!("{name}s").as_bytes()), "{name}");
        }
        assert!(!is_hop_by_hop(b"host") && !is_hop_by_hop(b"") && !is_hop_by_hop(b"content-length"));
    }

    #[test]
    fn forwarded_addresses_are_one_line() {
        let mut first = fields(&[("a", "b")]);
        append_forwarded_for(&mut first, "3.3.3.3".into());
        assert_eq!(first, fields(&[("a", "b"), ("x-forwarded-for", "3.3.3.3")]));
        let mut sent = fields(&[("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
        append_forwarded_for(&mut sent, "3.3.3.3".into());
        assert_eq!(sent, fields(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3")]));
    }
}
