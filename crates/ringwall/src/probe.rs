//! `ringwall probe`: a real call as a workload, through its outbound listener, with what each hop said and how long it took.
//!
//! In: a workload, a URL, fields. Out: status, times, the records of every hop. Never: a way around a listener: the call
//! goes where the workload's own calls go, and counts as one of them.

use crate::platform::Platform;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For each step of a probe.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const MOST: u64 = 1 << 20;
/// Hops that are followed.
const HOPS: usize = 8;

/// What came back, and when.
struct Answer {
    status: u16,
    bytes: usize,
    connect: Duration,
    first: Duration,
    total: Duration,
}

impl Platform {
    /// Makes the call.
    ///
    /// # Errors
    /// A sentence: no such workload, no such URL, or what the network said.
    pub fn probe(&self, arguments: &Value) -> Result<Value, String> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let (workload, url) = (text("as"), text("url"));
        let at = self.outbound(workload);
        if at.port() == 9 {
            return Err(format!(
                "`{workload}` has no outbound listener; write `namespace/name` of a workload in the mesh"
            ));
        }
        let rest = url.strip_prefix("http://");
        let rest =
            rest.ok_or("write `http://host[:port]/path`: workloads speak in clear to their proxy, which adds TLS")?;
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(cut).unwrap_or((rest, ""));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let mark = ringwall_model::CallId(u128::from(getrandom::u64().map_err(|error| error.to_string())?)).to_string();
        let method = match text("method") {
            "" => "GET",
            method => method,
        };
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\nx-request-id: {mark}\r\nConnection: close\r\n");
        for field in arguments.get("headers").and_then(Value::as_array).into_iter().flatten() {
            head.push_str(field.as_str().unwrap_or_default());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let answer = exchange(|| self.open(at), head.as_bytes()).map_err(|error| format!("{at}: {error}"))?;
        let hops = self.hops(&mark);
        let said = json!({
            "as": workload, "url": url, "through": at.to_string(), "status": answer.status, "bytes": answer.bytes,
            "connect_us": micros(answer.connect), "first_byte_us": micros(answer.first),
            "total_us": micros(answer.total), "hops": hops, "failed": !(200..400).contains(&answer.status),
        });
        let told = tell(&said);
        Ok(merged(said, told))
    }

    /// A connection to a workload's listener; an isolated one is opened inside its home.
    fn open(&self, at: SocketAddr) -> std::io::Result<TcpStream> {
        let connect = || TcpStream::connect_timeout(&at, PATIENCE);
        match self.isolation().and_then(|isolation| isolation.namespace(at.ip())) {
            Some(home) => home.run(connect),
            None => connect(),
        }
    }

    /// The records of a call from proxy to proxy: each names the one before it.
    fn hops(&self, mark: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for _ in 0..30 {
            found = self.followed(mark);
            let is_end = |record: &Value| record["role"] == "inbound" || !record["refused_by"].is_null();
            if found.last().is_some_and(is_end) {
                break;
            }
            // Records are written when a response has gone, by a thread of their own.
            std::thread::sleep(Duration::from_millis(10));
        }
        found
    }

    fn followed(&self, mark: &str) -> Vec<Value> {
        let all = self.recent_calls();
        let (mut chain, mut wanted) = (Vec::new(), mark.to_owned());
        while chain.len() < HOPS {
            let Some(next) = all.iter().rev().find(|record| came_with(record, &wanted)) else { break };
            wanted = next["id"].as_str().unwrap_or_default().to_owned();
            chain.push(next.clone());
        }
        chain
    }
}

fn came_with(record: &Value, id: &str) -> bool {
    let fields = record.get("fields").and_then(Value::as_array);
    fields.into_iter().flatten().any(|field| field[0] == "previous-x-request-id" && field[1] == id)
}

fn exchange(open: impl FnOnce() -> std::io::Result<TcpStream>, head: &[u8]) -> std::io::Result<Answer> {
    let begun = Instant::now();
    let mut stream = open()?;
    let connect = begun.elapsed();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(head)?;
    let mut bytes = vec![0_u8; 1];
    stream.read_exact(&mut bytes)?;
    let first = begun.elapsed();
    if let Err(error) = stream.take(MOST).read_to_end(&mut bytes)
        && !matches!(error.kind(), ErrorKind::ConnectionReset)
    {
        return Err(error);
    }
    let total = begun.elapsed();
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = String::from_utf8_lossy(line).split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("no HTTP answer"))?;
    let body = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| bytes.len() - at - 4);
    Ok(Answer { status, bytes: body, connect, first, total })
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The probe for people.
fn tell(said: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let _ = writeln!(out, "probe as {} to {}: {}", text(&said["as"]), text(&said["url"]), said["status"]);
    let _ = writeln!(
        out,
        "  times     connected after {} µs, first byte after {} µs, {} bytes of body after {} µs",
        said["connect_us"], said["first_byte_us"], said["bytes"], said["total_us"]
    );
    let hops = said["hops"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (number, hop) in hops.iter().enumerate() {
        let (role, workload) = (text(&hop["role"]), text(&hop["workload"]));
        let _ = writeln!(
            out,
            "hop {} at {role} {workload}: {} after {} ms, as {}",
            number + 1,
            hop["status"],
            hop["duration"],
            text(&hop["principal"])
        );
        for step in hop["layers"].as_array().into_iter().flatten() {
            let (layer, verdict) = (text(&step["layer"]), text(&step["verdict"]));
            let _ = writeln!(out, "  {layer:<9} {verdict:<7} {}", text(&step["rule"]));
        }
        for (name, value) in [("to", &hop["cluster"]), ("refused", &hop["refused_by"]), ("id", &hop["id"])] {
            if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
                let _ = writeln!(out, "  {name:<9} {value}");
            }
        }
    }
    if hops.is_empty() {
        let _ = writeln!(out, "  no hop is recorded any more");
    }
    out
}

fn merged(mut said: Value, text: String) -> Value {
    said["text"] = text.into();
    said
}
