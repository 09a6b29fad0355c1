//! The wall is killed: what was forbidden stays forbidden, what went on goes on, and the next wall takes the node over.

use crate::wall::{Wall, until};
use crate::{ringwall, text};
use ringwall_testkit::pods::{pod, shop};
use std::path::{Path, PathBuf};

/// Who may reach one port of the other.
const POLICY: &str = r#"---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: db, namespace: shop }
spec:
  podSelector: { matchLabels: { app: db } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 5432 }] }]
"#;

/// Two pods outside the mesh, of which one may reach one port of the other.
fn manifests() -> String {
    shop(&["web", "db"]) + POLICY
}

fn namespace(wall: &Wall) -> String {
    text(&wall.run("shop/db", &["readlink", "/proc/self/ns/net"]))
}

/// A folder for two pods and for the state of the walls that come up over them, one after the other.
struct Place {
    folder: tempfile::TempDir,
    set: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("shop.yaml");
        std::fs::write(&set, manifests()).unwrap();
        Self { folder, set }
    }

    /// `None` where there can be no namespaces.
    fn up(&self) -> Option<Wall> {
        Wall::of(self.folder.path(), &[self.set.to_str().unwrap()])
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn detach(&self) -> String {
        text(&ringwall(&["kernel", "detach", "--state-dir", self.state().to_str().unwrap()]).output().unwrap())
    }
}

impl Drop for Place {
    /// Takes away what a test that failed left.
    fn drop(&mut self) {
        self.detach();
    }
}

#[test]
fn a_killed_wall_leaves_its_rules_and_the_next_takes_the_node_over() {
    let place = Place::new();
    let state = place.state();
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&state).unwrap();
    // As a machine that was switched off leaves it.
    drop(std::os::unix::net::UnixListener::bind(state.join("node.sock")).unwrap());
    let Some(wall) = place.up() else { return };
    let home = namespace(&wall);
    let _server = wall.echo("shop/db", &["5432", "81"]);
    let mut web = wall.shell("shop/web");
    web.connect("10.244.9.2:5432");
    assert!(web.echoes(5));
    assert!(wall.shell("shop/db").reaches("127.0.0.1:81") && !web.reaches("10.244.9.2:81"));
    let set = place.set.to_str().unwrap();
    let other = ringwall(&["up", set, "--isolate", "--crs", "none", "--state-dir", &wall.state]).output();
    let said = text(&other.unwrap());
    assert!(said.contains("another wall of this state folder"), "{said}");

    wall.kill();
    assert!(web.echoes(5), "a flow between homes goes on while there is no wall");
    assert!(!web.reaches("10.244.9.2:81"), "and what was forbidden still is");
    assert!(web.reaches("10.244.9.2:5432"));
    let status = ringwall(&["kernel", "status", "--state-dir", state.to_str().unwrap()]).output().unwrap();
    assert!(text(&status).contains("keeps its node"), "{}", text(&status));

    let wall = place.up().unwrap();
    assert!(web.echoes(5), "the same flow under the next wall");
    assert_eq!(namespace(&wall), home);
    assert!(!web.reaches("10.244.9.2:81") && web.reaches("10.244.9.2:5432"));
    let status = wall.says(&["kernel", "status"]);
    assert!(status.contains("as asked for") && status.contains("taken over from an earlier wall"), "{status}");
    // A home that is new to the next wall, and one that it has no more.
    let moved = manifests().replace("name: db, namespace", "name: store, namespace").replace("9.2", "9.3");
    std::fs::write(&place.set, moved).unwrap();
    wall.kill();
    let wall = place.up().unwrap();
    assert!(!web.echoes(1), "its peer has no home any more");
    let _server = wall.echo("shop/store", &["5432", "81"]);
    assert!(web.reaches("10.244.9.3:5432") && !web.reaches("10.244.9.3:81"));

    // Ended as it should, nothing is left; what still runs in a home has no link.
    drop(wall);
    assert!(!state.join("node.sock").exists());
    until("the end of a home's link", || web.says("grep -c eth0 /proc/net/dev") == "0");
    let said = place.detach();
    assert!(said.contains("no running ringwall"), "{said}");
}

#[test]
fn a_program_that_takes_the_doors_while_there_is_no_wall_loses_its_link() {
    let place = Place::new();
    let Some(wall) = place.up() else { return };
    let home = namespace(&wall);
    let mut squatter = wall.shell("shop/db");
    assert_eq!(squatter.says("echo up"), "up");
    wall.kill();
    let squat = "perl -MSocket -e '$|=1; socket(S,PF_INET,SOCK_STREAM,0); bind(S,sockaddr_in(15053,INADDR_ANY)) or die; listen(S,9); print \"there\\n\"; <STDIN>'";
    assert_eq!(squatter.says(squat), "there");
    let wall = place.up().unwrap();
    assert_ne!(namespace(&wall), home);
    wall.kill();
    let said = place.detach();
    assert!(said.contains("the node that a wall had left is gone"), "{said}");
}

