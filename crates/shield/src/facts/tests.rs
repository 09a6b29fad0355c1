//! The databases are written here after the MaxMind DB file format specification 2.0, so that no file is needed.

use super::Database;
use bytes::Bytes;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A database of networks, each with its record in the format's encoding.
pub(crate) fn database(entries: &[(&str, Vec<u8>)]) -> Bytes {
    let mut tree = Tree { nodes: vec![[Record::Empty; 2]] };
    let mut section: Vec<u8> = Vec::new();
    for (network, record) in entries {
        tree.insert(network.parse().unwrap(), section.len());
        section.extend(record);
    }
    let count = tree.nodes.len();
    let mut bytes: Vec<u8> = Vec::new();
    for record in tree.nodes.iter().flatten() {
        let number = match record {
            Record::Empty => count,
            Record::Node(node) => *node,
            Record::Data(offset) => count + 16 + offset,
        };
        bytes.extend(&u32::try_from(number).unwrap().to_be_bytes()[1..]);
    }
    bytes.extend([0; 16]);
    bytes.extend(section);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    bytes.extend(map(&[
        ("binary_format_major_version", vec![0b1010_0001, 2]),
        ("binary_format_minor_version", vec![0b1010_0000]),
        ("build_epoch", vec![0b0000_0001, 2, 1]),
        ("database_type", string("Test")),
        ("description", map(&[("en", string("test"))])),
        ("ip_version", vec![0b1010_0001, 6]),
        ("languages", vec![0b0000_0000, 4]),
        ("node_count", [&[0b1100_0100][..], &u32::try_from(count).unwrap().to_be_bytes()].concat()),
        ("record_size", vec![0b1010_0001, 24]),
    ]));
    bytes.into()
}

pub(crate) fn country(code: &str) -> Vec<u8> {
    map(&[("country", map(&[("iso_code", string(code))]))])
}

pub(crate) fn system(number: u32) -> Vec<u8> {
    map(&[("autonomous_system_number", [&[0b1100_0100][..], &number.to_be_bytes()].concat())])
}

fn string(text: &str) -> Vec<u8> {
    assert!(text.len() < 29, "long strings need another size encoding");
    [&[0b0100_0000 | u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0b1110_0000 | u8::try_from(pairs.len()).unwrap()];
    let sorted: BTreeMap<_, _> = pairs.iter().map(|(key, value)| (*key, value)).collect();
    sorted.into_iter().for_each(|(key, value)| bytes.extend([string(key), value.clone()].concat()));
    bytes
}

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

struct Tree {
    nodes: Vec<[Record; 2]>,
}

impl Tree {
    fn insert(&mut self, network: IpNet, offset: usize) {
        let (bits, length) = match network {
            IpNet::V4(net) => (u128::from(net.addr().to_bits()), 96 + net.prefix_len()),
            IpNet::V6(net) => (net.addr().to_bits(), net.prefix_len()),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                self.nodes[node][side] = Record::Data(offset);
                return;
            }
            node = match self.nodes[node][side] {
                Record::Node(next) => next,
                Record::Empty | Record::Data(_) => {
                    self.nodes.push([Record::Empty; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Record::Node(next);
                    next
                }
            };
        }
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn countries_and_systems_are_found() {
    let bytes = database(&[
        ("192.0.2.0/24", country("DE")),
        ("198.51.100.0/25", country("fr")),
        ("2001:db8::/32", country("NL")),
        ("203.0.113.0/24", map(&[("registered_country", map(&[("iso_code", string("AT"))]))])),
    ]);
    let database = Database::read(bytes).unwrap();
    assert_eq!(database.country(address("192.0.2.9")), Some(*b"DE"));
    assert_eq!(database.country(address("::ffff:192.0.2.9")), Some(*b"DE"));
    assert_eq!(database.country(address("198.51.100.9")), Some(*b"FR"));
    assert_eq!(database.country(address("198.51.100.200")), None);
    assert_eq!(database.country(address("2001:db8::1")), Some(*b"NL"));
    assert_eq!(database.country(address("203.0.113.1")), Some(*b"AT"));
    assert_eq!(database.system(address("192.0.2.9")), None);
    let database = Database::read(super::tests::database(&[("192.0.2.0/24", system(64_500))])).unwrap();
    assert_eq!(database.system(address("192.0.2.9")), Some(64_500));
}

#[test]
fn broken_databases_are_refused_or_answer_nothing() {
    assert!(Database::read(Bytes::from_static(b"not a database")).is_err());
    let whole = database(&[("192.0.2.0/24", country("DE"))]);
    // Every cut and every changed byte either is refused or looks up without a panic.
    for length in (0..whole.len()).step_by(7) {
        if let Ok(database) = Database::read(whole.slice(..length)) {
            _ = database.country(address("192.0.2.9"));
        }
    }
    for place in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[place] ^= 0x55;
        if let Ok(database) = Database::read(bytes.into()) {
            _ = (database.country(address("192.0.2.9")), database.system(address("2001:db8::1")));
        }
    }
}
