use crate::kubernetes::code;
use crate::{Input, Options, World, lower};
use ringwall_model::{Code, Finding};
use ringwall_packet::endpoint::protocol::{ICMP, TCP, UDP};
use ringwall_packet::{Flow, Names};

/// Two namespaces with three pods; `web` has a port by name, `db` addresses of both families.
const PLATFORM: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { tier: front } }
---
apiVersion: v1
kind: Namespace
metadata: { name: data }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { containers: [{ name: c, ports: [{ name: api, containerPort: 8080 }] }] }
status: { podIP: 10.244.1.1 }
---
apiVersion: v1
kind: Pod
metadata: { name: cart, namespace: shop, labels: { app: cart } }
spec: { nodeName: one, containers: [{ name: c }] }
status: { podIP: 10.244.1.2 }
---
apiVersion: v1
kind: Pod
metadata: { name: db, namespace: data, labels: { app: db } }
spec: { containers: [{ name: c }] }
status: { podIP: 10.244.2.1, podIPs: [{ ip: 10.244.2.1 }, { ip: "fd00::21" }] }
---
apiVersion: v1
kind: Pod
metadata: { name: agent, namespace: shop, labels: { app: cart } }
spec: { hostNetwork: true, nodeName: one, containers: [{ name: c }] }
status: { podIP: 192.0.2.1 }
---
apiVersion: v1
kind: Node
metadata: { name: one, labels: { pool: a } }
status: { addresses: [{ type: InternalIP, address: 192.0.2.1 }, { type: Hostname, address: one }] }
"#;

fn world(policies: &str) -> (World, Vec<Finding>) {
    let text = format!("{PLATFORM}---\n{policies}");
    lower(&[Input { name: "platform.yaml", bytes: text.as_bytes() }], &Options::default())
}

/// A NetworkPolicy of `shop` with this spec, in flow style.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{ name: p, namespace: shop }}\nspec: {spec}\n"
    )
}

/// A ClusterNetworkPolicy of the Admin tier for every pod.
fn cluster(name: &str, priority: u16, rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{ name: {name} }}\n\
         spec: {{ tier: Admin, priority: {priority}, subject: {{ namespaces: {{}} }}, {rules} }}\n"
    )
}

#[track_caller]
fn judged(policies: &str, flows: &[(&str, &str, u8, u16, bool)]) {
    let (world, _) = world(policies);
    for (source, destination, protocol, port, want) in flows {
        let address = |text: &str| text.parse().unwrap();
        let flow =
            Flow { source: address(source), destination: address(destination), protocol: *protocol, port: *port };
        let decision = world.ground.judge(&Names::default(), &flow);
        assert_eq!(decision.passes(), *want, "{flow:?} under {policies}: {decision:?}");
    }
}

const WEB: &str = "10.244.1.1";
const CART: &str = "10.244.1.2";
const DB: &str = "10.244.2.1";
const OUTSIDE: &str = "198.51.100.7";
const NODE: &str = "192.0.2.1";

#[test]
fn directions_are_defaulted_as_the_api_server_does() {
    // Without `policyTypes`: ingress alone, unless there is a rule for egress.
    judged(&policy("{ podSelector: {} }"), &[(CART, WEB, TCP, 80, false), (CART, DB, TCP, 80, true)]);
    judged(&policy("{ podSelector: {}, egress: [] }"), &[(CART, DB, TCP, 80, true)]);
    judged(
        &policy("{ podSelector: {}, egress: [{ ports: [{ port: 53, protocol: UDP }] }] }"),
        &[(CART, DB, TCP, 80, false), (CART, DB, UDP, 53, true), (DB, CART, TCP, 80, false)],
    );
    // A direction that is left out is ignored, even with rules.
    let ignored = policy("{ podSelector: {}, policyTypes: [Egress], ingress: [], egress: [{}] }");
    judged(&ignored, &[(DB, CART, TCP, 80, true)]);
}

