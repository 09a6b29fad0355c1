use super::{RealIp, Search, Trust, derive, explain, scheme};
use ringwall_model::{Client, ClientOrigin, Fields, Scheme};
use std::net::IpAddr;

const PEER: &str = "127.0.0.7";

fn nearest() -> Client {
    Client { address: PEER.parse().unwrap(), origin: ClientOrigin::Peer }
}

fn forwarded(lines: &[&str]) -> Fields {
    let mut fields = Fields::default();
    lines.iter().for_each(|line| fields.push("X-Forwarded-For", line.to_string()));
    fields
}

#[track_caller]
fn check(trust: &Trust, lines: &[&str], want: &str) {
    let got = derive(&forwarded(lines), nearest(), trust);
    assert_eq!(got.address, want.parse::<IpAddr>().unwrap(), "{lines:?}");
    assert_eq!(got.origin == ClientOrigin::Peer, want == PEER);
    assert!(explain(&forwarded(lines), nearest(), trust).contains(want));
}

/// What Envoy 1.40 was seen to do (study of Istio, section 1.6).
#[test]
fn gateways_and_sidecars_do_as_envoy_does() {
    let columns: [&[&str]; 5] =
        [&[], &["1.1.1.1"], &["1.1.1.1, 2.2.2.2"], &["1.1.1.1, 2.2.2.2, 3.3.3.3"], &["garbage"]];
    let row = |trust: &Trust, want: [&str; 5]| {
        columns.iter().zip(want).for_each(|(lines, want)| check(trust, lines, want));
    };
    row(&Trust::Gateway { proxies: 0 }, [PEER, PEER, PEER, PEER, PEER]);
    row(&Trust::Gateway { proxies: 1 }, [PEER, "1.1.1.1", "2.2.2.2", "3.3.3.3", PEER]);
    row(&Trust::Gateway { proxies: 2 }, [PEER, PEER, "1.1.1.1", "2.2.2.2", PEER]);
    row(&Trust::Sidecar, [PEER, "1.1.1.1", "2.2.2.2", "3.3.3.3", PEER]);
    check(&Trust::Gateway { proxies: 2 }, &["1.1.1.1, garbage"], "1.1.1.1");
    check(&Trust::Gateway { proxies: 2 }, &["1.1.1.1", "2.2.2.2"], "1.1.1.1");
    check(&Trust::Gateway { proxies: 1 }, &["1.1.1.1:80"], PEER);
    check(&Trust::Peer, &["1.1.1.1"], PEER);
}

fn real_ip(trusted: &[&str], search: Search) -> Trust {
    let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
    Trust::RealIp(RealIp { trusted, field: "X-Forwarded-For".into(), search })
}

/// What nginx was seen to do with Kong's settings (study of Kong, section 1.6).
#[test]
fn kong_does_as_nginx_does() {
    let all = ["0.0.0.0/0"];
    check(&real_ip(&all, Search::Last), &["8.8.8.8"], "8.8.8.8");
    check(&real_ip(&all, Search::Last), &["198.51.100.7, 10.1.2.3"], "10.1.2.3");
    check(&real_ip(&all, Search::LastUntrusted), &["8.8.8.8, 198.51.100.7, 10.1.2.3"], "8.8.8.8");
    let proxies = ["127.0.0.0/8", "10.0.0.0/8"];
    check(&real_ip(&proxies, Search::LastUntrusted), &["8.8.8.8, 198.51.100.7, 10.1.2.3"], "198.51.100.7");
    check(&real_ip(&proxies, Search::LastUntrusted), &["8.8.8.8", "198.51.100.7,,10.1.2.3 "], "198.51.100.7");
    check(&real_ip(&proxies, Search::LastUntrusted), &["8.8.8.8, garbage, 10.1.2.3"], "10.1.2.3");
    check(&real_ip(&proxies, Search::Last), &["198.51.100.7:4711"], "198.51.100.7");
    check(&real_ip(&["10.0.0.0/8"], Search::LastUntrusted), &["8.8.8.8"], PEER);
    check(&real_ip(&proxies, Search::Last), &[], PEER);
}

#[test]
fn a_forwarded_scheme_counts_where_forwarding_does() {
    let mut fields = Fields::default();
    fields.push("x-forwarded-proto", "https");
    let check = |trust: &Trust, want| assert_eq!(scheme(&fields, Scheme::Http, nearest(), trust), want);
    check(&Trust::Peer, Scheme::Http);
    check(&Trust::Gateway { proxies: 1 }, Scheme::Https);
    check(&Trust::Sidecar, Scheme::Https);
    check(&real_ip(&["10.0.0.0/8"], Search::Last), Scheme::Http);
    check(&real_ip(&["127.0.0.0/8"], Search::Last), Scheme::Https);
}

#[test]
fn a_proxy_protocol_header_is_the_nearest_word() {
    let nearest = Client { address: "203.0.113.5".parse().unwrap(), origin: ClientOrigin::ProxyProtocol };
    assert_eq!(derive(&forwarded(&["1.1.1.1"]), nearest, &Trust::Peer), nearest);
    assert!(explain(&Fields::default(), nearest, &Trust::Peer).contains("PROXY protocol"));
}
