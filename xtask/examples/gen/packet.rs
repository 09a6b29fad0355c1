//! The page of the packet layer: what it means, where upstream leaves it open, and what becomes of each field.

use ringwall_manifest::{FieldUse, Input, world};
use std::fmt::Write as _;

const SPECIMENS: &str = include_str!("packet.yaml");

/// The rules of the upstream texts and of their authors' matcher; P10, P12, P14 and P17 are open upstream.
const RULES: &[(&str, &str)] = &[
    ("P1", "a pod that no policy selects in a direction may do everything in it"),
    ("P2", "NetworkPolicies only add: a pod gets what any of them allows"),
    ("P3", "both ends must allow: egress of the source and ingress of the destination"),
    ("P4", "without `policyTypes`: Ingress, and Egress when `egress` has a rule"),
    ("P5", "a direction that `policyTypes` leaves out is ignored, even with rules (a finding)"),
    ("P6", "no rules in a direction that is spoken of: nothing is allowed; `[{}]`: everything"),
    ("P7", "`from`, `to`, `ports` absent or empty: any peer, any protocol and port"),
    (
        "P8",
        "peers of one rule are alternatives; selectors inside one peer must both hold; a peer that names nobody is an error",
    ),
    (
        "P9",
        "a rule holds when one peer and one port do; TCP when no protocol is written; a port by name is the destination's, and never goes with `ipBlock` towards outside",
    ),
    ("P10", "`ipBlock` is asked with the address as it is at the pod's own link; pods' addresses are in it too"),
    ("P11", "a pod and its own node always reach each other; a pod on the host's network is the node"),
    ("P12", "a pod always reaches itself"),
    ("P13", "replies and related ICMP of an allowed flow pass"),
    (
        "P14",
        "a change is for new flows; with the setting `established_flows=cut` (strict mode) the kernel also cuts those under way that it forbids",
    ),
    ("P15", "a local address of which nothing is known yet is dropped"),
    ("P16", "labels, namespaces' labels and addresses are looked at anew in each World"),
    ("P17", "ICMP and other protocols without ports pass by a rule without `ports` only"),
    (
        "tiers",
        "ClusterNetworkPolicy: Admin, then NetworkPolicy, then Baseline, then everything; lower priority first, equal ones by name (a finding); `Pass` skips the rest of its tier; a rule that cannot be read holds nothing when it accepts, and denies everything otherwise",
    ),
    (
        "audit",
        "annotation `ringwall.dev/enforcement: audit`: what the policy would refuse is told and goes on: of packets in `flow.log`, of calls in their record (`would_be_refused_by`), of both in the metric of decisions as `would-refuse`; the page does not tell it of TCP connections without HTTP",
    ),
    (
        "names",
        "`domainNames` hold the addresses that a name has now, until the end of each and not a millisecond longer, and never a pod's, a node's, a loopback, link-local or multicast address, whoever answers for the name; on the page, where a name is not resolved yet, the name itself, and there `0.0.0.0/0` holds every name of the outside; once it is resolved, each address is judged again before it is dialled, so no name can be pointed into what a rule leaves out",
    ),
];

pub fn page(made: &str) -> String {
    let mut page = format!(
        "# The packet layer\n{made}\nWho may reach whom at layers 3 and 4. `judge` says it of one flow, `compile` says the \
         same as a ruleset, and a test holds them\ntogether. On the page it is asked of every connection that the data \
         plane carries, before mutual TLS identity; there a\ncaller is known by its listener or its identity. What does \
         not go through the data plane is the kernel's part\n(`ringwall up --isolate`).\n\nA refusal names a rule, or \
         where nothing allows a flow the NetworkPolicy that isolates the pod: the one that chooses\npods and allows \
         something, if there is one. `cargo xtask conformance netpol` compares with the verdicts of the authors' own \
         matcher.\n\n| rule | |\n|---|---|\n"
    );
    for (name, says) in RULES {
        let _ = writeln!(page, "| {name} | {says} |");
    }
    let _ = write!(page, "\n## Fields\n\n| kind | field | here |\n|---|---|---|\n");
    for kind in world::field_coverage(&[Input { name: "packet.yaml", bytes: SPECIMENS.as_bytes() }]) {
        for field in
            kind.fields.iter().filter(|field| field.path.starts_with("/spec") || field.path.starts_with("/status"))
        {
            let _ = writeln!(page, "| {} | `{}` | {} |", kind.kind, field.path, treated(field.treated));
        }
    }
    page.push_str("\nA field that is not in this table is an error: the World is not taken.\n");
    page
}

fn treated(how: FieldUse) -> &'static str {
    match how {
        FieldUse::Enforced => "enforced",
        FieldUse::Ignored => "read, says nothing about flows",
        FieldUse::Unknown => "refused",
    }
}
