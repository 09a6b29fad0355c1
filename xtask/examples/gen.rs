//! Documents that are made from the code: `gen` writes them, `gen --check` fails when one of them is stale.

use ringwall_telemetry::metrics::Kind;
use ringwall_telemetry::metrics::family::FAMILIES;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().nth(1).is_some_and(|word| word == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut stale = 0;
    for (path, text) in [("docs/layers/head.md", head()), ("docs/operate/metrics.md", metrics())] {
        let file = root.join(path);
        if std::fs::read_to_string(&file).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            println!("{path} is stale; `cargo xtask gen` writes it anew");
            stale += 1;
            continue;
        }
        let written =
            std::fs::create_dir_all(file.parent().unwrap_or(&root)).and_then(|()| std::fs::write(&file, text));
        println!("{path}: {}", written.map_or_else(|error| error.to_string(), |()| "written".into()));
    }
    if stale == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const MADE: &str = "<!-- Made by `cargo xtask gen`; change the code, not this page. -->\n";

fn head() -> String {
    let mut page = format!(
        "# The head\n{MADE}\nOne strict reading of each request. A head with one of these faults is refused; it still goes \
         through the WAF's\nfirst phase, so that an attack is seen as one. No manifest can switch them off.\n\n\
         | rule | status | what is wrong |\n|---|---|---|\n"
    );
    for fault in ringwall_head::fault::ALL {
        let _ = writeln!(page, "| `builtin/head/{}` | {} | {} |", fault.name, fault.status, fault.says);
    }
    page
}

fn metrics() -> String {
    let mut page = format!(
        "# Metrics\n{MADE}\nServed at `/metrics` and `/stats/prometheus`. One request is counted once: before the workload \
         that was called, or\nwhere it came from when it never got there. A family has at most 1000 label sets a thread; \
         the rest share one series\nwhose labels say `overflow`.\n\n| metric | kind | labels | what |\n|---|---|---|---|\n"
    );
    for family in FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let _ = writeln!(page, "| `{}` | {kind} | {} | {} |", family.name, family.labels.join(", "), family.help);
    }
    page
}
