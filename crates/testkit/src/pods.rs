//! Manifests of namespaces and pods, as tests of policies need them: text, one document each.

/// A namespace; its labels in flow style, without braces.
pub fn namespace(name: &str, labels: &str) -> String {
    format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name}, labels: {{ {labels} }} }}\n")
}

/// A pod `NAMESPACE/NAME` outside the mesh with an address; the label `app` is its name.
pub fn pod(name: &str, address: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{ name: {name}, namespace: {namespace}, labels: {{ app: {name} }} }}\n\
         spec: {{ containers: [{{ name: c }}] }}\nstatus: {{ podIP: {address} }}\n"
    )
}

/// The namespace `shop` with pods at 10.244.9.1 and the addresses behind it, in their order.
pub fn shop(pods: &[&str]) -> String {
    let pod = |(number, name): (usize, &&str)| pod(&format!("shop/{name}"), &format!("10.244.9.{}", number + 1));
    namespace("shop", "") + &pods.iter().enumerate().map(pod).collect::<String>()
}

/// Pods of `shop` may send to the name `api.example.com`, at these protocols (flow style; empty: all), and nothing else.
pub fn may_send_to_api(protocols: &str) -> String {
    let protocols = if protocols.is_empty() { String::new() } else { format!(", protocols: [{protocols}]") };
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{ name: closed, namespace: shop }}\n\
         spec: {{ podSelector: {{}}, policyTypes: [Ingress, Egress] }}\n\
         ---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{ name: provider }}\n\
         spec:\n  tier: Admin\n  priority: 1\n  subject: {{ namespaces: {{}} }}\n\
         \x20 egress: [{{ action: Accept, to: [{{ domainNames: [api.example.com] }}]{protocols} }}]\n"
    )
}
