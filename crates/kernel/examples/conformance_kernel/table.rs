//! The NetworkPolicy authors' own verdicts, recorded: `netpol/truth-tables.jsonl`, a step a line. The policies are read
//! here on their own, not by the room `manifest`, so that the kernel is held to the tables and to nobody's reading of them.

use crate::probe::Flow;
use ipnet::IpNet;
use ringwall_model::{Labels, RuleId};
use ringwall_packet::policy::{Action, Force, Namespaces, Peer, Pods, Policy, Port, Rule, Tier};
use ringwall_packet::{Endpoint, Endpoints, Ground, Network, Policies, Requirement, Selector};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

const PORTS: [u16; 2] = [80, 81];
const PROTOCOLS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];

/// One step: policies in force, and whether each flow passes.
pub struct Step {
    /// `netpol/<case>/<step>`.
    pub id: String,
    /// What the case is about.
    pub title: String,
    /// The policies over the nine pods.
    pub ground: Ground,
    /// Flows with the authors' word on each.
    pub cells: Vec<(Flow, bool)>,
}

/// Reads every step.
pub fn read(text: &str) -> Vec<Result<Step, String>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| step(line).ok_or(format!("not read: {line:.80}")))
        .collect()
}

fn step(line: &str) -> Option<Step> {
    let recorded: Value = serde_json::from_str(line).ok()?;
    let policies = recorded["policies"].as_array()?.iter().map(policy).collect::<Option<Vec<_>>>()?;
    let (egress, ingress) = (recorded["egress"].as_str()?.as_bytes(), recorded["ingress"].as_str()?.as_bytes());
    let cells: Vec<(Flow, bool)> =
        flows().zip(egress.iter().zip(ingress)).map(|(flow, bits)| (flow, bits == (&b'1', &b'1'))).collect();
    (cells.len() == 486 && egress.len() == 486 && ingress.len() == 486).then_some(())?;
    Some(Step {
        id: format!("netpol/{}/{}", recorded["case"], recorded["step"]),
        title: recorded["desc"].as_str()?.to_owned(),
        ground: Ground::of(Policies::of(policies), pods()),
        cells,
    })
}

/// The cells in the order in which they were recorded.
fn flows() -> impl Iterator<Item = Flow> {
    let pair = |source: u8| (0..9).map(move |destination| (source, destination));
    (0..9).flat_map(pair).flat_map(|(source, destination)| {
        PORTS.iter().flat_map(move |port| {
            PROTOCOLS.iter().map(move |(_, protocol)| Flow {
                source: address(source),
                destination: address(destination),
                protocol: *protocol,
                port: *port,
            })
        })
    })
}

fn address(pod: u8) -> IpAddr {
    IpAddr::from([192, 168, 1, pod + 1])
}

fn one(key: &str, value: &str) -> Labels {
    Labels::from([(key.into(), value.into())])
}

/// x/a … z/c as the recording had them.
fn pods() -> Endpoints {
    let mut list = Vec::new();
    for (row, namespace) in (0..).zip(["x", "y", "z"]) {
        for (column, name) in (0..).zip(["a", "b", "c"]) {
            let ports = PORTS.iter().flat_map(|port| {
                PROTOCOLS.iter().map(move |(name, number)| (format!("serve-{port}-{name}").into(), *number, *port))
            });
            list.push(Endpoint {
                namespace: namespace.into(),
                name: name.into(),
                labels: one("pod", name),
                addresses: vec![address(row * 3 + column)],
                ports: ports.collect(),
                network: Network::Own,
                node: "".into(),
            });
        }
    }
    let namespaces = ["x", "y", "z"].map(|name| (name.into(), one("ns", name)));
    Endpoints::of(list, namespaces.into(), BTreeMap::new())
}

