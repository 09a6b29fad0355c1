//! Every fault of a message that this room refuses, with its built-in rule name and the status of the refusal.
//!
//! Follows: RFC 9110, RFC 9112 and RFC 9113; stricter where readers are known to disagree about the same bytes, because
//! a disagreement between two hops is what request smuggling is made of.

use ringwall_model::Fault;

const fn fault(name: &'static str, status: u16, says: &'static str) -> Fault {
    Fault { name, status, says }
}

/// A request line that is not `method SP target SP version`.
pub const REQUEST_LINE: Fault =
    fault("request-line", 400, "the request line is not `method SP target SP version` (RFC 9112 section 3)");
/// A method that is not a token.
pub const METHOD: Fault =
    fault("method-token", 400, "the method is not a token of at most 64 characters (RFC 9110 section 9.1)");
/// A version other than HTTP/1.0 and HTTP/1.1.
pub const VERSION: Fault = fault("version", 505, "the version is neither HTTP/1.0 nor HTTP/1.1 (RFC 9112 section 2.3)");
/// A target with a byte outside visible ASCII.
pub const TARGET_CHARACTER: Fault =
    fault("target-character", 400, "the target holds a byte outside visible ASCII (RFC 9112 section 3.2)");
/// A target that has none of the four forms, or one that its method cannot have.
pub const TARGET_FORM: Fault =
    fault("target-form", 400, "the target has no form that its method may have (RFC 9112 section 3.2)");
/// A target longer than the limit.
pub const TARGET_LENGTH: Fault = fault("target-too-long", 414, "the target is longer than this listener allows");
/// A path with an encoded NUL.
pub const PATH_NUL: Fault = fault("path-nul", 400, "the path holds an encoded NUL (`%00`)");
/// `CONNECT` where no tunnels are made.
pub const CONNECT: Fault = fault("connect", 405, "this listener makes no tunnels (RFC 9110 section 9.3.6)");
/// A line that ends with LF alone.
pub const BARE_LF: Fault = fault("bare-lf", 400, "a line ends with LF without CR; other readers may not end it there");
/// CR inside a line.
pub const BARE_CR: Fault =
    fault("bare-cr", 400, "a line holds CR without LF; other readers may end it there (RFC 9112 section 2.2)");
/// NUL in a field.
pub const NUL: Fault = fault("nul", 400, "a field line holds NUL (RFC 9110 section 5.5)");
/// Another control character in a field.
pub const CONTROL: Fault =
    fault("control-character", 400, "a field value holds a control character (RFC 9110 section 5.5)");
/// A line that continues the one before it.
pub const OBS_FOLD: Fault =
    fault("obs-fold", 400, "a field line begins with white space and so continues another (RFC 9112 section 5.2)");
/// White space between a field's name and its colon.
pub const SPACE_BEFORE_COLON: Fault =
    fault("space-before-colon", 400, "white space stands between a field name and its colon (RFC 9112 section 5.1)");
/// A field name that is not a token, or a line without colon.
pub const FIELD_NAME: Fault =
    fault("field-name", 400, "a field line has no colon, or its name is not a token (RFC 9112 section 5)");
/// A field name with an underscore, where the listener refuses those.
pub const UNDERSCORE: Fault =
    fault("underscore-field", 400, "a field name holds `_`, which application servers read as `-`");
/// More than one `Host`.
pub const SEVERAL_HOSTS: Fault = fault("several-hosts", 400, "more than one Host field (RFC 9112 section 3.2)");
/// No `Host` in an HTTP/1.1 request, no `:authority` in an HTTP/2 one.
pub const NO_HOST: Fault = fault("no-host", 400, "no Host field (RFC 9112 section 3.2), or no `:authority`");
/// A `Host` that is not `host[:port]`.
pub const HOST: Fault = fault("invalid-host", 400, "the authority is not `host[:port]` (RFC 3986 section 3.2)");
/// A `Host` that names another authority than the target.
pub const HOST_MISMATCH: Fault =
    fault("host-mismatch", 400, "the Host field and the target name different authorities (RFC 9112 section 3.2.2)");
/// The target's scheme is not the connection's.
pub const SCHEME: Fault = fault("scheme", 400, "the target's scheme is not the one of this connection");
/// Both `Content-Length` and `Transfer-Encoding`.
pub const LENGTH_AND_CODING: Fault =
    fault("length-and-coding", 400, "both Content-Length and Transfer-Encoding (RFC 9112 section 6.1)");
