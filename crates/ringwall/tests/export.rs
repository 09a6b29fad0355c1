//! `ringwall export nft`: the text is what the `nft` program reads, and says whose rules are whose.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn export(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringwall"));
    let output = command.current_dir(root).args(["export", "nft"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_nft_program_accepts_the_platforms_policies() {
    let text = export(&["examples/ai-platform", "--stand-in"]);
    for part in ["NetworkPolicy/data/service-to-database", "may be sent", "application/bff-service", "vmap @rw_"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let check = Command::new("nft").args(["-c", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut check) = check else { return not_run("the program nft is not here") };
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if told.contains("Operation not permitted") {
        return not_run("nft may not ask the kernel here");
    }
    assert!(output.status.success(), "{told}\n{text}");
}

#[test]
fn one_workloads_share_has_its_own_rules_alone() {
    let text = export(&["examples/ai-platform", "--stand-in", "--workload", "data/redis"]);
    assert!(text.contains("data/redis") && text.contains("NetworkPolicy/data/service-to-cache"), "{text}");
    assert!(!text.contains("NetworkPolicy/data/service-to-database"), "{text}");
}

fn not_run(why: &str) {
    assert!(std::env::var_os("RINGWALL_REQUIRE").is_none(), "{why}");
    println!("not run: {why}");
}
