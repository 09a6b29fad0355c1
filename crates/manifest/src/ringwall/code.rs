//! The codes of findings about the shield (layer 5). One line a code, sorted; never reused.

use ringwall_model::Code;

/// A global limit leaves nothing for authenticated calls when others flood.
pub const NO_SHARE: Code = Code(5001);
/// `unauthenticatedShare` on a limit that is not global.
pub const SHARE_WITHOUT_GLOBAL: Code = Code(5002);
/// A limit that another one never lets be reached.
pub const UNREACHABLE_LIMIT: Code = Code(5003);
/// A deny entry that an allow entry covers.
pub const DENY_COVERED: Code = Code(5004);
/// An allow entry so wide that little is left to guard.
pub const WIDE_ALLOW: Code = Code(5005);
/// A deny list of documentation addresses only.
pub const DOCUMENTATION_ADDRESSES: Code = Code(5006);
/// An allow list that allows nothing.
pub const EMPTY_ALLOW: Code = Code(5007);
/// A policy that selects no workload.
pub const SELECTS_NOTHING: Code = Code(5008);
/// The same entry in a deny list and in an allow list.
pub const DENIED_AND_ALLOWED: Code = Code(5009);
/// One address may take all connections.
pub const ONE_ADDRESS_TAKES_ALL: Code = Code(5010);
/// A policy without a rule.
pub const EMPTY_POLICY: Code = Code(5011);
/// A limit that is passed when the store fails.
pub const FAILS_OPEN: Code = Code(5012);
