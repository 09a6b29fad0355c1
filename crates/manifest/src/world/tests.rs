use super::*;
use ringwall_model::Role;

const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/seed/manifests");

#[expect(clippy::disallowed_methods, reason = "tests read the manifests from disk")]
/// Files of the source document's manifests; `None` (and a line that says so) where they are absent.
fn seed() -> Option<Vec<(String, Vec<u8>)>> {
    let Ok(folder) = std::fs::read_dir(SEED) else {
        assert_ne!(std::env::var("RINGWALL_REQUIRE").as_deref(), Ok("parts"), "the manifests are absent");
        println!("not run: seed manifests: no folder");
        return None;
    };
    let mut files: Vec<_> = folder
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    Some(files)
}

fn inputs(files: &[(String, Vec<u8>)]) -> Vec<Input<'_>> {
    files.iter().map(|(name, bytes)| Input { name, bytes }).collect()
}

fn stand_ins() -> Options {
    Options { stand_in: StandIn::Workloads, reach: Reach::StandIn, ..Options::default() }
}

#[test]
fn the_seed_manifests_make_a_world() {
    let Some(files) = seed() else { return };
    let (world, findings) = lower(&inputs(&files), &stand_ins());
    if std::env::var("RINGWALL_SHOW").is_ok() {
        println!("{}", crate::render::human(&findings, &world.sources, crate::render::Colour::Plain));
        for workload in &world.inventory.workloads {
            println!("{} {} {} {:?}", workload.full_name(), workload.identity, workload.address, workload.ports);
        }
        for service in &world.inventory.services {
            println!("{} {:?} {:?} {:?}", service.host, service.address, service.ports, service.endpoints);
        }
        for listener in &world.listeners {
            println!("{listener:?}");
        }
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let told: Vec<String> = errors
        .map(|finding| format!("{} {} {}", world.sources.locate(&finding.primary), finding.code, finding.title))
        .collect();
    assert_eq!(told, Vec::<String>::new());
    let has = |name: &str| world.inventory.workloads.iter().any(|workload| workload.full_name() == name);
    for name in [
        "application/llm-agent-service",
        "application/bff-service",
        "application/workflow-orchestrator-service",
        "infrastructure/kong-gateway-0",
        "infrastructure/kong-gateway-2",
        "istio-system/istio-ingressgateway",
        "istio-system/istio-egressgateway",
        "observability/prometheus",
    ] {
        assert!(has(name), "{name}");
    }
    assert!(world.inventory.service_of("bff-service.application.svc.cluster.local").is_some());
    assert_eq!(world.gateways.len(), 3);
    let kong = "kong-gateway.infrastructure.svc.cluster.local";
    assert!(world.gateway_workload(kong, 8000).is_some());
    let roles: std::collections::BTreeSet<Role> = world.listeners.iter().map(|listener| listener.role).collect();
    assert!(
        roles.is_superset(&[Role::Edge, Role::Gateway, Role::Inbound, Role::Outbound, Role::Egress].into()),
        "{roles:?}"
    );
    assert_eq!(world.watched.groups.len(), 2);
    assert_eq!(world.watched.dashboards.len(), 1);
}

#[test]
fn the_order_of_files_changes_nothing() {
    let Some(mut files) = seed() else { return };
    let show = |files: &[(String, Vec<u8>)]| {
        let (world, findings) = lower(&inputs(files), &stand_ins());
        format!("{findings:?} {:?} {:?} {:?}", world.inventory, world.listeners, world.rules)
    };
    let first = show(&files);
    files.reverse();
    assert!(first == show(&files), "the World hangs on the order of files");
    files.rotate_left(17);
    assert!(first == show(&files), "the World hangs on the order of files");
}

/// Findings as `file:line:column code`, notes left out.
fn told(text: &str) -> Vec<String> {
    let (world, findings) = lower(&[Input { name: "t.yaml", bytes: text.as_bytes() }], &Options::default());
    let grave = findings.iter().filter(|finding| finding.severity != Severity::Note);
    grave.map(|finding| format!("{} {}", world.sources.locate(&finding.primary), finding.code)).collect()
}

#[track_caller]
fn check(text: &str, want: &[&str]) {
    assert_eq!(told(text), want, "{text}");
}

#[test]
fn documents_that_are_no_resource_are_told() {
    check("[1]", &["t.yaml:1:1 RW0010"]);
    check("a: 1", &["t.yaml:1:1 RW0011"]);
    check("apiVersion: v1\nkind: Nonsense", &["t.yaml:2:7 RW0012"]);
    check("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute", &["t.yaml:2:7 RW0012"]);
    check("apiVersion: v2\nkind: Namespace\nmetadata: {name: a}", &["t.yaml:1:13 RW0013"]);
    check("apiVersion: v1\nkind: Namespace", &["t.yaml:1:1 RW0023", "t.yaml:1:1 RW0023"]);
    check("apiVersion: v1\nkind: Namespace\nmetadata: {name: A_b}", &["t.yaml:3:18 RW0022"]);
    check("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nspecs: {}", &["t.yaml:4:1 RW0020"]);
    check(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 70000}]}",
        &["t.yaml:4:23 RW0022"],
    );
    check("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: clusterIP}", &["t.yaml:4:14 RW0022"]);
    check("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {app: 1}}", &["t.yaml:4:24 RW0021"]);
    let twice = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
    check(&format!("{twice}---\n{twice}"), &["t.yaml:3:18 RW0016"]);
}