/// The process that keeps the node.
fn keeper(wall: &Wall) -> String {
    let status = wall.says(&["kernel", "status"]);
    let (_, behind) = status.split_once("kept by process ").unwrap_or_else(|| panic!("{status}"));
    behind.split(' ').next().unwrap().to_owned()
}

/// Of one that has ended nothing is left but its number, if that.
fn runs(process: &str) -> bool {
    std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| !words.is_empty())
}

fn tell(process: &str, signal: &str) {
    assert!(std::process::Command::new("kill").args([signal, process]).status().unwrap().success());
}

#[test]
fn a_killed_keeper_takes_nothing_with_it() {
    let place = Place::new();
    let Some(wall) = place.up() else { return };
    let home = namespace(&wall);
    let first = keeper(&wall);
    tell(&first, "-KILL");
    until("another keeper", || wall.says(&["kernel", "status"]).contains("kept by") && keeper(&wall) != first);

    // A World with a home more waits for nobody.
    tell(&keeper(&wall), "-KILL");
    std::fs::write(&place.set, manifests() + &pod("shop/log", "10.244.9.3")).unwrap();
    wall.says(&["reload"]);
    let _server = wall.echo("shop/log", &["80"]);
    assert!(wall.shell("shop/web").reaches("10.244.9.3:80"));
    let log_home = text(&wall.run("shop/log", &["readlink", "/proc/self/ns/net"]));

    // What the new one keeps is all of it.
    wall.kill();
    let wall = place.up().unwrap();
    assert!(wall.says(&["kernel", "status"]).contains("taken over from an earlier wall"));
    assert_eq!(namespace(&wall), home);
    assert_eq!(text(&wall.run("shop/log", &["readlink", "/proc/self/ns/net"])), log_home);
}

#[test]
fn where_no_keeper_can_be_started_the_wall_says_that_it_is_not_ready() {
    let place = Place::new();
    let Some(wall) = place.up() else { return };
    // Something that cannot be taken away is where its socket would be.
    let socket = Path::new(&wall.state).join("node.sock");
    std::fs::remove_file(&socket).unwrap();
    std::fs::create_dir(&socket).unwrap();
    tell(&keeper(&wall), "-KILL");
    std::fs::write(&place.set, manifests() + &pod("shop/log", "10.244.9.3")).unwrap();
    let refused = ringwall(&["reload", "--state-dir", &wall.state]).output().unwrap();
    let why = "the process that keeps the node has ended, and no other could be started";
    assert!(!refused.status.success() && text(&refused).contains(why), "{}", text(&refused));
    let (status, body) = wall.get("/ready");
    assert!(status == 503 && body.contains(why), "{body}");
    assert!(wall.says(&["kernel", "status"]).contains("NOT READY"));
    // What is in force goes on.
    let _server = wall.echo("shop/db", &["5432"]);
    assert!(wall.shell("shop/web").reaches("10.244.9.2:5432"));
    std::fs::remove_dir(&socket).unwrap();
    wall.says(&["reload"]);
    assert_eq!(wall.get("/ready").0, 200);
    until("the home of the log", || wall.run("shop/log", &["true"]).status.success());
}

#[test]
fn a_stopped_keeper_keeps_no_wall_out() {
    let place = Place::new();
    let Some(wall) = place.up() else { return };
    let home = namespace(&wall);
    let _server = wall.echo("shop/db", &["5432"]);
    let mut web = wall.shell("shop/web");
    web.connect("10.244.9.2:5432");
    // A wall whose keeper does not answer ends it, and has another one.
    let first = keeper(&wall);
    tell(&first, "-STOP");
    until("another keeper", || wall.says(&["kernel", "status"]).contains("kept by") && keeper(&wall) != first);
    assert!(!runs(&first));
    // The next wall wakes the one that an earlier wall left, and finds all that it keeps.
    let second = keeper(&wall);
    wall.kill();
    tell(&second, "-STOP");
    let status = ringwall(&["kernel", "status", "--state-dir", place.state().to_str().unwrap()]).output().unwrap();
    assert!(text(&status).contains("does not answer"), "{}", text(&status));
    let wall = place.up().unwrap();
    assert_eq!((keeper(&wall), namespace(&wall)), (second.clone(), home));
    assert!(web.echoes(5), "a flow between homes goes on");
    // Nor does a stopped one outlive the end of its wall.
    tell(&second, "-STOP");
    drop(wall);
    until("its end", || !runs(&second));
    until("the end of a home's link", || web.says("grep -c eth0 /proc/net/dev") == "0");
}
