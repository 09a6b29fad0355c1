//! The head of a response, read as strictly as that of a request: an upstream may be as hostile as a client.

use crate::call::{Lines, Settings, read_lines};
use crate::{Limits, fault, octets};
use bytes::Bytes;
use ringwall_model::{Fault, Fields, Version};

/// What the head of a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Version of the sender.
    pub version: Version,
    /// Status code, 100 to 599.
    pub status: u16,
    /// Fields in order.
    pub fields: Fields,
}

/// Reads a complete head of an HTTP/1 response (found with [`crate::read`]).
///
/// # Errors
/// [`fault::RESPONSE`] for whatever is wrong with it.
pub fn response(raw: &Bytes, limits: Limits) -> Result<Response, Fault> {
    let mut faults = Vec::new();
    let lines = Lines::of(raw, &mut faults);
    let settings = Settings { limits, ..Settings::default() };
    let fields = read_lines(raw, &lines, &settings, &mut faults);
    let (version, status) = status_line(&lines.first).ok_or(fault::RESPONSE)?;
    if faults.is_empty() { Ok(Response { version, status, fields }) } else { Err(fault::RESPONSE) }
}

/// `version SP status SP [reason]`; the space after the status may be missing when there is no reason.
fn status_line(line: &[u8]) -> Option<(Version, u16)> {
    let version = match line.get(..9)? {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return None,
    };
    let status = u16::try_from(octets::decimal(line.get(9..12)?)?).ok()?;
    let rest = line.get(12..)?;
    let closed = matches!(rest, [] | [b' ', ..]) && octets::is_value(rest);
    (closed && (100..600).contains(&status)).then_some((version, status))
}

#[cfg(test)]
mod tests {
    use super::response;
    use crate::Limits;
    use bytes::Bytes;

    #[track_caller]
    fn check(head: &'static str, want: Option<u16>) {
        let got = response(&Bytes::from_static(head.as_bytes()), Limits::default());
        assert_eq!(got.ok().map(|response| response.status), want, "{head}");
    }

    #[test]
    fn a_response_head_is_read_strictly() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some(200));
        check("HTTP/1.0 404 Not Found\r\n\r\n", Some(404));
        check("HTTP/1.1 204\r\n\r\n", Some(204));
        check("HTTP/1.1 099 x\r\n\r\n", None);
        check("HTTP/1.1 2000 x\r\n\r\n", None);
        check("HTTP/2 200\r\n\r\n", None);
        check("HTTP/1.1 200 OK\ncontent-length: 0\n\n", None);
        check("HTTP/1.1 200 OK\r\na : b\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\na: b\0\r\n\r\n", None);
        check("ICY 200 OK\r\n\r\n", None);
    }
}
