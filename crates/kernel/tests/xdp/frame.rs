//! Ethernet frames, as an attacker may send them: checksums are zero, lengths are what the test says.

use std::net::IpAddr;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
/// Source port of all.
pub const FROM: u16 = 40_000;

/// Ethernet, then tags of 802.1Q, then what follows.
pub fn ethernet(tags: &[u16], kind: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (depth, tag) in tags.iter().enumerate() {
        let kind: u16 = if depth + 1 < tags.len() { 0x88a8 } else { 0x8100 };
        frame.extend(kind.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(rest);
    frame
}

/// An IP packet without fragments or extension headers, in an untagged frame.
pub fn packet(source: IpAddr, destination: IpAddr, protocol: u8, rest: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet(&[], 0x0800, &ipv4(source.octets(), destination.octets(), protocol, 0, rest))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet(&[], 0x86dd, &ipv6(source.octets(), destination.octets(), protocol, rest))
        }
        _ => panic!("two families"),
    }
}

/// `place` is the flags and the offset of the fragment, as in the header.
pub fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, place: u16, rest: &[u8]) -> Vec<u8> {
    let mut head = vec![0x45, 0];
    head.extend((20 + rest.len() as u16).to_be_bytes());
    head.extend([0, 1]);
    head.extend(place.to_be_bytes());
    head.extend([64, protocol, 0, 0]);
    head.extend(source);
    head.extend(destination);
    let sum = head.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    head.extend(rest);
    head
}

/// `next` is the first header behind the fixed one.
pub fn ipv6(source: [u8; 16], destination: [u8; 16], next: u8, rest: &[u8]) -> Vec<u8> {
    let mut head = vec![0x60, 0, 0, 0];
    head.extend((rest.len() as u16).to_be_bytes());
    head.extend([next, 64]);
    head.extend(source);
    head.extend(destination);
    head.extend(rest);
    head
}

/// An extension header of eight bytes.
pub fn extension(next: u8, third: u8, fourth: u8) -> Vec<u8> {
    vec![next, 0, third, fourth, 0, 0, 0, 0]
}

pub fn tcp(port: u16, flags: u8) -> Vec<u8> {
    let mut head = FROM.to_be_bytes().to_vec();
    head.extend(port.to_be_bytes());
    head.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    head
}

pub fn udp(port: u16) -> Vec<u8> {
    let mut head = FROM.to_be_bytes().to_vec();
    head.extend(port.to_be_bytes());
    head.extend([0, 12, 0, 0, b'r', b'i', b'n', b'g']);
    head
}
