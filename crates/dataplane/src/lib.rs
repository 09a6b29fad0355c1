//! Connections: TLS, HTTP, TCP, forwarding; asks the page and obeys.
//!
//! In: listeners that others have bound, a [`page::Page`] to ask, a [`engine::Dial`] to connect with, credentials.
//! Out: requests forwarded with their witness, refusals with their reason, one [`ringwall_model::Event`] for each.
//! Never: binding, configuration, a decision of its own about who may pass.
//! Follows RFC 9110, 9112, 9113, 8446, the X509-SVID specification, and Envoy where users see behaviour (response flags,
//! details, retries). Threads: one current-thread runtime a worker; futures never leave their thread; what is shared is
//! [`engine::Shared`]. Start reading at [`engine::Engine::start`], then `accept.rs`, `exchange.rs`, `forward.rs`.

pub mod clock;
pub mod engine;
pub mod link;
pub mod message;
pub mod page;
pub mod registry;
pub mod tls;

mod accept;
mod connect;
mod exchange;
mod forward;
mod http1;
mod http2;
mod judged;
mod pool;
mod standing;
mod tcp;
mod telling;
mod websocket;
mod worker;

pub use engine::{Dial, Engine, EventSink, Limits, ListenerId, Shared};
pub use page::Page;
pub use registry::{Registry, Selector};
