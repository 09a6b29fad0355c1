//! How long a body is (RFC 9112 section 6).
//!
//! Differs: whatever two readers could measure in two ways is a fault, also where the RFC lets a recipient repair it.

use crate::{fault, octets};
use ringwall_model::{BodyLength, Fault, Fields, Version};

/// The length of a request's body; what is wrong with its framing goes to `faults`.
pub fn request(method: &[u8], version: Version, fields: &Fields, faults: &mut Vec<Fault>) -> BodyLength {
    let length = length(fields, faults);
    let chunked = chunked(version, fields, faults);
    if chunked && fields.first("content-length").is_some() {
        fault::note(faults, fault::LENGTH_AND_CODING);
    }
    match (chunked, length) {
        _ if method == b"CONNECT" => BodyLength::Empty,
        (true, _) => BodyLength::Unknown,
        (false, Some(length)) => BodyLength::Known(length),
        (false, None) => BodyLength::Empty,
    }
}

/// How the end of a response's body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// There is none.
    Empty,
    /// So many bytes.
    Known(u64),
    /// Chunked.
    Chunked,
    /// All that comes until the connection ends.
    UntilClose,
}

/// The length of the body of a response to a request of `method`.
///
/// # Errors
/// [`fault::RESPONSE`] when its framing can be read in two ways.
pub fn response(method: &[u8], status: u16, version: Version, fields: &Fields) -> Result<ResponseBody, Fault> {
    let mut faults = Vec::new();
    let length = length(fields, &mut faults);
    let chunked = chunked(version, fields, &mut faults);
    if !faults.is_empty() || (chunked && length.is_some()) {
        return Err(fault::RESPONSE);
    }
    Ok(match (status, chunked, length) {
        (100..=199 | 204 | 304, _, _) => ResponseBody::Empty,
        _ if method == b"HEAD" || (method == b"CONNECT" && (200..300).contains(&status)) => ResponseBody::Empty,
        (_, true, _) => ResponseBody::Chunked,
        (_, false, Some(length)) => ResponseBody::Known(length),
        (_, false, None) => ResponseBody::UntilClose,
    })
}

fn length(fields: &Fields, faults: &mut Vec<Fault>) -> Option<u64> {
    let mut values = fields.all("content-length");
    let first = values.next()?;
    if values.next().is_some() || first.contains(&b',') {
        fault::note(faults, fault::SEVERAL_LENGTHS);
    }
    let length = octets::decimal(first).filter(|length| i64::try_from(*length).is_ok());
    if length.is_none() && !first.contains(&b',') {
        fault::note(faults, fault::LENGTH);
    }
    length
}

/// Whether a transfer coding is in force; one that is not understood counts, so that nobody takes the body for empty.
fn chunked(version: Version, fields: &Fields, faults: &mut Vec<Fault>) -> bool {
    let mut values = fields.all("transfer-encoding");
    let Some(first) = values.next() else { return false };
    if version == Version::Http10 {
        fault::note(faults, fault::CODING_IN_10);
    }
    if values.next().is_some() || !first.eq_ignore_ascii_case(b"chunked") {
        fault::note(faults, fault::CODING);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{ResponseBody, response};
    use ringwall_model::{Fields, Version};

    #[track_caller]
    fn check(method: &str, status: u16, lines: &[(&'static str, &'static str)], want: Option<ResponseBody>) {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.push(*name, *value));
        assert_eq!(response(method.as_bytes(), status, Version::Http11, &fields).ok(), want);
    }

    #[test]
    fn a_response_ends_where_rfc_9112_says() {
        use ResponseBody::{Chunked, Empty, Known, UntilClose};
        check("GET", 200, &[("Content-Length", "5")], Some(Known(5)));
        check("GET", 200, &[("Transfer-Encoding", "Chunked")], Some(Chunked));
        check("GET", 200, &[], Some(UntilClose));
        check("HEAD", 200, &[("content-length", "5")], Some(Empty));
        check("GET", 304, &[("content-length", "5")], Some(Empty));
        check("GET", 204, &[], Some(Empty));
        check("CONNECT", 200, &[], Some(Empty));
        check("CONNECT", 403, &[("content-length", "1")], Some(Known(1)));
    }

    #[test]
    fn a_response_that_ends_in_two_places_is_refused() {
        check("GET", 200, &[("content-length", "5"), ("transfer-encoding", "chunked")], None);
        check("GET", 200, &[("content-length", "5"), ("content-length", "5")], None);
        check("GET", 200, &[("content-length", "5, 5")], None);
        check("GET", 200, &[("content-length", "+5")], None);
        check("GET", 200, &[("content-length", "9223372036854775808")], None);
        check("GET", 200, &[("transfer-encoding", "gzip, chunked")], None);
    }
}
