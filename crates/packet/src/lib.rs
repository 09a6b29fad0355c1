//! NetworkPolicy: the verdict for one flow, and a ruleset as data.
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
