//! Documents that are made from the code: `gen` writes them, `gen --check` fails when one of them is stale.

mod findings;
mod packet;

use ringwall_manifest::world::kinds::{Dialect, KINDS, Lowering};
use ringwall_telemetry::metrics::Kind;
use ringwall_telemetry::metrics::family::FAMILIES;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().nth(1).is_some_and(|word| word == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut stale = 0;
    let [table, list] = findings::files(&root, MADE);
    let pages = [
        list,
        table,
        ("docs/layers/head.md", head()),
        ("docs/layers/kinds.md", kinds()),
        ("docs/layers/packet.md", packet::page(MADE)),
        ("docs/layers/waf.md", waf()),
        ("docs/operate/metrics.md", metrics()),
    ];
    for (path, text) in pages {
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

fn kinds() -> String {
    let mut page = format!(
        "# Kinds\n{MADE}\nEvery kind that is read, with its versions. One that stands here and is not enforced gives the \
         finding RW0025; one that does\nnot stand here gives RW0012. Beside them: Kong's declarative files and Grafana's \
         dashboards.\n\n| group | kind | versions | |\n|---|---|---|---|\n"
    );
    for served in KINDS {
        let what = match served.lowering {
            Lowering::NotEnforced(why) => format!("read, not enforced: {why}"),
            Lowering::Inventory(_) => "who and what there is".into(),
            Lowering::Dialect(Dialect::Prometheus) => "read, not evaluated".into(),
            Lowering::Dialect(_) => "enforced".into(),
        };
        let group = if served.group.is_empty() { "v1" } else { served.group };
        let _ = writeln!(page, "| {group} | {} | {} | {what} |", served.kind, served.versions.join(", "));
    }
    page
}

fn waf() -> String {
    let all = ringwall_waf::Support::table();
    let count = |state: &str| all.iter().filter(|one| one.state == state).count();
    let mut page = format!(
        "# The web application firewall\n{MADE}\nWhat of SecLang (reference manual of ModSecurity 3) is supported: it does \
         what the manual says; ignored: it is read, and has\nno effect here for the reason given; rejected: a rule file that \
         has it is not taken, with file, line and reason. What stands\nin none of these lists is an error too.\n\n{} \
         supported, {} ignored, {} rejected.\n",
        count("supported"),
        count("ignored"),
        count("rejected")
    );
    let kinds = [
        ("directive", "Directives"),
        ("variable", "Variables"),
        ("operator", "Operators"),
        ("transformation", "Transformations"),
        ("action", "Actions"),
        ("ctl", "`ctl`"),
    ];
    for (kind, title) in kinds {
        let _ = writeln!(page, "\n## {title}\n\n| name | | why |\n|---|---|---|");
        for one in all.iter().filter(|one| one.kind == kind) {
            let _ = writeln!(page, "| `{}` | {} | {} |", one.name, one.state, one.why);
        }
    }
    page.push_str(BEYOND);
    for sign in ringwall_waf::bot::SIGNS {
        let _ = writeln!(page, "| `{}` | {} | {} |", sign.name, sign.points, sign.why);
    }
    page
}

/// What no table of the engine says.
const BEYOND: &str = "\n## Beyond ModSecurity\n
- `ctl:requestBodyProcessor=GRAPHQL`: strings and comments of a GraphQL document are `ARGS:graphql.string`, its nesting
  `ARGS:graphql.depth`, its names `ARGS:graphql.names`; variables are JSON arguments.
- `GRPC` (also by media type, gRPC-Web included): every text of a length-prefixed Protocol Buffers message, compressed
  ones too, is `ARGS:grpc.FIELD.FIELD`.
- JSON members are `json.a.array_0`, as in ModSecurity; a selector or exclusion that says `json.a.0`, as in Coraza, means
  the same member.
- `XML:` takes paths of child and descendant steps, `@name` and `text()`, with prefixes of `xmlns`; no predicates.
- `@validateSchema FILE` takes a JSON Schema (types, bounds, patterns, properties, items, combinations), not XML Schema.
- gzip, deflate and br are undone before a body is judged, up to the body's limit: all members of gzip; what has something
  behind its end, or could be undone in two ways, is refused.
- A request that is not read to its end (`REQBODY_ERROR`) is refused by the page, whether or not a rule of the set asks for
  that: see \"What a client could choose\" in `docs/request.md`.
- A binary message of a WebSocket is `REQUEST_BODY`, and each text in it `ARGS:message`, or JSON arguments.
- Patterns run in linear time; those with look-around or back-references run under a limit of steps.

## An API's own document
`WafPolicy.spec.openapi` holds an OpenAPI document. Of calls to its route, what is not declared (method, path, parameter,
media type, JSON schema) is refused with 400, 404, 405, 413 or 415 by the operation's own place in the policy, after the
rules have looked at the call; in `mode: detect` it is written down. Streams of messages and coded bodies are not
declared by any document, and are refused there.

## Signs of programs

`ringwall_waf::bot` adds them up; after `Transaction::bots` rules read the sum as `TX:ringwall_bot_score`, the names as
`TX:ringwall_bot_signs`, and as `TX:ringwall_bot_crawler` a crawler whose address is one of its networks: then no sign
counts. No sign refuses by itself: rules do, or `WafPolicy.spec.bots.refuseAt`. The page adds the signs up where a rule of
the set or of the policy names one of the three, and counts the calls of an address (IPv6: of its /64) since its minute
began for the two signs of rate. The counts are one process's own.

| sign | points | why |
|---|---|---|
";

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
