//! cert-manager's dialect: `Issuer`, `ClusterIssuer` and `Certificate` of cert-manager.io/v1.
//!
//! In: resources. Out: a [`Plan`], with a finding for what cert-manager would refuse, and, once all is read, for what
//! the manifests together do not mean ([`review`]). Never: keys, signatures. Follows cert-manager's API reference 1.21.

pub mod certificate;
pub mod code;
pub mod issuer;
mod review;
#[cfg(test)]
mod tests;

pub use review::{Redirect, Surroundings, review};

use crate::resource::Resource;
use ringwall_pki::Plan;

/// Lowers a resource of the group `cert-manager.io` into the plan..
pub fn lower(resource: &Resource<'_>, plan: &mut Plan) -> Lowered {
    match resource.kind {
        "Certificate" => certificate::lower(resource, plan),
        "Issuer" | "ClusterIssuer" => issuer::lower(resource, plan),
        _ => return Lowered::OtherKind,
    }
    Lowered::Done
}

/// What became of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lowered {
    /// It is in the plan.
    Done,
    /// It is none of these kinds.
    OtherKind,
}
