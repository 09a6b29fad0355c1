//! The families of metrics: name, kind, labels, help. Order is the order of the page.

use super::Kind::{self, Counter, Gauge, Histogram};

/// One family of series.
#[derive(Debug)]
pub struct Family {
    /// Name.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// One line for people.
    pub help: &'static str,
}

/// Envoy's default buckets, used by Istio for milliseconds and for bytes.
pub const ENVOY_BUCKETS: &[f64] = &[
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Kong's buckets for latencies of requests and upstreams.
pub const KONG_BUCKETS: &[f64] =
    &[25.0, 50.0, 80.0, 100.0, 250.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0, 10000.0, 30000.0, 60000.0];

/// The labels of Istio's request metrics. `security_policy` repeats `connection_security_policy`, because dashboards
/// that were written with the wrong name must not be empty.
pub const REQUEST: &[&str] = &[
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_canonical_service",
    "source_canonical_revision",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_cluster",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "connection_security_policy",
    "security_policy",
    "request_protocol",
    "response_flags",
    "response_code",
    "grpc_response_status",
];

/// The labels of Istio's TCP metrics: those of requests up to `response_flags`.
pub const TCP: &[&str] = REQUEST.split_at(24).0;

const CLUSTER: &[&str] = &["cluster_name"];
const KONG: &[&str] = &["service", "route", "workspace"];
const CERTIFICATE: &[&str] = &["name", "namespace", "issuer_name", "issuer_kind", "issuer_group"];

macro_rules! families {
    ($($id:ident $name:literal $kind:expr, $labels:expr, $help:literal;)*) => {
        /// Which family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Id { $(#[doc = $help] $id),* }
        /// All families; [`Id`] indexes them.
        pub static FAMILIES: &[Family] = &[$(Family { name: $name, kind: $kind, labels: $labels, help: $help }),*];
        /// All numbers of families.
        pub const ALL: &[Id] = &[$(Id::$id),*];
    };
}

families! {
    Requests "istio_requests_total" Counter, REQUEST, "Requests, each counted once.";
    RequestMillis "istio_request_duration_milliseconds" Histogram(ENVOY_BUCKETS), REQUEST, "Time from head to end of response.";
    RequestBytes "istio_request_bytes" Histogram(ENVOY_BUCKETS), REQUEST, "Bytes of request bodies.";
    ResponseBytes "istio_response_bytes" Histogram(ENVOY_BUCKETS), REQUEST, "Bytes of response bodies.";
    TcpOpened "istio_tcp_connections_opened_total" Counter, TCP, "Connections without HTTP that were opened.";
    TcpClosed "istio_tcp_connections_closed_total" Counter, TCP, "Connections without HTTP that were closed.";
    TcpReceived "istio_tcp_received_bytes_total" Counter, TCP, "Bytes from clients on connections without HTTP.";
    TcpSent "istio_tcp_sent_bytes_total" Counter, TCP, "Bytes to clients on connections without HTTP.";
    UpstreamTotal "envoy_cluster_upstream_cx_total" Counter, CLUSTER, "Connections made to upstreams.";
    UpstreamActive "envoy_cluster_upstream_cx_active" Gauge, CLUSTER, "Connections to upstreams that are open.";
    UpstreamDestroy "envoy_cluster_upstream_cx_destroy" Counter, CLUSTER, "Connections to upstreams that ended.";
    ConnectFail "envoy_cluster_upstream_cx_connect_fail" Counter, CLUSTER, "Connections to upstreams that could not be made.";
    ConnectTimeout "envoy_cluster_upstream_cx_connect_timeout" Counter, CLUSTER, "Connections to upstreams not made in time.";
    UpstreamOverflow "envoy_cluster_upstream_cx_overflow" Counter, CLUSTER, "Times a pool limit was reached.";
    UpstreamTlsError "envoy_cluster_ssl_connection_error" Counter, CLUSTER, "TLS handshakes with upstreams that failed.";
    UpstreamRequests "envoy_cluster_upstream_rq_total" Counter, CLUSTER, "Requests sent to upstreams.";
    UpstreamClass "envoy_cluster_upstream_rq_xx" Counter, &["cluster_name", "envoy_response_code_class"], "Responses of upstreams by class.";
    UpstreamRetry "envoy_cluster_upstream_rq_retry" Counter, CLUSTER, "Requests tried again.";
    UpstreamTimeout "envoy_cluster_upstream_rq_timeout" Counter, CLUSTER, "Requests not answered in time.";
    Mirrored "ringwall_mirrored_requests_total" Counter, CLUSTER, "Copies of requests that a mirror answered.";
    NotMirrored "ringwall_not_mirrored_requests_total" Counter, CLUSTER, "Copies of requests that were too long or too many, that a rule refused, or that the mirror did not answer.";
    EjectionsActive "envoy_cluster_outlier_detection_ejections_active" Gauge, CLUSTER, "Endpoints that are ejected.";
    Ejections "envoy_cluster_outlier_detection_ejections_enforced_total" Counter, CLUSTER, "Endpoints ejected.";
    KongRequests "kong_http_requests_total" Counter, &["service", "route", "code", "source", "workspace", "consumer"], "Requests through the gateway.";
    KongRequestMillis "kong_request_latency_ms" Histogram(KONG_BUCKETS), KONG, "Whole latency of gateway requests.";
    KongUpstreamMillis "kong_upstream_latency_ms" Histogram(KONG_BUCKETS), KONG, "Latency of upstreams behind the gateway.";
    KongBytes "kong_bandwidth_bytes" Counter, &["service", "route", "direction", "workspace", "consumer"], "Bytes through the gateway.";
    KongConnections "kong_nginx_connections_total" Gauge, &["state"], "Connections of the gateway by state.";
    CertificateExpiry "certmanager_certificate_expiration_timestamp_seconds" Gauge, CERTIFICATE, "When a certificate ends.";
    CertificateRenewal "certmanager_certificate_renewal_timestamp_seconds" Gauge, CERTIFICATE, "When a certificate is renewed.";
    CertificateReady "certmanager_certificate_ready_status" Gauge, &["name", "namespace", "issuer_name", "issuer_kind", "issuer_group", "condition"], "Whether a certificate is ready.";
    Decisions "ringwall_decisions_total" Counter, &["layer", "rule", "verdict"], "What each layer said, and by which rule.";
    Connections "ringwall_connections_total" Counter, &["role", "outcome"], "Connections without HTTP, or that failed before it.";
    Handshakes "ringwall_tls_handshake_errors_total" Counter, &["role"], "TLS handshakes with clients that failed.";
    Answers "ringwall_requests_total" Counter, &["role", "code"], "Requests by role of the listener.";
    Blocklist "ringwall_blocklist_entries" Gauge, &[], "Addresses that are blocked now.";
    Open "ringwall_open_connections" Gauge, &[], "Connections that are open now.";
    Generation "ringwall_world_generation" Gauge, &[], "Number of the World in force.";
    Reloads "ringwall_reloads_refused" Gauge, &[], "Configurations that were refused since the start.";
    Dropped "ringwall_log_lines_dropped_total" Counter, &["log"], "Log lines that were not written, because the log could not keep up.";
    Spans "ringwall_spans_total" Counter, &["outcome"], "Spans of traced calls: sent to the collector, refused by it, or dropped because it did not take them in time.";
}
