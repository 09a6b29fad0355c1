//! Memory of a hundred reloads: each reads the rule files and the manifests anew, arms a World, judges some requests and
//! lets the World before go. `reload_memory [--corpus DIR] [--reloads N]` prints resident memory, and fails when it is not
//! within 5 % of what it was after the first ten.

#[path = "../../waf/tests/harness.rs"]
mod harness;

use harness::corpus;
use ringwall_manifest::ringwall::waf_policy::Subject;
use ringwall_manifest::world::firewall::RuleSet;
use ringwall_manifest::world::{Options, StandIn, World, lower};
use ringwall_manifest::{Input, world};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reloads until caches and pools are as large as they get.
const WARM: usize = 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| arguments.iter().position(|word| word == flag).and_then(|at| arguments.get(at + 1));
    let folder = corpus::folder(after("--corpus").map(PathBuf::from).as_deref());
    let reloads = after("--reloads").and_then(|count| count.parse().ok()).unwrap_or(100);
    let manifests = manifests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/ai-platform"));
    let mut world = World::default();
    let mut warm = 0;
    let (mut least, mut most) = (u64::MAX, 0);
    for round in 0..WARM + reloads {
        world = reload(&folder, &manifests, round);
        let resident = resident();
        if round + 1 == WARM {
            warm = resident;
        }
        if round >= WARM {
            (least, most) = (least.min(resident), most.max(resident));
        }
        if round % 10 == 9 {
            println!("{:>4} reloads: {resident} KiB resident", round + 1);
        }
    }
    drop(world);
    let percent = |value: u64| (value as f64 / warm as f64 - 1.0) * 100.0;
    println!("after {WARM}: {warm} KiB; then from {:+.1} % to {:+.1} %", percent(least), percent(most));
    let held = percent(least).abs() <= 5.0 && percent(most).abs() <= 5.0;
    println!("{}", if held { "held: within 5 %" } else { "NOT HELD: not within 5 %" });
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn manifests(folder: &Path) -> Vec<(String, Vec<u8>)> {
    corpus::files(folder).iter().filter_map(|path| Some((path.display().to_string(), corpus::bytes(path)?))).collect()
}

fn reload(folder: &Path, manifests: &[(String, Vec<u8>)], round: usize) -> World {
    let (bundle, roots) = corpus::crs(&folder.join("crs"), "SecRuleEngine On\n");
    assert!(roots.len() > 2, "there is no crs/rules in {}", folder.display());
    let set = RuleSet::load(bundle, roots, |waf| waf.signatures().join(", ")).expect("rules");
    // Something changes with each World.
    let own = format!(
        "apiVersion: ringwall.dev/v1\nkind: WafPolicy\nmetadata: {{ name: round, namespace: istio-system }}\n\
         spec: {{ targets: {{ hosts: [r{round}.example] }}, secLang: {{ after: 'SecAction \"id:{},phase:1,pass,nolog\"' }} }}\n",
        10_000 + round
    );
    let mut inputs: Vec<Input<'_>> = manifests.iter().map(|(name, bytes)| Input { name, bytes }).collect();
    inputs.push(Input { name: "round.yaml", bytes: own.as_bytes() });
    let options = Options { stand_in: StandIn::Workloads, ..Options::default() };
    let (mut next, mut findings) = lower(&inputs, &options);
    findings.extend(next.arm(&set));
    assert!(world::may_be_taken(&findings), "{findings:?}");
    let firewall = next.firewall.as_ref().expect("armed");
    let host = format!("r{round}.example");
    for host in [host.as_bytes(), b"other.example"] {
        let guard = firewall.guard(&Subject { authority: host, ..Subject::default() });
        let request = b"GET /?q=%3Cscript%3E HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n";
        assert_eq!(harness::serve::serve(&guard.waf, &guard.profile, request).status, Some(403));
    }
    next
}

/// Resident memory of this process in KiB, as the kernel counts it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}