#[test]
fn empty_is_everything_and_absent_is_nothing_special() {
    judged(&policy("{ podSelector: {}, ingress: [{}] }"), &[(OUTSIDE, WEB, TCP, 1, true), (DB, WEB, ICMP, 0, true)]);
    judged(
        &policy("{ podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] }"),
        &[(CART, WEB, TCP, 1, true), (DB, WEB, TCP, 1, false), (OUTSIDE, WEB, TCP, 1, false)],
    );
    judged(
        &policy("{ podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }] }] }"),
        &[(DB, WEB, TCP, 1, true), (OUTSIDE, WEB, TCP, 1, false), (DB, WEB, ICMP, 0, true)],
    );
    judged(
        &policy("{ podSelector: {}, ingress: [{ ports: [{ protocol: TCP }] }] }"),
        &[(DB, WEB, TCP, 9, true), (DB, WEB, UDP, 9, false), (DB, WEB, ICMP, 0, false)],
    );
}

#[test]
fn two_items_are_either_and_one_item_is_both() {
    let either = "{ podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { tier: front } } }, \
                  { podSelector: { matchLabels: { app: nobody } } }] }] }";
    judged(&policy(either), &[(CART, WEB, TCP, 1, true), (DB, WEB, TCP, 1, false)]);
    let both = "{ podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { tier: front } }, \
                podSelector: { matchLabels: { app: nobody } } }] }] }";
    judged(&policy(both), &[(CART, WEB, TCP, 1, false)]);
}

#[test]
fn ports_by_name_and_in_ranges() {
    judged(
        &policy("{ podSelector: {}, ingress: [{ ports: [{ port: api }] }] }"),
        &[(DB, WEB, TCP, 8080, true), (DB, WEB, TCP, 80, false), (DB, CART, TCP, 8080, false)],
    );
    judged(
        &policy("{ podSelector: {}, ingress: [{ ports: [{ port: 30, endPort: 40 }] }] }"),
        &[(DB, WEB, TCP, 29, false), (DB, WEB, TCP, 30, true), (DB, WEB, TCP, 40, true), (DB, WEB, TCP, 41, false)],
    );
}

#[test]
fn blocks_hold_addresses_outside_and_of_pods_but_not_what_is_taken_out() {
    let block = "{ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.244.2.0/24] } }] }] }";
    judged(&policy(block), &[(OUTSIDE, WEB, TCP, 1, true), (CART, WEB, TCP, 1, true), (DB, WEB, TCP, 1, false)]);
    judged(&policy(block), &[("2001:db8::1", "10.244.1.1", TCP, 1, false)]);
}

#[test]
fn a_pod_talks_to_itself_and_to_its_node() {
    judged(
        &policy("{ podSelector: {}, policyTypes: [Ingress, Egress] }"),
        &[(WEB, WEB, TCP, 1, true), (NODE, CART, TCP, 1, true), (NODE, WEB, TCP, 1, false), (CART, WEB, TCP, 1, false)],
    );
    let (world, _) = world(&policy("{ podSelector: {}, policyTypes: [Ingress, Egress] }"));
    let agent = world.ground.endpoints().iter().find(|(_, endpoint)| &*endpoint.name == "agent").unwrap();
    // On the host's network: no address of its own, and no policy selects it.
    assert!(agent.1.addresses.is_empty());
    let selecting = world.ground.selecting(agent.0, ringwall_packet::Direction::Ingress).count();
    assert_eq!(selecting, 0);
}

