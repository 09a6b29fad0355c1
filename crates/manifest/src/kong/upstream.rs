//! `upstreams` and their `targets`.

use super::schema::{COMMENTS, tell};
use super::{Lowering, code};
use crate::Cursor;
use ringwall_gateway::entity::{Balancing, HashOn};
use ringwall_gateway::{Upstream, UpstreamTarget};
use ringwall_model::Severity;

/// Lowers all upstreams of a document, with their targets, and targets that stand for themselves.
pub fn lower_all<'a>(root: Cursor<'a>, lowering: &mut Lowering<'a, '_>) {
    for at in root.get("upstreams").items() {
        let upstream = lower(at);
        lowering.parts.upstreams.push(upstream);
    }
    for at in root.get("targets").items() {
        let name = super::declarative::reference(at.get("upstream"));
        let target = target(at);
        let found = lowering.parts.upstreams.iter_mut().find(|upstream| name == Some(&*upstream.name));
        match (found, target) {
            (Some(upstream), Some(target)) => upstream.targets.push(target),
            (None, _) => {
                tell(at, code::REFERENCE, Severity::Error, "Kong refuses this: `upstream: invalid reference`", "")
            }
            (Some(_), None) => {}
        }
    }
}

fn lower(at: Cursor<'_>) -> Upstream {
    at.descriptive(&COMMENTS);
    let _ = at.get("id").string();
    let algorithm = at.get("algorithm").enumeration(&[
        ("round-robin", Balancing::RoundRobin),
        ("consistent-hashing", Balancing::ConsistentHashing),
        ("least-connections", Balancing::LeastConnections),
        ("latency", Balancing::Latency),
    ]);
    let header = at.get("hash_on_header").string();
    let hash_on = match at.get("hash_on").string() {
        Some("consumer") => HashOn::Consumer,
        Some("ip") => HashOn::Ip,
        Some("path") => HashOn::Path,
        Some("header") => HashOn::Header(header.unwrap_or_default().into()),
        _ => HashOn::None,
    };
    let health = "health is judged by what calls meet (outlier detection)";
    for name in
        ["healthchecks", "slots", "hash_fallback", "hash_fallback_header", "hash_on_cookie", "hash_on_cookie_path"]
    {
        at.ignored(name, health);
    }
    for name in ["client_certificate", "use_srv_name", "hash_on_query_arg", "hash_on_uri_capture"] {
        at.ignored(name, "not part of this gateway");
    }
    Upstream {
        name: at.get("name").required().filled().unwrap_or_default().into(),
        targets: at.get("targets").items().filter_map(target).collect(),
        algorithm: algorithm.unwrap_or_default(),
        hash_on,
        host_header: at.get("host_header").string().map(Into::into),
    }
}

fn target(at: Cursor<'_>) -> Option<UpstreamTarget> {
    at.descriptive(&COMMENTS);
    let _ = (at.get("id").string(), at.get("upstream").whole());
    let text = at.get("target").required().filled()?;
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = split.unwrap_or((text, 8000));
    let weight = at.get("weight").integer(0..=65535).and_then(|weight| u16::try_from(weight).ok());
    Some(UpstreamTarget { host: host.into(), port, weight: weight.unwrap_or(100) })
}
