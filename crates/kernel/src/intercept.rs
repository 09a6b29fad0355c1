//! Interception inside a workload's namespace: all TCP that it sends goes to one door of the data plane, all that comes
//! for it to another, and questions for names to its resolver. Unmodified programs get mutual TLS so.
//!
//! In: how much is intercepted. Out: two chains of nftables in the calling thread's namespace, in one transaction. Never:
//! a packet of the machine's own namespace. Only who has CAP_NET_ADMIN in the workload's namespace can change them or
//! mark a packet so that it passes; programs of workloads have no capability. Follows Istio's sidecar where ports are
//! concerned, and `linux/netfilter/nf_tables.h`.

use crate::netlink::Error;
use crate::nft::batch::Batch;
use crate::nft::expression::{Comparison, Expression, Header, Meta, Register, Verdict};
use crate::nft::rule::{Rule, loopback};
use crate::nft::table::{Chain, Hook, Place};
use crate::nft::{Generation, NftBackend, Nftables};
use crate::socket::BYPASS;

/// Port of the door for what comes, as in Istio.
pub const INBOUND: u16 = 15006;
/// Port of the door for what is sent.
pub const OUTBOUND: u16 = 15001;
/// Port of the resolver.
pub const NAMES: u16 = 15053;

/// How much is intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Questions for names.
    Names,
    /// Those, and all TCP in and out.
    All,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Destinations are changed at this priority (`NF_IP_PRI_NAT_DST`).
const PRIORITY: i32 = -100;

/// Puts interception in force in the namespace of the calling thread, instead of what was in force there.
///
/// # Errors
/// What the kernel said; nothing has changed then.
pub fn apply(reach: Reach) -> Result<(), Error> {
    let mut batch = Batch::default();
    // A deletion needs a table.
    batch.table();
    batch.delete_table();
    batch.table();
    for (name, chain) in chains(reach) {
        batch.chain(name, &chain);
        batch.rules(name, &chain);
    }
    Nftables::open()?.commit(&batch, Generation::Any)
}

fn chains(reach: Reach) -> Vec<(&'static str, Chain)> {
    let chain = |place, rules| Chain { hook: Some(Hook { place, priority: PRIORITY, links: Vec::new() }), rules };
    let accept = || Expression::Verdict(Verdict::Accept);
    let names = |number| [protocol(number), port(53), redirect(NAMES)].concat();
    let mut output = vec![with(marked(), accept()), names(UDP), names(TCP)];
    if reach == Reach::Names {
        return vec![("rw_output", chain(Place::Output, output))];
    }
    // To itself a workload speaks in clear.
    output.push(with(loopback(Meta::OutputType), accept()));
    output.push([protocol(TCP), redirect(OUTBOUND)].concat());
    let input = vec![with(loopback(Meta::InputType), accept()), [protocol(TCP), redirect(INBOUND)].concat()];
    vec![("rw_output", chain(Place::Output, output)), ("rw_input", chain(Place::Prerouting, input))]
}

fn with(mut rule: Rule, then: Expression) -> Rule {
    rule.push(then);
    rule
}

fn marked() -> Rule {
    is(Expression::Meta(Meta::Mark, Register::FIRST), &BYPASS.to_ne_bytes())
}

fn protocol(number: u8) -> Rule {
    is(Expression::Meta(Meta::Protocol, Register::FIRST), &[number])
}

/// Only packets to a port.
fn port(number: u16) -> Rule {
    is(Expression::Payload(Header::Transport, 2, 2, Register::FIRST), &number.to_be_bytes())
}

fn is(what: Expression, value: &[u8]) -> Rule {
    vec![what, Expression::Compare(Register::FIRST, Comparison::Equal, value.into())]
}

fn redirect(port: u16) -> Rule {
    let door = Expression::Immediate(Register::FIRST, port.to_be_bytes().into());
    vec![door, Expression::Redirect(Register::FIRST)]
}
