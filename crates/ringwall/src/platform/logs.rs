//! What is logged in a World, for telemetry.

use ringwall_manifest::World;
use ringwall_manifest::istio::mesh_config::{AccessLog as Wanted, Encoding};
use ringwall_manifest::istio::telemetry::Told;
use ringwall_model::WorkloadId;
use ringwall_telemetry::{AccessLog, Chosen, Format, Logs, Which};
use std::sync::Arc;

/// The access logs that the manifests ask for; no line is made when the setting `access_log` has none
/// written.
pub fn of(world: &World, to: &str) -> Logs {
    let access = which(world).filter(|_| to != "off");
    let log = |which| AccessLog { which, format: world.settings.access_log.as_ref().map_or_else(text, format) };
    Logs { access: access.map(log).into_iter().collect() }
}

/// Whose calls are written; `None`: nobody's.
fn which(world: &World) -> Option<Which> {
    let by_mesh = world.settings.access_log.is_some();
    if !world.observed.values().any(|one| one.server.log.is_some() || one.client.log.is_some()) {
        return by_mesh.then_some(Which::All);
    }
    let mut chosen = Chosen::default();
    for (id, workload) in (0_u32..).map(WorkloadId).zip(&world.inventory.workloads) {
        let one = world.observed.get(&id).copied().unwrap_or_default();
        let name: Arc<str> = workload.full_name().into();
        for (side, to) in [(one.server, &mut chosen.called), (one.client, &mut chosen.calling)] {
            if side.log.map_or(by_mesh, |log| log == Told::Yes) {
                to.insert(name.clone());
            }
        }
    }
    Some(Which::Only(chosen))
}

/// Istio's default, where the mesh's settings name no log.
fn text() -> Format {
    Format::text(DEFAULT_TEXT).0
}

/// The format as the manifests write it, or Istio's default for that encoding.
fn format(wanted: &Wanted) -> Format {
    match (wanted.encoding, wanted.format.as_deref()) {
        (Encoding::Json, Some(format)) => Format::json_text(format).0,
        (Encoding::Json, None) => Format::json_text(DEFAULT_JSON).0,
        (Encoding::Text, Some(format)) => Format::text(format).0,
        (Encoding::Text, None) => text(),
    }
}

/// Istio's default fields, where no format is given.
const DEFAULT_JSON: &str = r#"{"start_time":"%START_TIME%","method":"%REQ(:METHOD)%","path":"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
"protocol":"%PROTOCOL%","response_code":"%RESPONSE_CODE%","response_flags":"%RESPONSE_FLAGS%",
"response_code_details":"%RESPONSE_CODE_DETAILS%","bytes_received":"%BYTES_RECEIVED%","bytes_sent":"%BYTES_SENT%",
"duration":"%DURATION%","request_id":"%REQ(X-REQUEST-ID)%","authority":"%REQ(:AUTHORITY)%",
"upstream_host":"%UPSTREAM_HOST%","upstream_cluster":"%UPSTREAM_CLUSTER%","route_name":"%ROUTE_NAME%"}"#;

/// The same as a line of text.
const DEFAULT_TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER%\n";

#[cfg(test)]
mod tests {
    use super::{Which, which};
    use ringwall_manifest::{Input, Options, lower};

    fn chosen(mesh: &str, telemetry: &str) -> Option<(usize, usize)> {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: shop}}\nspec: {{containers: [{{name: c}}]}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: b, namespace: post}}\nspec: {{containers: [{{name: c}}]}}\n---\n\
             apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {{name: m, namespace: istio-system}}\n\
             spec: {{meshConfig: {mesh}}}\n---\n\
             apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t, namespace: shop}}\nspec: {telemetry}\n"
        );
        let (world, _) = lower(&[Input { name: "a.yaml", bytes: text.as_bytes() }], &Options::default());
        match which(&world)? {
            Which::All => Some((usize::MAX, usize::MAX)),
            Which::Only(chosen) => Some((chosen.called.len(), chosen.calling.len())),
        }
    }

    #[test]
    fn telemetry_says_whose_calls_are_written() {
        let (file, all) = ("{accessLogFile: /dev/stdout}", Some((usize::MAX, usize::MAX)));
        assert_eq!(chosen(file, "{}"), all);
        assert_eq!(chosen("{}", "{}"), None);
        assert_eq!(chosen(file, "{accessLogging: [{disabled: true}]}"), Some((1, 1)));
        assert_eq!(chosen(file, "{accessLogging: [{disabled: true, match: {mode: CLIENT}}]}"), Some((2, 1)));
        assert_eq!(chosen("{}", "{accessLogging: [{providers: [{name: envoy}]}]}"), Some((1, 1)));
    }
}
