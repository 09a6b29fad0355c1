//! The commands of the workshop: `cargo xtask <command>`.
//!
//! In: the command line. Out: what must hold, said as it is found; the last lines are always the count. Start reading at
//! [`ci`].

mod bench;
mod bpf;
mod ci;
mod coverage;
mod run;
mod suites;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci                              everything that must hold
  tidy                            floors, sizes, names, waypoints
  gen [--check]                   documents that are made from the code; --check fails when one is stale
  conformance SUITE [--corpus DIR] one foreign suite: crs, istio-paths, libinjection, netpol --kernel, router; `all` runs each that is there
  coverage DIR                    which manifest fields are enforced
  bench NAME [ARGUMENT…]          a table of ratios beside the peers
  bpf [--check]                   rebuilds the kernel's BPF objects from their sources; --check compares only
  parts [tests]                   installs the real parts that tests and benches use, or only those of the tests
  fuzz-replay                     every fuzz target over its stored inputs
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let held = match words.as_slice() {
        ["ci"] => ci::ci(),
        ["tidy"] => tidy::command(),
        ["gen", rest @ ..] => run::example("gen", rest),
        ["conformance", suite, rest @ ..] => suites::command(suite, rest),
        ["coverage", rest @ ..] if !rest.is_empty() => coverage::command(rest),
        ["bench", name, rest @ ..] => bench::command(name, rest),
        ["bpf", rest @ ..] => bpf::command(rest),
        ["parts", rest @ ..] => bench::parts(rest),
        ["fuzz-replay"] => run::example("fuzz_replay", &[]),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