const PLATFORM: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      serviceAccountName: cart
      containers: [{name: c, ports: [{name: web, containerPort: 8080}, {containerPort: 9090}]}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: grpc, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.96.7.7, selector: {app: db}, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}, annotations: {sidecar.istio.io/inject: "false"}}
spec: {containers: [{name: d}]}
status: {podIP: 10.244.9.9}
"#;

#[test]
fn what_is_declared_becomes_an_inventory() {
    let (world, findings) = lower(&[Input { name: "p.yaml", bytes: PLATFORM.as_bytes() }], &Options::default());
    assert!(may_be_taken(&findings), "{findings:?}");
    let workloads = &world.inventory.workloads;
    let names: Vec<String> = workloads.iter().map(|workload| workload.full_name()).collect();
    assert_eq!(names, ["shop/cart-0", "shop/cart-1", "shop/db"]);
    assert_eq!(workloads[0].identity.as_str(), "spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!(workloads[2].address.to_string(), "10.244.9.9");
    assert_eq!(workloads.iter().map(|workload| workload.in_mesh).collect::<Vec<_>>(), [true, true, false]);
    let cart = world.inventory.service(world.inventory.service_of("cart.shop.svc.cluster.local").unwrap()).unwrap();
    assert_eq!((cart.ports[0].target, cart.endpoints.len()), (8080, 2));
    assert_eq!(workloads[0].ports[0], ("web".into(), 8080, ringwall_model::Protocol::Grpc));
    assert_eq!(world.target_port("cart.shop.svc.cluster.local", 80), 8080);
    let of_cart = world.listeners.iter().filter(|listener| listener.workload == WorkloadId(0));
    let shown: Vec<String> =
        of_cart.map(|listener| format!("{} {}", listener.role.as_str(), listener.address.port())).collect();
    assert_eq!(shown, ["inbound 8080", "inbound 9090", "outbound 15001", "outbound 5432"]);
    let database = world.listeners.iter().find(|listener| listener.target.is_some()).unwrap();
    assert_eq!(database.address.to_string(), "10.96.7.7:5432");
}

#[test]
fn ports_of_other_protocols_are_kept_where_the_mesh_does_not_look() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: { name: dns, namespace: shop, labels: { app: dns } }\n\
         spec: { containers: [{ name: c, ports: [{ name: dns-tcp, containerPort: 5354 }, \
         { name: dns, protocol: UDP, containerPort: 5353 }] }] }\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: { name: dns, namespace: shop }\n\
         spec: { selector: { app: dns }, ports: [{ name: dns, protocol: UDP, port: 53, targetPort: dns }, \
         { name: tcp-dns, port: 53, targetPort: dns-tcp }, { name: signals, protocol: SCTP, port: 9 }] }\n";
    let (world, findings) = lower(&[Input { name: "p.yaml", bytes: text.as_bytes() }], &Options::default());
    let told = findings.iter().filter(|finding| finding.title.contains("is not TCP")).count();
    let service = &world.inventory.services[0];
    let carried: Vec<_> = service.ports.iter().map(|port| (port.number, port.target)).collect();
    let others: Vec<_> = service.datagram_ports.iter().map(|port| (port.protocol, port.number, port.target)).collect();
    assert_eq!((told, carried), (2, vec![(53, 5354)]), "{findings:?}");
    assert_eq!(others, [(17, 53, 5353), (132, 9, 9)]);
    let workload = &world.inventory.workloads[0];
    assert!(workload.ports.iter().all(|(_, number, _)| *number == 5354), "{:?}", workload.ports);
    assert_eq!(world.target_port("dns.shop.svc.cluster.local", 53), 5354);
}