/// More than one `Content-Length`, whether they agree or not.
pub const SEVERAL_LENGTHS: Fault =
    fault("conflicting-length", 400, "more than one Content-Length (RFC 9112 section 6.3)");
/// A `Content-Length` that is not a decimal number below 2^63.
pub const LENGTH: Fault = fault("invalid-length", 400, "Content-Length is not a decimal number (RFC 9110 section 8.6)");
/// A `Transfer-Encoding` other than exactly `chunked`.
pub const CODING: Fault =
    fault("transfer-coding", 400, "Transfer-Encoding is not exactly `chunked` (RFC 9112 section 6.1)");
/// `Transfer-Encoding` in HTTP/1.0.
pub const CODING_IN_10: Fault =
    fault("coding-in-http10", 400, "Transfer-Encoding in an HTTP/1.0 message (RFC 9112 section 6.1)");
/// `Connection` nominates a field that frames or routes the message.
pub const NOMINATED: Fault =
    fault("nominated-field", 400, "Connection nominates a field that frames or routes the message");
/// The head is longer than the limit.
pub const HEAD_LENGTH: Fault = fault("head-too-long", 431, "the head is longer than this listener allows");
/// More field lines than the limit.
pub const FIELD_COUNT: Fault = fault("too-many-fields", 431, "the head has more field lines than this listener allows");

/// A chunk whose size line is malformed, too long or too large.
pub const CHUNK: Fault =
    fault("chunk", 400, "a chunk's size or end is malformed, or its extensions are too long (RFC 9112 section 7.1)");
/// A trailer field that frames or routes the message, or too many trailers.
pub const TRAILER: Fault =
    fault("trailer", 400, "the trailer section is malformed, too long, or frames the message (RFC 9110 section 6.5.1)");

/// An upper-case field name in HTTP/2.
pub const H2_UPPER_CASE: Fault =
    fault("h2-upper-case", 400, "an HTTP/2 field name holds an upper-case letter (RFC 9113 section 8.2.1)");
/// A connection-specific field in HTTP/2.
pub const H2_CONNECTION_FIELD: Fault =
    fault("h2-connection-field", 400, "an HTTP/2 request holds a connection-specific field (RFC 9113 section 8.2.2)");
/// Pseudo-fields that are missing, or that their method cannot have.
pub const H2_PSEUDO_FIELD: Fault =
    fault("h2-pseudo-field", 400, "`:scheme` or `:path` is missing or out of place (RFC 9113 section 8.3.1)");

/// A PROXY protocol header that is malformed or too long.
pub const PROXY_PROTOCOL: Fault =
    fault("proxy-protocol", 400, "the PROXY protocol header is missing, malformed or too long");

/// A response head that cannot be trusted.
pub const RESPONSE: Fault =
    fault("upstream-response", 502, "the upstream's response head is malformed or frames its body in two ways");

/// All faults, for documents and for tests that count.
pub const ALL: &[Fault] = &[
    REQUEST_LINE,
    METHOD,
    VERSION,
    TARGET_CHARACTER,
    TARGET_FORM,
    TARGET_LENGTH,
    PATH_NUL,
    CONNECT,
    BARE_LF,
    BARE_CR,
    NUL,
    CONTROL,
    OBS_FOLD,
    SPACE_BEFORE_COLON,
    FIELD_NAME,
    UNDERSCORE,
    SEVERAL_HOSTS,
    NO_HOST,
    HOST,
    HOST_MISMATCH,
    SCHEME,
    LENGTH_AND_CODING,
    SEVERAL_LENGTHS,
    LENGTH,
    CODING,
    CODING_IN_10,
    NOMINATED,
    HEAD_LENGTH,
    FIELD_COUNT,
    CHUNK,
    TRAILER,
    H2_UPPER_CASE,
    H2_CONNECTION_FIELD,
    H2_PSEUDO_FIELD,
    PROXY_PROTOCOL,
    RESPONSE,
];

/// Adds a fault to a list that names each fault once.
pub(crate) fn note(faults: &mut Vec<Fault>, fault: Fault) {
    if !faults.contains(&fault) {
        faults.push(fault);
    }
}
