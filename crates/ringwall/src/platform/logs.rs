//! What is logged in a World, for telemetry.

use ringwall_manifest::World;
use ringwall_manifest::istio::mesh_config::{AccessLog as Wanted, Encoding};
use ringwall_telemetry::{AccessLog, Format, Logs, Which};

/// The access logs that the manifests ask for; no line is made when the setting `access_log` has none
/// written.
pub fn of(world: &World, to: &str) -> Logs {
    let wanted = world.settings.access_log.iter().filter(|_| to != "off");
    let access = wanted.map(|wanted| AccessLog { which: Which::All, format: format(wanted) });
    Logs { access: access.collect() }
}

/// The format as the manifests write it, or Istio's default for that encoding.
fn format(wanted: &Wanted) -> Format {
    match (wanted.encoding, wanted.format.as_deref()) {
        (Encoding::Json, Some(format)) => Format::json_text(format).0,
        (Encoding::Json, None) => Format::json_text(DEFAULT_JSON).0,
        (Encoding::Text, Some(format)) => Format::text(format).0,
        (Encoding::Text, None) => Format::text(DEFAULT_TEXT).0,
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
