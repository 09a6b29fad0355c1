//! Who is blocked is dropped at the link that he sends by, also at one that came with a later World.

use crate::wall::{Wall, until};
use ringwall_testkit::pods::{pod, shop};
use std::path::Path;

#[test]
fn a_blocked_workload_is_dropped_at_its_link() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("shop.yaml");
    let manifests = shop(&["web", "db"]);
    std::fs::write(&set, &manifests).unwrap();
    let Some(wall) = Wall::of(folder.path(), &[set.to_str().unwrap()]) else { return };
    is_dropped_at_its_link(&wall, "shop/web", "10.244.9.1");
    std::fs::write(&set, manifests + &pod("shop/log", "10.244.9.3")).unwrap();
    wall.says(&["reload"]);
    is_dropped_at_its_link(&wall, "shop/log", "10.244.9.3");
    let status = wall.says(&["kernel", "status"]);
    assert!(status.contains("as asked for; 2 addresses blocked"), "{status}");
}

fn is_dropped_at_its_link(wall: &Wall, workload: &str, address: &str) {
    let mut shell = wall.shell(workload);
    let _server = wall.echo("shop/db", &["80"]);
    assert!(shell.reaches("10.244.9.2:80"));
    wall.says(&["block", address, "--for", "1h"]);
    assert!(!shell.reaches("10.244.9.2:80"));
    // More than sixteen, of which one asks whether it may be told.
    assert_eq!(shell.says("for i in {1..40}; do echo x >/dev/udp/10.244.9.2/9; done; echo sent"), "sent");
    let flow = || std::fs::read_to_string(Path::new(&wall.state).join("flow.log")).unwrap_or_default();
    let source = format!("\"{address}\"");
    until("a line that says where", || {
        flow().lines().any(|line| line.contains(&source) && line.contains("blocked address, at its link"))
    });
}
