//! The codes of findings about routing (layer 2, from 2200 on). One line a code, sorted; never reused.

use ringwall_model::Code;

/// Two servers of one gateway workload answer for one host on one port (Istio: IST0145).
pub const CONFLICTING_GATEWAYS: Code = Code(2200);
/// One certificate serves overlapping hosts of several servers (Istio: IST0138).
pub const DUPLICATE_CERTIFICATE: Code = Code(2201);
/// A Gateway's selector matches no workload.
pub const GATEWAY_WITHOUT_WORKLOAD: Code = Code(2202);
/// Plaintext and TLS servers on one port.
pub const CONFLICTING_PROTOCOLS: Code = Code(2203);
/// A Gateway's setting that does not mean what it looks like.
pub const GATEWAY_SETTING: Code = Code(2204);
/// A server without what its TLS mode needs.
pub const SERVER_TLS: Code = Code(2205);
/// Two VirtualServices of the mesh for one host (Istio: IST0109).
pub const CONFLICTING_VIRTUAL_SERVICES: Code = Code(2210);
/// A VirtualService names a gateway that does not exist (Istio: IST0101).
pub const UNKNOWN_GATEWAY: Code = Code(2211);
/// A VirtualService's host is not one of its gateway's (Istio: IST0132).
pub const HOST_NOT_IN_GATEWAY: Code = Code(2212);
/// A route that no call can reach (Istio: IST0130).
pub const UNREACHABLE_ROUTE: Code = Code(2213);
/// A match that an earlier one already covers (Istio: IST0131).
pub const INEFFECTIVE_MATCH: Code = Code(2214);
/// A destination that nothing declares (Istio: IST0101).
pub const UNKNOWN_DESTINATION: Code = Code(2215);
/// A subset that no DestinationRule declares (Istio: IST0101).
pub const UNKNOWN_SUBSET: Code = Code(2216);
/// A destination without port, whose service has several (Istio: IST0112).
pub const PORT_REQUIRED: Code = Code(2217);
/// A delegate that is missing or is no delegate.
pub const UNKNOWN_DELEGATE: Code = Code(2218);
/// A delegate's match that its root does not cover.
pub const CONFLICTING_DELEGATE: Code = Code(2219);
/// Two DestinationRules for one host in one namespace.
pub const CONFLICTING_RULES: Code = Code(2220);
/// A DestinationRule replaces a wider one whole; nothing is inherited.
pub const REPLACED_RULE: Code = Code(2221);
/// A DestinationRule's host that nothing declares (Istio: IST0174).
pub const UNKNOWN_RULE_HOST: Code = Code(2222);
/// A subset whose labels no endpoint has (Istio: IST0173).
pub const EMPTY_SUBSET: Code = Code(2223);
/// `consecutiveErrors`, which nothing reads.
pub const CONSECUTIVE_ERRORS: Code = Code(2224);
/// Outlier detection that may take out every endpoint.
pub const TOTAL_EJECTION: Code = Code(2225);
/// TLS to the outside without a named authority (Istio: IST0128, IST0129).
pub const SYSTEM_AUTHORITIES: Code = Code(2226);
/// A rule's setting that does not mean what it looks like.
pub const RULE_SETTING: Code = Code(2228);
/// A certificate is not verified.
pub const UNVERIFIED: Code = Code(2229);
/// Weights that do nothing.
pub const WEIGHT: Code = Code(2230);
/// Retries that do not fit into the timeout.
pub const RETRIES_OVER_TIMEOUT: Code = Code(2231);
/// Retries that may carry out a call twice.
pub const REPEATED_CALLS: Code = Code(2232);
/// A path prefix that also matches longer names.
pub const RAW_PREFIX: Code = Code(2233);
/// A fault without percentage, which never happens.
pub const FAULT_WITHOUT_PERCENTAGE: Code = Code(2234);
/// A rewrite that leaves a doubled or a missing slash.
pub const REWRITE_SLASH: Code = Code(2235);
/// A header value that Envoy would refuse.
pub const HEADER_VALUE: Code = Code(2236);
/// A header value that is not known when it is written.
pub const LATE_VALUE: Code = Code(2237);
/// Routing by token claims.
pub const CLAIM_ROUTING: Code = Code(2238);
/// A regular expression that cannot be read.
pub const EXPRESSION: Code = Code(2239);
/// A condition that does not mean what it looks like.
pub const CONDITION: Code = Code(2240);
/// A word in `retryOn` that means nothing.
pub const RETRY_CONDITION: Code = Code(2241);
/// A VirtualService that does nothing.
pub const IDLE_VIRTUAL_SERVICE: Code = Code(2242);
/// A setting of a VirtualService that is not enforced or is contradictory.
pub const ROUTE_SETTING: Code = Code(2243);
/// A ServiceEntry that does not mean what it looks like.
pub const SERVICE_ENTRY: Code = Code(2250);
/// A ServiceEntry without addresses for TCP (Istio: IST0134).
pub const SERVICE_ENTRY_ADDRESSES: Code = Code(2251);
/// Sidecars that conflict (Istio: IST0110, IST0111).
pub const CONFLICTING_SIDECARS: Code = Code(2260);
/// A Sidecar that does not mean what it looks like.
pub const SIDECAR: Code = Code(2261);
/// Calls to unregistered hosts are allowed.
pub const ALLOW_ANY: Code = Code(2262);
/// An EnvoyFilter patch that is not one of those recognised.
pub const ENVOY_FILTER: Code = Code(2270);
/// An EnvoyFilter patch relative to a filter that is not there (Istio: IST0151).
pub const ENVOY_FILTER_NO_MATCH: Code = Code(2271);
/// A list of addresses that is compared with a header which holds more than one.
pub const LIST_BYPASS: Code = Code(2272);
/// A second access log beside the mesh's.
pub const SECOND_ACCESS_LOG: Code = Code(2273);
/// A Lua filter that was read as data.
pub const LUA: Code = Code(2274);
/// A mesh setting that does nothing any more.
pub const LEGACY_SETTING: Code = Code(2290);
/// A mesh setting that stands in the wrong place.
pub const MISPLACED_SETTING: Code = Code(2291);
/// An access log without what would tell why.
pub const ACCESS_LOG: Code = Code(2293);
/// Path normalization that leaves a way around path rules.
pub const PATH_NORMALIZATION: Code = Code(2294);
/// A Telemetry that does not mean what it looks like (Istio: IST0159, IST0160).
pub const TELEMETRY: Code = Code(2295);
