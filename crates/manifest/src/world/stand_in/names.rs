//! What policies name: label selections, service accounts, hosts, each with the ports they are named with.
//!
//! Looks at trees by name only, so that it needs no dialect; what it does not find gets no stand-in, nothing worse.

use crate::kubernetes::Declared;
use crate::node::{Node, Value};
use crate::resource::Kind;
use crate::world::opening::Opened;
use ringwall_model::{DocumentId, Labels, Place, SpiffeId};
use std::collections::{BTreeMap, BTreeSet};

/// Something that is named, and where first.
#[derive(Clone, Debug)]
pub struct Named {
    /// Where.
    pub place: Place,
    /// The ports it is named with.
    pub ports: BTreeSet<u16>,
}

impl Named {
    /// Named here, without ports.
    pub fn at(place: Place) -> Self {
        Self { place, ports: BTreeSet::new() }
    }
}

/// Everything that is named. Namespace first in each key.
#[derive(Debug, Default)]
pub struct Names {
    /// Selections of workloads by their labels.
    pub selected: BTreeMap<(Box<str>, Labels), Named>,
    /// Selections that may be meant for any namespace: of the root namespace's policies, and of peers that name no
    /// namespace. The namespace is where a stand-in goes when nothing anywhere fits.
    pub anywhere: BTreeMap<(Box<str>, Labels), Named>,
    /// Selections of gateways; the namespace is the Gateway's own.
    pub gateways: BTreeMap<(Box<str>, Labels), Named>,
    /// Service accounts of principals.
    pub accounts: BTreeMap<(Box<str>, Box<str>), Named>,
    /// Hosts of services, as namespace and name.
    pub hosts: BTreeMap<(Box<str>, Box<str>), Named>,
}

impl Names {
    /// Gathers what the documents name.
    pub fn gather(opened: &Opened<'_>, declared: &Declared, root_namespace: &str) -> Self {
        let mut names = Self::default();
        for (kind, document) in opened.resources() {
            let home = document.root.get("metadata").and_then(|it| it.get("namespace")).and_then(Node::as_str);
            let home = home.unwrap_or("default");
            let mut here = Here { names: &mut names, declared, document: document.id, home, root_namespace };
            here.resource(kind, &document.root);
        }
        for document in &opened.kong {
            let home = "default";
            let mut here = Here { names: &mut names, declared, document: document.id, home, root_namespace };
            here.kong(&document.root);
        }
        names
    }
}

/// Where a selection may find its workloads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Here,
    Anywhere,
}

/// One document while it is looked at.
struct Here<'n> {
    root_namespace: &'n str,
    names: &'n mut Names,
    declared: &'n Declared,
    document: DocumentId,
    home: &'n str,
}

