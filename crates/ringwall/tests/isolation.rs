//! The built binary with workloads in namespaces of their own: the tour under the mesh, and unmodified programs in homes.
//! As root or in user namespaces; where there is neither, not run.

#[path = "isolation/block.rs"]
mod block;
#[path = "isolation/killed.rs"]
mod killed;
#[path = "isolation/policy.rs"]
mod policy;
#[path = "isolation/wall.rs"]
mod wall;

use ringwall_testkit::pods::{may_send_to_api, shop};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use wall::Wall;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn ringwall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringwall"));
    command.current_dir(root()).args(arguments).stdin(Stdio::null());
    command
}

/// Whether this machine has no room for namespaces; that is a failure where all parts are required.
fn is_impossible(told: &str) -> bool {
    let impossible = told.contains("isolation needs");
    if impossible {
        assert!(std::env::var_os("RINGWALL_REQUIRE").is_none(), "{told}");
        println!("not run: {told}");
    }
    impossible
}

#[test]
fn the_tour_under_the_mesh_holds() {
    let output = ringwall(&["demo", "--isolate", "--once", "--format", "json"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if is_impossible(&err) {
        return;
    }
    let all: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<_> = all.iter().filter(|one| one["held"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{err}");
    assert!(all.len() >= 10 && output.status.success(), "{out}\n{err}");
    let wire: Vec<_> = all.iter().filter(|one| one["saw"].as_str().unwrap().contains("canary")).collect();
    assert_eq!(wire.len(), 2, "the capture, and its control");
}

#[test]
fn every_refusal_of_the_tour_under_the_mesh_hangs_on_its_rule() {
    let output = ringwall(&["demo", "--isolate", "--prove", "--once", "--format", "json"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if is_impossible(&err) {
        return;
    }
    let all: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<_> = all.iter().filter(|one| one["proved"] != true).collect();
    assert!(failed.is_empty() && output.status.success(), "{failed:#?}\n{err}");
    let of = |kind: &str| all.iter().filter(|one| one["kind"] == kind).count();
    // Databases, zones and the way out by their policies; source addresses, floods and blocks by what passes beside them.
    assert_eq!((of("proved"), of("neighbour"), of("let through")), (3, 3, 4), "{out}");
    let policies = all.iter().filter(|one| one["without"].as_str().unwrap().starts_with("NetworkPolicy/")).count();
    assert_eq!(policies, 3, "{out}");
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn programs_of_workloads_are_held() {
    let folder = tempfile::tempdir().unwrap();
    let Some(wall) = Wall::up(folder.path()) else { return };
    let status = text(&wall.run("application/bff-service", &["cat", "/proc/self/status"]));
    for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let none = format!("{set}:\t0000000000000000");
        assert!(status.contains(&none), "{none}\n{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let hidden = wall.run("application/bff-service", &["ls", &wall.state]);
    assert!(matches!(String::from_utf8_lossy(&hidden.stdout).trim(), "" | "resolv.conf"), "{}", text(&hidden));
    let links = text(&wall.run("application/bff-service", &["cat", "/proc/net/dev"]));
    assert!(links.contains("eth0:") && links.lines().count() == 4, "{links}");
    assert!(!wall.run("no/such", &["true"]).status.success());
    let curl = |url: &str| {
        let form = ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code} %{exitcode}", url];
        text(&wall.run("application/bff-service", &form))
    };
    // The mesh knows who calls: without a user's token the agent's authorization refuses, and nothing else.
    assert_eq!(curl("http://llm-agent-service:8080/api/v1/agents/summary"), "403 0");
    // 6: the name cannot be resolved.
    assert_eq!(curl("http://attacker.example/"), "000 6");
    let kernel = text(&ringwall(&["kernel", "status", "--state-dir", &wall.state]).output().unwrap());
    assert!(kernel.contains("as asked for"), "{kernel}");
}

/// Answers every question with one address, and keeps the names that it was asked for.
fn resolver(address: [u8; 4]) -> (String, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap().to_string();
    let asked = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
    let heard = asked.clone();
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let mut answer = bytes[..length].to_vec();
            heard.lock().unwrap().push(String::from_utf8_lossy(&answer[12..length - 5]).into_owned());
            let is_v4 = answer[length - 3] == 1;
            (answer[2], answer[3], answer[7]) = (0x81, 0x80, u8::from(is_v4));
            if is_v4 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4]);
                answer.extend(address);
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    (at, asked)
}

#[test]
fn an_allowed_name_is_asked_for_and_its_address_alone_let_through() {
    let folder = tempfile::tempdir().unwrap();
    let (set, state) = (folder.path().join("set"), folder.path().join("state"));
    std::fs::create_dir(&set).unwrap();
    std::fs::write(
        set.join("named.yaml"),
        shop(&["web"]) + &may_send_to_api("{ tcp: { destinationPort: { number: 443 } } }"),
    )
    .unwrap();
    let (server, asked) = resolver([198, 51, 100, 7]);
    let server = format!("name_server={server}");
    let words = [set.to_str().unwrap(), "--set", &server, "--set", "name_keep=10s"];
    let Some(wall) = Wall::of(folder.path(), &words) else { return };
    let look_up = |name: &str| text(&wall.run("shop/web", &["getent", "ahostsv4", name]));
    let dial = |to: &str| wall.run("shop/web", &["curl", "-s", "-m", "1", &format!("https://{to}/")]);
    // Before the name is known nobody may be reached, and afterwards its address alone.
    dial("198.51.100.7");
    let dropped = || std::fs::read_to_string(Path::new(&state).join("flow.log")).unwrap();
    let told = |to: &str| {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let to = format!("\"destination\":\"{to}\"");
        while std::time::Instant::now() < until && !dropped().contains(&to) {
            std::thread::yield_now();
        }
        dropped().matches(&to).count()
    };
    let before = told("198.51.100.7");
    assert!(before >= 1, "{}", dropped());
    assert!(look_up("api.example.com").contains("198.51.100.7"));
    assert!(!look_up("attacker.example").contains("198.51.100.7"));
    dial("198.51.100.7");
    dial("198.51.100.8");
    assert!(told("198.51.100.8") >= 1, "{}", dropped());
    // What was told of the one was told before the other was.
    assert_eq!(told("198.51.100.7"), before, "{}", dropped());
    // Until its time is over.
    let known = || wall.says(&["kernel", "status"]).contains("1 addresses of names");
    assert!(known());
    wall::until("the name's end", || !known());
    dial("198.51.100.7");
    dial("198.51.100.8");
    wall::until("a drop after the name's end", || told("198.51.100.7") > before);
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|name| name.contains("api")) && !asked.is_empty(), "{asked:?}");
}
