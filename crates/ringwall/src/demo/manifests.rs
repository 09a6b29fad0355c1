//! The example platforms, built into the binary so that the tour needs no folder beside it.

use ringwall_control::source::Input;

macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../examples/", $folder, "/", $name)))),*]
    };
}

/// What the source document meant, in correct manifests.
const AI_PLATFORM: &[(&str, &str)] = files!("ai-platform":
    "00-namespaces.yaml"
    "01-mesh.yaml"
    "10-application.yaml"
    "11-data.yaml"
    "12-gateways-and-infrastructure.yaml"
    "13-kong.yaml"
    "20-edge.yaml"
    "21-shield.yaml"
    "22-waf.yaml"
    "22-network-policies.yaml"
    "30-kong-services.yaml"
    "40-mesh-authentication.yaml"
    "41-mesh-authorization.yaml"
    "50-traffic.yaml"
    "60-egress.yaml"
);

/// The manifests of the source document as they were written, faults included.
const AS_WRITTEN: &[(&str, &str)] = files!("as-written":
    "01-kubernetes-network-model.yaml"
    "02-istio-installation.yaml"
    "03-mtls-strict.yaml"
    "04-destination-rule-mtls.yaml"
    "05-authorization-deny-all.yaml"
    "06-authorization-bff-to-services.yaml"
    "07-authorization-kong-to-bff.yaml"
    "08-authorization-monitoring.yaml"
    "09-request-authentication-jwt.yaml"
    "10-authorization-jwt-required.yaml"
    "11-virtual-service-llm-agent.yaml"
    "12-destination-rule-circuit-breaker.yaml"
    "13-kong-deployment.yaml"
    "14-kong-authentication-plugins.sh"
    "15-kong-authentication-plugins.sh"
    "16-kong-rate-limiting.sh"
    "17-kong-rate-limiting.sh"
    "18-kong-rate-limiting.sh"
    "19-kong-request-response-transformation.sh"
    "20-kong-request-response-transformation.sh"
    "21-kong-services.yaml"
    "22-network-policy-deny-all.yaml"
    "23-network-policy-allow-dns.yaml"
    "24-network-policy-bff-to-services.yaml"
    "25-network-policy-kong-to-bff.yaml"
    "26-network-policy-service-to-database.yaml"
    "27-network-policy-allow-monitoring.yaml"
    "28-network-policy-egress-openai.yaml"
    "29-gateway-tls.yaml"
    "30-cert-manager-issuer.yaml"
    "31-certificate-api.yaml"
    "32-namespace-labels.yaml"
    "33-network-policy-cross-namespace.yaml"
    "34-envoy-filter-connection-limit.yaml"
    "35-envoy-filter-ip-reputation.yaml"
    "36-geo-blocking-optional.sh"
    "37-ingress-gateway.yaml"
    "38-egress-gateway.yaml"
    "39-certificate-rotation.yaml"
    "40-prometheus-rule-cert-expiry.yaml"
    "41-prometheus-servicemonitor-istio.yaml"
    "42-prometheus-rule-network-anomalies.yaml"
    "43-envoy-filter-access-log.yaml"
    "44-circuit-breaker-aggressive.yaml"
    "45-automated-response-actions.sh"
    "46-istio-security-dashboard-grafana.json"
    "47-common-issues.sh"
    "48-common-issues.sh"
    "49-common-issues.sh"
);

/// The correct platform.
pub fn ai_platform() -> Vec<Input> {
    inputs(AI_PLATFORM)
}

/// The flawed one.
pub fn as_written() -> Vec<Input> {
    inputs(AS_WRITTEN)
}

fn inputs(files: &[(&str, &str)]) -> Vec<Input> {
    files.iter().map(|(name, text)| Input { name: (*name).into(), bytes: text.as_bytes().to_vec() }).collect()
}