impl Here<'_> {
    fn resource(&mut self, kind: Kind<'_>, root: &Node) {
        let Some(spec) = root.get("spec") else { return };
        match (kind.group, kind.kind) {
            ("security.istio.io", _) => self.security(spec),
            ("networking.istio.io", "Gateway") => self.gateway(spec),
            ("networking.istio.io", "EnvoyFilter" | "Sidecar") => {
                if let Some(labels) = spec.get("workloadSelector").and_then(|it| it.get("labels")) {
                    self.select(self.home.into(), labels, &BTreeSet::new(), "/spec/workloadSelector/labels");
                }
            }
            ("networking.istio.io", "VirtualService" | "DestinationRule") => self.routes(spec, "/spec", 0),
            ("networking.k8s.io", "NetworkPolicy") => self.network_policy(spec),
            _ => {}
        }
    }

    fn security(&mut self, spec: &Node) {
        let mut ports = BTreeSet::new();
        for rule in items(spec.get("rules")) {
            for operation in items(rule.get("to")) {
                let listed = items(operation.get("operation").and_then(|it| it.get("ports")));
                ports.extend(listed.filter_map(|port| port.as_str()?.parse::<u16>().ok()));
            }
        }
        if let Some(labels) = spec.get("selector").and_then(|it| it.get("matchLabels")) {
            self.select(self.home.into(), labels, &ports, "/spec/selector/matchLabels");
        }
        for (at, rule) in items(spec.get("rules")).enumerate() {
            for (from, source) in items(rule.get("from")).enumerate() {
                let principals = source.get("source").and_then(|it| it.get("principals"));
                for (index, principal) in items(principals).enumerate() {
                    let pointer = format!("/spec/rules/{at}/from/{from}/source/principals/{index}");
                    self.principal(principal.as_str().unwrap_or_default(), &pointer);
                }
            }
        }
    }

    fn principal(&mut self, principal: &str, pointer: &str) {
        let Ok(id) = SpiffeId::parse(&format!("spiffe://{principal}")) else { return };
        if let Some((namespace, account)) = id.service_account() {
            let key = (namespace.into(), account.into());
            let place = Place::value(self.document, pointer);
            self.names.accounts.entry(key).or_insert_with(|| Named::at(place));
        }
    }

    fn gateway(&mut self, spec: &Node) {
        let numbers = items(spec.get("servers")).filter_map(|server| port_of(server.get("port")?.get("number")?));
        let ports: BTreeSet<u16> = numbers.collect();
        let Some(labels) = spec.get("selector").map(labels_of).filter(|labels| !labels.is_empty()) else { return };
        let place = Place::value(self.document, "/spec/selector");
        let named = self.names.gateways.entry((self.home.into(), labels)).or_insert_with(|| Named::at(place));
        named.ports.extend(ports);
    }

    /// Every `destination.host` with its port, and every `host` or entry of `hosts`, wherever it stands.
    fn routes(&mut self, node: &Node, pointer: &str, depth: usize) {
        match &node.value {
            Value::Map(entries) if depth < 16 => {
                let port = node.get("port").and_then(|it| it.get("number")).and_then(port_of);
                for entry in entries {
                    let below = format!("{pointer}/{}", entry.key);
                    match (&*entry.key, entry.value.as_str()) {
                        ("host", Some(host)) => self.host(host, port, &below),
                        ("hosts", _) => {
                            for (index, host) in items(Some(&entry.value)).enumerate() {
                                self.host(host.as_str().unwrap_or_default(), None, &format!("{below}/{index}"));
                            }
                        }
                        _ => self.routes(&entry.value, &below, depth + 1),
                    }
                }
            }
            Value::List(list) if depth < 16 => {
                for (index, item) in list.iter().enumerate() {
                    self.routes(item, &format!("{pointer}/{index}"), depth + 1);
                }
            }
            _ => {}
        }
    }

    /// A host of the cluster: `name.namespace.svc.cluster.local`, `name.namespace.svc`, or a short name.
    fn host(&mut self, host: &str, port: Option<u16>, pointer: &str) {
        let bare = host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc"));
        let (name, namespace) = match bare {
            Some(bare) => match bare.split_once('.') {
                Some((name, namespace)) if !namespace.contains('.') => (name, namespace),
                _ => return,
            },
            None if !host.contains('.') => (host, self.home),
            None => return,
        };
        let plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !plain(name) || !plain(namespace) {
            return;
        }
        let place = Place::value(self.document, pointer);
        let named = self.names.hosts.entry((namespace.into(), name.into())).or_insert_with(|| Named::at(place));
        named.ports.extend(port);
    }

    fn network_policy(&mut self, spec: &Node) {
        let ports_of = |rule: &Node| -> BTreeSet<u16> {
            items(rule.get("ports")).filter_map(|port| port_of(port.get("port")?)).collect()
        };
        let ingress: BTreeSet<u16> = items(spec.get("ingress")).flat_map(ports_of).collect();
        if let Some(labels) = spec.get("podSelector").and_then(|it| it.get("matchLabels")) {
            self.select(self.home.into(), labels, &ingress, "/spec/podSelector/matchLabels");
        }
        for (list, side) in [("ingress", "from"), ("egress", "to")] {
            for (at, rule) in items(spec.get(list)).enumerate() {
                // What may be called is called on these ports; who calls needs none.
                let ports = if side == "to" { ports_of(rule) } else { BTreeSet::new() };
                for (index, peer) in items(rule.get(side)).enumerate() {
                    let pointer = format!("/spec/{list}/{at}/{side}/{index}");
                    self.peer(peer, &ports, &pointer);
                }
            }
        }
    }

    fn peer(&mut self, peer: &Node, ports: &BTreeSet<u16>, pointer: &str) {
        let Some(labels) = peer.get("podSelector").and_then(|it| it.get("matchLabels")) else { return };
        let pointer = format!("{pointer}/podSelector/matchLabels");
        let Some(selector) = peer.get("namespaceSelector") else {
            return self.enter(self.home.into(), labels, ports, &pointer, Reach::Anywhere);
        };
        let wanted = selector.get("matchLabels").map(labels_of).unwrap_or_default();
        let told = ["kubernetes.io/metadata.name", "name"].iter().find_map(|key| wanted.get(*key)).cloned();
        let declared = self.declared.namespaces.iter();
        let fitting = |labels: &Labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
        let found = declared.filter(|(_, it)| fitting(&it.labels)).map(|(name, _)| name.clone()).next();
        // A namespace that only its label names is taken by that name.
        if let Some(namespace) = found.or(told).filter(|_| !wanted.is_empty()) {
            self.select(namespace, labels, ports, &pointer);
        }
    }

    fn select(&mut self, namespace: Box<str>, labels: &Node, ports: &BTreeSet<u16>, pointer: &str) {
        let meant_everywhere = *namespace == *self.root_namespace;
        self.enter(namespace, labels, ports, pointer, if meant_everywhere { Reach::Anywhere } else { Reach::Here });
    }

    fn enter(&mut self, namespace: Box<str>, labels: &Node, ports: &BTreeSet<u16>, pointer: &str, reach: Reach) {
        let labels = labels_of(labels);
        // Only what is named as an application is made up, and Istio's gateways have their own way.
        let named = ["app", "app.kubernetes.io/name"].iter().any(|key| labels.contains_key(*key));
        if !named || labels.contains_key("istio") {
            return;
        }
        let place = Place::value(self.document, pointer);
        let table = if reach == Reach::Here { &mut self.names.selected } else { &mut self.names.anywhere };
        table.entry((namespace, labels)).or_insert_with(|| Named::at(place)).ports.extend(ports);
    }

    fn kong(&mut self, root: &Node) {
        for (index, service) in items(root.get("services")).enumerate() {
            let url = service.get("url").and_then(Node::as_str);
            let host = service.get("host").and_then(Node::as_str);
            let port = service.get("port").and_then(port_of);
            let Some((host, port)) = url.map(split_url).or_else(|| host.map(|host| (host, port))) else { continue };
            if host.contains('.') {
                self.host(host, port, &format!("/services/{index}"));
            }
        }
    }
}

fn split_url(url: &str) -> (&str, Option<u16>) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

fn items(node: Option<&Node>) -> impl Iterator<Item = &Node> {
    let list = match node.map(|node| &node.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    list.iter()
}

fn port_of(node: &Node) -> Option<u16> {
    match node.value {
        Value::Integer(number) => u16::try_from(number).ok().filter(|port| *port > 0),
        _ => None,
    }
}

fn labels_of(node: &Node) -> Labels {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.as_str()?.into()))).collect()
        }
        _ => Labels::new(),
    }
}
