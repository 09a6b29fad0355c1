//! A workload with a thousand distinct ALLOW rules that hang on one kind of field, and calls for them.

use bytes::Bytes;
use ringwall_mesh::authorization::{
    Action, Applies, AuthorizationPolicy, Clause, Field, Force, PathForm, Rule, Sense, Values,
};
use ringwall_mesh::matching::{Form, read_block};
use ringwall_mesh::{Mesh, Policies};
use ringwall_model::{
    BodyLength, Call, CallId, Client, ClientOrigin, Fields, Inventory, Peer, PeerTls, Raw, RuleId, Scheme, Selector,
    SpiffeId, Timestamp, Version, Views, Workload, WorkloadId,
};

pub const RULES: u32 = 1000;
pub const HERE: WorkloadId = WorkloadId(0);
pub const KINDS: [&str; 8] = [
    "principal",
    "exact path",
    "path prefix",
    "path template",
    "header value",
    "header name",
    "address",
    "principal × path (32 × 32)",
];

/// The mesh of one kind.
pub fn mesh(kind: &str) -> Mesh {
    let rule = |number| {
        let (from, to, when) = clauses(kind, number);
        let list = |clause: Option<Clause>| clause.into_iter().map(|clause| vec![clause]).collect();
        Rule { id: RuleId(number), index: number, from: list(from), to: list(to), when: when.into_iter().collect() }
    };
    let policy = AuthorizationPolicy {
        id: RuleId(RULES),
        namespace: "application".into(),
        name: "many".into(),
        applies: Applies::To(Selector::default()),
        action: Action::Allow,
        force: Force::Enforced,
        rules: (0..RULES).map(rule).collect(),
    };
    let inventory = Inventory {
        workloads: vec![workload()],
        trust_domain: "cluster.local".into(),
        root_namespace: "istio-system".into(),
        ..Inventory::default()
    };
    Mesh::of(&Policies { authorizations: vec![policy], ..Policies::default() }, &inventory)
}

fn clauses(kind: &str, number: u32) -> (Option<Clause>, Option<Clause>, Option<Clause>) {
    let clause = |field, values| Some(Clause { field, values, sense: Sense::Any });
    let text = |text: String| Values::Text(vec![Form::read(&text)]);
    let path = |text: String| Values::Paths(PathForm::read(&text).into_iter().collect());
    let get = || clause(Field::Method, text("GET".into()));
    match kind {
        "principal" => (clause(Field::Principal, text(principal(number))), get(), None),
        "exact path" => (None, clause(Field::Path, path(format!("/api/v1/things/{number}/list"))), None),
        "path prefix" => (None, clause(Field::Path, path(format!("/api/v1/things/{number}/*"))), None),
        "path template" => (None, clause(Field::Path, path(format!("/api/v1/things/{number}/{{*}}"))), None),
        "header value" => (None, get(), clause(Field::Header("x-tenant-id".into()), text(format!("tenant-{number}")))),
        "header name" => {
            (None, get(), clause(Field::Header(format!("x-key-{number}").into()), Values::Text(vec![Form::Present])))
        }
        "address" => {
            let block = format!("10.{}.{}.0/24", number / 250, number % 250);
            (clause(Field::PeerAddress, Values::Blocks(read_block(&block).into_iter().collect())), get(), None)
        }
        _ => (
            clause(Field::Principal, text(principal(number % 32))),
            clause(Field::Path, path(format!("/api/v1/things/{}/*", number / 32))),
            None,
        ),
    }
}

fn principal(number: u32) -> String {
    format!("cluster.local/ns/application/sa/service-{number}")
}

/// The call that the rule of that number alone allows; for [`RULES`], a call that none does.
pub fn call(kind: &str, number: u32) -> Call {
    let product = kind == KINDS[7];
    let (who, what) = if product { (number % 32, number / 32) } else { (number, number) };
    let path = Bytes::from(format!("/api/v1/things/{}/list", if product && number == RULES { RULES } else { what }));
    let mut fields = Fields::default();
    for name in ["accept", "accept-encoding", "user-agent", "x-request-id", "x-forwarded-for", "content-type"] {
        fields.push(name, "a value of some length, as browsers send it");
    }
    fields.push("x-tenant-id", format!("tenant-{number}"));
    fields.push(format!("x-key-{number}"), "v");
    let identity = SpiffeId::parse(&format!("spiffe://{}", principal(who))).ok();
    let tls = PeerTls { identity, server_name: None, version: "TLSv1.3" };
    let address = format!("10.{}.{}.7:40000", number / 250, number % 250).parse().unwrap();
    Call {
        id: CallId(1),
        received: Timestamp(0),
        raw: Raw::default(),
        faults: Vec::new(),
        version: Version::Http11,
        method: "GET".into(),
        scheme: Scheme::Http,
        authority: "service:8080".into(),
        target: path.clone(),
        views: Views { istio: path.clone(), kong: path, query: None },
        fields,
        peer: Peer { address, tls: Some(tls) },
        client: Client { address: [192, 0, 2, 9].into(), origin: ClientOrigin::Peer },
        local: ([10, 9, 9, 9], 8080).into(),
        body: BodyLength::Empty,
    }
}

fn workload() -> Workload {
    Workload {
        namespace: "application".into(),
        name: "service-0".into(),
        app: "service".into(),
        labels: Default::default(),
        service_account: "service".into(),
        identity: SpiffeId::of_service_account("cluster.local", "application", "service").unwrap(),
        address: [10, 9, 9, 9].into(),
        ports: Vec::new(),
        annotations: Default::default(),
        in_mesh: true,
        app_address: None,
        place: None,
    }
}