#[test]
fn cluster_policies_come_first_by_priority_and_may_pass_on() {
    let rule = |action: &str| format!("ingress: [{{ action: {action}, from: [{{ namespaces: {{}} }}] }}]");
    let deny_all = policy("{ podSelector: {} }");
    let both = |policies: &[String]| policies.join("---\n");
    judged(&both(&[cluster("a", 5, &rule("Accept")), deny_all.clone()]), &[(DB, WEB, TCP, 1, true)]);
    judged(&both(&[cluster("a", 5, &rule("Pass")), deny_all.clone()]), &[(DB, WEB, TCP, 1, false)]);
    judged(&both(&[cluster("a", 5, &rule("Deny"))]), &[(DB, WEB, TCP, 1, false), (OUTSIDE, WEB, TCP, 1, true)]);
    judged(
        &both(&[cluster("a", 9, &rule("Deny")), cluster("b", 1, &rule("Accept")), deny_all]),
        &[(DB, WEB, TCP, 1, true), (OUTSIDE, WEB, TCP, 1, false)],
    );
    let ports = "ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ tcp: { destinationPort: \
                 { range: { start: 10, end: 20 } } } }, { destinationNamedPort: api }] }]";
    judged(
        &cluster("a", 1, ports),
        &[
            (DB, WEB, TCP, 15, false),
            (DB, WEB, TCP, 8080, false),
            (DB, WEB, UDP, 15, true),
            (DB, CART, TCP, 8080, true),
        ],
    );
    let nodes =
        "egress: [{ action: Deny, to: [{ nodes: { matchLabels: { pool: a } } }, { networks: [198.51.100.0/24] }] }]";
    judged(
        &cluster("a", 1, nodes),
        &[(DB, NODE, TCP, 1, false), (DB, OUTSIDE, TCP, 1, false), (DB, WEB, TCP, 1, true)],
    );
}

#[test]
fn older_cluster_kinds_mean_the_same() {
    let admin = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: { name: a }\n\
                 spec: { priority: 3, subject: { pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: web } } } }, \
                 ingress: [{ action: Allow, from: [{ namespaces: {} }], ports: [{ portNumber: { protocol: TCP, port: 80 } }] }] }\n";
    let baseline = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\n\
                    metadata: { name: default }\nspec: { subject: { namespaces: {} }, \
                    ingress: [{ action: Deny, from: [{ namespaces: {} }] }] }\n";
    judged(
        &format!("{admin}---\n{baseline}"),
        &[(DB, WEB, TCP, 80, true), (DB, WEB, TCP, 81, false), (DB, CART, TCP, 80, false)],
    );
}

#[test]
fn a_policy_in_audit_mode_tells_and_refuses_nothing() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p, namespace: shop, \
                annotations: { ringwall.dev/enforcement: audit } }\nspec: { podSelector: {} }\n";
    let (world, findings) = world(text);
    assert!(findings.iter().any(|finding| finding.code == code::AUDIT));
    let flow = Flow { source: DB.parse().unwrap(), destination: WEB.parse().unwrap(), protocol: TCP, port: 1 };
    let decision = world.ground.judge(&Names::default(), &flow);
    assert!(decision.passes());
    let (_, because) = decision.would_refuse().unwrap();
    assert_eq!(world.rules.render(because), "NetworkPolicy/shop/p");
}

#[test]
fn a_refusal_names_the_policy_nearest_to_the_pod() {
    let named = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: web-callers, namespace: shop }\n\
                 spec: { podSelector: { matchLabels: { app: web } }, ingress: [{ from: [{ podSelector: { matchLabels: \
                 { app: cart } } }] }] }\n";
    let (world, _) = world(&format!("{}---\n{named}", policy("{ podSelector: {} }")));
    let flow = Flow { source: DB.parse().unwrap(), destination: WEB.parse().unwrap(), protocol: TCP, port: 1 };
    let (_, because) = world.ground.judge(&Names::default(), &flow).refusal().unwrap();
    assert_eq!(world.rules.render(because), "NetworkPolicy/shop/web-callers");
}

