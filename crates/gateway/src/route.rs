//! Which route a call takes, and what its path becomes upstream.
//!
//! In: a [`Gateway`] and a `Call` (its view `kong`). Out: [`Selection`]. Never: effects; selecting twice is the same.

mod upstream_path;

pub use upstream_path::upstream_path;

use crate::entity::{HttpsRedirect, Route, RouteProtocol};
use crate::router::{MatchedPath, Probe, StreamProbe};
use crate::{Gateway, RouteIndex, ServiceIndex, reply};
use bytes::Bytes;
use ringwall_model::{Call, Reason, Reply, Scheme};

/// What the router says of a call.
#[derive(Clone, Debug)]
pub enum Selection {
    /// It takes a route.
    Route(Selected),
    /// It ends here: no route matches, or the route wants another protocol.
    Refuse {
        /// Why.
        because: Reason,
        /// What the client gets.
        reply: Reply,
    },
}

/// The route a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The route.
    pub route: RouteIndex,
    /// Its service, if it has one.
    pub service: Option<ServiceIndex>,
    /// The part of the path the route names.
    pub matched: Option<MatchedPath>,
}

/// Selects a route. No route: 404. A clear-text call to a route for `https` alone: 426 or a redirect.
pub fn select(gateway: &Gateway, call: &Call) -> Selection {
    let Some((index, matched)) = gateway.router().select(&probe(call)) else {
        let reply = reply::message(404, "no Route matched with those values", call.id);
        return Selection::Refuse { because: Reason::Builtin("gateway/no-route"), reply };
    };
    // A route the router names is one of the gateway's.
    let Some(route) = gateway.route(index) else {
        let reply = reply::message(404, "no Route matched with those values", call.id);
        return Selection::Refuse { because: Reason::Builtin("gateway/no-route"), reply };
    };
    match wrong_protocol(route, call) {
        Some(reply) => Selection::Refuse { because: Reason::Rule(route.rule), reply },
        None => Selection::Route(Selected { route: index, service: route.service, matched }),
    }
}

/// Selects a route for a connection that is not HTTP.
pub fn select_stream(gateway: &Gateway, probe: &StreamProbe<'_>) -> Option<Selected> {
    let index = gateway.router().select_stream(probe)?;
    Some(Selected { route: index, service: gateway.route(index)?.service, matched: None })
}

/// What the router reads of a call.
pub fn probe(call: &Call) -> Probe<'_> {
    Probe {
        method: &call.method,
        authority: &call.authority,
        path: &call.views.kong,
        scheme: call.scheme,
        server_name: call.peer.tls.as_ref().and_then(|tls| tls.server_name.as_deref()),
        fields: &call.fields,
        source: call.peer.address,
        destination: call.local,
    }
}

/// Kong judges the protocol after the match: the first route that matches decides, even if it then refuses.
fn wrong_protocol(route: &Route, call: &Call) -> Option<Reply> {
    let allows = |protocol| route.protocols.contains(&protocol);
    let only_encrypted = !allows(RouteProtocol::Http) && !allows(RouteProtocol::Grpc);
    if only_encrypted && call.scheme == Scheme::Http {
        return Some(use_https(route, call));
    }
    let only_grpc = !allows(RouteProtocol::Http) && !allows(RouteProtocol::Https);
    let is_grpc = call.fields.first("content-type").is_some_and(|kind| kind.starts_with(b"application/grpc"));
    (only_grpc && !is_grpc).then(|| reply::message(415, "Non-gRPC request matched gRPC route", call.id))
}

fn use_https(route: &Route, call: &Call) -> Reply {
    let reply = |status| reply::message(status, "Please use HTTPS protocol", call.id);
    match route.https_redirect {
        HttpsRedirect::UpgradeRequired => {
            let reply = reply::with(reply(426), "connection", Bytes::from_static(b"Upgrade"));
            reply::with(reply, "upgrade", Bytes::from_static(b"TLS/1.2, HTTP/1.1"))
        }
        HttpsRedirect::To(status) => {
            let (host, _) = crate::router::split_port(&call.authority);
            reply::with(reply(status), "location", [b"https://", host, &call.target].concat())
        }
    }
}

/// A target without its query.
pub fn without_query(target: &[u8]) -> &[u8] {
    target.split(|byte| *byte == b'?').next().unwrap_or_default()
}
