//! The policies of the platform as it was first written, judged: what they really let through; and every finding.

use super::lower;
use crate::istio::{codes_authorization as codes, peer_authentication, request_authentication};
use crate::{Input, Ledger, Resource};
use ringwall_mesh::authorization::{Applies, AuthorizationPolicy, Field, Force};
use ringwall_mesh::judge::inbound;
use ringwall_mesh::{Mesh, Mode, Policies};
use ringwall_model::{
    BodyLength, Call, CallId, Client, ClientOrigin, Code, Decision, Fields, Finding, Inventory, Peer, PeerTls, Raw,
    RuleBook, Scheme, Severity, SpiffeId, Step, Timestamp, Version, Views, Workload, WorkloadId,
};
use ringwall_token::{DevelopmentSigner, Facts, JwkSet, KeyAnswer, Known};
use std::sync::Arc;

macro_rules! as_written {
    ($name:literal) => {
        include_str!(concat!("../../../../../examples/as-written/", $name))
    };
}

const ISSUER: &str = "https://keycloak.platform.local/realms/platform";
const KEYS: &str = "https://keycloak.platform.local/realms/platform/protocol/openid-connect/certs";
const KONG: &str = "cluster.local/ns/infrastructure/sa/kong-gateway";
const BFF: &str = "cluster.local/ns/application/sa/bff-service";

fn all(texts: &[&str]) -> (Policies, Vec<Finding>) {
    let inputs: Vec<Input<'_>> = texts.iter().map(|text| Input { name: "t.yaml", bytes: text.as_bytes() }).collect();
    let (sources, mut findings) = crate::read(&inputs);
    let (mut policies, mut rules) = (Policies::default(), RuleBook::default());
    for document in &sources.documents {
        let ledger = Ledger::open(document);
        let resource = Resource::open(ledger.root());
        match resource.kind {
            "AuthorizationPolicy" => policies.authorizations.push(lower(&resource, &mut rules)),
            "PeerAuthentication" => {
                policies.peers.push(peer_authentication::lower(&resource, &mut rules, "istio-system"));
            }
            "RequestAuthentication" => policies.requests.push(request_authentication::lower(&resource, &mut rules)),
            _ => continue,
        }
        findings.extend(ledger.finish().0);
    }
    (policies, findings)
}

fn workload(app: &str) -> Workload {
    Workload {
        namespace: "application".into(),
        name: app.into(),
        app: app.into(),
        labels: [("app".into(), app.into())].into(),
        service_account: app.into(),
        identity: SpiffeId::of_service_account("cluster.local", "application", app).unwrap(),
        address: "10.0.0.9".parse().unwrap(),
        ports: Vec::new(),
        annotations: Default::default(),
        in_mesh: true,
        app_address: None,
        place: None,
    }
}

