//! The built binary at the links of a machine of its own: what is blocked is dropped before the stack, stays dropped when
//! the wall is killed, and comes again only when somebody asks for it. As root; otherwise not run.

use ringwall_kernel::link::{End, LOOPBACK, Links};
use ringwall_kernel::namespace::{self, Namespace, set_sysctl};
use serde_json::Value;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const INDEX: u32 = 7;
/// How long something that must come may take.
const LONG: Duration = Duration::from_secs(10);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A machine and its neighbour, with a link between them; a socket at the machine.
struct Ground {
    machine: Namespace,
    outside: Namespace,
    socket: UdpSocket,
    folder: tempfile::TempDir,
}

impl Ground {
    fn create() -> io::Result<Self> {
        let (machine, outside) = (Namespace::create()?, Namespace::create()?);
        let end = |last| End { name: "eth0".into(), index: INDEX, hardware: [2, 0, 0, 0, 0, last] };
        machine.run(|| {
            set_sysctl("ipv4/conf/all/rp_filter", "0")?;
            set_sysctl("ipv4/conf/default/rp_filter", "0")?;
            let mut links = Links::open()?;
            links.up(LOOPBACK)?;
            links.add_pair(&end(1), &end(2), &outside)?;
            links.up(INDEX)?;
            links.add_address(INDEX, ip("192.0.2.1"))?;
            links.add_route(INDEX, Some(ip("192.0.2.2")), None)
        })?;
        outside.run(|| {
            let mut links = Links::open()?;
            links.up(INDEX)?;
            ["192.0.2.2", "198.51.100.7"].iter().try_for_each(|own| links.add_address(INDEX, ip(own)))?;
            links.add_route(INDEX, Some(ip("192.0.2.1")), None)
        })?;
        let socket = machine.run(|| UdpSocket::bind("192.0.2.1:0"))?;
        Ok(Self { machine, outside, socket, folder: tempfile::tempdir()? })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringwall"));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        command.args(arguments).arg("--state-dir").arg(self.folder.path().join("state")).stdin(Stdio::null());
        command
    }

    /// What a command says; it must succeed.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.machine.run(|| self.command(arguments).output()).unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out.into_owned()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.says(&["kernel", "status", "--format", "json"])).unwrap()
    }

    fn send(&self, from: &str, word: &str) {
        let to = self.socket.local_addr().unwrap();
        let sent = self.outside.run(|| UdpSocket::bind(SocketAddr::new(ip(from), 0))?.send_to(word.as_bytes(), to));
        assert_eq!(sent.unwrap(), word.len());
    }

    /// Datagrams from an address come; the first ones of a link that has just come up may be lost.
    fn comes(&self, from: &str) {
        self.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            self.send(from, "x");
            if self.socket.recv_from(&mut [0; 8]).is_ok_and(|(_, sender)| sender.ip() == ip(from)) {
                return;
            }
        }
        panic!("nothing comes from {from}");
    }

    /// None comes, though one from somebody else, sent later by the same link, does.
    fn stays_out(&self, from: &str) {
        self.send(from, "no");
        self.comes("192.0.2.2");
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        while let Ok((_, sender)) = self.socket.recv_from(&mut [0; 8]) {
            assert_ne!(sender.ip(), ip(from));
        }
    }

    /// Of many datagrams of one source at once some come and some do not; who is never blocked may send as many.
    fn one_source_sends_no_more_than_it_may(&self, a_second: usize) {
        let to = self.socket.local_addr().unwrap();
        let begun = Instant::now();
        for from in [STRANGER, "192.0.2.2"] {
            let sender = self.outside.run(|| UdpSocket::bind(SocketAddr::new(ip(from), 0))).unwrap();
            let many = (0..4 * a_second).filter(|_| sender.send_to(b"x", to).is_ok()).count();
            assert_eq!(many, 4 * a_second);
        }
        self.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (mut limited, mut free) = (0, 0);
        while let Ok((_, sender)) = self.socket.recv_from(&mut [0; 8]) {
            if sender.ip() == ip(STRANGER) { limited += 1 } else { free += 1 }
        }
        // What may be sent at once, and what came to it meanwhile.
        let most = a_second + (a_second as f64 * begun.elapsed().as_secs_f64()) as usize + 1;
        assert!((1..=most).contains(&limited), "{limited} of at most {most}");
        assert_eq!(free, 4 * a_second);
        let status = self.says(&["kernel", "status"]);
        assert!(status.contains("as asked for"), "{status}");
        let told = || std::fs::read_to_string(self.folder.path().join("state/flow.log")).unwrap_or_default();
        while !told().contains("too many packets from one source") {
            assert!(begun.elapsed() < LONG, "{}", told());
            std::thread::yield_now();
        }
    }

    fn up(&self, more: &[&str]) -> Wall {
        let arguments = [&["up", "examples/ai-platform", "--stand-in", "--set", "block_links=eth0"], more].concat();
        let spawn = || self.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = self.machine.run(spawn).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let text: Vec<String> = lines.take_while(|line| !line.starts_with("Ctrl-C")).collect();
        assert!(!text.is_empty(), "it did not come up");
        Wall(child, text.join("\n"))
    }
}

