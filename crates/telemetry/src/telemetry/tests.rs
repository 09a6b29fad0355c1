use super::{AccessLog, Chosen, Counting, Logs, Names, Output, Telemetry, Which};
use crate::Format;
use ringwall_model::{
    CallId, Connection, Decision, Endpoint, Event, Exchange, Inventory, Layer, Millis, Protocol, Reason, RefusedCopy,
    Reply, Role, RuleBook, Service, ServiceId, ServicePort, SpiffeId, Timestamp, Trace, UpstreamChange, Version,
    Workload, WorkloadId,
};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// A sink that a test can read.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn workload(namespace: &str, name: &str) -> Workload {
    Workload {
        namespace: namespace.into(),
        name: format!("{name}-0").into(),
        app: name.into(),
        labels: [("app".into(), name.into()), ("version".into(), "v1".into())].into(),
        service_account: name.into(),
        identity: SpiffeId::of_service_account("cluster.local", namespace, name).unwrap(),
        address: "10.0.0.1".parse().unwrap(),
        ports: vec![],
        annotations: Default::default(),
        in_mesh: true,
        app_address: None,
        place: None,
    }
}

pub fn inventory() -> Inventory {
    let host: Arc<str> = "bff-service.application.svc.cluster.local".into();
    let port =
        ServicePort { name: "http".into(), number: 80, protocol: Protocol::Http, target: 8080, target_name: None };
    let service = Service {
        datagram_ports: Vec::new(),
        namespace: "application".into(),
        name: "bff-service".into(),
        host: host.clone(),
        address: None,
        cidrs: vec![],
        ports: vec![port],
        external: false,
        endpoints: vec![Endpoint::Workload(WorkloadId(0))],
        selector: None,
        place: None,
    };
    Inventory {
        workloads: vec![workload("application", "bff-service"), workload("infrastructure", "kong-gateway")],
        services: vec![service],
        hosts: [(host, ServiceId(0))].into(),
        ..Inventory::default()
    }
}

pub fn exchange(role: Role) -> Exchange {
    let mut request_fields = ringwall_model::Fields::default();
    request_fields.push("User-Agent", "curl/8");
    request_fields.push("X-Forwarded-For", "192.0.2.1");
    request_fields.push("Authorization", "Bearer s3cret");
    let inbound = role == Role::Inbound;
    Exchange {
        id: CallId(0x7f6d_1c3e_3a5e_4c5e_9d53_0a1b_2c3d_4e5f),
        started: Timestamp(1_795_449_852_222),
        duration: Millis(12),
        role,
        workload: if inbound { "application/bff-service-0" } else { "infrastructure/kong-gateway-0" }.into(),
        version: Version::Http11,
        method: "GET".into(),
        target: "/api?access_token=s3cret&x=1".into(),
        authority: "api.platform.local".into(),
        request_fields,
        response_fields: Default::default(),
        status: 200,
        flags: "-",
        refused: None,
        details: "via_upstream".into(),
        received: 3,
        sent: 40,
        peer: "10.0.0.7:5555".parse().unwrap(),
        peer_identity: inbound
            .then(|| SpiffeId::parse("spiffe://cluster.local/ns/infrastructure/sa/kong-gateway").unwrap()),
        client: "192.0.2.1".parse().unwrap(),
        local: "10.0.0.1:8080".parse().unwrap(),
        server_name: None,
        route: "bff".into(),
        cluster: if inbound { "inbound|8080||" } else { "outbound|80||bff-service.application.svc.cluster.local" }
            .into(),
        upstream: Some("127.0.0.1:9000".parse().unwrap()),
        upstream_local: None,
        upstream_time: Some(Millis(9)),
        gateway: None,
        trace: Trace::default(),
        decided: None,
        inspected: None,
        span: None,
    }
}

struct Room {
    telemetry: Telemetry,
    access: Shared,
    flow: Shared,
    _directory: tempfile::TempDir,
}

fn room(lines_per_second: u32) -> Room {
    let (access, flow, directory) = (Shared::default(), Shared::default(), tempfile::tempdir().unwrap());
    let output = Output {
        firewall: Box::new(io::sink()),
        audit: Box::new(io::sink()),
        access: Box::new(access.clone()),
        flow: Box::new(flow.clone()),
        decisions: Some((directory.path().into(), 1 << 20)),
        lines_per_second,
        counting: Counting::Calls,
    };
    Room { telemetry: Telemetry::start(output).unwrap(), access, flow, _directory: directory }
}

