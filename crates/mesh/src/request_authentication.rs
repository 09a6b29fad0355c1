//! Tokens: where they are looked for, who may have signed them, what becomes of their claims.
//!
//! In: RequestAuthentication resources. Out: [`RequestRules`] of one workload, and [`judge::judge`]'s outcome for a
//! call. Never: fetching keys; the outcome is then a question. Follows Istio's RequestAuthentication as Envoy's
//! `jwt_authn` filter carries it out: no token is a pass without a caller, a bad token anywhere it is looked for is a
//! refusal, and with several issuers one good token is enough.

pub mod extract;
pub mod judge;
pub mod output;

use crate::authorization::Applies;
use ringwall_model::{Millis, RuleId};
use ringwall_token::KeySource;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Times of tokens are judged with so much leeway: the default of Envoy, which Istio does not change.
pub const CLOCK_SKEW: Millis = Millis::seconds(60);

/// One RequestAuthentication.
#[derive(Clone, Debug)]
pub struct RequestAuthentication {
    /// Its number in the rule book.
    pub id: RuleId,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Which workloads it is for.
    pub applies: Applies,
    /// Its issuers.
    pub rules: Vec<JwtRule>,
}

/// One issuer.
#[derive(Clone, Debug)]
pub struct JwtRule {
    /// Its number in the rule book.
    pub id: RuleId,
    /// `iss` of its tokens.
    pub issuer: Arc<str>,
    /// Audiences one of which a token must be for; empty asks nothing.
    pub audiences: Vec<Box<str>>,
    /// Its keys.
    pub keys: KeySource,
    /// Where its tokens are looked for, in this order.
    pub locations: Vec<Location>,
    /// Header that gets the token's payload.
    pub output_payload_to_header: Option<Box<str>>,
    /// Headers that get claims.
    pub output_claims: Vec<ClaimOutput>,
    /// What becomes of a good token.
    pub original: OriginalToken,
    /// Claims beside `scope` and `permission` that are lists with spaces between.
    pub spaced_claims: Vec<Box<str>>,
}

/// Where a token is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// After a literal prefix in a header; the name is in lower case.
    Header {
        /// Name.
        name: Box<str>,
        /// Prefix, with its space.
        prefix: Box<str>,
    },
    /// In a parameter of the query.
    Parameter(Box<str>),
    /// In a cookie.
    Cookie(Box<str>),
}

impl Location {
    /// Where tokens are looked for when the resource does not say: `Authorization: Bearer …`, then `access_token`.
    pub fn standard() -> Vec<Self> {
        vec![
            Self::Header { name: "authorization".into(), prefix: "Bearer ".into() },
            Self::Parameter("access_token".into()),
        ]
    }
}

/// A header that gets a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimOutput {
    /// Its name, in lower case.
    pub header: Box<str>,
    /// Name of the claim; dots part the names of nested ones.
    pub claim: Box<str>,
}

/// What becomes of a good token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginalToken {
    /// It is taken out of the request.
    #[default]
    Strip,
    /// It stays (`forwardOriginalToken`).
    Forward,
}

/// The issuers in force on one workload.
#[derive(Clone, Debug, Default)]
pub struct RequestRules {
    issuers: Vec<JwtRule>,
    written: Vec<Box<str>>,
}

impl RequestRules {
    /// The issuers of resources that were already selected, in order of their names.
    pub fn of<'a>(resources: impl Iterator<Item = &'a RequestAuthentication>) -> Self {
        let mut resources: Vec<_> = resources.collect();
        resources.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let mut issuers: Vec<JwtRule> = resources.iter().flat_map(|resource| resource.rules.iter().cloned()).collect();
        issuers.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        let outputs = |rule: &JwtRule| {
            let claims = rule.output_claims.iter().map(|output| output.header.clone());
            claims.chain(rule.output_payload_to_header.clone()).collect::<Vec<_>>()
        };
        let written: BTreeSet<Box<str>> = issuers.iter().flat_map(outputs).collect();
        Self { issuers, written: written.into_iter().collect() }
    }

    /// The issuers, in order.
    pub fn issuers(&self) -> &[JwtRule] {
        &self.issuers
    }

    /// Headers that authentication writes: no client's copy of them ever goes on.
    pub fn written(&self) -> &[Box<str>] {
        &self.written
    }
}

#[cfg(test)]
mod tests;
