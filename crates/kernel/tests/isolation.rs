//! Namespaces, links and sockets against the real kernel. Without a harness, because a process that is not root goes
//! into a user namespace before it has threads.

#[path = "isolation/keeper.rs"]
mod keeper;

use ringwall_kernel::intercept;
use ringwall_kernel::namespace::node::Node;
use ringwall_kernel::namespace::{self, IsolationError};
use ringwall_kernel::socket::{self, Opener, Passage};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

fn main() {
    if let Some(how) = std::env::var_os(keeper::VARIABLE) {
        return keeper::keep(&how);
    }
    let standing = match namespace::enter() {
        Ok(standing) => standing,
        Err(error @ IsolationError::Permission(_)) => {
            assert!(std::env::var_os("RINGWALL_REQUIRE").is_none(), "{error}");
            return println!("not run: {error}");
        }
        Err(error) => panic!("{error}"),
    };
    packets_go_between_homes_once_both_are_open();
    what_a_program_sends_comes_to_the_doors();
    keeper::one_that_is_stopped_goes_on_with_what_it_keeps();
    keeper::one_that_stays_silent_is_killed();
    keeper::who_only_listens_there_is_left_alone();
    println!("isolation: held as {standing:?}");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn packets_go_between_homes_once_both_are_open() {
    let mut node = Node::create().unwrap();
    for (one, other) in [("10.244.7.1", "10.244.9.2"), ("fd00:10:244::1", "fd00:10:244::2")] {
        let (one, other) = (address(one), address(other));
        let (here, there) = (node.add(one).unwrap(), node.add(other).unwrap());
        assert!(here.interface != there.interface);
        let listeners = there.namespace.run(|| socket::listen(SocketAddr::new(other, 80), 1)).unwrap();
        let to = SocketAddr::new(other, 80);
        let connect = || TcpStream::connect_timeout(&to, std::time::Duration::from_millis(300));
        assert!(here.namespace.run(connect).is_err(), "a link that is down");
        node.open(one).unwrap();
        node.open(other).unwrap();
        let mut client = here.namespace.run(|| TcpStream::connect(to)).unwrap();
        client.write_all(b"x").unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let (mut server, peer) = listeners[0].accept().unwrap();
        assert_eq!(peer.ip(), one);
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        node.remove(one).unwrap();
        assert!(node.home(one).is_none());
    }
    a_marked_socket_stays_in_its_namespace(&mut node);
}

fn a_marked_socket_stays_in_its_namespace(node: &mut Node) {
    let home = address("10.244.3.3");
    let there = node.add(home).unwrap();
    node.open(home).unwrap();
    let listener = there.namespace.run(|| socket::listen(SocketAddr::new(home, 8080), 1)).unwrap().remove(0);
    let opener = Opener::start().unwrap();
    let (told, wait) = std::sync::mpsc::channel();
    opener.ask(
        &there.namespace,
        move || socket::stream(home, Passage::Marked),
        move |opened| told.send(opened).unwrap(),
    );
    let stream = wait.recv().unwrap().unwrap();
    assert_eq!(stream.mark().unwrap(), socket::BYPASS);
    stream.set_nonblocking(false).unwrap();
    stream.connect(&SocketAddr::new(home, 8080).into()).unwrap();
    listener.set_nonblocking(false).unwrap();
    assert_eq!(listener.accept().unwrap().1.ip(), home);
    // From the machine's own namespace that address is somebody else's, or nobody's.
    listener.set_nonblocking(true).unwrap();
    drop(TcpStream::connect_timeout(&SocketAddr::new(home, 8080), std::time::Duration::from_millis(100)));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// An unmodified client dials an address that nobody has; the door gets the connection and knows where it was going. A
/// marked one goes there. What comes from another home comes to the other door.
fn what_a_program_sends_comes_to_the_doors() {
    let mut node = Node::create().unwrap();
    let (one, other) = (address("10.244.1.1"), address("10.244.1.2"));
    let (here, there) = (node.add(one).unwrap().namespace, node.add(other).unwrap().namespace);
    let any = socket::any(one);
    let doors = |namespace: &namespace::Namespace| {
        namespace
            .run(|| {
                intercept::apply(intercept::Reach::All).unwrap();
                let out = socket::listen(SocketAddr::new(any, intercept::OUTBOUND), 1)?.remove(0);
                let into = socket::listen(SocketAddr::new(any, intercept::INBOUND), 1)?.remove(0);
                let names = socket::datagrams(SocketAddr::new(address("127.0.0.1"), intercept::NAMES))?;
                out.set_nonblocking(false)?;
                into.set_nonblocking(false)?;
                names.set_nonblocking(false)?;
                Ok((out, into, names))
            })
            .unwrap()
    };
    let ((out, _, names), (_, into, _)) = (doors(&here), doors(&there));
    node.open(one).unwrap();
    node.open(other).unwrap();
    let original = |stream: &TcpStream| socket2::SockRef::from(stream).original_dst_v4().unwrap().as_socket().unwrap();
    let nowhere = "203.0.113.9:443".parse::<SocketAddr>().unwrap();
    let client = here.run(|| TcpStream::connect(nowhere)).unwrap();
    assert_eq!(client.peer_addr().unwrap(), nowhere);
    assert_eq!(original(&out.accept().unwrap().0), nowhere);
    let app: SocketAddr = SocketAddr::new(other, 5432);
    let marked = here.run(|| socket::stream(other, Passage::Marked)).unwrap();
    marked.set_nonblocking(false).unwrap();
    marked.connect(&app.into()).unwrap();
    let (stream, peer) = into.accept().unwrap();
    assert_eq!((original(&stream), peer.ip()), (app, one));
    let asks = here.run(|| std::net::UdpSocket::bind((any, 0))).unwrap();
    asks.connect("192.0.2.53:53").unwrap();
    asks.send(b"?").unwrap();
    let mut byte = [0; 1];
    let (_, from) = names.recv_from(&mut byte).unwrap();
    names.send_to(b"!", from).unwrap();
    asks.recv(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}
