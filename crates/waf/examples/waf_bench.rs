//! Ringwall's side of `cargo xtask bench waf`: judges requests from files and says what that took.
//!
//! `waf_bench RULES OWN`: a folder of the Core Rule Set, and a file of directives that stand before it. Then commands on
//! standard input, one answer as a line of JSON each: `run FILE FROM COUNT` (nanoseconds of thread CPU time and the
//! verdict of each transaction), `check FILE` (the rules that match each request, prefilter on and off where they
//! differ), `sqli FILE`, `reload COUNT`, `memory FILE`. Files hold requests, each after its length in four bytes.

#[path = "../tests/harness.rs"]
mod harness;

use harness::{corpus, serve};
use ringwall_testkit::{Counting, allocations};
use ringwall_waf::{Prefilter, Profile, Settings, Waf, libinjection};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [rules, own] = arguments.as_slice() else {
        eprintln!("usage: waf_bench RULES OWN");
        std::process::exit(2);
    };
    let empty = resident();
    let before = cpu();
    let waf = load(rules, own);
    let loaded = cpu() - before;
    let net = resident() - empty;
    println!("{}", json!({"load_ns": loaded, "rss_kb": resident(), "rss_net_kb": net, "rules": waf.counts().rules}));
    let bench = Bench { rules, own, waf };
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        let answer = match words.as_slice() {
            ["run", file, ..] => bench.run(Path::new(file), number(2), number(3)),
            ["check", file] => bench.check(Path::new(file)),
            ["sqli", file] => sqli(Path::new(file)),
            ["memory", file] => bench.memory(Path::new(file)),
            ["reload", ..] => bench.reload(number(1)),
            _ => json!({"error": "no such command"}),
        };
        println!("{answer}");
    }
}

struct Bench<'a> {
    rules: &'a Path,
    own: &'a Path,
    waf: Arc<Waf>,
}

impl Bench<'_> {
    fn profile(&self, prefilter: Prefilter) -> Arc<Profile> {
        self.waf.profile(Settings { prefilter, ..Settings::default() }).expect("no exclusions")
    }

    /// Judges `count` requests from the one numbered `from`, whole, phases 1 to 5.
    fn run(&self, file: &Path, from: usize, count: usize) -> Value {
        let requests = requests(file);
        let heads: Vec<_> = requests.iter().map(|request| serve::head(request)).collect();
        let profile = self.profile(Prefilter::On);
        let mut samples = Vec::with_capacity(count);
        let mut verdicts = Vec::with_capacity(count);
        for head in heads.iter().cycle().skip(from).take(count) {
            let start = cpu();
            let verdict = serve::judge(&self.waf, &profile, head);
            samples.push(cpu() - start);
            verdicts.push(verdict.unwrap_or(0));
        }
        json!({"ns": samples, "verdicts": verdicts})
    }

    /// The rules that match each request, and those requests for which the prefilter changes them.
    fn check(&self, file: &Path) -> Value {
        let (on, off) = (self.profile(Prefilter::On), self.profile(Prefilter::Off));
        let matched = |profile: &Arc<Profile>, request: &[u8]| -> Vec<u64> {
            let outcome = serve::serve(&self.waf, profile, request);
            outcome.report.matched.iter().filter(|matched| matched.logged).map(|matched| matched.id).collect()
        };
        let requests = requests(file);
        let with: Vec<_> = requests.iter().map(|request| matched(&on, request)).collect();
        // Without the prefilter a large body takes long: the first tells what is expected, then one in a few.
        let step = (requests.iter().map(Vec::len).sum::<usize>() / 4_000_000).max(1);
        let numbered = requests.iter().zip(&with).enumerate().step_by(step);
        let differ: Vec<usize> =
            numbered.filter(|(_, (request, with))| matched(&off, request) != **with).map(|(at, _)| at).collect();
        json!({"matched": with, "without_prefilter": requests.len().div_ceil(step), "differ": differ})
    }

    /// Allocations of one transaction once all is warm, and the most bytes it holds.
    fn memory(&self, file: &Path) -> Value {
        let requests = requests(file);
        let heads: Vec<_> = requests.iter().map(|request| serve::head(request)).collect();
        let profile = self.profile(Prefilter::On);
        for head in heads.iter().cycle().take(heads.len().max(200)) {
            serve::judge(&self.waf, &profile, head);
        }
        let each = heads.iter().map(|head| allocations::during(|| serve::judge(&self.waf, &profile, head)).1);
        let most = each.max().unwrap_or(0);
        let bytes = heads.iter().map(|head| serve::held(&self.waf, &profile, head)).max().unwrap_or(0);
        let body = heads.iter().map(|head| head.body.len()).max().unwrap_or(0);
        json!({"allocations": most, "bytes": bytes, "body": body, "rss_kb": resident()})
    }

    /// Resident memory after each of `count` loads, each dropped before the next.
    fn reload(&self, count: usize) -> Value {
        let mut sizes = Vec::new();
        for _ in 0..count {
            let waf = load(self.rules, self.own);
            let profile = waf.profile(Settings::default()).expect("no exclusions");
            let head = serve::head(b"GET /?a=1 HTTP/1.1\r\nHost: a\r\n\r\n");
            serve::judge(&waf, &profile, &head);
            drop((profile, waf));
            sizes.push(resident());
        }
        json!({"rss_kb": sizes})
    }
}

/// Nanoseconds of `@detectSQLi` for each text, the least of five, and the verdicts.
fn sqli(file: &Path) -> Value {
    let (mut samples, mut verdicts) = (Vec::new(), Vec::new());
    for text in requests(file) {
        let least = (0..5).map(|_| {
            let start = cpu();
            for _ in 0..20 {
                std::hint::black_box(libinjection::sqli(std::hint::black_box(&text)));
            }
            (cpu() - start) / 20
        });
        samples.push(least.min().unwrap_or(0));
        verdicts.push(u8::from(libinjection::sqli(&text).is_some()));
    }
    json!({"ns": samples, "verdicts": verdicts})
}

fn load(rules: &Path, own: &Path) -> Arc<Waf> {
    let own = String::from_utf8(corpus::bytes(own).expect("the file of directives")).expect("directives are text");
    let (bundle, roots) = corpus::crs(rules, &own);
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    Waf::load(&bundle, &roots).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn requests(file: &Path) -> Vec<Vec<u8>> {
    let bytes = corpus::bytes(file).expect("a file of requests");
    let mut rest = bytes.as_slice();
    let mut all = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (request, left) = after.split_at(u32::from_le_bytes(*length) as usize);
        all.push(request.to_vec());
        rest = left;
    }
    all
}

/// CPU time of this thread in nanoseconds.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Resident kilobytes of this process.
fn resident() -> i64 {
    let status = corpus::bytes(Path::new("/proc/self/status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&status).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
