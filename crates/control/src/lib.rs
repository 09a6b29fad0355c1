//! Where configuration comes from and goes: files, standard input, state on disk; publishes a new World.
//!
//! In: a folder, a file or standard input; commands on a socket. Out: a published World, the State that survives it, the
//! facts fetched for it. Never: a decision about a call (that is `wall`), a connection's bytes (that is `dataplane`).

pub mod binds;
pub mod crs;
pub mod facts;
pub mod fetch;
pub mod history;
pub mod publish;
pub mod settings;
pub mod socket;
pub mod source;
pub mod state;
pub mod watch;
