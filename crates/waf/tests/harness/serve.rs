//! A server in memory: reads a request as a strict HTTP/1 server does, runs the engine, answers as `albedo` does.

use base64::Engine;
use ringwall_model::Timestamp;
use ringwall_waf::{Fuel, Profile, Progress, Report, RequestHead, ResponseHead, Transaction, Waf};
use std::net::SocketAddr;
use std::sync::Arc;

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Status; `None`: the connection was closed without an answer.
    pub status: Option<u16>,
    /// Whether it went on though a part of it could not be read.
    pub unread: bool,
    pub report: Report,
}

/// A request's head as bytes.
#[derive(Debug, Default)]
pub struct Head<'a> {
    pub line: &'a [u8],
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub protocol: &'a [u8],
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    pub body: &'a [u8],
}

/// Splits a request; nothing is judged.
pub fn head(raw: &[u8]) -> Head<'_> {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|window| window == what);
    let end = find(raw, b"\r\n\r\n").unwrap_or(raw.len());
    let (top, body) = (&raw[..end], raw.get(end + 4..).unwrap_or_default());
    let line_end = find(top, b"\r\n").unwrap_or(top.len());
    let line = &top[..line_end];
    let mut head = Head { line, body, ..Head::default() };
    let first = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let last = line.iter().rposition(|byte| *byte == b' ').unwrap_or(line.len());
    head.method = &line[..first];
    head.target = line.get(first + 1..last).unwrap_or_default();
    head.protocol = line.get(last + 1..).unwrap_or_default();
    let mut rest = top.get(line_end + 2..).unwrap_or_default();
    while !rest.is_empty() {
        let end = find(rest, b"\r\n").unwrap_or(rest.len());
        let field = &rest[..end];
        rest = rest.get(end + 2..).unwrap_or_default();
        let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
        head.fields.push((&field[..colon], field.get(colon + 1..).unwrap_or_default().trim_ascii()));
    }
    head
}

/// What a strict server answers to a broken head: a status, or (`Some(None)`) nothing at all.
fn fault(head: &Head<'_>) -> Option<Option<u16>> {
    let version = std::str::from_utf8(head.protocol).unwrap_or_default();
    if version.is_empty() {
        return Some(None);
    }
    let number = version.strip_prefix("HTTP/").map(str::as_bytes);
    let good_version = matches!(number, Some([b'1'..=b'9', b'.', b'0'..=b'9']));
    let connect = head.method == b"CONNECT" && !head.target.contains(&b':');
    let host = head.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host")).map(|(_, value)| *value);
    let bad_host =
        host.is_some_and(|host| host.is_empty() || host.contains(&b'%') || host.iter().any(|byte| *byte < 32));
    let length =
        head.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"content-length")).map(|(_, value)| *value);
    let bad_length = length.is_some_and(|value| value.is_empty() || !value.iter().all(u8::is_ascii_digit));
    let bad = !good_version
        || head.method.is_empty()
        || head.method.contains(&b'\t')
        || head.target.is_empty()
        || head.target.starts_with(b"\\")
        || head.target.contains(&b' ')
        || head.target.contains(&b'#')
        || connect
        || bad_host
        || bad_length;
    bad.then_some(Some(400))
}

/// Serves one request.
pub fn serve(waf: &Arc<Waf>, profile: &Arc<Profile>, raw: &[u8]) -> Outcome {
    let head = head(raw);
    if head.fields.iter().any(|(_, value)| value.contains(&b'\r')) {
        // A bare CR leaves open where the field ends: there is no head that the engine could be shown.
        return Outcome { status: Some(400), ..Outcome::default() };
    }
    let mut tx = waf.begin(profile, Timestamp(1_795_449_852_222));
    let client = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let server = SocketAddr::from(([127, 0, 0, 1], 80));
    let request = RequestHead {
        line: head.line,
        method: head.method,
        target: head.target,
        protocol: head.protocol,
        client,
        server,
        id: "0",
    };
    tx.head(&request, head.fields.iter().copied());
    let first = run(&mut tx, 1);
    let fault = fault(&head);
    if first || fault.is_some() {
        run(&mut tx, 5);
        let report = tx.report();
        let refused = report.interruption.as_ref().filter(|_| first).map(|refusal| Some(refusal.status));
        return Outcome { status: refused.or(fault).flatten(), unread: false, report };
    }
    tx.request_body(head.body);
    if run(&mut tx, 2) {
        run(&mut tx, 5);
        let report = tx.report();
        let status = report.interruption.as_ref().map(|refusal| refusal.status);
        return Outcome { status, unread: false, report };
    }
    let unread = tx.unread().is_some();
    let response = answer(&head);
    tx.response_head(
        &ResponseHead { status: response.status, protocol: b"HTTP/1.1" },
        response.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    );
    let mut refused = run(&mut tx, 3);
    if !refused {
        tx.response_body(&response.body);
        refused = run(&mut tx, 4);
    }
    run(&mut tx, 5);
    let report = tx.report();
    let status = report.interruption.as_ref().filter(|_| refused).map_or(response.status, |refusal| refusal.status);
    Outcome { status: Some(status), unread, report }
}

