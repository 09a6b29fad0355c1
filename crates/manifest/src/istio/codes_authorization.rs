//! The codes of findings about authentication and authorization in the mesh (RW2000 to RW2199). One line a code,
//! sorted; never reused.

use ringwall_model::Code;

/// A DENY, AUDIT or CUSTOM policy without rules: Istio refuses it, for it would do nothing.
pub const NO_RULES: Code = Code(2000);
/// A `when` key that does not exist: a deny in a rule that refuses, no allow in one that allows.
pub const UNKNOWN_KEY: Code = Code(2001);
/// A condition without `values` and `notValues`.
pub const NO_VALUES: Code = Code(2002);
/// A list that is written and empty; Istio reads it as absent, which matches everything.
pub const EMPTY_LIST: Code = Code(2003);
/// A source, an operation or a list of them with nothing in it.
pub const EMPTY_PART: Code = Code(2004);
/// A path template that is not one.
pub const TEMPLATE: Code = Code(2005);
/// A port that is not one.
pub const PORT: Code = Code(2006);
/// `serviceAccounts` together with what says the same, or in a wrong form.
pub const SERVICE_ACCOUNT: Code = Code(2007);
/// A principal with its `spiffe://`: it matches nobody.
pub const PRINCIPAL_SCHEME: Code = Code(2008);
/// A request principal that no token can have.
pub const REQUEST_PRINCIPAL: Code = Code(2009);
/// A method that is not in capital letters.
pub const METHOD_CASE: Code = Code(2010);
/// A policy that asks an external authorizer: what it matches is refused, since there is none.
pub const CUSTOM: Code = Code(2011);
/// A CUSTOM policy that looks at what is not known yet when the authorizer is asked.
pub const CUSTOM_FIELD: Code = Code(2012);
/// `istio.io/dry-run` on a policy that cannot be tried out, or with a value that is no truth value.
pub const DRY_RUN: Code = Code(2013);
/// A rule that refuses looks at HTTP alone and names no port: on ports without HTTP it refuses everything.
pub const DENY_WIDE_ON_TCP: Code = Code(2014);
/// A rule that allows looks at HTTP: on ports without HTTP it allows nothing.
pub const ALLOW_NOTHING_ON_TCP: Code = Code(2015);
/// `targetRefs`: what it names is no workload here.
pub const TARGET: Code = Code(2016);
/// A selector with a star or an empty key.
pub const SELECTOR: Code = Code(2017);
/// A condition on another filter's metadata, which never has a value here.
pub const METADATA: Code = Code(2018);
/// A star in the middle of a value: it stands for itself.
pub const INNER_STAR: Code = Code(2019);
/// A PeerAuthentication with a selector in the root namespace: Istio ignores it.
pub const ROOT_SELECTOR: Code = Code(2050);
/// `portLevelMtls` without a selector, or empty.
pub const PORT_LEVEL: Code = Code(2051);
/// A PeerAuthentication that another for the same workloads is older than, and so has no effect.
pub const SHADOWED: Code = Code(2052);
/// An issuer with keys in two places.
pub const TWO_KEY_SOURCES: Code = Code(2100);
/// Keys that cannot be read.
pub const KEYS: Code = Code(2101);
/// A key address that is not an HTTP address, or is one without TLS.
pub const KEY_ADDRESS: Code = Code(2102);
/// A header name that is not one.
pub const HEADER_NAME: Code = Code(2103);
