//! The NetworkPolicy authors' own verdicts, recorded, for whoever judges or enforces flows.
//!
//! In: text of `netpol/truth-tables.jsonl`: a step a line, with the policies in force and a 0 or 1 for every cell. Out: a
//! [`Step`] each: the ground, made as from a user's files, and what is wanted of every cell. Used by the tests and by
//! `cargo xtask conformance netpol`, for the judge, the compiled ruleset and a real kernel alike.

use crate::{Input, Options, World, lower};
use ringwall_model::Severity;
use ringwall_packet::endpoint::protocol::{SCTP, TCP, UDP};
use ringwall_packet::{EndpointId, Ground};
use serde_json::{Value, json};

const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const PODS: [&str; 3] = ["a", "b", "c"];
const PORTS: [u16; 2] = [80, 81];
const PROTOCOLS: [(&str, u8); 3] = [("tcp", TCP), ("udp", UDP), ("sctp", SCTP)];

/// One step of a case: policies in force, and what the authors' matcher says of every cell.
#[derive(Clone, Debug)]
pub struct Step {
    /// `netpol/<case>/<step>`: stable as long as the file is.
    pub id: String,
    /// What the case is about.
    pub title: String,
    /// The policies over the nine pods.
    pub ground: Ground,
    /// The cells with their answers.
    pub cells: Vec<Cell>,
}

/// One flow and what is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Who sends it.
    pub source: EndpointId,
    /// Who is to get it.
    pub destination: EndpointId,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
    /// Whether the source may send it.
    pub egress: bool,
    /// Whether the destination may be sent it.
    pub ingress: bool,
}

impl Cell {
    /// `x/a → y/b 80/tcp`, for people.
    pub fn name(&self, ground: &Ground) -> String {
        let endpoint = |id| {
            let found = ground.endpoints().get(id);
            found.map_or_else(String::new, |found| format!("{}/{}", found.namespace, found.name))
        };
        let protocol = PROTOCOLS.iter().find(|(_, number)| *number == self.protocol).map_or("?", |(name, _)| name);
        format!("{} → {} {}/{protocol}", endpoint(self.source), endpoint(self.destination), self.port)
    }
}

/// Every step of the text. What cannot be read is an error with its line.
pub fn netpol(text: &str) -> Vec<Result<Step, String>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| step(line).map_err(|error| format!("line {number}: {error}"))).collect()
}

fn step(line: &str) -> Result<Step, String> {
    let recorded: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let field = |name: &str| recorded.get(name).ok_or(format!("no `{name}`"));
    let id = format!("netpol/{}/{}", field("case")?, field("step")?);
    let title = field("desc")?.as_str().unwrap_or_default().to_owned();
    let world = world(field("policies")?.as_array().map_or(&[], Vec::as_slice))?;
    let bits = |name: &str| field(name)?.as_str().map(str::as_bytes).ok_or(format!("`{name}` is no text"));
    let cells = cells(&world, bits("egress")?, bits("ingress")?)?;
    Ok(Step { id, title, ground: world.ground, cells })
}

/// The nine pods x/a … z/c as the recording had them, and the policies.
fn world(policies: &[Value]) -> Result<World, String> {
    let mut documents = Vec::new();
    for (row, namespace) in NAMESPACES.iter().enumerate() {
        documents.push(json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"ns": namespace}}}));
        for (column, pod) in PODS.iter().enumerate() {
            documents.push(pod_of(namespace, pod, format!("192.168.1.{}", 1 + 3 * row + column)));
        }
    }
    for policy in policies {
        let mut policy = policy.clone();
        // Some were recorded without their type.
        if let Some(map) = policy.as_object_mut().filter(|map| !map.contains_key("kind")) {
            map.insert("kind".into(), "NetworkPolicy".into());
            map.insert("apiVersion".into(), "networking.k8s.io/v1".into());
        }
        documents.push(policy);
    }
    let text = documents.iter().map(|document| format!("---\n{document}\n")).collect::<String>();
    let input = Input { name: "netpol.yaml", bytes: text.as_bytes() };
    let (world, findings) = lower(&[input], &Options::default());
    match findings.iter().find(|finding| finding.severity == Severity::Error) {
        Some(error) => Err(format!("{}: {}", error.code, error.title)),
        None => Ok(world),
    }
}

fn pod_of(namespace: &str, pod: &str, address: String) -> Value {
    let port = |number: u16, (name, _): (&str, u8)| {
        json!({"name": format!("serve-{number}-{name}"), "containerPort": number,
            "protocol": name.to_ascii_uppercase()})
    };
    let ports: Vec<Value> = PORTS.iter().flat_map(|at| PROTOCOLS.map(|protocol| port(*at, protocol))).collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod, "namespace": namespace, "labels": {"pod": pod}},
        "spec": {"containers": [{"name": "serve", "ports": ports}]},
        "status": {"podIP": address}})
}

/// In the recorded order: source, destination, port, protocol.
fn cells(world: &World, egress: &[u8], ingress: &[u8]) -> Result<Vec<Cell>, String> {
    let pods: Vec<EndpointId> = world.ground.endpoints().iter().map(|(id, _)| id).collect();
    let mut cells = Vec::new();
    for source in &pods {
        for destination in &pods {
            for port in PORTS {
                for (_, protocol) in PROTOCOLS {
                    let at = cells.len();
                    let bit = |bits: &[u8]| match bits.get(at) {
                        Some(b'0') => Ok(false),
                        Some(b'1') => Ok(true),
                        _ => Err(format!("cell {at} has no answer")),
                    };
                    let (source, destination) = (*source, *destination);
                    let (egress, ingress) = (bit(egress)?, bit(ingress)?);
                    cells.push(Cell { source, destination, protocol, port, egress, ingress });
                }
            }
        }
    }
    if cells.len() == egress.len() && cells.len() == ingress.len() {
        Ok(cells)
    } else {
        Err(format!("{} answers for {} cells", egress.len(), cells.len()))
    }
}
