//! The conditions of a rule (`when`).
//!
//! In: one condition. Out: its clauses: one for `values`, one for `notValues`. Never: a key that is passed over; the
//! list of keys is Istio's, whole.

use super::clause::{Read, unreadable};
use super::clause::{accounts, blocks, clause, header_texts, namespaces, ports, principals, request_principals, texts};
use super::{Policy, codes};
use crate::Cursor;
use ringwall_mesh::authorization::{Clause, Field, Sense};
use ringwall_model::Severity;

/// Lowers one condition.
pub(super) fn lower(at: Cursor<'_>, policy: Policy<'_>) -> Vec<Clause> {
    let key = at.get("key").required();
    let (values, not_values) = (at.get("values"), at.get("notValues"));
    let Some(text) = key.filled() else { return vec![unreadable(policy.action)] };
    let Some((field, read)) = field(text) else {
        let title = format!("there is no condition `{text}`");
        let help = "conditions are request.headers[…], request.auth.{principal,audiences,presenter,claims[…]}, \
                    source.{ip,namespace,principal,serviceAccount,trustDomain}, remote.ip, destination.{ip,port}, \
                    connection.sni";
        key.report(key.finding(codes::UNKNOWN_KEY, Severity::Error, title).help(help));
        values.whole();
        not_values.whole();
        return vec![unreadable(policy.action)];
    };
    if field == Field::Nothing {
        let title = format!("`{text}` never has a value here: a positive match never holds, a negative one always");
        key.report(key.finding(codes::METADATA, Severity::Warning, title));
    }
    let positive = clause(values, field.clone(), Sense::Any, read, policy);
    let negative = clause(not_values, field, Sense::None, read, policy);
    if positive.is_none() && negative.is_none() {
        let title = format!("the condition `{text}` has neither `values` nor `notValues`");
        at.report(at.finding(codes::NO_VALUES, Severity::Error, title));
        return vec![unreadable(policy.action)];
    }
    positive.into_iter().chain(negative).collect()
}

/// What a key looks at, and how its values are read.
fn field(key: &str) -> Option<(Field, Read)> {
    Some(match key {
        "source.ip" => (Field::PeerAddress, blocks),
        "remote.ip" => (Field::ClientAddress, blocks),
        "source.namespace" => (Field::Namespace, namespaces),
        "source.principal" => (Field::Principal, principals),
        "source.serviceAccount" => (Field::ServiceAccount, accounts),
        "source.trustDomain" => (Field::TrustDomain, texts),
        "request.auth.principal" => (Field::RequestPrincipal, request_principals),
        "request.auth.audiences" => (Field::Audience, texts),
        "request.auth.presenter" => (Field::Presenter, texts),
        "destination.ip" => (Field::DestinationAddress, blocks),
        "destination.port" => (Field::Port, ports),
        "connection.sni" => (Field::ServerName, texts),
        _ => return named(key),
    })
}

/// Keys with a name in brackets.
fn named(key: &str) -> Option<(Field, Read)> {
    if let Some(rest) = key.strip_prefix("request.headers[") {
        let name = rest.strip_suffix(']').filter(|name| !name.is_empty() && !name.contains(['[', ']']))?;
        return Some(match name.to_ascii_lowercase().as_str() {
            // Envoy keeps the host under one name, whichever way it was sent.
            "host" | ":authority" => (Field::Host, texts),
            ":method" => (Field::Method, texts),
            other if other.starts_with(':') => return None,
            other => (Field::Header(other.into()), header_texts),
        });
    }
    if let Some(rest) = key.strip_prefix("request.auth.claims[") {
        let path: Box<[Box<str>]> = rest.strip_suffix(']')?.split("][").map(Into::into).collect();
        let plain = |name: &str| !name.is_empty() && !name.contains(['[', ']']);
        return path.iter().all(|name| plain(name)).then_some((Field::Claim(path), texts));
    }
    key.starts_with("experimental.envoy.filters.").then_some((Field::Nothing, texts))
}