fn call(identity: Option<&str>, method: &'static str, path: &'static str, fields: &[(&'static str, &str)]) -> Call {
    let tls = identity.map(|principal| PeerTls {
        identity: SpiffeId::parse(&format!("spiffe://{principal}")).ok(),
        server_name: None,
        version: "TLSv1.3",
    });
    let mut head = Fields::default();
    fields.iter().for_each(|(name, value)| head.push(*name, value.to_string()));
    Call {
        id: CallId(1),
        received: Timestamp(0),
        raw: Raw::default(),
        faults: Vec::new(),
        version: Version::Http11,
        method: method.into(),
        scheme: Scheme::Http,
        authority: "bff".into(),
        target: path.into(),
        views: Views { istio: path.into(), kong: path.into(), query: None },
        fields: head,
        peer: Peer { address: "10.0.0.1:4000".parse().unwrap(), tls },
        client: Client { address: "10.0.0.1".parse().unwrap(), origin: ClientOrigin::Peer },
        local: "10.0.0.9:8080".parse().unwrap(),
        body: BodyLength::Empty,
    }
}

struct Platform {
    mesh: Mesh,
    facts: Facts,
    token: String,
}

fn platform() -> Platform {
    let (policies, _) = all(&[
        as_written!("05-authorization-deny-all.yaml"),
        as_written!("06-authorization-bff-to-services.yaml"),
        as_written!("07-authorization-kong-to-bff.yaml"),
        as_written!("08-authorization-monitoring.yaml"),
        as_written!("09-request-authentication-jwt.yaml"),
        as_written!("10-authorization-jwt-required.yaml"),
    ]);
    assert_eq!((policies.authorizations.len(), policies.requests.len()), (5, 1));
    let inventory = Inventory {
        workloads: vec![workload("bff-service"), workload("llm-agent-service")],
        trust_domain: "cluster.local".into(),
        root_namespace: "istio-system".into(),
        ..Inventory::default()
    };
    let signer = DevelopmentSigner::generate("k").unwrap();
    let token = signer.sign(&serde_json::json!({"iss": ISSUER, "sub": "u1", "tenant_id": "t1"})).unwrap();
    let keys = JwkSet::read(signer.key_set().to_string().as_bytes()).unwrap();
    let mut facts = Facts::default();
    facts.keys.insert(KEYS.into(), KeyAnswer::Set(Arc::new(keys)));
    Platform { mesh: Mesh::of(&policies, &inventory), facts, token }
}

impl Platform {
    fn passes(&self, workload: u32, call: &Call) -> bool {
        let known = Known { facts: &self.facts, asked: &[], now: Timestamp(1_800_000_000_000) };
        match inbound(&self.mesh, WorkloadId(workload), 8080, call, &known) {
            Step::Done(verdict) => matches!(verdict.judgement.decision, Decision::Pass { .. }),
            other => panic!("{other:?}"),
        }
    }
}

/// Four ALLOW policies on one workload are one union: each fact was measured on Envoy.
#[test]
fn a_required_token_is_not_required() {
    let platform = platform();
    let bearer = format!("Bearer {}", platform.token);
    let token = [("authorization", &*bearer)];
    // Kong without any token, any method.
    assert!(platform.passes(0, &call(Some(KONG), "GET", "/api/v1/agents", &[])));
    assert!(platform.passes(0, &call(Some(KONG), "DELETE", "/api/v1/agents", &[])));
    // Plaintext, without any identity, with any valid token, on any path.
    assert!(platform.passes(0, &call(None, "GET", "/admin", &token)));
    // Another trust domain with a token.
    assert!(platform.passes(0, &call(Some("evil.td/ns/x/sa/y"), "DELETE", "/admin", &token)));
    // What is refused all the same.
    assert!(!platform.passes(0, &call(None, "GET", "/admin", &[])));
    assert!(!platform.passes(0, &call(Some(KONG), "GET", "/admin", &[])));
    assert!(!platform.passes(0, &call(None, "GET", "/health", &[("authorization", "Bearer x")])));
}

#[test]
fn an_encoded_slash_and_an_empty_tenant_pass() {
    let platform = platform();
    let tenant = [("x-tenant-id", "")];
    assert!(platform.passes(1, &call(Some(BFF), "GET", "/api/v1/agents/..%2f..%2fadmin", &tenant)));
    assert!(!platform.passes(1, &call(Some(BFF), "GET", "/admin", &tenant)));
    assert!(!platform.passes(1, &call(Some(BFF), "GET", "/api/v1/agents/1", &[])));
    assert!(!platform.passes(1, &call(Some(BFF), "POST", "/api/v1/completions", &tenant)));
    assert!(platform.passes(1, &call(None, "GET", "/health", &[])));
}

#[test]
fn the_policies_as_written_are_sound() {
    let (policies, findings) = all(&[
        as_written!("03-mtls-strict.yaml"),
        as_written!("06-authorization-bff-to-services.yaml"),
        as_written!("09-request-authentication-jwt.yaml"),
    ]);
    assert_eq!(findings.iter().filter(|it| it.severity == Severity::Error).collect::<Vec<_>>(), Vec::<&Finding>::new());
    assert!(policies.peers.iter().any(|peer| peer.mode == Some(Mode::Strict)));
}

fn policy(spec: &str) -> String {
    resource("AuthorizationPolicy", "application", spec)
}

fn resource(kind: &str, namespace: &str, spec: &str) -> String {
    let head =
        format!("apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata:\n  name: p\n  namespace: {namespace}\n");
    format!("{head}spec: {spec}\n")
}

fn codes_of(text: &str) -> Vec<Code> {
    all(&[text]).1.into_iter().map(|finding| finding.code).collect()
}

#[track_caller]
fn finds(text: &str, code: Code) {
    let found = codes_of(text);
    assert!(found.contains(&code), "{text}\n{found:?}");
}

#[test]
fn what_istio_refuses_or_passes_over_is_said() {
    finds(&policy("{action: DENY}"), codes::NO_RULES);
    finds(&policy("{action: DENY, rules: []}"), codes::NO_RULES);
    finds(&policy("{rules: [{when: [{key: 'request.header[x]', values: [a]}]}]}"), codes::UNKNOWN_KEY);
    finds(&policy("{rules: [{when: [{key: destination.name, values: [a]}]}]}"), codes::UNKNOWN_KEY);
    finds(&policy("{rules: [{when: [{key: source.ip}]}]}"), codes::NO_VALUES);
    finds(&policy("{rules: [{from: [{source: {principals: []}}]}]}"), codes::EMPTY_LIST);
    finds(&policy("{rules: [{from: []}]}"), codes::EMPTY_PART);
    finds(&policy("{rules: [{to: [{operation: {}}]}]}"), codes::EMPTY_PART);
    finds(&policy("{rules: [{to: [{operation: {paths: ['/a/{x}']}}]}]}"), codes::TEMPLATE);
    finds(&policy("{rules: [{to: [{operation: {ports: ['http']}}]}]}"), codes::PORT);
    finds(&policy("{rules: [{from: [{source: {serviceAccounts: ['a/*']}}]}]}"), codes::SERVICE_ACCOUNT);
    finds(&policy("{rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]}"), codes::SERVICE_ACCOUNT);
    finds(&policy("{rules: [{from: [{source: {principals: ['spiffe://td/ns/a/sa/b']}}]}]}"), codes::PRINCIPAL_SCHEME);
    finds(&policy("{rules: [{from: [{source: {requestPrincipals: [neither]}}]}]}"), codes::REQUEST_PRINCIPAL);
    finds(&policy("{rules: [{to: [{operation: {methods: [get]}}]}]}"), codes::METHOD_CASE);
    finds(&policy("{rules: [{to: [{operation: {hosts: ['a*b']}}]}]}"), codes::INNER_STAR);
    finds(&policy("{action: CUSTOM, provider: {name: x}, rules: [{}]}"), codes::CUSTOM);
    let early = "{action: CUSTOM, provider: {name: x}, rules: [{from: [{source: {principals: [a]}}]}]}";
    finds(&policy(early), codes::CUSTOM_FIELD);
    finds(&policy("{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}"), codes::DENY_WIDE_ON_TCP);
    finds(&policy("{rules: [{to: [{operation: {methods: [POST], ports: ['80']}}]}]}"), codes::ALLOW_NOTHING_ON_TCP);
    finds(&policy("{targetRefs: [{kind: Service, name: a}], rules: [{}]}"), codes::TARGET);
    finds(&policy("{selector: {matchLabels: {app: 'a*'}}, rules: [{}]}"), codes::SELECTOR);
    finds(&policy("{rules: [{when: [{key: 'experimental.envoy.filters.a[b]', values: [c]}]}]}"), codes::METADATA);
    let peer = |namespace: &str, spec: &str| resource("PeerAuthentication", namespace, spec);
    finds(&peer("istio-system", "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}}"), codes::ROOT_SELECTOR);
    finds(&peer("a", "{portLevelMtls: {80: {mode: STRICT}}}"), codes::PORT_LEVEL);
    finds(&peer("a", "{selector: {matchLabels: {app: a}}, portLevelMtls: {}}"), codes::PORT_LEVEL);
    finds(&peer("a", "{selector: {matchLabels: {app: a}}, portLevelMtls: {0: {mode: STRICT}}}"), codes::PORT_LEVEL);
    let request = |rule: &str| resource("RequestAuthentication", "a", &format!("{{jwtRules: [{rule}]}}"));
    finds(&request("{issuer: i, jwks: '{}', jwksUri: 'https://k'}"), codes::TWO_KEY_SOURCES);
    finds(&request("{issuer: i, jwks: '{}'}"), codes::KEYS);
    finds(&request("{issuer: i, jwksUri: 'http://k'}"), codes::KEY_ADDRESS);
    finds(&request("{issuer: i, jwksUri: k}"), codes::KEY_ADDRESS);
    finds(&request("{issuer: i, outputPayloadToHeader: 'a b'}"), codes::HEADER_NAME);
    finds(&request("{jwksUri: 'https://k'}"), crate::code::REQUIRED);
}

fn lowered(spec: &str) -> AuthorizationPolicy {
    all(&[&policy(spec)]).0.authorizations.remove(0)
}

#[test]
fn what_cannot_be_read_refuses_or_allows_nothing() {
    let fields = |spec: &str| -> Vec<Field> {
        let policy = lowered(spec);
        let rule = &policy.rules[0];
        let clauses = rule.from.iter().flatten().chain(rule.to.iter().flatten()).chain(&rule.when);
        clauses.map(|clause| clause.field.clone()).collect()
    };
    assert!(fields("{rules: [{when: [{key: nonsense, values: [a]}]}]}").contains(&Field::Never));
    assert_eq!(fields("{action: DENY, rules: [{when: [{key: nonsense, values: [a]}]}]}"), [Field::Always]);
    assert!(fields("{rules: [{to: [{operation: {path: ['/a']}}]}]}").contains(&Field::Never));
    assert!(fields("{rules: [{from: [{source: {notIpBlocks: [x]}}]}]}").contains(&Field::Never));
    assert_eq!(fields("{action: DENY, rules: [{from: [{source: {ipBlocks: [x]}}]}]}"), [Field::Always]);
    assert!(lowered("{action: DNEY, rules: [{}]}").rules.is_empty());
    let unread = lowered("{selector: {matchLabels: [a]}, rules: [{}]}");
    assert!(matches!(unread.applies, Applies::To(selector) if selector.0.is_empty()) && unread.rules.is_empty());
}

#[test]
fn dry_runs_do_not_decide() {
    let annotated = |value: &str, spec: &str| {
        let text = policy(spec)
            .replace("  name: p\n", &format!("  name: p\n  annotations: {{istio.io/dry-run: '{value}'}}\n"));
        let (mut policies, findings) = all(&[&text]);
        (policies.authorizations.remove(0).force, findings.iter().any(|it| it.code == codes::DRY_RUN))
    };
    assert_eq!(annotated("true", "{rules: [{}]}"), (Force::DryRun, false));
    assert_eq!(annotated("false", "{rules: [{}]}"), (Force::Enforced, false));
    assert_eq!(annotated("yes", "{rules: [{}]}"), (Force::Enforced, true));
    assert_eq!(annotated("true", "{action: AUDIT, rules: [{}]}"), (Force::Enforced, true));
}
