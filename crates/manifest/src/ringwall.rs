//! Our own kinds, of `ringwall.dev/v1`: what no other product's manifests can say.
//!
//! In: resources. Out: rules of our engines. Every field of a kind is described in its file, by the type that the field
//! becomes.

pub mod code;
pub mod shield_policy;
pub mod waf_policy;
