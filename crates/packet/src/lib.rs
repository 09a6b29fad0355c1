//! NetworkPolicy: who may reach whom at layers 3 and 4.
//!
//! In: endpoints, policies. Out: a decision for one flow, and a [`ruleset::Ruleset`] that says the same as data.
//! Never: sockets, files, clock, randomness, threads; applying is the kernel room's work.
//! Follows NetworkPolicy v1 and ClusterNetworkPolicy v1alpha2 (with AdminNetworkPolicy v1alpha1 lowered to the same).
//! Where upstream leaves something open, `docs/layers/packet.md` says what is done here. Start reading at [`judge`].
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

pub mod compile;
pub mod endpoint;
pub mod ground;
pub mod judge;
pub mod names;
pub mod policy;
pub mod reach;
pub mod ruleset;
pub mod selector;

pub use compile::{Local, Share, compile};
pub use endpoint::{Endpoint, EndpointId, Endpoints, Network};
pub use ground::Ground;
pub use judge::{Decision, Direction, Flow, Opinion};
pub use names::{DomainPattern, Names};
pub use policy::Policies;
pub use reach::Matrix;
pub use selector::{Requirement, Selector};
