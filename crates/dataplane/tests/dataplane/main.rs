//! The engine through real loopback sockets: what goes in at one end, what comes out at the other, and what is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod http1;
mod http2;
mod idle;
mod lifecycle;
mod mirror;
mod rig;
mod smuggling;
mod tls;
mod tracing;
mod upstream;
mod websocket;
