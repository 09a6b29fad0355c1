//! The connect hooks against the real kernel: a shell in a group of its own tries to connect. Needs root and bash, whose
//! `/dev/tcp` and `/dev/udp` are the plain process.

#![cfg(feature = "xdp")]

use ringwall_kernel::bpf::BpfError;
use ringwall_kernel::cgroup::{Action, Attempt, Attempts, Became, Destination, Group, Hooks};
use ringwall_model::RuleId;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};

/// A group with hooks, or `None` where this process may not and nobody asked that it must.
fn group(name: &str) -> Option<(Group, Hooks, Attempts)> {
    let required = std::env::var("RINGWALL_REQUIRE").as_deref() == Ok("parts");
    let must = required && rustix::process::geteuid().is_root();
    let why = match Group::create(&format!("ringwall-test-{}-{name}", std::process::id())) {
        Ok(group) => match Hooks::attach(&group) {
            Ok((hooks, attempts)) => return Some((group, hooks, attempts)),
            Err(error @ BpfError::NotPermitted) => error.to_string(),
            Err(error) => panic!("{error}"),
        },
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound
            ) =>
        {
            error.to_string()
        }
        Err(error) => panic!("{error}"),
    };
    assert!(!must, "{why}");
    println!("not run: connect hooks: {why}");
    None
}

/// A shell that waits until it is in the group, and then does this; whether it succeeded.
fn tries(group: &Group, what: &str) -> bool {
    let script = format!("read -r go && {what}");
    let mut shell =
        Command::new("bash").args(["-c", &script]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    group.add(shell.id()).unwrap();
    shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    shell.wait().unwrap().success()
}

fn connects(group: &Group, to: SocketAddr) -> bool {
    tries(group, &format!("exec 3<>/dev/tcp/{}/{}", to.ip(), to.port()))
}

fn one(to: SocketAddr) -> Destination {
    Destination { network: to.ip().into(), port: Some(to.port()), protocol: None }
}

#[test]
fn a_process_connects_where_a_rule_lets_it_and_nowhere_else() {
    let Some((group, mut hooks, mut attempts)) = group("rules") else { return };
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let (open, other) = (TcpListener::bind(local).unwrap(), TcpListener::bind(local).unwrap());
        let (listener, open) = (&open, open.local_addr().unwrap());
        let other = other.local_addr().map(|address| (address, other)).unwrap();
        assert!(!connects(&group, open), "nothing is allowed yet");
        let attempt = attempts.next().unwrap();
        let Attempt { to, rule, became, protocol, .. } = attempt.clone();
        assert_eq!((to, rule, became, protocol), (open, RuleId(0), Became::Denied, 6));
        assert_eq!(&*attempt.name, "bash");

        hooks.set(one(open), Action::Pass, RuleId(1)).unwrap();
        assert!(connects(&group, open));
        listener.accept().unwrap();
        assert_eq!(attempts.next(), None, "what passes is not told");
        assert!(!connects(&group, other.0));
        assert_eq!(attempts.next().map(|attempt| attempt.to), Some(other.0));

        // The most exact rule decides.
        let tcp = Destination { protocol: Some(6), ..one(open) };
        hooks.set(tcp, Action::Deny, RuleId(2)).unwrap();
        assert!(!connects(&group, open));
        assert_eq!(attempts.next().map(|attempt| attempt.rule), Some(RuleId(2)));

        // This process is in no group of ours.
        std::net::TcpStream::connect(other.0).unwrap();
    }
}

