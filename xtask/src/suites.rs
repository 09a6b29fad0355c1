//! Foreign suites: each is run by an example that prints its failures and closes with `N passed, N failed`.

use crate::run;
use std::path::{Path, PathBuf};

/// One suite.
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// The example that runs it.
    example: &'static str,
    /// What it needs in the corpus.
    needs: &'static str,
}

/// Suites of the firewall alone.
const WAF: &str = "conformance_waf";
/// Suites against the running binary.
const EDGE: &str = "conformance_edge";

/// All suites.
pub const SUITES: &[Suite] = &[
    Suite { name: "crs", example: WAF, needs: "crs/tests" },
    Suite { name: "crs-blocking", example: EDGE, needs: "crs/tests" },
    Suite { name: "crs-edge", example: EDGE, needs: "crs/tests" },
    Suite { name: "istio-paths", example: "conformance", needs: "istio/path-normalization.jsonl" },
    Suite { name: "libinjection", example: WAF, needs: "libinjection/verdicts.jsonl" },
    Suite { name: "netpol", example: "conformance", needs: "netpol/truth-tables.jsonl" },
    Suite { name: "router", example: "conformance", needs: "router/cases.jsonl" },
];

/// The truth tables of NetworkPolicy against a real kernel; needs root or user namespaces.
const IN_THE_KERNEL: Suite =
    Suite { name: "netpol", example: "conformance_kernel", needs: "netpol/truth-tables.jsonl" };

/// `conformance SUITE [--kernel] [--corpus DIR]`; `crs --through-edge` and `crs --blocking` are `crs-edge` and
/// `crs-blocking`.
pub fn command(name: &str, rest: &[&str]) -> bool {
    let (name, rest) = match (name, rest) {
        ("crs", ["--through-edge", rest @ ..]) => ("crs-edge", rest),
        ("crs", ["--blocking", rest @ ..]) => ("crs-blocking", rest),
        _ => (name, rest),
    };
    let (kernel, rest) = match rest {
        ["--kernel", rest @ ..] => (true, rest),
        [rest @ .., "--kernel"] => (true, rest),
        rest => (false, rest),
    };
    let folder = match rest {
        [] => None,
        ["--corpus", folder] => Some(Path::new(*folder)),
        _ => {
            eprintln!("usage: cargo xtask conformance SUITE [--through-edge|--blocking|--kernel] [--corpus DIR]");
            return false;
        }
    };
    if kernel {
        if name != IN_THE_KERNEL.name {
            eprintln!("only `{}` runs in the kernel", IN_THE_KERNEL.name);
            return false;
        }
        return run(&IN_THE_KERNEL, folder);
    }
    if name == "all" {
        return run_all(folder);
    }
    match SUITES.iter().find(|suite| suite.name == name) {
        Some(suite) => run(suite, folder),
        None => {
            eprintln!("no suite `{name}`; there are: {}", SUITES.iter().map(|s| s.name).collect::<Vec<_>>().join(", "));
            false
        }
    }
}

/// Runs every suite, also those after one that failed.
pub fn run_all(folder: Option<&Path>) -> bool {
    SUITES.iter().chain([&IN_THE_KERNEL]).filter(|suite| !run(suite, folder)).count() == 0
}

/// Runs one suite; a suite without its corpus has not held.
pub fn run(suite: &Suite, folder: Option<&Path>) -> bool {
    let corpus = corpus(folder);
    if !corpus.join(suite.needs).exists() {
        println!("not run: {}: no {} in the corpus", suite.name, suite.needs);
        return false;
    }
    println!("── conformance {}", suite.name);
    if suite.example == EDGE && !run::builds(&["--bin", "ringwall"]) {
        return false;
    }
    run::example(suite.example, &[suite.name, "--corpus", &corpus.to_string_lossy()])
}

/// The corpus: given, or named by `RINGWALL_CORPUS`, or beside the project.
pub fn corpus(given: Option<&Path>) -> PathBuf {
    let named = std::env::var_os("RINGWALL_CORPUS").map(PathBuf::from);
    given.map(Path::to_path_buf).or(named).unwrap_or_else(|| run::root().join("../shared/corpus"))
}
