//! JOSE: reads tokens and key sets and verifies signatures; judges every claim, time included, from arguments.
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
