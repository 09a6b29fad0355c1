//! The codes of findings about the shield and the firewall (layer 5). One line a code, sorted; never reused.

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
/// SecLang of a WafPolicy that cannot be taken.
pub const WAF_SECLANG: Code = Code(5013);
/// A WafPolicy whose target does not exist.
pub const WAF_TARGETS_NOTHING: Code = Code(5014);
/// An exclusion of rules that the set in force does not have.
pub const WAF_EXCLUDES_NOTHING: Code = Code(5015);
/// A setting of a WafPolicy that has no effect.
pub const WAF_NO_EFFECT: Code = Code(5016);
/// A WafPolicy by which something is not refused, or not looked at.
pub const WAF_REFUSES_NOTHING: Code = Code(5017);
/// An exclusion that takes away the rules that refuse.
pub const WAF_WIDE_EXCLUSION: Code = Code(5018);
/// Two WafPolicies of which one is never in force.
pub const WAF_SAME_TARGETS: Code = Code(5019);
/// A part of an OpenAPI document that cannot be read, or is not judged.
pub const WAF_OPENAPI: Code = Code(5020);
