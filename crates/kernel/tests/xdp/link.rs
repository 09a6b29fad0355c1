//! The program at a link of a namespace that the test made: what is dropped does not arrive, and when the program is
//! gone it does.

use super::{ip, load};
use ringwall_kernel::bpf::BpfError;
use ringwall_kernel::namespace::node::Node;
use ringwall_kernel::xdp::{Detached, Mode, Verdict, Xdp};
use ringwall_model::RuleId;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const PAIRS: [(&str, &str); 2] = [("10.244.7.1", "10.244.9.2"), ("fd00:10:244::1", "fd00:10:244::2")];

#[test]
fn what_is_blocked_does_not_pass_a_link() {
    let Some((mut xdp, mut events)) = load() else { return };
    let mut node = Node::create().unwrap();
    for (one, other) in PAIRS {
        let (one, other) = (ip(one), ip(other));
        let (here, there) = (node.add(one).unwrap(), node.add(other).unwrap());
        node.open(one).unwrap();
        node.open(other).unwrap();
        let mode = within(&node, || xdp.attach(&here.interface));
        assert_eq!(mode.unwrap(), Mode::Native, "a veth can");
        assert_eq!(xdp.links().collect::<Vec<_>>(), [(&*here.interface, Mode::Native)]);

        let server = there.namespace.run(|| UdpSocket::bind(SocketAddr::new(other, 0))).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let client = here.namespace.run(|| UdpSocket::bind(SocketAddr::new(one, 0))).unwrap();
        let to = server.local_addr().unwrap();
        deliver(&client, &server, to, "before");
        xdp.block(IpAddr::into(one), None, RuleId(7)).unwrap();
        xdp.limit(ringwall_kernel::xdp::Limits { events: super::exactly(9), ..Default::default() }).unwrap();
        let before = xdp.counters().unwrap().of(Verdict::Blocked).frames;
        client.send_to(b"during", to).unwrap();
        wait(&xdp, before + 1);
        let event = events.find(|event| event.protocol == super::UDP).unwrap();
        let ports = Some((client.local_addr().unwrap().port(), to.port()));
        assert_eq!((event.source, event.destination, event.ports), (one, other, ports));
        assert_eq!((event.verdict, event.rule), (Verdict::Blocked, Some(RuleId(7))));

        // Another program never takes the place of the first.
        let (mut second, _) = load().unwrap();
        assert!(matches!(within(&node, || second.attach(&here.interface)), Err(BpfError::Attach { .. })));

        assert_eq!(xdp.detach(&here.interface).unwrap(), Detached::Now);
        assert_eq!(xdp.detach(&here.interface).unwrap(), Detached::WasNotThere);
        deliver(&client, &server, to, "after");
    }
    assert!(matches!(within(&node, || xdp.attach("no-such-link")), Err(BpfError::Attach { .. })));
    assert!(matches!(within(&node, || xdp.attach("nul\0")), Err(BpfError::Attach { .. })));
}

#[test]
fn a_dropped_program_leaves_the_link_open() {
    let Some((mut xdp, _)) = load() else { return };
    let mut node = Node::create().unwrap();
    let home = node.add(ip(PAIRS[0].0)).unwrap();
    within(&node, || xdp.attach(&home.interface)).unwrap();
    drop(xdp);
    let (mut next, _) = load().unwrap();
    assert_eq!(within(&node, || next.attach(&home.interface)).unwrap(), Mode::Native, "nobody is there any more");
}

/// In the router's namespace.
fn within<T: Send>(node: &Node, work: impl FnOnce() -> T + Send) -> T {
    node.router.run(|| io::Result::Ok(work())).unwrap()
}

/// Sends until it arrives: a link that was just set up may lose the first. What was dropped never does.
fn deliver(client: &UdpSocket, server: &UdpSocket, to: SocketAddr, text: &str) {
    let mut bytes = [0; 16];
    for _ in 0..100 {
        client.send_to(text.as_bytes(), to).unwrap();
        while let Ok((length, _)) = server.recv_from(&mut bytes) {
            assert_ne!(&bytes[..length], b"during");
            if &bytes[..length] == text.as_bytes() {
                return;
            }
        }
    }
    panic!("`{text}` does not arrive");
}

fn wait(xdp: &Xdp, blocked: u64) {
    let begun = Instant::now();
    while xdp.counters().unwrap().of(Verdict::Blocked).frames < blocked {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing was dropped");
        std::thread::yield_now();
    }
}
