//! The kernel: namespaces, links and sockets in them; a Ruleset becomes nftables and eBPF, and is read back.
//!
//! In: [`ringwall_packet::ruleset::Ruleset`]. Out: one transaction, read back and compared; deny events.
//! Never: a decision of its own. The only shipped room with `unsafe`, each block with its reason.

#[cfg(feature = "xdp")]
pub mod bpf;
pub mod link;
pub mod namespace;
pub mod socket;
#[cfg(feature = "xdp")]
pub mod xdp;
