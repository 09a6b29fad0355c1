//! zentinel-modsec's side of `cargo xtask bench waf`; the commands and answers are those of Ringwall's own driver
//! (`crates/waf/examples/waf_bench.rs`): `zentinel-peer CONF`, then `run FILE FROM COUNT`.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use zentinel_modsec::ModSecurity;

fn main() {
    let conf = std::env::args().nth(1).expect("usage: zentinel-peer CONF");
    let (empty, before) = (resident(), cpu());
    let engine = ModSecurity::from_file(&conf).expect("rules");
    let loaded = cpu() - before;
    let (rss, rules) = (resident(), engine.rule_count());
    println!("{}", json!({"load_ns": loaded, "rss_kb": rss, "rss_net_kb": rss - empty, "rules": rules}));
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        let answer = match words.as_slice() {
            ["run", file, ..] => run(&engine, file, number(2), number(3)),
            _ => json!({"error": "no such command"}),
        };
        println!("{answer}");
    }
}

struct Request {
    method: String,
    target: String,
    protocol: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

fn run(engine: &ModSecurity, file: &str, from: usize, count: usize) -> Value {
    let requests = requests(file);
    let (mut samples, mut verdicts) = (Vec::new(), Vec::new());
    for request in requests.iter().cycle().skip(from).take(count) {
        let start = cpu();
        let verdict = judge(engine, request);
        samples.push(cpu() - start);
        verdicts.push(verdict);
    }
    json!({"ns": samples, "verdicts": verdicts})
}

fn judge(engine: &ModSecurity, request: &Request) -> u16 {
    let mut tx = engine.new_transaction();
    tx.set_client_addr("127.0.0.1", 40_000);
    tx.set_server_addr("127.0.0.1", 80);
    let _ = tx.process_uri(&request.target, &request.method, &request.protocol);
    for (name, value) in &request.fields {
        let _ = tx.add_request_header(name, value);
    }
    let _ = tx.process_request_headers();
    if !tx.has_intervention() {
        let _ = tx.append_request_body(&request.body);
        let _ = tx.process_request_body();
    }
    if !tx.has_intervention() {
        let _ = tx.add_response_header("Content-Type", "application/json");
        let _ = tx.add_response_header("Server", "x");
        let _ = tx.process_response_headers();
    }
    if !tx.has_intervention() {
        let _ = tx.append_response_body(b"{\"ok\":true,\"items\":[]}");
        let _ = tx.process_response_body();
    }
    let _ = tx.process_logging();
    tx.intervention().map_or(0, |by| by.status)
}

fn requests(file: &str) -> Vec<Request> {
    let bytes = std::fs::read(file).expect("a file of requests");
    let mut rest = bytes.as_slice();
    let mut all = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (raw, left) = after.split_at(u32::from_le_bytes(*length) as usize);
        all.push(request(raw));
        rest = left;
    }
    all
}

fn request(raw: &[u8]) -> Request {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut line = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let mut word = || line.next().unwrap_or_default();
    let (method, target, protocol) = (word(), word(), word());
    let fields = lines.filter_map(|field| field.split_once(':')).map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
    Request { method, target, protocol, fields: fields.collect(), body: raw[end + 4..].to_vec() }
}

fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
