//! What happens while rules change, and when a change goes wrong.

use crate::lab::{Lab, admits, connection, ip, listen, within};
use crate::traffic::nothing;
use ringwall_kernel::apply::{ApplyError, Detached, Firewall, ReadBack, detach, status};
use ringwall_kernel::blocklist::Block;
use ringwall_kernel::conntrack::Connections;
use ringwall_kernel::netlink::{Error, Wait};
use ringwall_kernel::nft::batch::Batch;
use ringwall_kernel::nft::layout::Settings;
use ringwall_kernel::nft::table::{Chain, Table};
use ringwall_kernel::nft::{Generation, NftBackend, Nftables};
use ringwall_model::Reason;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One byte there and back: whether a connection lives.
pub fn lives(client: &mut TcpStream, server: &mut TcpStream) -> bool {
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    }
    let mut byte = [0];
    let there = client.write_all(b"x").and_then(|()| server.read_exact(&mut byte));
    there.and_then(|()| server.write_all(b"y")).and_then(|()| client.read_exact(&mut byte)).is_ok()
}

/// A connection from the second to the first workload, both of its ends.
pub fn established(lab: &Lab, port: u16) -> (TcpStream, TcpStream) {
    let listener = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), port);
    let to = SocketAddr::new(ip("10.244.0.1"), port);
    let client = connection(&lab.home("10.244.0.2"), to, Duration::from_secs(5)).unwrap();
    (client, listener.accept().unwrap().0)
}

pub fn nothing_forbidden_passes_while_rules_are_replaced() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2", "10.244.0.3"], Settings::default());
    // Three groups that all refuse the third workload: of another shape, with other elements, with other ranges.
    let groups = [
        admits(&[("10.244.0.2", 80)], &[], Reason::NoRuleApplies),
        admits(&[("10.244.0.2", 80), ("192.0.2.1", 9)], &[], Reason::NoRuleApplies),
        admits(&[("10.244.0.2", 80)], &["10.244.0.0/31", "10.244.0.4/30"], Reason::NoRuleApplies),
        admits(&[("10.244.0.2", 80)], &["10.244.0.2/32"], Reason::DefaultDeny { considered: 1 }),
        nothing(Reason::NoRuleApplies),
    ];
    lab.ingress(0, groups[0].clone());
    lab.apply();
    let (mut client, mut server) = established(&lab, 80);
    let receiver = within(&lab.home("10.244.0.1"), || UdpSocket::bind("10.244.0.1:9").unwrap());
    let sender = within(&lab.home("10.244.0.3"), || UdpSocket::bind("10.244.0.3:0").unwrap());
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let transactions = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                sent.fetch_add(u64::from(sender.send_to(b"forbidden", "10.244.0.1:9").is_ok()), Ordering::Relaxed);
            }
        });
        let mut transactions = 0;
        for number in (1..).take_while(|number| *number <= REPLACEMENTS || sent.load(Ordering::Relaxed) < DATAGRAMS) {
            lab.ruleset.groups[0] = groups[number % groups.len()].clone();
            let applied = lab.firewall.apply(&lab.ruleset, &lab.book).unwrap();
            assert_eq!(applied.read_back, ReadBack::Equal);
            transactions += applied.transactions;
            assert!(lives(&mut client, &mut server));
        }
        done.store(true, Ordering::Relaxed);
        transactions
    });
    receiver.set_nonblocking(true).unwrap();
    assert!(receiver.recv(&mut [0; 16]).is_err(), "a forbidden datagram came through");
    println!("  0 of {} forbidden datagrams through {transactions} replacements", sent.into_inner());
}

/// At least so many replacements, and so many datagrams meanwhile.
const REPLACEMENTS: usize = 65;
const DATAGRAMS: u64 = 50_000;

