//! What Telemetry resources say of whom.

use super::{Observed, Side, Told};
use crate::Input;
use crate::world::{Options, World, lower};
use ringwall_model::Role;

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: till, namespace: shop, labels: {app: till}}
spec: {containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: mail, namespace: post, labels: {app: mail}}
spec: {containers: [{name: c}]}
";

fn telemetry(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn world(more: &[String]) -> (World, Vec<String>) {
    let text = format!("{PODS}{}", more.concat());
    let (world, findings) = lower(&[Input { name: "a.yaml", bytes: text.as_bytes() }], &Options::default());
    (world, findings.into_iter().map(|finding| finding.title).collect())
}

fn of(world: &World, name: &str) -> Observed {
    let is = |it: &ringwall_model::Workload| it.full_name() == name;
    let index = world.inventory.workloads.iter().position(is).unwrap();
    world.observed.get(&ringwall_model::WorkloadId(index as u32)).copied().unwrap_or_default()
}

fn side(sampling: Option<u32>, spans: Option<Told>, log: Option<Told>) -> Side {
    Side { sampling, spans, log }
}

#[test]
fn the_narrower_one_counts_field_by_field() {
    let (world, findings) = world(&[
        telemetry(
            "istio-system",
            "mesh",
            "{tracing: [{randomSamplingPercentage: 5.5}], accessLogging: [{providers: [{name: envoy}]}]}",
        ),
        telemetry("shop", "quiet", "{accessLogging: [{disabled: true}]}"),
        telemetry(
            "shop",
            "cart",
            "{selector: {matchLabels: {app: cart}}, tracing: [{randomSamplingPercentage: 100}], accessLogging: [{disabled: false, match: {mode: SERVER}}]}",
        ),
        telemetry("post", "none", "{tracing: [{disableSpanReporting: true}]}"),
    ]);
    let (yes, no) = (Some(Told::Yes), Some(Told::No));
    let cart = of(&world, "shop/cart");
    assert_eq!((cart.server, cart.client), (side(Some(1_000_000), None, yes), side(Some(1_000_000), None, no)));
    assert_eq!(of(&world, "shop/till").server, side(Some(55_000), None, no));
    assert_eq!(of(&world, "post/mail").client, side(Some(55_000), no, yes));
    assert_eq!((cart.at(Role::Inbound), cart.at(Role::Edge)), (&cart.server, &cart.client));
    assert!(!findings.iter().any(|title| title.contains("not enforced")), "{findings:#?}");
}

#[test]
fn what_is_not_carried_out_is_said() {
    let unfit = [
        (
            "{tracing: [{providers: [{name: other}]}], selector: {matchLabels: {app: cart}}}",
            "spans go to the collector of the whole mesh",
        ),
        ("{tracing: [{customTags: {a: {literal: {value: b}}}}]}", "spans have the built-in form"),
        ("{tracing: [{}, {}]}", "only the first entry"),
        ("{tracing: [{randomSamplingPercentage: 101}]}", "is no percentage"),
        ("{metrics: [{overrides: []}]}", "metrics are always kept"),
        ("{accessLogging: [{providers: [{name: als}]}]}", "this provider writes nothing here"),
        ("{accessLogging: [{filter: {expression: response.code >= 400}}]}", "the filter is not carried out"),
        (
            "{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g}]}",
            "select workloads by their labels",
        ),
    ];
    for (spec, says) in unfit {
        let (_, findings) = world(&[telemetry("shop", "one", spec)]);
        assert!(findings.iter().any(|title| title.contains(says)), "{spec}: {findings:#?}");
    }
    let twice = [
        telemetry("shop", "a", "{tracing: [{randomSamplingPercentage: 1}]}"),
        telemetry("shop", "b", "{tracing: [{randomSamplingPercentage: 2}]}"),
    ];
    let (world, findings) = world(&twice);
    assert_eq!(of(&world, "shop/cart").server.sampling, Some(10_000));
    assert!(
        findings.iter().any(|title| title.starts_with("`b` is for workloads that `a` is for already")),
        "{findings:#?}"
    );
}

#[test]
fn the_mesh_names_its_collector_here_or_in_its_settings() {
    let mesh = "---\napiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: mesh, namespace: istio-system}\n\
        spec: {meshConfig: {extensionProviders: [{name: otel, opentelemetry: {service: otel.svc, port: 4318, http: {path: /v1/traces}}}]}}\n";
    let provider = "{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 50}]}";
    let (named, findings) = world(&[mesh.into(), telemetry("istio-system", "mesh", provider)]);
    assert_eq!(
        named.settings.tracing.map(|it| it.collector.to_string()),
        Some("http://otel.svc:4318/v1/traces".into())
    );
    assert!(!findings.iter().any(|title| title.contains("collector of the whole mesh")), "{findings:#?}");
    let (unnamed, findings) = world(&[mesh.into(), telemetry("shop", "own", provider)]);
    assert_eq!(unnamed.settings.tracing, None);
    assert!(findings.iter().any(|title| title.contains("collector of the whole mesh")), "{findings:#?}");
}
