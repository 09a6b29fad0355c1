use crate::{Input, Options, lower};
use ringwall_model::{Code, Severity};
use ringwall_testkit::pods::{namespace, pod};

/// Two namespaces with three pods.
fn platform() -> String {
    let pods = [("shop/web", "10.244.1.1"), ("shop/cart", "10.244.1.2"), ("data/db", "10.244.2.1")];
    let pods: String = pods.iter().map(|(name, address)| pod(name, address)).collect();
    namespace("shop", "tier: front") + &namespace("data", "tier: back") + &pods
}

/// Codes and places of what the review says of these policies: `(namespace, spec)`.
fn told(policies: &[(&str, &str)]) -> Vec<(Code, String)> {
    let mut text = platform();
    for (number, (namespace, spec)) in policies.iter().enumerate() {
        text.push_str(&format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{ name: p{number}, namespace: {namespace} }}\nspec: {spec}\n"
        ));
    }
    let (world, findings) = lower(&[Input { name: "set.yaml", bytes: text.as_bytes() }], &Options::default());
    let ours = findings.into_iter().filter(|finding| (1120..1130).contains(&finding.code.0));
    let told = ours.inspect(|finding| assert_eq!(finding.severity, Severity::Warning));
    told.map(|finding| (finding.code, world.sources.locate(&finding.primary))).collect()
}

#[track_caller]
fn check(code: u16, bad: &[(&str, &str)], good: &[(&str, &str)]) {
    let codes = |policies| told(policies).into_iter().map(|(code, _)| code.0).collect::<Vec<_>>();
    assert_eq!(codes(bad), [code], "{bad:?}");
    assert_eq!(codes(good), [] as [u16; 0], "{good:?}");
}

const CLOSED: (&str, &str) = ("shop", "{ podSelector: {}, policyTypes: [Ingress] }");

#[test]
fn a_label_that_no_namespace_has() {
    let to = |selector: &str| {
        format!(
            "{{ podSelector: {{}}, policyTypes: [Egress], egress: [{{ to: [{{ namespaceSelector: {{ matchLabels: {selector} }} }}] }}] }}"
        )
    };
    check(1120, &[("shop", &to("{ name: data }"))], &[("shop", &to("{ tier: back }"))]);
    check(1120, &[("shop", &to("{ name: data }"))], &[("shop", &to("{ kubernetes.io/metadata.name: kube-system }"))]);
}

#[test]
fn either_where_both_was_meant() {
    let from = |peers: &str| format!("{{ podSelector: {{}}, ingress: [{{ from: [{peers}] }}] }}");
    let two =
        from("{ namespaceSelector: { matchLabels: { tier: back } } }, { podSelector: { matchLabels: { app: web } } }");
    let one = from("{ namespaceSelector: { matchLabels: { tier: back } }, podSelector: { matchLabels: { app: db } } }");
    check(1121, &[("shop", &two)], &[("shop", &one)]);
}

#[test]
fn pods_where_the_internet_was_meant() {
    let to = |peer: &str| {
        format!(
            "{{ podSelector: {{}}, policyTypes: [Egress], egress: [{{ to: [{peer}], ports: [{{ port: 443 }}] }}] }}"
        )
    };
    check(1122, &[("shop", &to("{ namespaceSelector: {} }"))], &[("shop", &to("{ ipBlock: { cidr: 0.0.0.0/0 } }"))]);
}

#[test]
fn a_flow_that_only_one_end_allows() {
    let to_db = "{ podSelector: { matchLabels: { app: web } }, policyTypes: [Egress], egress: [{ to: \
                 [{ namespaceSelector: { matchLabels: { tier: back } } }], ports: [{ port: 5432 }] }] }";
    let closed = ("data", "{ podSelector: {}, policyTypes: [Ingress] }");
    let from_web = "{ podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { tier: front } } }], \
                    ports: [{ port: 5432 }] }] }";
    check(1123, &[("shop", to_db), closed], &[("shop", to_db), closed, ("data", from_web)]);
}

#[test]
fn a_namespace_of_which_some_pods_are_open() {
    let web = ("shop", "{ podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress] }");
    check(1124, &[web], &[web, CLOSED]);
}

#[test]
fn a_policy_for_nobody() {
    let of = |app: &str| format!("{{ podSelector: {{ matchLabels: {{ app: {app} }} }}, policyTypes: [Ingress] }}");
    check(1125, &[CLOSED, ("shop", &of("wbe"))], &[CLOSED, ("shop", &of("web"))]);
}

#[test]
fn policies_without_pods_are_not_reviewed() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p, namespace: shop }\n\
                spec: { podSelector: { matchLabels: { app: web } } }\n";
    let (_, findings) = lower(&[Input { name: "set.yaml", bytes: text.as_bytes() }], &Options::default());
    assert_eq!(findings, []);
}
