//! What a transaction costs: `waf_cost [--crs DIR] [--requests DIR] [--seconds S] [--paranoia N]`.
//!
//! Each `.http` file is varied (a counter in its path, an argument or a field) and judged whole, phases 1 to 5, blocking.
//! Prints the median, the 99th percentile and the least time in microseconds, and the verdict (0: passed).

#[path = "../tests/harness.rs"]
mod harness;

use harness::{corpus, crs, serve};
use ringwall_waf::Settings;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1).cloned()
    };
    let folder = corpus::folder(None);
    let crs_folder = option("--crs").map_or_else(|| folder.clone(), |crs| PathBuf::from(crs).join(".."));
    let requests = option("--requests").map_or_else(|| folder.join("../bench/waf"), PathBuf::from);
    let seconds: f64 = option("--seconds").and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let paranoia: u8 = option("--paranoia").and_then(|text| text.parse().ok()).unwrap_or(1);
    let start = now();
    let Some(waf) = crs::engine(&crs_folder, "SecRuleEngine On\nSecResponseBodyAccess On\n") else {
        println!("not run: no rules in {}", crs_folder.display());
        return;
    };
    println!("loaded in {:.0} ms: {:?}", start.elapsed().as_secs_f64() * 1000.0, waf.counts());
    let start = now();
    waf.warm();
    println!("compiled in {:.0} ms", start.elapsed().as_secs_f64() * 1000.0);
    let profile = waf.profile(Settings::default().paranoia(paranoia)).expect("settings");
    println!("{:32} {:>10} {:>10} {:>10}  verdict", "request", "median us", "p99 us", "least us");
    for path in corpus::files(&requests).iter().filter(|path| path.extension().is_some_and(|end| end == "http")) {
        let Some(raw) = corpus::bytes(path) else { continue };
        let variants: Vec<Vec<u8>> = (0..1000).map(|number| varied(&raw, number)).collect();
        let heads: Vec<_> = variants.iter().map(|variant| serve::head(variant)).collect();
        for head in heads.iter().take(50) {
            serve::judge(&waf, &profile, head);
        }
        let mut times = Vec::new();
        let end = now() + Duration::from_secs_f64(seconds);
        for head in heads.iter().cycle() {
            let start = now();
            serve::judge(&waf, &profile, head);
            times.push(start.elapsed().as_nanos() as u64);
            if now() > end && times.len() > 20 {
                break;
            }
        }
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
        let outcome = serve::serve(&waf, &profile, &raw);
        let verdict = outcome.status.filter(|_| outcome.report.interruption.is_some()).unwrap_or(0);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!("{name:32} {:>10.1} {:>10.1} {:>10.1}  {verdict}", at(0.5), at(0.99), at(0.0));
        if arguments.iter().any(|word| word == "--rules") {
            for matched in outcome.report.matched.iter().filter(|matched| matched.log) {
                println!(
                    "    {} {} = {}",
                    matched.id,
                    matched.variable,
                    matched.value.chars().take(60).collect::<String>()
                );
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock; the room does not")]
fn now() -> Instant {
    Instant::now()
}

/// The same request with a number in it, so that no two are equal.
fn varied(raw: &[u8], number: usize) -> Vec<u8> {
    let text = raw.iter().map(|byte| char::from(*byte)).collect::<String>();
    let marked = text.replacen("User-Agent: ", &format!("X-Request-Number: v{number}\r\nUser-Agent: "), 1);
    marked.chars().map(|c| c as u8).collect()
}
