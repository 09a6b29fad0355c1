//! Calls and policies for the tests of this room.

use crate::authorization::{Action, Applies, AuthorizationPolicy, Clause, Field, Force, Rule, Sense, Values};
use crate::matching::Form;
use crate::mesh::{Mesh, Policies};
use bytes::Bytes;
use ringwall_model::{
    BodyLength, Call, CallId, Client, ClientOrigin, Fields, Inventory, Peer, PeerTls, Raw, RuleId, Scheme, Selector,
    SpiffeId, Timestamp, Version, Views, Workload, WorkloadId,
};

pub const KONG: &str = "spiffe://cluster.local/ns/infrastructure/sa/kong-gateway";
pub const NOW: Timestamp = Timestamp(1_800_000_000_000);
pub const HERE: WorkloadId = WorkloadId(0);

pub fn peer(identity: Option<&str>) -> Peer {
    let tls = identity.map(|uri| PeerTls {
        identity: Some(SpiffeId::parse(uri).unwrap()),
        server_name: Some("outbound_.8080_._.bff-service.application.svc.cluster.local".into()),
        version: "TLSv1.3",
    });
    Peer { address: "10.1.2.3:40000".parse().unwrap(), tls }
}

/// A call with an identity (or plaintext), a method and a target.
pub fn call(identity: Option<&str>, method: &'static str, target: &str) -> Call {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let views = Views {
        istio: Bytes::copy_from_slice(path.as_bytes()),
        kong: Bytes::copy_from_slice(path.as_bytes()),
        query: query.map(|query| Bytes::copy_from_slice(query.as_bytes())),
    };
    Call {
        id: CallId(1),
        received: NOW,
        raw: Raw::default(),
        faults: Vec::new(),
        version: Version::Http11,
        method: method.into(),
        scheme: Scheme::Http,
        authority: "bff.local:8080".into(),
        target: Bytes::copy_from_slice(target.as_bytes()),
        views,
        fields: Fields::default(),
        peer: peer(identity),
        client: Client { address: "192.0.2.9".parse().unwrap(), origin: ClientOrigin::Peer },
        local: "10.9.9.9:8080".parse().unwrap(),
        body: BodyLength::Empty,
    }
}

pub fn with(mut call: Call, fields: &[(&'static str, &str)]) -> Call {
    fields.iter().for_each(|(name, value)| call.fields.push(*name, Bytes::copy_from_slice(value.as_bytes())));
    call
}

pub fn clause(field: Field, values: &[&str]) -> Clause {
    let form = |value: &&str| match field {
        Field::Header(_) => Form::read_header(value),
        Field::Namespace => Form::read_namespace(value),
        _ => Form::read(value),
    };
    Clause { values: Values::Text(values.iter().map(form).collect()), field, sense: Sense::Any }
}

pub fn not(clause: Clause) -> Clause {
    Clause { sense: Sense::None, ..clause }
}

/// A rule with one source, one operation and conditions; an empty list is no list.
pub fn rule(from: Vec<Clause>, to: Vec<Clause>, when: Vec<Clause>) -> Rule {
    let list = |clauses: Vec<Clause>| if clauses.is_empty() { Vec::new() } else { vec![clauses] };
    Rule { id: RuleId(0), index: 0, from: list(from), to: list(to), when }
}

/// A policy in the workload's namespace; its rules are numbered from `first`.
pub fn policy(name: &str, action: Action, first: u32, rules: Vec<Rule>) -> AuthorizationPolicy {
    let numbered = (0..).zip(rules).map(|(index, rule)| Rule { id: RuleId(first + index), index, ..rule });
    AuthorizationPolicy {
        id: RuleId(first + 1000),
        namespace: "application".into(),
        name: name.into(),
        applies: Applies::To(Selector::default()),
        action,
        force: Force::Enforced,
        rules: numbered.collect(),
    }
}

pub fn workload(namespace: &str, labels: &[(&str, &str)]) -> Workload {
    Workload {
        namespace: namespace.into(),
        name: "bff-service-0".into(),
        app: "bff-service".into(),
        labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        service_account: "bff-service".into(),
        identity: SpiffeId::of_service_account("cluster.local", namespace, "bff-service").unwrap(),
        address: "10.9.9.9".parse().unwrap(),
        ports: Vec::new(),
        annotations: Default::default(),
        in_mesh: true,
        app_address: None,
        place: None,
    }
}

pub fn inventory() -> Inventory {
    Inventory {
        workloads: vec![workload("application", &[("app", "bff-service")])],
        trust_domain: "cluster.local".into(),
        root_namespace: "istio-system".into(),
        ..Inventory::default()
    }
}

pub fn mesh(authorizations: Vec<AuthorizationPolicy>) -> Mesh {
    Mesh::of(&Policies { authorizations, ..Policies::default() }, &inventory())
}