pub fn one_address_more_is_one_element_more() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], Settings::default());
    let peers: Vec<String> = (0..10_000).map(|n| format!("10.9.{}.{}", n / 250, n % 250 + 1)).collect();
    let mut exact: Vec<(&str, u16)> = peers.iter().map(|peer| (peer.as_str(), 80)).collect();
    lab.ingress(0, admits(&exact, &[], Reason::NoRuleApplies));
    lab.apply();
    exact.push(("10.244.0.2", 80));
    lab.ruleset.groups[0] = admits(&exact, &[], Reason::NoRuleApplies);
    let applied = lab.firewall.apply(&lab.ruleset, &lab.book).unwrap();
    assert_eq!((applied.elements, applied.transactions, applied.read_back), (1, 1, ReadBack::Equal));
    // Nor does a firewall that finds the rules of another write more.
    exact.pop();
    lab.ruleset.groups[0] = admits(&exact, &[], Reason::NoRuleApplies);
    lab.firewall = within(&lab.node.router, || Firewall::open(Settings::default()).unwrap());
    let applied = lab.firewall.apply(&lab.ruleset, &lab.book).unwrap();
    assert_eq!((applied.elements, applied.transactions, applied.read_back), (1, 1, ReadBack::Equal));
    let applied = lab.firewall.apply(&lab.ruleset, &lab.book).unwrap();
    assert_eq!((applied.elements, applied.transactions), (0, 0));
    assert_eq!(lab.firewall.read_back().unwrap(), ReadBack::Equal);
}

pub fn a_forbidden_connection_is_cut_when_that_is_wanted() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], Settings::default());
    lab.apply();
    let (mut client, mut server) = established(&lab, 80);
    let (mut kept, mut kept_server) = established(&lab, 81);
    lab.ingress(0, admits(&[("10.244.0.2", 81)], &[], Reason::NoRuleApplies));
    lab.apply();
    assert!(lives(&mut client, &mut server), "a change alone cuts nothing");
    let mut connections = within(&lab.node.router, || Connections::open().unwrap());
    assert_eq!(connections.cut_forbidden(&lab.ruleset).unwrap(), 1);
    assert!(!lives(&mut client, &mut server));
    assert!(lives(&mut kept, &mut kept_server));
    assert_eq!(connections.cut_forbidden(&lab.ruleset).unwrap(), 0);
}

/// A way to the kernel that spoils batches, or takes only short ones.
struct Between {
    kernel: Nftables,
    spoils: bool,
    longest: usize,
}

impl NftBackend for Between {
    fn commit(&mut self, batch: &Batch, generation: Generation) -> Result<(), Error> {
        let mut batch = batch.clone();
        if self.spoils {
            batch.rules("rw_nowhere", &Chain { hook: None, rules: vec![Vec::new()] });
        }
        self.kernel.commit(&batch, generation)
    }

    fn table(&mut self, wanted: &dyn Fn(&str) -> bool) -> Result<Table, Error> {
        self.kernel.table(wanted)
    }

    fn generation(&mut self) -> Result<u32, Error> {
        self.kernel.generation()
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn taken(&self) -> u32 {
        self.kernel.taken()
    }
}

/// The side that was dialled may send what it likes, and does so first.
pub fn a_cut_connection_is_not_taken_up_by_its_other_end() {
    for [callee, caller] in [["10.244.0.1", "10.244.0.2"], ["fd00:10:244::1", "fd00:10:244::2"]] {
        let mut lab = Lab::with(&[callee, caller], Settings::default());
        lab.apply();
        let listener = listen(&lab.home(callee), ip(callee), 80);
        let to = SocketAddr::new(ip(callee), 80);
        let mut client = connection(&lab.home(caller), to, Duration::from_secs(5)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert!(lives(&mut client, &mut server));
        lab.ingress(0, admits(&[(caller, 81)], &[], Reason::NoRuleApplies));
        lab.apply();
        let mut connections = within(&lab.node.router, || Connections::open().unwrap());
        assert_eq!(connections.cut_forbidden(&lab.ruleset).unwrap(), 1);
        server.write_all(b"more").unwrap();
        assert!(client.read(&mut [0; 4]).is_err(), "what the callee sends after the cut");
        assert!(!lives(&mut client, &mut server), "what the caller sends behind it");
        assert_eq!(connections.all().unwrap(), []);
    }
}

pub fn a_refused_change_leaves_the_old_rules() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], Settings::default());
    let _server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    lab.ingress(0, admits(&[("10.244.0.2", 80)], &[], Reason::NoRuleApplies));
    lab.apply();
    let kernel = within(&lab.node.router, || Nftables::open().unwrap());
    let mut spoiled = Firewall::with(Between { kernel, spoils: true, longest: usize::MAX }, Settings::default());
    lab.ruleset.groups[0] = nothing(Reason::NoRuleApplies);
    let error = spoiled.apply(&lab.ruleset, &lab.book).unwrap_err();
    assert!(error.to_string().contains("rule 0 of chain rw_nowhere"), "{error}");
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    // A ruleset that contradicts itself does not even get there.
    let mut wrong = lab.ruleset.clone();
    wrong.endpoints[0].interface = Some("a name that is too long".into());
    assert!(matches!(lab.firewall.apply(&wrong, &lab.book), Err(ApplyError::Layout(_))));
    spoiled.backend().spoils = false;
    assert_eq!(spoiled.apply(&lab.ruleset, &lab.book).unwrap().read_back, ReadBack::Equal);
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
    // Where messages must be short, what packets do not see yet is made in pieces.
    spoiled.backend().longest = 3_000;
    let peers: Vec<String> = (0..250).map(|n| format!("10.9.0.{n}")).collect();
    let mut exact: Vec<(&str, u16)> = peers.iter().map(|peer| (peer.as_str(), 80)).collect();
    exact.push(("10.244.0.2", 80));
    lab.ruleset.groups[0] = admits(&exact, &[], Reason::DefaultDeny { considered: 1 });
    let applied = spoiled.apply(&lab.ruleset, &lab.book).unwrap();
    assert!(applied.transactions > 1 && applied.read_back == ReadBack::Equal, "{applied:?}");
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
}

