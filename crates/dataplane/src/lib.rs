//! Connections: TLS, HTTP, TCP, forwarding; asks `wall` and obeys.