#[test]
fn bad_input_is_found_at_its_place() {
    #[track_caller]
    fn check(text: &str, code: Code, pointer: &str) {
        let (_, findings) = world(text);
        let found = findings.iter().find(|finding| finding.code == code && &*finding.primary.pointer == pointer);
        assert!(found.is_some(), "no {code} at {pointer} in {findings:?}");
    }
    let from = |peer: &str| policy(&format!("{{ podSelector: {{}}, ingress: [{{ from: [{peer}] }}] }}"));
    let ports = |port: &str| policy(&format!("{{ podSelector: {{}}, ingress: [{{ ports: [{port}] }}] }}"));
    let value = crate::code::VALUE;
    check(&from("{ ipBlock: { cidr: 10.0.0.0/33 } }"), value, "/spec/ingress/0/from/0/ipBlock/cidr");
    check(&from("{ ipBlock: { cidr: 10.0.0.1 } }"), value, "/spec/ingress/0/from/0/ipBlock/cidr");
    let outside = from("{ ipBlock: { cidr: 10.0.0.0/8, except: [11.0.0.0/24] } }");
    check(&outside, code::EXCEPT_OUTSIDE, "/spec/ingress/0/from/0/ipBlock/except/0");
    check(&from("{}"), code::EMPTY_PEER, "/spec/ingress/0/from/0");
    let mixed = from("{ podSelector: {}, ipBlock: { cidr: 10.0.0.0/8 } }");
    check(&mixed, code::MIXED_PEER, "/spec/ingress/0/from/0");
    check(&from("{ serviceSelector: {} }"), crate::code::UNKNOWN_FIELD, "/spec/ingress/0/from/0/serviceSelector");
    check(&ports("{ port: 80, endPort: 79 }"), code::PORT_RANGE, "/spec/ingress/0/ports/0/endPort");
    check(&ports("{ port: api, endPort: 79 }"), code::PORT_RANGE, "/spec/ingress/0/ports/0/endPort");
    check(&ports("{ port: 0 }"), value, "/spec/ingress/0/ports/0/port");
    check(&ports("{ port: NoName }"), value, "/spec/ingress/0/ports/0/port");
    check(&ports("{ protocol: ICMP }"), value, "/spec/ingress/0/ports/0/protocol");
    let unused = policy("{ podSelector: {}, policyTypes: [Ingress], egress: [{}] }");
    check(&unused, code::UNUSED_DIRECTION, "/spec/egress");
    let rule = "ingress: [{ action: Pass, from: [{ namespaces: {} }] }]";
    check(&format!("{}---\n{}", cluster("a", 1, rule), cluster("b", 1, rule)), code::PRIORITY_TIE, "/spec/priority");
    let twice = format!("{}---\n{}", policy("{ podSelector: {} }"), policy("{ podSelector: {} }"));
    check(&twice, crate::code::DUPLICATE_RESOURCE, "/metadata/name");
}

#[test]
fn what_cannot_be_read_fails_closed() {
    // The error keeps the World from being taken; should it be taken all the same, it refuses.
    let unknown = policy("{ podSelector: {}, ingress: [{ from: [{ namespaceSelector: {}, clusterSelector: {} }] }] }");
    judged(&unknown, &[(DB, WEB, TCP, 1, false)]);
    let selector = "{ podSelector: { matchLabels: { app: 7 } }, ingress: [{}] }";
    judged(&policy(selector), &[(DB, WEB, TCP, 1, false), (DB, CART, TCP, 1, false)]);
    let peer =
        |action: &str| cluster("a", 1, &format!("ingress: [{{ action: {action}, from: [{{ services: {{}} }}] }}]"));
    judged(&peer("Deny"), &[(DB, WEB, TCP, 1, false), (OUTSIDE, WEB, TCP, 1, false)]);
    judged(&peer("Pass"), &[(DB, WEB, TCP, 1, false)]);
    let closed = policy("{ podSelector: {} }");
    judged(&format!("{}---\n{closed}", peer("Accept")), &[(DB, WEB, TCP, 1, false)]);
}
