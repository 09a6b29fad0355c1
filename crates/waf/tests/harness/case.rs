//! Regression cases of the Core Rule Set, in the format of go-ftw, and the requests that they mean.

use super::yaml::Node;
use base64::Engine;

/// A test: all its stages must hold.
#[derive(Clone, Debug)]
pub struct Case {
    /// `942100-1`
    pub id: String,
    pub stages: Vec<Stage>,
}

/// One request and what must come of it.
#[derive(Clone, Debug)]
pub struct Stage {
    pub request: Vec<u8>,
    pub expect: Expect,
}

/// What must come of a request.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    pub error: bool,
    pub status: Option<u16>,
    pub ids: Vec<u64>,
    pub no_ids: Vec<u64>,
    pub matches: Option<String>,
    pub no_match: Option<String>,
}

/// The cases of one file.
pub fn read(text: &str) -> Vec<Case> {
    let Some(file) = Node::read(text) else { return Vec::new() };
    let rule = file.text("rule_id").unwrap_or_default().to_owned();
    file.list("tests")
        .iter()
        .map(|test| Case {
            id: format!("{rule}-{}", test.text("test_id").unwrap_or_default()),
            stages: test.list("stages").iter().map(stage).collect(),
        })
        .collect()
}

fn stage(node: &Node) -> Stage {
    let node = node.get("stage").unwrap_or(node);
    let empty = Node::Map(Vec::new());
    let output = node.get("output").unwrap_or(&empty);
    let log = output.get("log").unwrap_or(&empty);
    let ids = |key: &str| log.list(key).iter().filter_map(|id| id.as_text().parse().ok()).collect();
    let expect = Expect {
        error: output.text("expect_error") == Some("true"),
        status: output.text("status").and_then(|status| status.parse().ok()),
        ids: ids("expect_ids"),
        no_ids: ids("no_expect_ids"),
        matches: log.text("match_regex").map(str::to_owned),
        no_match: log.text("no_match_regex").map(str::to_owned),
    };
    Stage { request: request(node.get("input").unwrap_or(&empty)), expect }
}

/// The bytes that go-ftw would send.
fn request(input: &Node) -> Vec<u8> {
    if let Some(encoded) = input.text("encoded_request") {
        let compact: String = encoded.split_ascii_whitespace().collect();
        return base64::engine::general_purpose::STANDARD.decode(compact).expect("base64");
    }
    let complete = input.text("autocomplete_headers") != Some("false");
    let method = input.text("method").unwrap_or("GET");
    let mut headers: Vec<(String, String)> = Vec::new();
    if let Some(Node::Map(members)) = input.get("headers") {
        headers.extend(members.iter().map(|(name, value)| (name.clone(), value.as_text().to_owned())));
    }
    let mut data = repeated(input.text("data").unwrap_or_default()).into_bytes();
    let has =
        |headers: &[(String, String)], wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    const FORM: &str = "application/x-www-form-urlencoded";
    if !data.is_empty() && complete {
        if !has(&headers, "Content-Type") {
            headers.push(("Content-Type".into(), FORM.into()));
        }
        let is_form = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("Content-Type") && value.eq_ignore_ascii_case(FORM)
        };
        if headers.iter().any(is_form) && unescape(&data).as_deref() == Some(&data) {
            data = escaped(&data);
        }
    }
    let is_upload = |(name, value): &(String, String)| {
        name.eq_ignore_ascii_case("Content-Type") && value.to_ascii_lowercase().contains("multipart/form-data;")
    };
    if headers.iter().any(is_upload) {
        data = String::from_utf8_lossy(&data).replace('\n', "\r\n").into_bytes();
    }
    if complete {
        if !has(&headers, "Connection") {
            headers.push(("Connection".into(), "close".into()));
        }
        let carries = ["POST", "PUT", "PATCH", "DELETE"].iter().any(|verb| method.contains(verb));
        if !has(&headers, "Content-Length") && (!data.is_empty() || carries) {
            headers.push(("Content-Length".into(), data.len().to_string()));
        }
    }
    let (uri, version) = (input.text("uri").unwrap_or("/"), input.text("version").unwrap_or("HTTP/1.1"));
    let mut out = format!("{method} {uri} {version}\r\n").into_bytes();
    for (name, value) in headers {
        out.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    out.extend(b"\r\n");
    out.extend(data);
    out
}

/// `{{ "x" | repeat 3 }}`
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{{ \"") else { return text.to_owned() };
    let (unit, rest) = rest.split_once("\" | repeat ").expect("only `repeat` is known");
    let (count, after) = rest.split_once(" }}").expect("the template ends");
    format!("{before}{}{}", unit.repeat(count.parse().expect("a number")), repeated(after))
}

/// `QueryUnescape` of Go; `None` when an escape is broken.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, left @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                out.push((digit(*high)? * 16 + digit(*low)?) as u8);
                rest = left;
            }
            (b'%', _) => return None,
            _ => out.push(*first),
        }
    }
    Some(out)
}

fn escaped(text: &[u8]) -> Vec<u8> {
    let escape = |part: &[u8]| -> Vec<u8> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        part.iter()
            .flat_map(|byte| match byte {
                b' ' => vec![b'+'],
                byte if plain(*byte) => vec![*byte],
                byte => format!("%{byte:02X}").into_bytes(),
            })
            .collect()
    };
    let pair = |pair: &[u8]| match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => [escape(&pair[..at]), b"=".to_vec(), escape(&pair[at + 1..])].concat(),
        None => escape(pair),
    };
    text.split(|byte| *byte == b'&').map(pair).collect::<Vec<_>>().join(&b'&')
}
