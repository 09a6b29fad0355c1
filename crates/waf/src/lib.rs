//! A SecLang engine that runs the OWASP Core Rule Set.
//!
//! In: rule files as bytes ([`Bundle`]), then requests and responses as bytes. Out: which rules matched, and whether the
//! transaction is refused ([`Report`], [`Interruption`]). Never: files, sockets, clock; a regular expression that is not
//! linear; a rule file that is taken in part. Follows the ModSecurity reference manual v3; where that is silent,
//! ModSecurity's behaviour as the Core Rule Set's regression tests show it.
//! Start reading at [`Waf::load`], then [`Transaction`], then `judge`.
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

mod alphabet;
mod audit;
mod bits;
mod body;
pub mod bot;
mod bundle;
mod collections;
mod configuration;
mod describe;
mod fill;
mod judge;
#[cfg(test)]
mod laws;
pub mod libinjection;
mod lower;
mod machine;
pub mod openapi;
mod operator;
mod prefilter;
mod preset;
mod report;
mod rule;
mod seclang;
mod state;
mod template;
mod text;
mod transaction;
mod transform;
mod tune;
mod variable;
mod waf;

pub use audit::AuditFormat;
pub use body::coding;
pub use bundle::{ArchiveError, Bundle};
pub use collections::Collections;
pub use configuration::{Access, Engine, Exclude, Overflow, Prefilter, Settings};
pub use describe::{Listed, Shown, ShownLink};
pub use preset::Preset;
pub use report::{Interruption, Report};
pub use ringwall_model::RuleMatch;
pub use seclang::LoadError;
pub use transaction::{BodyRoom, Fuel, Progress, RequestHead, ResponseHead, Transaction};
pub use tune::tune;
pub use waf::{Counts, Interval, Profile, Support, Waf, check_target};

pub(crate) use waf::Rules;