/// A wall that is killed with the test, and what it said first.
struct Wall(Child, String);

/// What a killed wall left goes with the test.
impl Drop for Ground {
    fn drop(&mut self) {
        // A test that failed has said so already, and one that took it away itself left nothing.
        drop(self.machine.run(|| self.command(&["kernel", "detach"]).output()));
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn ground() -> Option<Ground> {
    if !namespace::is_root() {
        assert!(std::env::var_os("RINGWALL_REQUIRE").is_none(), "the links of a machine need root");
        println!("not run: the links of a machine need root");
        return None;
    }
    Some(Ground::create().unwrap())
}

const STRANGER: &str = "198.51.100.7";

#[test]
fn blocks_are_dropped_at_the_link_until_they_are_lifted() {
    let Some(ground) = ground() else { return };
    let wall = ground.up(&["--set", "never_block=192.0.2.2"]);
    assert!(wall.1.contains("XDP at eth0 (in the driver)"), "{}", wall.1);
    ground.comes(STRANGER);
    ground.says(&["block", STRANGER, "--for", "1h"]);
    ground.stays_out(STRANGER);
    let status = ground.status();
    assert_eq!(status["links"]["nftables"], "as asked for", "{status:#}");
    assert_eq!(status["links"]["xdp"]["links"][0]["runs"], "in the driver", "{status:#}");
    assert!(status["links"]["xdp"]["verdicts"]["blocked"].as_u64().unwrap() >= 1, "{status:#}");
    ground.says(&["unblock", STRANGER]);
    ground.comes(STRANGER);
    // A network, and who is in it and never blocked.
    ground.says(&["block", "198.51.0.0/16", "--for", "1h"]);
    ground.stays_out(STRANGER);
    assert!(ground.status()["links"]["xdp"]["verdicts"]["blocked-network"].as_u64().unwrap() >= 1);
    let said = ground.says(&["block", "192.0.2.2", "--for", "1h"]);
    assert!(said.contains("never_block"), "{said}");
    ground.comes("192.0.2.2");
    ground.says(&["unblock", "192.0.2.2"]);
    // Each drop is told with the block's number, and the ports.
    let told = || std::fs::read_to_string(ground.folder.path().join("state/flow.log")).unwrap_or_default();
    let begun = Instant::now();
    while !told().contains("by XDP") {
        assert!(begun.elapsed() < LONG, "{}", told());
        std::thread::yield_now();
    }
    let line = told().lines().find(|line| line.contains("by XDP")).unwrap().to_owned();
    assert!(serde_json::from_str::<Value>(&line).unwrap()["source_port"].as_u64().unwrap() > 0, "{line}");
    // Killed, XDP is gone and nftables still drops; the next one takes both over.
    drop(wall);
    ground.stays_out(STRANGER);
    let wall = ground.up(&[]);
    ground.stays_out(STRANGER);
    assert_eq!(ground.status()["links"]["blocks"], 1);
    ground.says(&["kernel", "detach"]);
    ground.comes(STRANGER);
    drop(wall);
}

#[test]
fn a_plain_process_reaches_its_listener_alone_also_when_the_wall_is_gone() {
    let Some(ground) = ground() else { return };
    let before: Vec<String> = std::fs::read_dir(unified())
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let wall = ground.up(&[]);
    let workload = "application/bff-service";
    let run = |script: &str| {
        let mut command = ground.command(&["run", "--as", workload]);
        command.args(["--", "bash", "-c", script]).stderr(Stdio::inherit());
        ground.machine.run(|| command.output()).unwrap()
    };
    let tries = |what: &str| format!("if ( {what} ) 2>/dev/null; then echo yes; else echo no; fi");
    let own = "a=${RINGWALL_OUTBOUND#http://} && exec 3<>/dev/tcp/${a%:*}/${a##*:}";
    // Something that answers on the same machine, so that only the hooks can be why it is not reached.
    let server = ground.machine.run(|| std::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let other = format!("exec 3<>/dev/tcp/127.0.0.1/{}", server.local_addr().unwrap().port());
    let script = format!("{}; {}; id -u", tries(own), tries(&other));
    let output = run(&script);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["yes", "no", "65534"], "{said}");
    let status = ground.status();
    assert!(status["groups"][0].as_str().unwrap().contains(workload), "{status:#}");
    // One that goes on while its wall is killed: still nowhere else.
    let fifo = ground.folder.path().join("go");
    assert!(Command::new("mkfifo").args(["-m", "666"]).arg(&fifo).status().unwrap().success());
    std::fs::set_permissions(ground.folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = ground.command(&["run", "--as", workload]);
    // Open for both, so that one word lets it go on once: a reader alone would see an end until the writer has closed.
    let again = format!("read -r go <&9; {}", tries(&other));
    command.args(["--", "bash", "-c", &format!("exec 9<>{}; echo there; {again}; {again}", fifo.display())]);
    let mut child = ground.machine.run(|| command.stdout(Stdio::piped()).spawn()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("there"));
    drop(wall);
    std::fs::write(&fifo, "go\n").unwrap();
    assert_eq!(lines.next().as_deref(), Some("no"));
    // The next wall takes the group over: what is started in it still reaches the new listener alone.
    let wall = ground.up(&[]);
    let status = ground.status();
    assert!(status["groups"][0].as_str().unwrap().contains(workload), "{status:#}");
    std::fs::write(&fifo, "go\n").unwrap();
    assert_eq!(lines.next().as_deref(), Some("no"));
    child.wait().unwrap();
    // Let go, until the next is started; and that one is held though the listener is the same.
    let said = ground.says(&["kernel", "detach"]);
    assert!(said.contains("connect where they like"), "{said}");
    assert!(ground.status()["groups"][0].as_str().unwrap().contains("where they like"));
    let said = run(&format!("{}; {}", tries(own), tries(&other)));
    assert_eq!(String::from_utf8_lossy(&said.stdout).lines().collect::<Vec<_>>(), ["yes", "no"]);
    // An empty group of a wall that was killed goes with the next.
    drop(wall);
    let left = || {
        let groups = std::fs::read_dir(unified()).unwrap().flatten();
        let names = groups.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.ends_with("-application.bff-service") && !before.contains(name)).count()
    };
    assert_eq!(left(), 1);
    let wall = ground.up(&[]);
    assert_eq!(left(), 0);
    drop(wall);
}

/// Where control groups of version 2 are.
fn unified() -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().find(|line| line.contains(" cgroup2 ")).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn without_xdp_nftables_drops_alone_and_it_is_said() {
    let Some(ground) = ground() else { return };
    let wall = ground.up(&["--set", "xdp=off", "--set", "source_packets=50", "--set", "never_block=192.0.2.2"]);
    assert!(wall.1.contains("without XDP, nftables drops alone: switched off"), "{}", wall.1);
    ground.comes(STRANGER);
    ground.one_source_sends_no_more_than_it_may(50);
    ground.says(&["block", "198.51.100.0/24"]);
    ground.stays_out(STRANGER);
    // What a wall left in force can be taken away without one.
    drop(wall);
    ground.stays_out(STRANGER);
    assert!(ground.says(&["kernel", "status"]).contains("1 blocked"));
    ground.says(&["kernel", "detach"]);
    ground.comes(STRANGER);
}

#[test]
fn where_another_program_holds_the_link_nftables_drops_alone() {
    let Some(ground) = ground() else { return };
    let (mut other, _) = ringwall_kernel::xdp::Xdp::load(ringwall_kernel::xdp::Sizes::of(16)).unwrap();
    ground.machine.run(|| other.attach("eth0").map_err(io::Error::other)).unwrap();
    let wall = ground.up(&[]);
    assert!(wall.1.contains("without XDP, nftables drops alone: ") && !wall.1.contains("XDP at eth0"), "{}", wall.1);
    ground.comes(STRANGER);
    ground.says(&["block", STRANGER, "--for", "1h"]);
    ground.stays_out(STRANGER);
    ground.says(&["unblock", STRANGER]);
    ground.comes(STRANGER);
    drop(wall);
}