fn policy(object: &Value) -> Option<Policy> {
    // Some cases were recorded without a kind; none is of another.
    object.get("kind").is_none_or(|kind| kind == "NetworkPolicy").then_some(())?;
    let (meta, spec) = (&object["metadata"], &object["spec"]);
    let namespace = meta["namespace"].as_str().unwrap_or("default");
    let types = spec["policyTypes"].as_array();
    let speaks = |direction: &str| types.is_some_and(|types| types.iter().any(|kind| kind == direction));
    let egress =
        speaks("Egress") || (types.is_none() && spec["egress"].as_array().is_some_and(|list| !list.is_empty()));
    let ingress = speaks("Ingress") || types.is_none();
    let rules = |field: &str, peers: &str| {
        let list = spec[field].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().map(|rule_object| rule(rule_object, peers, namespace)).collect::<Option<Vec<_>>>()
    };
    Some(Policy {
        id: RuleId(0),
        namespace: namespace.into(),
        name: meta["name"].as_str()?.into(),
        tier: Tier::Network,
        priority: 0,
        subject: Pods { namespaces: Namespaces::Named(namespace.into()), pods: selector(&spec["podSelector"])? },
        force: Force::Enforced,
        ingress: if ingress { Some(rules("ingress", "from")?) } else { None },
        egress: if egress { Some(rules("egress", "to")?) } else { None },
    })
}

fn rule(object: &Value, peers: &str, namespace: &str) -> Option<Rule> {
    let list = |field: &str| object[field].as_array().filter(|list| !list.is_empty());
    let peers = list(peers).map(|list| list.iter().map(|object| peer(object, namespace)).collect::<Option<Vec<_>>>());
    let ports = list("ports").map(|list| list.iter().map(port).collect::<Option<Vec<_>>>());
    // A list that cannot be read is an error, not an absent one.
    let (peers, ports) =
        (peers.map_or(Some(None), |list| list.map(Some))?, ports.map_or(Some(None), |list| list.map(Some))?);
    Some(Rule { id: RuleId(0), action: Action::Accept, peers, ports })
}

fn peer(object: &Value, namespace: &str) -> Option<Peer> {
    if let Some(block) = object.get("ipBlock").filter(|block| !block.is_null()) {
        let network = |value: &Value| value.as_str()?.parse::<IpNet>().ok();
        let except = block["except"].as_array().map_or(&[][..], Vec::as_slice).iter().map(network);
        return Some(Peer::Block { within: network(&block["cidr"])?, except: except.collect::<Option<_>>()? });
    }
    let namespaces = match object.get("namespaceSelector").filter(|value| !value.is_null()) {
        Some(object) => Namespaces::Selected(selector(object)?),
        None => Namespaces::Named(namespace.into()),
    };
    Some(Peer::Pods(Pods { namespaces, pods: selector(&object["podSelector"])? }))
}

fn port(object: &Value) -> Option<Port> {
    let name = object["protocol"].as_str().unwrap_or("TCP").to_ascii_lowercase();
    let protocol = PROTOCOLS.iter().find(|(known, _)| *known == name)?.1;
    Some(match &object["port"] {
        Value::Null => Port::Range { protocol, first: 0, last: u16::MAX },
        Value::String(name) => Port::Named { protocol: Some(protocol), name: name.as_str().into() },
        number => {
            let first = u16::try_from(number.as_u64()?).ok()?;
            let last = object["endPort"].as_u64().map_or(Some(first), |last| u16::try_from(last).ok())?;
            Port::Range { protocol, first, last }
        }
    })
}

fn selector(object: &Value) -> Option<Selector> {
    let mut requirements = Vec::new();
    for (key, value) in object["matchLabels"].as_object().into_iter().flatten() {
        requirements.push(Requirement::In(key.as_str().into(), vec![value.as_str()?.into()]));
    }
    for expression in object["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str()?.into();
        let values = expression["values"].as_array().into_iter().flatten();
        let values = values.map(|value| value.as_str().map(Into::into)).collect::<Option<Vec<_>>>()?;
        requirements.push(match expression["operator"].as_str()? {
            "In" => Requirement::In(key, values),
            "NotIn" => Requirement::NotIn(key, values),
            "Exists" => Requirement::Exists(key),
            "DoesNotExist" => Requirement::DoesNotExist(key),
            _ => return None,
        });
    }
    Some(Selector::of(requirements))
}