#[test]
fn addresses_stay_when_others_come() {
    let more = format!(
        "{PLATFORM}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: shop}}\nspec: {{containers: [{{name: d}}]}}\n"
    );
    let addresses = |text: &str| {
        let (world, _) = lower(&[Input { name: "p.yaml", bytes: text.as_bytes() }], &Options::default());
        world.inventory.workloads.into_iter().map(|it| (it.full_name(), it.address)).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (addresses(PLATFORM), addresses(&more));
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|(name, address)| after[name] == *address));
    let once: std::collections::BTreeSet<_> = after.values().collect();
    assert_eq!(once.len(), after.len());
}

#[test]
fn secrets_never_show() {
    let text =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: '*HUSH*'\nstringData:\n  b: 4711\n  c: HUSH\n";
    let (world, findings) = lower(&[Input { name: "s.yaml", bytes: text.as_bytes() }], &Options::default());
    let mut shown = crate::render::human(&findings, &world.sources, crate::render::Colour::Plain);
    shown += &crate::render::json(&findings, &world.sources);
    shown += &format!("{:?} {findings:?}", world.secrets);
    assert!(!shown.contains("HUSH") && !shown.contains("4711"), "{shown}");
    assert_eq!(findings.iter().filter(|finding| finding.severity == Severity::Error).count(), 2);
    let secret = &world.secrets[&("default".into(), "s".into())];
    assert_eq!(secret.values["c"].reveal(), b"HUSH");
}

#[test]
fn every_field_has_a_use() {
    let fields = field_coverage(&[Input { name: "p.yaml", bytes: PLATFORM.as_bytes() }]);
    let service = fields.iter().find(|it| &*it.kind == "Service").unwrap();
    let uses: Vec<String> = service.fields.iter().map(|it| format!("{} {:?}", it.path, it.treated)).collect();
    assert!(uses.contains(&"/spec/ports/*/targetPort Enforced".to_owned()), "{uses:?}");
    assert!(uses.contains(&"/spec/selector/* Enforced".to_owned()), "{uses:?}");
    assert!(uses.iter().all(|it| !it.ends_with("Unknown")), "{uses:?}");
}

#[test]
fn routes_of_the_gateway_api_are_not_read_and_that_is_said() {
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n\
        spec: {rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}}}]}]}\n";
    let (_, findings) = lower(&[Input { name: "t.yaml", bytes: text.as_bytes() }], &Options::default());
    let [only] = findings.as_slice() else { panic!("{findings:#?}") };
    assert!(only.title.contains("`HTTPRoute` of `gateway.networking.k8s.io` is not known; nothing of it is enforced"));
    assert!(only.help.as_deref().is_some_and(|help| help.contains("`RequestMirror` is one of the `mirrors`")));
}
