//! Istio's dialect: security and networking resources, one file a kind.
//!
//! In: resources of `security.istio.io`, `networking.istio.io` and `telemetry.istio.io`. Out: policies and routes of
//! `ringwall-mesh`, what is told of whom, and findings. Never: a decision. Follows the Istio API at 1.32 and what its validation refuses.

pub mod authorization_policy;
pub mod codes_authorization;
pub mod destination_rule;
pub mod envoy_filter;
pub mod gateway;
pub mod mesh_config;
pub mod networking;
pub mod peer_authentication;
pub mod request_authentication;
mod selector;
pub mod service_entry;
pub mod sidecar;
pub mod telemetry;
pub mod virtual_service;
