//! Routes of connections: `tls` and `tcp`.

use super::{Context, action, matching};
use crate::Cursor;
use crate::istio::networking::dns_name;
use ringwall_mesh::route::{ConnectionMatch, TcpRoute, TlsRoute, code};
use ringwall_model::{RuleBook, Severity};

/// Lowers one route of `tls`.
pub(super) fn tls(context: &Context<'_>, at: Cursor<'_>, rules: &mut RuleBook) -> TlsRoute {
    let rule = context.resource.rule_at(rules, at);
    let matches = at.get("match").required().items().map(|one| {
        let names = one.get("sniHosts").required();
        let sni_hosts: Vec<_> =
            names.items().filter_map(|name| Some(dns_name(name)?.to_ascii_lowercase().into())).collect();
        if sni_hosts.is_empty() {
            let title = "a TLS match needs `sniHosts`";
            names.report(names.finding(code::CONDITION, Severity::Error, title));
        }
        ConnectionMatch { sni_hosts, ..common(context, one) }
    });
    TlsRoute { rule, matches: matches.collect(), route: action::destinations(context, at.get("route")) }
}

/// Lowers one route of `tcp`.
pub(super) fn tcp(context: &Context<'_>, at: Cursor<'_>, rules: &mut RuleBook) -> TcpRoute {
    let rule = context.resource.rule_at(rules, at);
    let matches = at.get("match").items().map(|one| common(context, one));
    TcpRoute { rule, matches: matches.collect(), route: action::destinations(context, at.get("route")) }
}

fn common(context: &Context<'_>, at: Cursor<'_>) -> ConnectionMatch {
    at.ignored("sourceSubnet", "not supported");
    ConnectionMatch {
        sni_hosts: Vec::new(),
        destinations: at.get("destinationSubnets").items().filter_map(Cursor::block).collect(),
        port: at.get("port").port(),
        source: matching::source(context, at),
    }
}