/// Judges a request that was read already and a small response; the status of a refusal.
pub fn judge(waf: &Arc<Waf>, profile: &Arc<Profile>, head: &Head<'_>) -> Option<u16> {
    judged(waf, profile, head).interruption().map(|by| by.status)
}

/// The most bytes that such a transaction holds.
pub fn held(waf: &Arc<Waf>, profile: &Arc<Profile>, head: &Head<'_>) -> usize {
    judged(waf, profile, head).memory()
}

/// Judges such a request; the transaction, to ask it what that took.
pub fn judged(waf: &Arc<Waf>, profile: &Arc<Profile>, head: &Head<'_>) -> Transaction {
    let mut tx = waf.begin(profile, Timestamp(1_795_449_852_222));
    let client = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let request = RequestHead {
        line: head.line,
        method: head.method,
        target: head.target,
        protocol: head.protocol,
        client,
        server: client,
        id: "0",
    };
    tx.head(&request, head.fields.iter().copied());
    let mut refused = run(&mut tx, 1);
    if !refused {
        tx.request_body(head.body);
        refused = run(&mut tx, 2);
    }
    if !refused {
        let fields: [(&[u8], &[u8]); 2] = [(b"Content-Type", b"application/json"), (b"Server", b"x")];
        tx.response_head(&ResponseHead { status: 200, protocol: b"HTTP/1.1" }, fields.into_iter());
        refused = run(&mut tx, 3);
    }
    if !refused {
        tx.response_body(b"{\"ok\":true,\"items\":[]}");
        run(&mut tx, 4);
    }
    run(&mut tx, 5);
    tx
}

/// Runs a phase to its end; whether it refused.
pub fn run(tx: &mut Transaction, phase: u8) -> bool {
    loop {
        let progress = match phase {
            1 => tx.phase1(Fuel::SLICE),
            2 => tx.phase2(Fuel::SLICE),
            3 => tx.phase3(Fuel::SLICE),
            4 => tx.phase4(Fuel::SLICE),
            _ => tx.phase5(Fuel::SLICE),
        };
        if progress != Progress::Yield {
            return progress == Progress::Interrupt;
        }
    }
}

/// What the application answers.
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// `albedo`: everything is an empty 200; `POST /reflect` answers as its JSON says.
pub fn answer(head: &Head<'_>) -> Response {
    let mut response = Response { status: 200, fields: Vec::new(), body: Vec::new() };
    let path = head.target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if path != b"/reflect" || head.method != b"POST" {
        return response;
    }
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(head.body) else {
        response.status = 400;
        return response;
    };
    response.status = json["status"].as_u64().map_or(200, |status| status as u16);
    if let Some(headers) = json["headers"].as_object() {
        response
            .fields
            .extend(headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())));
    }
    response.body = match (json["body"].as_str(), json["encodedBody"].as_str()) {
        (Some(body), _) if !body.is_empty() => body.as_bytes().to_vec(),
        (_, Some(encoded)) => base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default(),
        _ => Vec::new(),
    };
    if !response.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) && !response.body.is_empty() {
        response.fields.push(("Content-Type".into(), sniffed(&response.body).into()));
    }
    response
}

/// What Go's `DetectContentType` makes of a body, as far as the cases need it.
fn sniffed(body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start().to_ascii_lowercase();
    let html: [&[u8]; 16] = [
        b"<!doctype html",
        b"<html",
        b"<head",
        b"<script",
        b"<iframe",
        b"<h1",
        b"<div",
        b"<font",
        b"<table",
        b"<a",
        b"<style",
        b"<title",
        b"<b",
        b"<body",
        b"<br",
        b"<p",
    ];
    let is_tag = |tag: &&[u8]| start.starts_with(tag) && matches!(start.get(tag.len()), Some(b' ' | b'>'));
    if html.iter().any(is_tag) || start.starts_with(b"<!--") {
        return "text/html; charset=utf-8";
    }
    if start.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if body.starts_with(b"\x1f\x8b\x08") {
        return "application/x-gzip";
    }
    let binary = |byte: &u8| matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31);
    if body.iter().take(512).any(binary) { "application/octet-stream" } else { "text/plain; charset=utf-8" }
}
