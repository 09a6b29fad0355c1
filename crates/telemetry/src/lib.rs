//! Events in; metrics, access logs, flow logs and traces out; credentials are redacted at this door.
//!
//! In: [`ringwall_model::Event`], with the names of the World that decided. Out: the text of `/metrics`, log lines, a ring of
//! recent decisions for `explain`, spans. Never: a wait: a log that cannot keep up loses lines and counts them.
//! Follows: the Prometheus text format 0.0.4, Envoy's access-log operators, Zipkin's JSON v2, OTLP.
//! Differs: one request is counted once (Istio counts it at both ends), so that ratios of sums are ratios of requests.
//! Start reading at [`Telemetry::tell`].

pub mod firewall;
pub mod log;
pub mod metrics;
mod peers;
mod record;
pub mod redact;
pub mod ring;
mod shown;
pub mod span;
mod tally;
mod telemetry;
pub mod writer;

pub use log::Format;
pub use metrics::{Certificate, Level, Readiness};
pub use telemetry::{AccessLog, Chosen, Counting, Logs, Names, Output, Posted, Telemetry, Which};
