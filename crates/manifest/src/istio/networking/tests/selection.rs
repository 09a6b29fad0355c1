//! Manifests to choices: what a call's route is once everything is put together.

use crate::Input;
use crate::world::{Options, World, lower};
use bytes::Bytes;
use ringwall_mesh::egress::UNREGISTERED;
use ringwall_mesh::route::{At, ConnectionSelection, RouteChoice, RouteReply, Selection, select, tls};
use ringwall_mesh::upstream::{self, UpstreamTls};
use ringwall_model::*;

const INVENTORY: &str = "
apiVersion: v1
kind: Pod
metadata: {name: edge, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {serviceAccountName: edge, containers: [{name: a, ports: [{containerPort: 8443}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: shop, labels: {app: app, version: v1}}
spec: {serviceAccountName: app, containers: [{name: a, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: shop}
spec: {selector: {app: app}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh, namespace: istio-system}
spec: {meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*.shop.example'], tls: {mode: SIMPLE, credentialName: c}}
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.shop.example'], tls: {httpsRedirect: true}}
---
";

fn world(routes: &str) -> World {
    let text = format!("{INVENTORY}{routes}");
    lower(&[Input { name: "a.yaml", bytes: text.as_bytes() }], &Options::default()).0
}

fn workload(world: &World, name: &str) -> WorkloadId {
    let at = world.inventory.workloads.iter().position(|workload| &*workload.name == name).unwrap();
    WorkloadId(u32::try_from(at).unwrap())
}

fn call(authority: &'static str, target: &'static str) -> Call {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let address: std::net::SocketAddr = "192.0.2.9:5000".parse().unwrap();
    Call {
        id: CallId(1),
        received: Timestamp(1_795_449_852_222),
        raw: Raw::default(),
        faults: Vec::new(),
        version: Version::Http11,
        method: Bytes::from_static(b"GET"),
        scheme: Scheme::Http,
        authority: Bytes::from_static(authority.as_bytes()),
        target: Bytes::from_static(target.as_bytes()),
        views: Views {
            istio: Bytes::from_static(path.as_bytes()),
            kong: Bytes::from_static(path.as_bytes()),
            query: query.map(|query| Bytes::from_static(query.as_bytes())),
        },
        fields: Fields::default(),
        peer: Peer { address, tls: None },
        client: Client { address: address.ip(), origin: ClientOrigin::Peer },
        local: "10.0.0.1:80".parse().unwrap(),
        body: BodyLength::Empty,
    }
}

fn mesh(world: &World, call: &Call, dice: u64) -> Selection {
    select(&world.routes, At::Sidecar { workload: workload(world, "app"), target: None }, call, dice)
}

fn edge(world: &World, port: u16, name: Option<&str>, call: &Call) -> Selection {
    let workload = workload(world, "edge");
    select(&world.routes, At::Gateway { workload, port, server_name: name }, call, 0)
}

#[track_caller]
fn route(selection: Selection) -> RouteChoice {
    match selection {
        Selection::Route(choice) => choice,
        Selection::Reply(reply) => panic!("{reply:?}"),
    }
}

#[track_caller]
fn reply(selection: Selection) -> (Reply, RouteReply) {
    match selection {
        Selection::Reply(reply) => (reply.reply.clone(), reply),
        Selection::Route(choice) => panic!("{choice:?}"),
    }
}

/// A mesh VirtualService for `app` with these routes.
fn service(http: &str) -> String {
    let head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: app, namespace: shop}\n";
    format!("{head}spec:\n  hosts: [app]\n  http:\n{http}\n---\n")
}

const TO_APP: &str = "route: [{destination: {host: app}}]";

#[track_caller]
fn check_name(world: &World, target: &'static str, want: &str) {
    assert_eq!(&*route(mesh(world, &call("app.shop:80", target), 0)).name, want, "{target}");
}

#[test]
fn the_first_match_wins_whatever_the_index_finds_first() {
    let world = world(&service(&format!(
        "  - {{name: p, match: [{{uri: {{prefix: /a}}, headers: {{x-n: {{}}}}}}], {TO_APP}}}
  - {{name: e, match: [{{uri: {{exact: /a/b}}}}], {TO_APP}}}
  - {{name: r, match: [{{uri: {{regex: '/a/[bc]+'}}}}], {TO_APP}}}
  - {{name: q, match: [{{uri: {{prefix: /a}}, queryParams: {{k: {{exact: v}}}}}}], {TO_APP}}}
  - {{name: w, match: [{{uri: {{prefix: /a/}}, withoutHeaders: {{x-n: {{}}}}}}], {TO_APP}}}
  - {{name: i, match: [{{uri: {{prefix: /LOUD}}, ignoreUriCase: true}}], {TO_APP}}}"
    )));
    check_name(&world, "/a/b", "e");
    check_name(&world, "/a/c", "r");
    check_name(&world, "/a/cd", "w");
    check_name(&world, "/ab?x=1&k=v", "q");
    check_name(&world, "/loud", "i");
    let mut with = call("app", "/a/b");
    with.fields.push("X-N", "");
    assert_eq!(&*route(mesh(&world, &with, 0)).name, "p");
    // A VirtualService takes the place of the default route: no match is 404.
    let (answer, why) = reply(mesh(&world, &call("app", "/none"), 0));
    assert_eq!((answer.status(), why.flag, why.because), (Some(404), "NR", Reason::Builtin("route/no-route")));
}

#[test]
fn edits_rewrites_and_defaults_are_those_of_the_route() {
    let world = world(&service(
        "  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/}
    timeout: 3s
    headers: {request: {set: {x-start: '%START_TIME%'}, remove: [x-internal]}}
    route: [{destination: {host: app}}]",
    ));
    let choice = route(mesh(&world, &call("app", "/old/x?q=1"), 0));
    assert_eq!((choice.port, choice.timeout, choice.retries.attempts), (80, Some(Millis(3000)), 2));
    let set = |name: &'static str, value: &'static str| Edit::Field(FieldEdit::Set(name.into(), value.into()));
    assert_eq!(
        choice.edits,
        [
            Edit::Field(FieldEdit::Remove("x-internal".into())),
            set("x-start", "2026-11-23T16:04:12.222Z"),
            set("x-envoy-original-path", "/old/x?q=1"),
            Edit::Path("/new/x".into()),
        ]
    );
}

#[test]
fn weights_faults_and_subsets_follow_the_dice() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: app, namespace: shop}\n\
        spec: {host: app, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}\n---\n";
    let split = "  - match: [{uri: {prefix: /f}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    route: [{destination: {host: app}}]
  - match: [{uri: {prefix: /never}}]
    fault: {abort: {httpStatus: 503}}
    route: [{destination: {host: app}}]
  - match: [{uri: {prefix: /gone}}]
    route: [{destination: {host: app, subset: v9}}]
  - route:
    - {destination: {host: app, subset: v1}, weight: 3}
    - {destination: {host: app, subset: v2}, weight: 1}";
    let world = world(&format!("{rule}{}", service(split)));
    let chosen = (0..4000).map(|dice| route(mesh(&world, &call("app", "/"), dice)));
    let second = chosen.filter(|choice| choice.subset.as_deref() == Some("v2")).count();
    assert!((900..1100).contains(&second), "{second} of 4000");
    assert_eq!(reply(mesh(&world, &call("app", "/f"), 0)).1.flag, "FI");
    route(mesh(&world, &call("app", "/never"), 0));
    let (answer, why) = reply(mesh(&world, &call("app", "/gone"), 0));
    assert_eq!((answer.status(), why.flag), (Some(503), "NC"));
    let policy =
        |subset| upstream::policy(&world.routes, workload(&world, "app"), "app.shop.svc.cluster.local", 80, subset);
    assert!(policy(Some("v9")).is_none());
    let known = policy(Some("v1")).unwrap();
    assert_eq!(known.subset_labels.unwrap().get("version").map(|value| &**value), Some("v1"));
    let UpstreamTls::Mesh { server_name, identities, .. } = known.tls else { panic!("plaintext") };
    assert_eq!(&*server_name, "outbound_.80_.v1_.app.shop.svc.cluster.local");
    assert_eq!(identities[0].as_str(), "spiffe://cluster.local/ns/shop/sa/app");
}

#[test]
fn the_edge_redirects_routes_by_name_and_refuses_the_rest() {
    let bound = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: in, namespace: shop}\n\
        spec: {hosts: [api.shop.example], gateways: [istio-system/gate], http: [{route: [{destination: {host: app}}]}]}\n";
    let world = world(bound);
    let (answer, _) = reply(edge(&world, 80, None, &call("api.shop.example:80", "/x?y")));
    let Reply::Http { status: 301, fields, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(fields, [("location", Bytes::from_static(b"https://api.shop.example/x?y"))]);
    let good = route(edge(&world, 443, Some("api.shop.example"), &call("API.shop.example:443", "/")));
    assert_eq!(&*good.host, "app.shop.svc.cluster.local");
    let refused = |name: Option<&str>, host| reply(edge(&world, 443, name, &call(host, "/"))).1.flag;
    assert_eq!(refused(Some("api.shop.example"), "other.shop.example"), "NR");
    assert_eq!(refused(Some("evil.example"), "api.shop.example"), "NR");
    assert_eq!(refused(None, "api.shop.example"), "NR");
}

#[test]
fn what_nothing_declares_is_refused_with_its_rule() {
    let world = world("");
    assert_eq!(route(mesh(&world, &call("app", "/"), 0)).because, Reason::NoRuleApplies);
    let (answer, why) = reply(mesh(&world, &call("evil.example", "/"), 0));
    assert_eq!((answer.status(), why.because), (Some(502), Reason::Builtin(UNREGISTERED)));
    let at = At::Sidecar { workload: workload(&world, "app"), target: None };
    let closed = ConnectionSelection::Close { because: Reason::Builtin(UNREGISTERED) };
    assert_eq!(tls(&world.routes, at, "evil.example", 443, 0), closed);
}
