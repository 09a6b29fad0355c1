//! The XDP program against the real kernel: frames that it judges without a link, then a link. Needs root.

mod frame;
mod link;

use frame::{ACK, SYN, TCP, UDP};
use ringwall_kernel::bpf::BpfError;
use ringwall_kernel::xdp::{Event, Events, Fate, Limits, Rate, Removed, Sizes, Verdict, Xdp};
use ringwall_model::RuleId;
use std::net::IpAddr;
use std::time::Duration;

const SMALL: Sizes = Sizes { addresses: 64, networks: 64, sources: 256 };
const TO4: &str = "192.0.2.1";
const TO6: &str = "2001:db8::1";
const NONE: Option<Rate> = None;

/// The program, or `None` where this process may not load it and nobody asked that it must.
fn load() -> Option<(Xdp, Events)> {
    match Xdp::load(SMALL) {
        Ok(loaded) => Some(loaded),
        Err(error @ BpfError::NotPermitted) => {
            let required = std::env::var("RINGWALL_REQUIRE").as_deref() == Ok("parts");
            assert!(!(required && rustix::process::geteuid().is_root()), "{error}");
            println!("not run: XDP: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn from(source: &str, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let source = ip(source);
    frame::packet(source, ip(if source.is_ipv4() { TO4 } else { TO6 }), protocol, rest)
}

fn exactly(burst: u32) -> Option<Rate> {
    Some(Rate { per_second: 0, burst })
}

/// What the program decided, by its counters.
fn verdict(xdp: &mut Xdp, bytes: &[u8]) -> Verdict {
    let before = xdp.counters().unwrap();
    let fate = xdp.judge(bytes).unwrap();
    let after = xdp.counters().unwrap();
    let changed: Vec<_> =
        Verdict::ALL.into_iter().filter(|verdict| before.of(*verdict) != after.of(*verdict)).collect();
    assert_eq!(changed.len(), 1, "one frame, one verdict");
    assert_eq!(after.of(changed[0]).bytes - before.of(changed[0]).bytes, bytes.len() as u64);
    assert_eq!(fate == Fate::Dropped, after.dropped() > before.dropped());
    changed[0]
}

#[test]
fn blocked_allowed_and_expired_addresses() {
    let Some((mut xdp, _)) = load() else { return };
    let net = |text: &str| text.parse().unwrap();
    let long = Some(Duration::from_secs(600));
    xdp.block(net("198.51.100.7/32"), long, RuleId(1)).unwrap();
    xdp.block(net("198.51.100.8/32"), None, RuleId(2)).unwrap();
    xdp.block(net("198.51.100.9/32"), Some(Duration::from_nanos(1)), RuleId(3)).unwrap();
    xdp.block(net("203.0.113.0/24"), long, RuleId(4)).unwrap();
    xdp.block(net("2001:db8:bad::7/128"), long, RuleId(5)).unwrap();
    xdp.block(net("2001:db8:bad:1::/64"), Some(Duration::from_nanos(1)), RuleId(6)).unwrap();
    xdp.block(net("2001:db8:bad:2::/64"), None, RuleId(7)).unwrap();
    xdp.block(net("::ffff:198.51.100.10/128"), long, RuleId(8)).unwrap();
    xdp.block(net("::ffff:198.18.0.0/112"), long, RuleId(9)).unwrap();
    xdp.allow(net("203.0.113.128/25")).unwrap();
    xdp.allow(net("2001:db8:bad:2::1/128")).unwrap();
    let table = [
        ("198.51.100.7", Verdict::Blocked),
        ("198.51.100.8", Verdict::Blocked),
        ("198.51.100.9", Verdict::Passed),
        ("198.51.100.10", Verdict::Blocked),
        ("198.51.100.11", Verdict::Passed),
        ("198.18.255.1", Verdict::Network),
        ("198.19.0.1", Verdict::Passed),
        ("203.0.113.127", Verdict::Network),
        ("203.0.113.128", Verdict::Allowed),
        ("203.0.114.1", Verdict::Passed),
        ("2001:db8:bad::7", Verdict::Blocked),
        ("2001:db8:bad::8", Verdict::Passed),
        ("2001:db8:bad:1::1", Verdict::Passed),
        ("2001:db8:bad:2::1", Verdict::Allowed),
        ("2001:db8:bad:2::2", Verdict::Network),
    ];
    for (source, expected) in table {
        assert_eq!(verdict(&mut xdp, &from(source, TCP, &frame::tcp(443, ACK))), expected, "{source}");
    }
    assert_eq!(xdp.sweep().unwrap(), 2, "the two that expired");
    assert_eq!(xdp.unblock(net("198.51.100.9/32")).unwrap(), Removed::WasNotThere);
    assert_eq!(xdp.unblock(net("2001:db8:bad:1::/64")).unwrap(), Removed::WasNotThere);
    assert_eq!(xdp.unblock(net("::ffff:198.51.100.7/128")).unwrap(), Removed::Now);
    assert_eq!(xdp.unblock(net("203.0.113.0/24")).unwrap(), Removed::Now);
    assert_eq!(xdp.disallow(net("2001:db8:bad:2::1/128")).unwrap(), Removed::Now);
    for (source, expected) in [
        ("198.51.100.7", Verdict::Passed),
        ("203.0.113.127", Verdict::Passed),
        ("203.0.113.128", Verdict::Allowed),
        ("2001:db8:bad:2::1", Verdict::Network),
    ] {
        assert_eq!(verdict(&mut xdp, &from(source, UDP, &frame::udp(53))), expected, "{source}");
    }
}

#[test]
fn a_later_block_renews_an_earlier_one_and_a_full_list_says_so() {
    let Some((mut xdp, _)) = load() else { return };
    let net = |last: usize| format!("198.51.100.{last}/32").parse().unwrap();
    xdp.block(net(1), Some(Duration::from_nanos(1)), RuleId(1)).unwrap();
    assert_eq!(verdict(&mut xdp, &from("198.51.100.1", UDP, &frame::udp(53))), Verdict::Passed);
    xdp.block(net(1), None, RuleId(1)).unwrap();
    assert_eq!(verdict(&mut xdp, &from("198.51.100.1", UDP, &frame::udp(53))), Verdict::Blocked);
    for last in 2..=64 {
        xdp.block(net(last), Some(Duration::from_nanos(1)), RuleId(1)).unwrap();
    }
    // What has expired makes place for what has not.
    for last in 101..=163 {
        xdp.block(net(last), None, RuleId(1)).unwrap();
    }
    assert!(matches!(xdp.block(net(200), None, RuleId(1)), Err(BpfError::Full("block4"))));
    assert_eq!(verdict(&mut xdp, &from("198.51.100.163", UDP, &frame::udp(53))), Verdict::Blocked);
    for last in 0..64 {
        xdp.block(format!("10.{last}.0.0/16").parse().unwrap(), None, RuleId(1)).unwrap();
    }
    assert!(matches!(xdp.block("10.64.0.0/16".parse().unwrap(), None, RuleId(1)), Err(BpfError::Full("network4"))));
}

#[test]
fn tags_fragments_extension_headers_and_frames_cut_short() {
    let Some((mut xdp, _)) = load() else { return };
    xdp.block("198.51.100.7/32".parse().unwrap(), None, RuleId(1)).unwrap();
    xdp.block("2001:db8:bad::7/128".parse().unwrap(), None, RuleId(1)).unwrap();
    let (bad4, bad6) = ([198, 51, 100, 7], ip("2001:db8:bad::7"));
    let IpAddr::V6(bad6) = bad6 else { unreachable!() };
    let four = frame::ipv4(bad4, [192, 0, 2, 1], UDP, 0, &frame::udp(53));
    let six = frame::ipv6(bad6.octets(), [1; 16], UDP, &frame::udp(53));
    let later = frame::ipv4(bad4, [192, 0, 2, 1], UDP, 0x0010, &[0; 8]);
    let mut options = four.clone();
    options[0] = 0x4f;
    let mut version = four.clone();
    version[0] = 0x65;
    let mut short = four.clone();
    short[0] = 0x44;
    let whole = |kind, rest: &[u8]| frame::ethernet(&[], kind, rest);
    let table = [
        ("plain", whole(0x0800, &four), Verdict::Blocked),
        ("one tag", frame::ethernet(&[7], 0x0800, &four), Verdict::Blocked),
        ("two tags", frame::ethernet(&[7, 9], 0x0800, &four), Verdict::Blocked),
        ("two tags, IPv6", frame::ethernet(&[7, 9], 0x86dd, &six), Verdict::Blocked),
        ("three tags", frame::ethernet(&[7, 9, 11], 0x0800, &four), Verdict::Other),
        ("a later fragment", whole(0x0800, &later), Verdict::Blocked),
        ("options longer than the frame", whole(0x0800, &options), Verdict::Blocked),
        ("cut in the transport header", whole(0x0800, &four[..21]), Verdict::Blocked),
        ("cut in the IPv4 header", whole(0x0800, &four[..19]), Verdict::Unread),
        ("cut in the IPv6 header", whole(0x86dd, &six[..39]), Verdict::Unread),
        ("cut in a tag", frame::ethernet(&[7], 0x0800, &[])[..15].to_vec(), Verdict::Unread),
        ("nothing but Ethernet", whole(0x0800, &[]), Verdict::Unread),
        ("another version", whole(0x0800, &version), Verdict::Unread),
        ("a header shorter than can be", whole(0x0800, &short), Verdict::Unread),
        ("IPv4 called IPv6", whole(0x86dd, &[four.clone(), vec![0; 40]].concat()), Verdict::Unread),
        ("ARP", whole(0x0806, &[0; 28]), Verdict::Other),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(verdict(&mut xdp, &bytes), expected, "{name}");
    }
}

#[test]
fn what_one_source_sends_is_limited_by_kind() {
    let Some((mut xdp, _)) = load() else { return };
    xdp.limit(Limits { packets: exactly(5), syns: exactly(2), datagrams: exactly(3), events: NONE }).unwrap();
    xdp.allow("198.51.100.200/32".parse().unwrap()).unwrap();
    let mut send = |source: &str, protocol, rest: &[u8], expected: &[Verdict]| {
        for (nth, expected) in expected.iter().enumerate() {
            assert_eq!(verdict(&mut xdp, &from(source, protocol, rest)), *expected, "{source}, frame {nth}");
        }
    };
    use Verdict::{Allowed, Datagrams, Packets, Passed, Syns};
    send("198.51.100.1", TCP, &frame::tcp(80, SYN), &[Passed, Passed, Syns, Syns]);
    // What was dropped for one reason does not use up the others, and an answer (SYN and ACK) opens nothing.
    send("198.51.100.1", TCP, &frame::tcp(80, SYN | ACK), &[Passed, Passed, Passed, Packets]);
    send("198.51.100.2", UDP, &frame::udp(53), &[Passed, Passed, Passed, Datagrams]);
    send("198.51.100.2", 1, &[8, 0, 0, 0], &[Passed, Passed, Packets]);
    // A first fragment that hides the flags counts as an opening.
    send("198.51.100.3", TCP, &frame::tcp(80, ACK)[..8], &[Passed, Passed, Syns]);
    send("198.51.100.200", UDP, &frame::udp(53), &[Allowed; 8]);
    // One host has a /64 of IPv6.
    send("2001:db8:1:1::1", TCP, &frame::tcp(80, SYN), &[Passed, Passed]);
    send("2001:db8:1:1:ffff::2", TCP, &frame::tcp(80, SYN), &[Syns]);
    send("2001:db8:1:2::1", TCP, &frame::tcp(80, SYN), &[Passed]);
    assert_eq!(xdp.counters().unwrap().uncounted(), 0);
    assert_eq!(xdp.counters().unwrap().syns().frames, 4 + 3 + 2 + 1 + 1);
}

#[test]
fn kinds_are_seen_behind_extension_headers_up_to_a_bound() {
    let Some((mut xdp, _)) = load() else { return };
    xdp.limit(Limits { datagrams: exactly(1), ..Limits::default() }).unwrap();
    let mut send = |host: u16, first: u8, rest: Vec<u8>| {
        let source: std::net::Ipv6Addr = format!("2001:db8:{host:x}::1").parse().unwrap();
        let bytes = frame::ethernet(&[], 0x86dd, &frame::ipv6(source.octets(), [1; 16], first, &rest));
        [verdict(&mut xdp, &bytes), verdict(&mut xdp, &bytes)]
    };
    let over = [Verdict::Passed, Verdict::Datagrams];
    let not_seen = [Verdict::Passed, Verdict::Passed];
    let udp = frame::udp(53);
    let chain = |count: usize| {
        let mut rest: Vec<u8> = (1..count).flat_map(|_| frame::extension(60, 0, 0)).collect();
        rest.extend(frame::extension(UDP, 0, 0));
        [rest, udp.clone()].concat()
    };
    assert_eq!(send(1, UDP, udp.clone()), over);
    assert_eq!(send(2, 0, chain(1)), over);
    assert_eq!(send(3, 60, chain(8)), over);
    assert_eq!(send(4, 60, chain(9)), not_seen, "more than is read: only the packets of the source are limited");
    let authentication = [vec![UDP, 4, 0, 0], vec![0; 20], udp.clone()].concat();
    assert_eq!(send(5, 51, authentication), over);
    assert_eq!(send(6, 44, [frame::extension(UDP, 0, 1), udp.clone()].concat()), over, "a first fragment");
    assert_eq!(send(7, 44, [frame::extension(UDP, 1, 0), vec![0; 8]].concat()), over, "a later fragment");
    assert_eq!(send(8, 60, vec![UDP, 255, 0, 0, 0, 0, 0, 0]), over, "a header longer than the frame");
    assert_eq!(send(9, 60, vec![UDP, 0]), not_seen, "cut");
}

#[test]
fn events_name_the_rule_and_are_limited_themselves() {
    let Some((mut xdp, mut events)) = load() else { return };
    let frames = |xdp: &mut Xdp, count: usize| {
        for _ in 0..count {
            xdp.judge(&from("198.51.100.7", UDP, &frame::udp(53))).unwrap();
        }
    };
    xdp.block("198.51.100.7/32".parse().unwrap(), None, RuleId(42)).unwrap();
    frames(&mut xdp, 1);
    assert_eq!(events.next(), None, "nobody asked for events");
    // The allowance is for each core, and the test may move between two.
    let cores = std::thread::available_parallelism().unwrap().get();
    xdp.limit(Limits { syns: exactly(1), events: exactly(2), ..Limits::default() }).unwrap();
    frames(&mut xdp, 1);
    let event = events.next().unwrap();
    let length = from("198.51.100.7", UDP, &frame::udp(53)).len() as u32;
    let expected = Event {
        at: event.at,
        verdict: Verdict::Blocked,
        rule: Some(RuleId(42)),
        source: ip("198.51.100.7"),
        destination: ip(TO4),
        ports: Some((frame::FROM, 53)),
        protocol: UDP,
        link: event.link,
        bytes: length,
    };
    assert_eq!(event, expected);
    frames(&mut xdp, 10 * cores.max(8));
    let told = events.by_ref().count();
    assert!((1..2 * cores.max(8)).contains(&told), "{told} events");
    // An event of a rate has no rule; a fresh program has its whole allowance.
    let Some((mut xdp, mut events)) = load() else { return };
    xdp.limit(Limits { syns: exactly(1), events: exactly(2), ..Limits::default() }).unwrap();
    for _ in 0..2 {
        xdp.judge(&from("2001:db8::9", TCP, &frame::tcp(443, SYN))).unwrap();
    }
    let event = events.next().unwrap();
    assert_eq!((event.verdict, event.rule, event.ports), (Verdict::Syns, None, Some((frame::FROM, 443))));
    assert_eq!((event.source, event.destination), (ip("2001:db8::9"), ip(TO6)));
    assert_eq!(events.next(), None);
    assert_eq!(xdp.counters().unwrap().untold(), 0);
}

#[test]
fn bytes_that_are_no_event_are_none() {
    assert_eq!(Event::read(&[]), None);
    assert_eq!(Event::read(&[0; 59]), None);
    assert_eq!(Event::read(&[255; 64]), None);
    assert!(Event::read(&[0; 64]).is_some());
}
