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
/// A choice of namespaces that no namespace of the set satisfies.
pub const NO_NAMESPACE: Code = Code(1120);
/// Two peers where one with both selectors was likely meant.
pub const EITHER_NOT_BOTH: Code = Code(1121);
/// Pods of every namespace where the internet was likely meant.
pub const PODS_FOR_INTERNET: Code = Code(1122);
/// A rule whose every flow the other end refuses.
pub const HALF_A_FLOW: Code = Code(1123);
/// A namespace in which some pods are isolated and others are open to everybody.
pub const NO_DEFAULT_DENY: Code = Code(1124);
/// A policy that selects no pod of the set.
pub const SELECTS_NOBODY: Code = Code(1125);
