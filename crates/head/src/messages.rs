//! Where messages end in a stream: frames of a WebSocket, server-sent events, messages of gRPC.
//!
//! In: the bytes of a stream as far as they came. Out: the head of a frame, the end of an event, the length of a message.
//! Never: a look at what a message says. Follows RFC 6455 section 5.2, the HTML standard ("Parsing an event stream"), gRPC
//! over HTTP/2 ("Length-Prefixed-Message").

/// The head of a WebSocket frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of its payload.
    pub length: u64,
    /// Bytes of the head itself, 2 to 14.
    pub head: usize,
    /// What the payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// Whether it is the last of its message.
    pub fin: bool,
    /// Whether a bit is set that only an extension may set.
    pub reserved: bool,
}

/// The head of the first frame, when all of it is there.
pub fn frame_head(input: &[u8]) -> Option<FrameHead> {
    let (first, second) = (*input.first()?, *input.get(1)?);
    let (length, after) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(input.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let is_masked = second & 0x80 != 0;
    let mask = if is_masked { Some(input.get(after..after + 4)?.try_into().ok()?) } else { None };
    let head = after + if is_masked { 4 } else { 0 };
    Some(FrameHead { length, head, mask, opcode: first & 0x0f, fin: first & 0x80 != 0, reserved: first & 0x70 != 0 })
}

/// Where the first empty line ends, and with it an event; lines end with LF, CRLF or CR.
pub fn event_end(text: &[u8]) -> Option<usize> {
    let end = |at: usize| match (text.get(at), text.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Some(at + 2),
        (Some(b'\r' | b'\n'), _) => Some(at + 1),
        _ => None,
    };
    (0..text.len()).find_map(|at| end(at).and_then(end))
}

/// The length of the first message of gRPC with its prefix, when the prefix is there.
pub fn grpc_length(input: &[u8]) -> Option<usize> {
    match input {
        [_, a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?.checked_add(5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{event_end, frame_head, grpc_length};

    #[test]
    fn events_end_with_an_empty_line() {
        for (text, end) in [("a\n\nb", 3), ("a\r\n\r\nb", 5), ("a\r\rb", 3), ("a\n\r\nb", 4)] {
            assert_eq!(event_end(text.as_bytes()), Some(end), "{text:?}");
        }
        assert_eq!(event_end(b"a\nb\r\nc"), None);
    }

    #[test]
    fn heads_of_frames() {
        let short = frame_head(&[0x81, 0x85, 1, 2, 3, 4, 9]).unwrap();
        assert_eq!((short.length, short.head, short.mask, short.fin), (5, 6, Some([1, 2, 3, 4]), true));
        assert_eq!(frame_head(&[0x01, 126, 1, 0]).map(|it| (it.length, it.head, it.fin)), Some((256, 4, false)));
        let long = frame_head(&[0xc2, 127, 0xff, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        assert_eq!((long.length, long.reserved, long.opcode), (0xff00_0000_0000_0001, true, 2));
        for partial in [&[0x81][..], &[0x81, 126, 1], &[0x81, 0x81, 1, 2, 3]] {
            assert_eq!(frame_head(partial), None);
        }
    }

    #[test]
    fn lengths_of_messages() {
        assert_eq!(grpc_length(&[0, 0, 0, 1, 0]), Some(261));
        assert_eq!(grpc_length(&[0, 0, 0, 1]), None);
    }
}
