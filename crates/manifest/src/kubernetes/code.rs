//! The codes of findings about Kubernetes' own policies (layer 1). One line a code, sorted; never reused.

use ringwall_model::Code;

/// A peer that names nobody.
pub const EMPTY_PEER: Code = Code(1101);
/// A peer that is a block of addresses and a choice of pods at once.
pub const MIXED_PEER: Code = Code(1102);
/// `except` outside of its `cidr`.
pub const EXCEPT_OUTSIDE: Code = Code(1103);
/// `endPort` before `port`, or beside a port by name.
pub const PORT_RANGE: Code = Code(1104);
/// A peer of a cluster policy that this build cannot read: its rule fails closed.
pub const UNREADABLE_RULE: Code = Code(1105);
/// Cluster policies of one tier with the same priority.
pub const PRIORITY_TIE: Code = Code(1106);
/// Rules for a direction that `policyTypes` leaves out.
pub const UNUSED_DIRECTION: Code = Code(1107);
/// A policy in audit mode: nothing is refused by it.
pub const AUDIT: Code = Code(1108);
