//! One wall for what policies say of packets: strict mode, audit mode, and a kernel that refuses.

use crate::wall::{Program, Wall, until};
use crate::{ringwall, text};
use ringwall_testkit::pods::shop;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const POLICIES: &str = r#"---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: store, namespace: shop }
spec:
  podSelector: { matchLabels: { app: db } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 5432 }] }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: tried, namespace: shop, annotations: { ringwall.dev/enforcement: audit } }
spec: { podSelector: { matchLabels: { app: log } }, policyTypes: [Ingress] }
"#;

/// A caller, a store that it may reach, and a log whose policy is only audited.
fn manifests() -> String {
    shop(&["web", "db", "log"]) + POLICIES
}

#[test]
fn policies_cut_audit_and_tell_when_the_kernel_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("shop.yaml");
    std::fs::write(&set, manifests()).unwrap();
    let words = [set.to_str().unwrap(), "--set", "established_flows=cut"];
    let Some(wall) = Wall::of(folder.path(), &words) else { return };
    let _servers = [wall.echo("shop/db", &["5432"]), wall.echo("shop/log", &["80"])];
    let mut web = wall.shell("shop/web");
    audit_counts_and_tells(&wall, &mut web);
    strict_mode_cuts(&wall, &mut web, &set);
    a_kernel_that_refuses_is_told_and_asked_again(&wall, &mut web, &set);
}

fn audit_counts_and_tells(wall: &Wall, web: &mut Program) {
    web.connect("10.244.9.3:80");
    assert!(web.echoes(5), "what an audited policy would refuse goes on");
    let flow = || std::fs::read_to_string(Path::new(&wall.state).join("flow.log")).unwrap_or_default();
    until("a line that it would be refused", || flow().contains("would_be_refused_by"));
    let line = flow().lines().find(|line| line.contains("would_be_refused_by")).unwrap().to_owned();
    assert!(line.contains("NetworkPolicy/shop/tried") && line.contains("10.244.9.3"), "{line}");
    let counted = || wall.get("/metrics").1.lines().any(|line| line.contains("tried") && line.contains("would-refuse"));
    until("a count of what would be refused", counted);
}

/// A flow that a change forbids is cut at its next packet; the next change admits new ones.
fn strict_mode_cuts(wall: &Wall, web: &mut Program, set: &Path) {
    web.connect("10.244.9.2:5432");
    assert!(web.echoes(5));
    take(wall, set, &manifests().replace("5432 }", "5433 }"));
    assert!(!web.echoes(1), "an established flow after a change that forbids it");
    take(wall, set, &manifests());
    assert!(web.reaches("10.244.9.2:5432"));
}

/// Another process owns the table, so the kernel takes nothing from us: `/ready` says so, a World that changes rules is
/// not taken, a block is in force above and told as refused, and asked for again until the kernel has it.
fn a_kernel_that_refuses_is_told_and_asked_again(wall: &Wall, web: &mut Program, set: &Path) {
    let Some(mut owner) = Owner::take(wall) else { return };
    assert_eq!(wall.get("/ready").0, 503);
    let status = wall.says(&["kernel", "status"]);
    assert!(status.contains("NOT READY"), "{status}");
    std::fs::write(set, manifests().replace("5432 }", "5434 }")).unwrap();
    let refused = ringwall(&["reload", "--state-dir", &wall.state]).output().unwrap();
    assert!(!refused.status.success(), "{}", text(&refused));
    let block = ["block", "10.244.9.1", "--for", "1h", "--state-dir", &wall.state];
    let refused = ringwall(&block).output().unwrap();
    assert!(!refused.status.success() && text(&refused).contains("the kernel refused it"), "{}", text(&refused));
    assert!(wall.says(&["blocks"]).contains("10.244.9.1"), "it is not lost");
    assert!(!wall.says(&["kernel", "status"]).contains("1 addresses blocked"), "and not claimed");
    owner.end();
    take(wall, set, &manifests());
    assert_eq!(wall.get("/ready").0, 200);
    until("the block in the kernel", || wall.says(&["kernel", "status"]).contains("1 addresses blocked"));
    assert!(!web.reaches("10.244.9.2:5432"));
    wall.says(&["unblock", "10.244.9.1"]);
    assert!(web.reaches("10.244.9.2:5432"));
}

/// Has the wall take other manifests; the watch may have been first.
fn take(wall: &Wall, set: &Path, text: &str) {
    std::fs::write(set, text).unwrap();
    wall.says(&["reload"]);
}

/// A process that owns the wall's table in the router, as only its owner may change it, as long as it has an input.
struct Owner(Child);

impl Owner {
    /// Takes the table; `None`, which is said, where the router cannot be entered from here.
    fn take(wall: &Wall) -> Option<Self> {
        if !ringwall_kernel::namespace::is_root() {
            println!("not run: a kernel that refuses, without root");
            return None;
        }
        let folder = format!("/proc/{}/fd", wall.process());
        let is_router = |path: &str| {
            let links = Command::new("nsenter").arg(format!("--net={path}")).args(["cat", "/proc/net/dev"]).output();
            String::from_utf8_lossy(&links.unwrap().stdout).contains("rwout")
        };
        let open = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
        let spaces =
            open.filter(|path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("net:")));
        let router = spaces.map(|path| path.display().to_string()).find(|path| is_router(path)).unwrap();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={router}")).args(["nft", "-i"]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "delete table inet ringwall; add table inet ringwall {{ flags owner; }}").unwrap();
        child.stdin = Some(input);
        let owner = Self(child);
        until("the wall's trouble", || wall.get("/ready").0 == 503);
        Some(owner)
    }

    /// Lets go; the table goes with it.
    fn end(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
    }
}
