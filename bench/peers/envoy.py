"""Envoy as a plain hop, and as a TLS 1.3 hop with a token, authorization and mutual TLS out: the filters that the World
of the bench asks of Ringwall."""

TYPE = "type.googleapis.com/envoy.extensions."


def config(ports, folder, issuer, keys, policies):
    plain = listener("plain", ports[4], [], None)
    def guarded(port, cache):
        filters = [token(issuer, keys, cache), authorization(issuer, policies)]
        return listener("mutual", port, filters, server_tls(folder))

    return {"static_resources": {
        "listeners": [plain, guarded(ports[5], {}), guarded(ports[6], CACHE)],
        "clusters": [cluster("plain", ports[0], None), cluster("mutual", ports[1], client_tls(folder))],
    }}


def listener(name, port, filters, tls):
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}
    manager = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name, "codec_type": "AUTO", "use_remote_address": True, "normalize_path": True,
        "merge_slashes": True, "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
        "request_headers_timeout": "30s", "http_filters": filters + [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "15s"}}]}]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if tls:
        chain["transport_socket"] = tls
    return {"name": f"{name}-{port}", "address": address(port), "filter_chains": [chain]}


def cluster(name, port, tls):
    one = {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]},
    }
    if tls:
        one["transport_socket"] = tls
    return one


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def certificate(folder, name):
    return {"certificate_chain": {"filename": f"{folder}/{name}.crt"}, "private_key": {"filename": f"{folder}/{name}.key"}}


THIRTEEN = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}


def server_tls(folder):
    return {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": TYPE + "transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_params": THIRTEEN, "tls_certificates": [certificate(folder, "proxy")]}}}


def client_tls(folder):
    names = [{"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/bench/sa/upstream"}}]
    trust = {"trusted_ca": {"filename": f"{folder}/root.crt"}, "match_typed_subject_alt_names": names}
    return {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": TYPE + "transport_sockets.tls.v3.UpstreamTlsContext", "sni": "mutual.bench.example",
        "common_tls_context": {"tls_params": THIRTEEN, "tls_certificates": [certificate(folder, "proxy")],
                               "validation_context": trust}}}


# Envoy verifies each token anew unless it is told to keep those that it found good, as Ringwall does.
CACHE = {"jwt_cache_config": {"jwt_cache_size": 1000}}


def token(issuer, keys, cache):
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": TYPE + "filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"bench": {"issuer": issuer, "audiences": ["bench"], "forward": True,
                                "payload_in_metadata": "payload", "local_jwks": {"inline_string": keys}, **cache}},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}]}}


def authorization(issuer, policies):
    def rule(number):
        prefix = "/api/v1/" if number == policies - 1 else f"/area-{number}/"
        methods = [{"header": {"name": ":method", "string_match": {"exact": method}}} for method in ("GET", "POST")]
        path = {"url_path": {"path": {"prefix": prefix}}}
        return {"permissions": [{"and_rules": {"rules": [{"or_rules": {"rules": methods}}, path]}}],
                "principals": [{"and_ids": {"ids": [claim("iss", issuer), claim("tenant_id", "acme")]}}]}

    def claim(name, value):
        return {"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": "payload"}, {"key": name}],
                             "value": {"string_match": {"exact": value}}}}

    return {"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": TYPE + "filters.http.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {f"bench-{number:02}": rule(number) for number in range(policies)}}}}
