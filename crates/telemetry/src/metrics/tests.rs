use super::family::{ALL, FAMILIES, Id};
use super::{Certificate, Level, Metrics, Readiness};
use ringwall_model::Timestamp;

#[test]
fn counters_of_all_threads_are_summed() {
    let metrics = Metrics::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..1000).for_each(|_| metrics.add(Id::ConnectFail, &["outbound|80||a"], 1.0)));
        }
    });
    let text = metrics.render();
    assert!(text.contains("envoy_cluster_upstream_cx_connect_fail{cluster_name=\"outbound|80||a\"} 8000\n"), "{text}");
    assert!(text.contains("# TYPE envoy_cluster_upstream_cx_connect_fail counter\n"));
}

#[test]
fn a_gauge_moved_by_two_threads_is_one_gauge() {
    let metrics = Metrics::default();
    metrics.add(Id::UpstreamActive, &["c"], 1.0);
    std::thread::scope(|scope| {
        scope.spawn(|| metrics.add(Id::UpstreamActive, &["c"], -1.0));
    });
    assert!(metrics.render().contains("envoy_cluster_upstream_cx_active{cluster_name=\"c\"} 0\n"));
}

#[test]
fn a_histogram_is_cumulative() {
    let metrics = Metrics::default();
    [25.0, 26.0, 70_000.0].iter().for_each(|value| metrics.add(Id::KongRequestMillis, &["s", "r", "w"], *value));
    let text = metrics.render();
    let own = "service=\"s\",route=\"r\",workspace=\"w\"";
    for line in [
        format!("kong_request_latency_ms_bucket{{{own},le=\"25\"}} 1\n"),
        format!("kong_request_latency_ms_bucket{{{own},le=\"50\"}} 2\n"),
        format!("kong_request_latency_ms_bucket{{{own},le=\"60000\"}} 2\n"),
        format!("kong_request_latency_ms_bucket{{{own},le=\"+Inf\"}} 3\n"),
        format!("kong_request_latency_ms_sum{{{own}}} 70051\n"),
        format!("kong_request_latency_ms_count{{{own}}} 3\n"),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn label_sets_are_bounded_and_nothing_is_lost() {
    let metrics = Metrics::default();
    for number in 0..5000 {
        metrics.add(Id::ConnectFail, &[&format!("c{number}")], 1.0);
    }
    let text = metrics.render();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 1001);
    assert!(text.contains("{cluster_name=\"overflow\"} 4000\n"));
}

#[test]
fn labels_are_escaped_and_bounded() {
    let metrics = Metrics::default();
    metrics.add(Id::ConnectFail, &["a\"b\\c\nd"], 1.0);
    metrics.add(Id::ConnectTimeout, &[&"ä".repeat(300)], 1.0);
    metrics.add(Id::ConnectTimeout, &[&"ä".repeat(300)], 1.0);
    let text = metrics.render();
    assert!(text.contains("{cluster_name=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
    assert!(text.contains(&format!("{{cluster_name=\"{}\"}} 2\n", "ä".repeat(128))));
}

#[test]
fn certificates_have_the_metrics_of_cert_manager() {
    let metrics = Metrics::default();
    metrics.certificates(&[Certificate {
        name: "api",
        namespace: "istio-system",
        issuer_name: "letsencrypt",
        issuer_kind: "ClusterIssuer",
        expires: Timestamp(1_800_000_000_000),
        renews: Timestamp(1_700_000_000_000),
        readiness: Readiness::Ready,
    }]);
    metrics.level(Level::BlocklistEntries, 7);
    let text = metrics.render();
    let own = "name=\"api\",namespace=\"istio-system\",issuer_name=\"letsencrypt\",issuer_kind=\"ClusterIssuer\",issuer_group=\"cert-manager.io\"";
    for line in [
        format!("certmanager_certificate_expiration_timestamp_seconds{{{own}}} 1800000000\n"),
        format!("certmanager_certificate_renewal_timestamp_seconds{{{own}}} 1700000000\n"),
        format!("certmanager_certificate_ready_status{{{own},condition=\"True\"}} 1\n"),
        format!("certmanager_certificate_ready_status{{{own},condition=\"False\"}} 0\n"),
        "ringwall_blocklist_entries 7\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
    metrics.certificates(&[]);
    assert!(!metrics.render().contains("certmanager_certificate_ready_status{"));
}

#[test]
fn families_have_names_of_their_own() {
    let mut names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]));
    assert_eq!(ALL.len(), FAMILIES.len());
    assert!(ALL.iter().enumerate().all(|(at, id)| *id as usize == at));
    let tcp = FAMILIES.iter().find(|family| family.name == "istio_tcp_sent_bytes_total").unwrap();
    assert_eq!(tcp.labels.last(), Some(&"response_flags"));
}