#[test]
fn networks_hold_all_ports_and_the_last_word_can_be_changed() {
    let Some((group, mut hooks, mut attempts)) = group("networks") else { return };
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let net = |text: &str| Destination { network: text.parse().unwrap(), port: None, protocol: None };
    hooks.set(net("127.0.0.0/8"), Action::Pass, RuleId(1)).unwrap();
    assert!(connects(&group, to));
    hooks.set(net("127.0.0.0/30"), Action::Deny, RuleId(2)).unwrap();
    assert!(!connects(&group, to), "the longer network");
    assert_eq!(attempts.next().map(|attempt| attempt.rule), Some(RuleId(2)));
    hooks.set(net("127.0.0.1/32"), Action::Pass, RuleId(3)).unwrap();
    assert!(connects(&group, to), "an address is more exact");

    let datagrams = UdpSocket::bind("[::1]:0").unwrap();
    let to = datagrams.local_addr().unwrap();
    let send = format!("echo hello >/dev/udp/::1/{}", to.port());
    assert!(!tries(&group, &send));
    let attempt = attempts.next().unwrap();
    assert_eq!((attempt.to, attempt.protocol, attempt.rule), (to, 17, RuleId(0)));
    hooks.otherwise(Action::Pass, RuleId(4)).unwrap();
    assert!(tries(&group, &send));
    let mut bytes = [0; 8];
    assert_eq!(datagrams.recv(&mut bytes).unwrap(), 6);
}

#[test]
fn a_connection_can_be_led_elsewhere() {
    let Some((group, mut hooks, mut attempts)) = group("redirect") else { return };
    for (local, wanted) in [("127.0.0.1:0", "203.0.113.9:443"), ("[::1]:0", "[2001:db8::9]:443")] {
        let server = TcpListener::bind(local).unwrap();
        let wanted: SocketAddr = wanted.parse().unwrap();
        hooks.set(one(wanted), Action::Redirect(server.local_addr().unwrap()), RuleId(9)).unwrap();
        assert!(connects(&group, wanted));
        server.accept().unwrap();
        let attempt = attempts.next().unwrap();
        assert_eq!((attempt.to, attempt.rule, attempt.became), (wanted, RuleId(9), Became::Redirected));
    }
    let four: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let six: SocketAddr = "[::1]:1".parse().unwrap();
    assert!(hooks.set(one(six), Action::Redirect(four), RuleId(1)).is_err());
    assert!(hooks.otherwise(Action::Redirect(four), RuleId(1)).is_err());
    let wide = Destination { network: "10.0.0.0/8".parse().unwrap(), port: Some(1), protocol: None };
    assert!(hooks.set(wide, Action::Pass, RuleId(1)).is_err());
}

#[test]
fn a_group_has_a_name_and_goes_when_it_is_empty() {
    for name in ["", "..", "a/b", "nul\0"] {
        assert_eq!(Group::create(name).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let Some((group, hooks, _)) = group("gone") else { return };
    let path = group.path().to_owned();
    assert!(path.is_dir());
    drop((group, hooks));
    assert!(!path.exists());
}

#[test]
fn the_hooks_stay_with_the_group_until_others_take_their_place() {
    let Some((group, mut hooks, attempts)) = group("stay") else { return };
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    hooks.set(one(to), Action::Pass, RuleId(1)).unwrap();
    // As when the owner is killed: the kernel closes its descriptors.
    drop((hooks, attempts));
    assert!(connects(&group, to), "the rules are still there");
    assert!(!connects(&group, "127.0.0.1:1".parse().unwrap()));
    assert!(!tries(&group, "echo >/dev/udp/127.0.0.1/9"), "EPERM, not a datagram that nobody hears");
    let (mut hooks, mut attempts) = Hooks::attach(&group).unwrap();
    assert!(!connects(&group, to), "the new ones let nothing pass yet");
    assert_eq!(attempts.next().map(|attempt| attempt.to), Some(to), "and they alone are asked");
    hooks.otherwise(Action::Pass, RuleId(2)).unwrap();
    assert!(connects(&group, to));
}

#[test]
fn bytes_that_are_no_attempt_are_none() {
    assert_eq!(Attempt::read(&[]), None);
    assert_eq!(Attempt::read(&[0; 55]), None);
    assert_eq!(Attempt::read(&[255; 56]), None);
    assert!(Attempt::read(&[0; 56]).is_some());
}