pub fn what_others_change_is_noticed_and_put_back() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], Settings::default());
    let _server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    lab.ingress(0, nothing(Reason::NoRuleApplies));
    lab.apply();
    let (mut watch, mut blocker) =
        within(&lab.node.router, || (lab.firewall.watch().unwrap(), lab.firewall.blocker().unwrap()));
    blocker.block(ip("203.0.113.9"), Some(Duration::from_secs(3600))).unwrap();
    lab.firewall.set_lists(ringwall_kernel::blocklist::Lists::of(&[], &["198.51.100.0/24".parse().unwrap()])).unwrap();
    let mut foreign = Vec::new();
    watch.read(Wait::No, |change| foreign.push(change)).unwrap();
    assert!(foreign.is_empty(), "{foreign:?}");
    // Somebody takes the rules of one chain away.
    let mut other = within(&lab.node.router, || Nftables::open().unwrap());
    let mut batch = Batch::default();
    batch.delete_rules("rw_judge4");
    other.commit(&batch, Generation::Any).unwrap();
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    while foreign.is_empty() {
        watch.read(Wait::Yes, |change| foreign.push(change)).unwrap();
    }
    assert_eq!(foreign[0].process.as_ref().map(|(process, _)| *process), Some(std::process::id()));
    assert_eq!(lab.firewall.mend().unwrap(), ["rw_judge4".into()]);
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
    assert_eq!(lab.firewall.mend().unwrap(), []);
    // Somebody takes all of it away.
    let mut batch = Batch::default();
    batch.delete_table();
    other.commit(&batch, Generation::Any).unwrap();
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    assert!(!lab.firewall.mend().unwrap().is_empty());
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
    assert_eq!(lab.firewall.read_back().unwrap(), ReadBack::Equal);
    assert!(matches!(blocker.blocks().unwrap()[..], [Block { remaining: Some(_), .. }]), "the block came back");
    // Somebody puts something of his own in it.
    let mut batch = Batch::default();
    batch.chain("foreign", &Chain::default());
    other.commit(&batch, Generation::Any).unwrap();
    assert_eq!(lab.firewall.mend().unwrap(), ["foreign".into()]);
}

pub fn only_who_asks_takes_the_rules_away() {
    let mut lab = Lab::with(&["10.244.0.1"], Settings::default());
    let router = lab.node.router.clone();
    assert_eq!(within(&router, || status().unwrap()), None);
    lab.apply();
    assert!(within(&router, || status().unwrap()).unwrap().chains > 10);
    drop(std::mem::replace(&mut lab.firewall, within(&router, || Firewall::open(Settings::default()).unwrap())));
    assert!(within(&router, || status().unwrap()).is_some());
    assert_eq!(within(&router, || detach().unwrap()), Detached::Gone);
    assert_eq!(within(&router, || detach().unwrap()), Detached::WasNone);
    assert_eq!(within(&router, || status().unwrap()), None);
}