fn tell(room: &Room, rules: &RuleBook, event: Event) {
    room.telemetry.tell(&event, &Names { generation: 1, rules, inventory: &inventory() });
}

#[test]
fn a_request_is_counted_once_where_it_was_answered() {
    let room = room(1000);
    let rules = RuleBook::default();
    tell(&room, &rules, Event::Exchange(Box::new(exchange(Role::Edge))));
    tell(&room, &rules, Event::Exchange(Box::new(exchange(Role::Inbound))));
    let text = room.telemetry.metrics();
    let requests: Vec<&str> = text.lines().filter(|line| line.starts_with("istio_requests_total{")).collect();
    assert_eq!(requests.len(), 1, "{text}");
    for label in [
        "reporter=\"destination\"",
        "source_workload=\"kong-gateway\"",
        "source_workload_namespace=\"infrastructure\"",
        "source_principal=\"spiffe://cluster.local/ns/infrastructure/sa/kong-gateway\"",
        "destination_workload=\"bff-service\"",
        "destination_service=\"bff-service.application.svc.cluster.local\"",
        "destination_service_namespace=\"application\"",
        "connection_security_policy=\"mutual_tls\"",
        ",security_policy=\"mutual_tls\"",
        "request_protocol=\"http\"",
        "response_code=\"200\"",
        "response_flags=\"-\"",
    ] {
        assert!(requests[0].contains(label), "{label}: {}", requests[0]);
    }
    assert!(text.contains(
        "envoy_cluster_upstream_rq_total{cluster_name=\"outbound|80||bff-service.application.svc.cluster.local\"} 1\n"
    ));
    assert!(text.contains("istio_request_duration_milliseconds_bucket"));
}

