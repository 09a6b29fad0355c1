//! The kernel: namespaces, links and sockets in them; a Ruleset becomes nftables and eBPF, and is read back.
//!
//! In: [`ringwall_packet::ruleset::Ruleset`]. Out: one transaction, read back and compared; deny events.
//! Never: a decision of its own. The only shipped room with `unsafe`, each block with its reason.

pub mod apply;
pub mod blocklist;
#[cfg(feature = "xdp")]
pub mod bpf;
#[cfg(feature = "xdp")]
pub mod cgroup;
pub mod conntrack;
pub mod dns;
pub mod events;
pub mod intercept;
pub mod link;
pub mod namespace;
pub mod netlink;
pub mod nft;
pub mod socket;
#[cfg(feature = "xdp")]
pub mod xdp;
