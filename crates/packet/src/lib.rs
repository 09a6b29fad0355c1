//! NetworkPolicy: who may reach whom at layers 3 and 4.
//!
//! In: endpoints, policies. Out: a decision for one flow, and a [`ruleset::Ruleset`] that says the same as data.
//! Never: sockets, files, clock, randomness, threads; applying is the kernel room's work.
//! Follows the NetworkPolicy v1 and ClusterNetworkPolicy v1alpha2 interfaces. Start reading at [`ruleset`].
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod ruleset;
