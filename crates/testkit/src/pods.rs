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
