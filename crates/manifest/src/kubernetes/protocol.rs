//! What is spoken on a port: `appProtocol`, else the port's name, as Istio selects protocols.

use ringwall_model::Protocol;

/// The protocol of a port. `appProtocol` wins over the name; a name counts up to its first `-`.
///
/// Istio detects the protocol of ports that say nothing. Ringwall does not guess from bytes: such a port is HTTP, unless
/// its number is well known for something else.
pub fn protocol_of(name: &str, app_protocol: Option<&str>, number: u16) -> Protocol {
    let told = app_protocol.and_then(named).or_else(|| named(name)).or_else(|| named(prefix(name)));
    told.unwrap_or_else(|| if SPEAKS_OTHERWISE.contains(&number) { Protocol::Tcp } else { Protocol::Http })
}

/// Whether a port says what it speaks.
pub fn is_told(name: &str, app_protocol: Option<&str>) -> bool {
    app_protocol.and_then(named).or_else(|| named(name)).or_else(|| named(prefix(name))).is_some()
}

fn prefix(name: &str) -> &str {
    name.split_once('-').map_or(name, |(prefix, _)| prefix)
}

fn named(word: &str) -> Option<Protocol> {
    Some(match word.to_ascii_lowercase().as_str() {
        "http" | "http_proxy" | "kubernetes.io/ws" => Protocol::Http,
        "http2" | "h2c" | "kubernetes.io/h2c" => Protocol::Http2,
        "grpc" | "grpc-web" => Protocol::Grpc,
        "https" | "kubernetes.io/wss" => Protocol::Https,
        "tls" => Protocol::Tls,
        "tcp" | "mongo" | "mysql" | "redis" | "udp" => Protocol::Tcp,
        _ => return None,
    })
}

/// Ports of databases, queues, mail, remote shells: what speaks there is not HTTP. Sorted.
const SPEAKS_OTHERWISE: &[u16] = &[
    22, 25, 53, 143, 389, 587, 636, 993, 995, 1433, 1521, 2181, 3306, 4222, 5432, 5433, 5671, 5672, 6379, 9042, 9092,
    11211, 26379, 27017,
];

#[cfg(test)]
mod tests {
    use super::protocol_of;
    use ringwall_model::Protocol;

    #[test]
    fn names_and_app_protocols_tell_what_is_spoken() {
        #[track_caller]
        fn check(name: &str, app: Option<&str>, number: u16, want: Protocol) {
            assert_eq!(protocol_of(name, app, number), want, "{name} {app:?} {number}");
        }
        check("http", None, 8080, Protocol::Http);
        check("http-metrics", None, 5432, Protocol::Http);
        check("grpc-web", None, 80, Protocol::Grpc);
        check("https-api", None, 443, Protocol::Https);
        check("tls", None, 443, Protocol::Tls);
        check("tcp-postgres", None, 80, Protocol::Tcp);
        check("web", Some("kubernetes.io/h2c"), 80, Protocol::Http2);
        check("http", Some("tcp"), 80, Protocol::Tcp);
        check("", None, 8080, Protocol::Http);
        check("", None, 5432, Protocol::Tcp);
        check("metrics", None, 9090, Protocol::Http);
        check("httpx", None, 6379, Protocol::Tcp);
    }
}