#[test]
fn every_request_counts_whatever_is_forgotten_between_scrapes() {
    let room = room(1000);
    let (rules, inventory) = (RuleBook::default(), inventory());
    let answers = |text: &str| -> u64 {
        let mine = text.lines().filter(|line| line.starts_with("ringwall_requests_total{"));
        mine.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    // More kinds than a thread remembers, in two Worlds, each twice.
    for generation in [1, 2] {
        for nth in 0..10_000 {
            let route = format!("route {}", nth % 5000).into();
            let event = Event::Exchange(Box::new(Exchange { route, ..exchange(Role::Edge) }));
            room.telemetry.tell(&event, &Names { generation, rules: &rules, inventory: &inventory });
        }
        assert_eq!(answers(&room.telemetry.metrics()), 10_000 * generation);
    }
    assert_eq!(answers(&room.telemetry.metrics()), 20_000, "a scrape changes nothing");
}

#[test]
fn a_request_that_never_arrived_is_counted_where_it_came_from() {
    let room = room(1000);
    let lost = Exchange { upstream: None, status: 503, flags: "URX,UF", ..exchange(Role::Edge) };
    tell(&room, &RuleBook::default(), Event::Exchange(Box::new(lost)));
    let text = room.telemetry.metrics();
    let line = text.lines().find(|line| line.starts_with("istio_requests_total{")).unwrap();
    assert!(line.contains("reporter=\"source\"") && line.contains("response_flags=\"URX,UF\""), "{line}");
    assert!(
        line.contains("connection_security_policy=\"unknown\"") && line.contains("response_code=\"503\""),
        "{line}"
    );
}

#[test]
fn every_decision_is_counted_with_its_rule() {
    let room = room(1000);
    let mut rules = RuleBook::default();
    let rule = Reason::Rule(rules.enter("AuthorizationPolicy", "application", "kong-to-bff", "/spec/rules/0", None));
    let mut told = exchange(Role::Inbound);
    told.trace.note(Layer::Head, &Decision::Pass { because: Reason::NoRuleApplies });
    told.trace.note(Layer::Mesh, &Decision::Refuse { because: rule, reply: Reply::Drop });
    told.refused = Some((Layer::Mesh, rule));
    tell(&room, &rules, Event::Exchange(Box::new(told)));
    let text = room.telemetry.metrics();
    assert!(text.contains("ringwall_decisions_total{layer=\"mesh\",rule=\"AuthorizationPolicy/application/kong-to-bff#/spec/rules/0\",verdict=\"refuse\"} 1\n"), "{text}");
    assert!(text.contains("ringwall_decisions_total{layer=\"head\",rule=\"no rule applies\",verdict=\"pass\"} 1\n"));
}

#[test]
fn kong_and_upstreams_have_their_own_metrics() {
    let room = room(1000);
    let routed = Exchange { gateway: Some(("bff-api".into(), "alice".into())), ..exchange(Role::Gateway) };
    tell(&room, &RuleBook::default(), Event::Exchange(Box::new(routed)));
    for change in
        [UpstreamChange::Opened, UpstreamChange::Opened, UpstreamChange::Closed, UpstreamChange::ConnectFailed]
    {
        tell(&room, &RuleBook::default(), Event::Upstream { cluster: "outbound|80||a".into(), change });
    }
    let text = room.telemetry.metrics();
    for line in [
        "kong_http_requests_total{service=\"bff-api\",route=\"bff\",code=\"200\",source=\"service\",workspace=\"default\",consumer=\"alice\"} 1\n",
        "envoy_cluster_upstream_cx_total{cluster_name=\"outbound|80||a\"} 2\n",
        "envoy_cluster_upstream_cx_active{cluster_name=\"outbound|80||a\"} 1\n",
        "envoy_cluster_upstream_cx_connect_fail{cluster_name=\"outbound|80||a\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn exchanges_that_meet_in_one_place_are_counted_apart() {
    let room = room(1000);
    let names = ["ab", "ba", "cc"];
    // Of the same lengths and status: they meet in one place of those that were counted last.
    for name in names.iter().cycle().take(12) {
        let gateway = Some((Arc::from(*name), Arc::from("alice")));
        let routed = Exchange { route: (*name).into(), gateway, ..exchange(Role::Gateway) };
        tell(&room, &RuleBook::default(), Event::Exchange(Box::new(routed)));
    }
    let text = room.telemetry.metrics();
    for name in names {
        let line = format!(
            "kong_http_requests_total{{service=\"{name}\",route=\"{name}\",code=\"200\",source=\"service\",\
             workspace=\"default\",consumer=\"alice\"}} 4\n"
        );
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn nothing_that_is_written_holds_a_credential() {
    let room = room(1000);
    let all = AccessLog {
        which: Which::All,
        format: Format::text("%REQ(:PATH)% %REQ(AUTHORIZATION)% %REQ(X-FORWARDED-FOR)%").0,
    };
    let other = AccessLog { which: Which::Only(Chosen::default()), format: Format::default() };
    room.telemetry.follow(Logs { access: vec![all, other] });
    let span = Some(Box::new(ringwall_model::Span { trace: 1, id: 2, parent: None }));
    tell(&room, &RuleBook::default(), Event::Exchange(Box::new(Exchange { span, ..exchange(Role::Edge) })));
    let id = CallId(0x7f6d_1c3e_3a5e_4c5e_9d53_0a1b_2c3d_4e5f).to_string();
    let found = room.telemetry.find(&id).unwrap();
    assert_eq!(room.access.text(), "/api?access_token=[redacted]&x=1 [redacted] 192.0.2.1\n");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["target"], "/api?access_token=[redacted]&x=1");
    let spans = crate::span::zipkin(&room.telemetry.take_spans(10));
    let spans: serde_json::Value = serde_json::from_slice(&spans).unwrap();
    assert_eq!(spans[0]["tags"]["http.method"], "GET");
    for text in [room.access.text(), found[0].to_string(), spans[0].to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_log_writes_the_chosen_side_of_a_workload() {
    let room = room(1000);
    let own: Arc<str> = "shop/cart-0".into();
    let chosen = Chosen { called: [own.clone()].into(), calling: Default::default() };
    let log = AccessLog { which: Which::Only(chosen), format: Format::text("%RESPONSE_CODE%").0 };
    room.telemetry.follow(Logs { access: vec![log] });
    let told = |role| {
        let exchange = Exchange { workload: own.clone(), ..exchange(role) };
        tell(&room, &RuleBook::default(), Event::Exchange(Box::new(exchange)));
    };
    [Role::Edge, Role::Outbound].into_iter().for_each(told);
    room.telemetry.flush();
    assert_eq!(room.access.text(), "");
    [Role::Inbound, Role::Gateway].into_iter().for_each(told);
    let other = Exchange { workload: "other/other-0".into(), ..exchange(Role::Inbound) };
    tell(&room, &RuleBook::default(), Event::Exchange(Box::new(other)));
    room.telemetry.flush();
    assert_eq!(room.access.text().lines().count(), 2);
}

#[test]
fn connections_make_flow_lines() {
    let room = room(1000);
    let failed = Connection {
        id: CallId(7),
        started: Timestamp(0),
        duration: Millis(3),
        role: Role::Inbound,
        workload: "application/bff-service-0".into(),
        peer: "10.0.0.9:1".parse().unwrap(),
        peer_identity: None,
        server_name: None,
        refused: Some((Layer::Tls, Reason::Builtin("tls/no-client-certificate"))),
        failure: Some("peer sent no certificates".into()),
        cluster: "".into(),
        received: 0,
        sent: 0,
    };
    let served = Connection {
        refused: None,
        failure: None,
        cluster: "inbound|5432||".into(),
        received: 10,
        sent: 20,
        ..failed.clone()
    };
    tell(&room, &RuleBook::default(), Event::Connection(Box::new(failed)));
    tell(&room, &RuleBook::default(), Event::Connection(Box::new(served)));
    room.telemetry.flush();
    let lines: Vec<serde_json::Value> =
        room.flow.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["refused_by"], "tls: builtin/tls/no-client-certificate");
    assert_eq!(lines[1]["bytes_sent"], 20);
    let text = room.telemetry.metrics();
    assert!(text.contains("ringwall_tls_handshake_errors_total{role=\"inbound\"} 1\n"), "{text}");
    let tcp: Vec<&str> = text.lines().filter(|line| line.starts_with("istio_tcp_received_bytes_total{")).collect();
    assert!(
        tcp.len() == 1 && tcp[0].ends_with(" 10") && tcp[0].contains("connection_security_policy=\"none\""),
        "{tcp:?}"
    );
}

#[test]
fn a_refused_copy_is_a_line_and_two_counts() {
    let room = room(100);
    let cluster: Arc<str> = "outbound|80||shadow".into();
    tell(
        &room,
        &RuleBook::default(),
        Event::Copy(Box::new(RefusedCopy {
            id: CallId(7),
            started: Timestamp(0),
            role: Role::Edge,
            workload: "istio-system/ingress".into(),
            cluster: cluster.clone(),
            refused: (Layer::Packet, Reason::Builtin("packet/test")),
            decided: None,
        })),
    );
    room.telemetry.flush();
    let line: serde_json::Value = serde_json::from_str(&room.flow.text()).unwrap();
    assert_eq!(
        (&line["mirror_cluster"], &line["refused_by"]),
        (&"outbound|80||shadow".into(), &"packet: builtin/packet/test".into())
    );
    assert_eq!(line["id"], CallId(7).to_string());
    let text = room.telemetry.metrics();
    for series in [
        "ringwall_not_mirrored_requests_total{cluster_name=\"outbound|80||shadow\"} 1\n",
        "ringwall_decisions_total{layer=\"packet\",rule=\"builtin/packet/test\",verdict=\"refuse\"} 1\n",
    ] {
        assert!(text.contains(series), "{text}");
    }
}

#[test]
fn an_orderly_end_writes_all_that_was_told() {
    let room = room(1000);
    let format = Format::text("%BYTES_SENT%").0;
    room.telemetry.follow(Logs { access: vec![AccessLog { which: Which::All, format }] });
    let told = |sent| Event::Exchange(Box::new(Exchange { sent, ..exchange(Role::Edge) }));
    (0..200).for_each(|sent| tell(&room, &RuleBook::default(), told(sent)));
    drop(room.telemetry);
    assert_eq!(room.access.text(), (0..200).map(|sent| format!("{sent}\n")).collect::<String>());
}

#[test]
fn a_log_that_cannot_keep_up_loses_lines_and_counts_them() {
    let room = room(5);
    room.telemetry.follow(Logs { access: vec![AccessLog { which: Which::All, format: Format::text("x").0 }] });
    (0..20).for_each(|_| tell(&room, &RuleBook::default(), Event::Exchange(Box::new(exchange(Role::Edge)))));
    room.telemetry.flush();
    let written = room.access.text().lines().count();
    assert!(written <= 5, "{written}");
    let dropped: f64 = room
        .telemetry
        .metrics()
        .lines()
        .filter(|line| line.starts_with("ringwall_log_lines_dropped_total"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(dropped, 35.0);
}
