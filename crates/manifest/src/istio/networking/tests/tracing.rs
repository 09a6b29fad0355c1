//! Who is sent spans.

use crate::Input;
use crate::istio::mesh_config::{Speaks, Tracing};
use crate::world::{Options, lower};

fn read(mesh: &str) -> (Option<Tracing>, Vec<String>) {
    let text = format!(
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {{name: mesh, namespace: istio-system}}\n\
         spec: {{meshConfig: {mesh}}}\n"
    );
    let (world, findings) = lower(&[Input { name: "a.yaml", bytes: text.as_bytes() }], &Options::default());
    (world.settings.tracing, findings.into_iter().map(|finding| finding.title).collect())
}

fn tracing(sampling: u32, collector: &str, speaks: Speaks) -> Option<Tracing> {
    Some(Tracing { sampling, collector: collector.into(), speaks })
}

#[test]
fn a_collector_is_named_by_its_address_or_as_a_provider() {
    let zipkin = "defaultConfig: {tracing: {sampling: 10.0, zipkin: {address: 'tempo.observability:9411'}}}";
    let seed = tracing(100_000, "http://tempo.observability:9411/api/v2/spans", Speaks::Zipkin);
    assert_eq!(read(&format!("{{{zipkin}}}")).0, seed);
    assert_eq!(read(&format!("{{enableTracing: false, {zipkin}}}")).0, None);
    assert_eq!(read("{defaultConfig: {tracing: {sampling: 10.0}}}").0, None, "nobody is named");
    let providers = "extensionProviders: [
        {name: other, zipkin: {service: z.x, port: 1}},
        {name: otel, opentelemetry: {service: observability/otel.svc, port: 4318, http: {path: /v1/traces}}},
        {name: grpc, opentelemetry: {service: otel.svc, port: 4317}}]";
    let named = |name: &str| read(&format!("{{{zipkin}, {providers}, defaultProviders: {{tracing: [{name}]}}}}"));
    assert_eq!(named("otel").0, tracing(100_000, "http://otel.svc:4318/v1/traces", Speaks::Otlp));
    assert_eq!(named("other").0, tracing(100_000, "http://z.x:1/api/v2/spans", Speaks::Zipkin));
    for (name, why) in [("grpc", "without `http` Istio speaks gRPC"), ("nobody", "no extension provider is called")] {
        let (tracing, findings) = named(name);
        assert_eq!(tracing, None);
        assert!(findings.iter().any(|title| title.contains(why)), "{name}: {findings:#?}");
    }
    let unused = "only the provider that is named for the spans of the mesh is used";
    assert_eq!(named("otel").1.iter().filter(|title| title.contains(unused)).count(), 2);
}

#[test]
fn what_is_no_address_is_said() {
    for address in ["tempo", "tempo:0", "http://tempo:9411", "a/b:1", "user@tempo:1", ":9411", "[::1:9411"] {
        let (tracing, findings) =
            read(&format!("{{defaultConfig: {{tracing: {{zipkin: {{address: '{address}'}}}}}}}}"));
        assert_eq!(tracing, None, "{address}");
        assert!(findings.iter().any(|title| title.contains("no address of a collector")), "{address}: {findings:#?}");
    }
    assert!(read("{defaultConfig: {tracing: {zipkin: {address: '[::1]:9411'}}}}").0.is_some());
}
