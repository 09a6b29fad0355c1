//! The fields of sources and operations.
//!
//! In: a `source` or an `operation`. Out: its clauses. Never: a list left out because one of its values is wrong.

use super::{Policy, codes};
use crate::Cursor;
use ringwall_mesh::authorization::{Action, Clause, Field, PathForm, RequestPrincipal, Sense, Values};
use ringwall_mesh::matching::{Form, template::Template};
use ringwall_model::Severity;

/// How the values of a list are read.
pub(super) type Read = fn(Cursor<'_>, Policy<'_>) -> Values;

/// A list of a policy: its names for and against, its field, how it is read.
type List = (&'static str, &'static str, Field, Read);

const SOURCE: [List; 7] = [
    ("principals", "notPrincipals", Field::Principal, principals),
    ("requestPrincipals", "notRequestPrincipals", Field::RequestPrincipal, request_principals),
    ("namespaces", "notNamespaces", Field::Namespace, namespaces),
    ("ipBlocks", "notIpBlocks", Field::PeerAddress, blocks),
    ("remoteIpBlocks", "notRemoteIpBlocks", Field::ClientAddress, blocks),
    ("serviceAccounts", "notServiceAccounts", Field::ServiceAccount, accounts),
    ("trustDomains", "notTrustDomains", Field::TrustDomain, texts),
];

const OPERATION: [List; 4] = [
    ("hosts", "notHosts", Field::Host, texts),
    ("ports", "notPorts", Field::Port, ports),
    ("methods", "notMethods", Field::Method, methods),
    ("paths", "notPaths", Field::Path, paths),
];

/// The clauses of a `source`.
pub(super) fn source(at: Cursor<'_>, policy: Policy<'_>) -> Vec<Clause> {
    let accounts = at.get("serviceAccounts").is_present() || at.get("notServiceAccounts").is_present();
    let same = ["principals", "notPrincipals", "namespaces", "notNamespaces"];
    if accounts && same.iter().any(|name| at.get(name).is_present()) {
        let title = "`serviceAccounts` stands alone: not beside `principals` or `namespaces`";
        at.report(at.finding(codes::SERVICE_ACCOUNT, Severity::Error, title));
    }
    lists(at, &SOURCE, policy)
}

/// The clauses of an `operation`.
pub(super) fn operation(at: Cursor<'_>, policy: Policy<'_>) -> Vec<Clause> {
    lists(at, &OPERATION, policy)
}

fn lists(at: Cursor<'_>, lists: &[List], policy: Policy<'_>) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for (name, negative, field, read) in lists {
        clauses.extend(clause(at.get(name), field.clone(), Sense::Any, *read, policy));
        clauses.extend(clause(at.get(negative), field.clone(), Sense::None, *read, policy));
    }
    clauses
}

/// The clause of one list; `None` when it is absent.
pub(super) fn clause(at: Cursor<'_>, field: Field, sense: Sense, read: Read, policy: Policy<'_>) -> Option<Clause> {
    if !at.is_present() {
        return None;
    }
    if at.list().is_some_and(|mut items| items.next().is_none()) {
        let title = format!("`{}` is empty; Istio reads that as absent, which matches everything", at.name());
        at.report(at.finding(codes::EMPTY_LIST, Severity::Error, title).help("take the list out, or name values"));
    }
    let unknown = policy.action == Action::Custom && is_unknown_to_authorizer(&field);
    if unknown {
        let title = format!("`{}` is not known yet when an external authorizer is asked", at.name());
        at.report(at.finding(codes::CUSTOM_FIELD, Severity::Error, title));
    }
    let values = read(at, policy);
    Some(if at.is_sound() { Clause { field, values, sense } } else { unreadable(policy.action) })
}

const fn is_unknown_to_authorizer(field: &Field) -> bool {
    matches!(
        field,
        Field::Principal
            | Field::Namespace
            | Field::ServiceAccount
            | Field::TrustDomain
            | Field::RequestPrincipal
            | Field::Audience
            | Field::Presenter
            | Field::Claim(_)
    )
}

/// What becomes of a clause that cannot be read.
pub(super) fn unreadable(action: Action) -> Clause {
    if action == Action::Allow { never() } else { Clause { field: Field::Always, ..never() } }
}

/// A clause that no call meets.
pub(super) const fn never() -> Clause {
    Clause { field: Field::Never, values: Values::Nothing, sense: Sense::Any }
}

/// Values that are patterns over text.
pub(super) fn texts(at: Cursor<'_>, _: Policy<'_>) -> Values {
    Values::Text(patterns(at).map(|(_, text)| Form::read(text)).collect())
}

/// Values that are patterns over a header, where `*` is presence.
pub(super) fn header_texts(at: Cursor<'_>, _: Policy<'_>) -> Values {
    Values::Text(patterns(at).map(|(_, text)| Form::read_header(text)).collect())
}

/// Texts of a list, with a warning for a star that stands for itself.
fn patterns<'a>(at: Cursor<'a>) -> impl Iterator<Item = (Cursor<'a>, &'a str)> {
    filled(at).inspect(|(item, text)| {
        let inner = text.strip_prefix('*').or_else(|| text.strip_suffix('*')).unwrap_or(text);
        if inner.contains('*') {
            let title = format!("a `*` within `{text}` stands for itself; it is a pattern at one end alone");
            item.report(item.finding(codes::INNER_STAR, Severity::Warning, title));
        }
    })
}

fn filled<'a>(at: Cursor<'a>) -> impl Iterator<Item = (Cursor<'a>, &'a str)> {
    at.items().filter_map(|item| Some((item, item.filled()?)))
}

/// Identities, without `spiffe://`.
pub(super) fn principals(at: Cursor<'_>, _: Policy<'_>) -> Values {
    let checked = patterns(at).inspect(|(item, text)| {
        if let Some(rest) = text.strip_prefix("spiffe://") {
            let title = format!("`{text}` matches nobody: principals are written without `spiffe://`");
            let mut finding = item.finding(codes::PRINCIPAL_SCHEME, Severity::Warning, title);
            finding.fix = Some(rest.into());
            item.report(finding);
        }
    });
    Values::Text(checked.map(|(_, text)| Form::read(text)).collect())
}

/// Namespaces, where every `*` is a pattern.
pub(super) fn namespaces(at: Cursor<'_>, _: Policy<'_>) -> Values {
    Values::Text(filled(at).map(|(_, text)| Form::read_namespace(text)).collect())
}

/// Issuers and subjects.
pub(super) fn request_principals(at: Cursor<'_>, _: Policy<'_>) -> Values {
    let one = |(item, text): (Cursor<'_>, &str)| {
        let read = RequestPrincipal::read(text);
        if read.is_none() {
            let title = format!("`{text}` is no request principal: no token can match it");
            let help = "write `<issuer>/<subject>`; either may be `*`";
            item.report(item.finding(codes::REQUEST_PRINCIPAL, Severity::Error, title).help(help));
        }
        read
    };
    Values::RequestPrincipals(filled(at).filter_map(one).collect())
}

/// Blocks of addresses.
pub(super) fn blocks(at: Cursor<'_>, _: Policy<'_>) -> Values {
    Values::Blocks(at.items().filter_map(Cursor::block).collect())
}

/// Service accounts: `account` of the policy's namespace, or `namespace/account`.
pub(super) fn accounts(at: Cursor<'_>, policy: Policy<'_>) -> Values {
    let one = |(item, text): (Cursor<'_>, &str)| {
        let (namespace, account) = text.split_once('/').unwrap_or((policy.namespace, text));
        let fits = |part: &str| !part.is_empty() && !part.contains(['*', '/']);
        if fits(namespace) && fits(account) && text.len() <= 320 {
            return Some((namespace.into(), account.into()));
        }
        let title = format!("`{text}` is no service account");
        let help = "write `account` or `namespace/account`, without `*`";
        item.report(item.finding(codes::SERVICE_ACCOUNT, Severity::Error, title).help(help));
        None
    };
    let accounts: Vec<_> = filled(at).filter_map(one).collect();
    if accounts.len() > 16 {
        at.report(at.finding(codes::SERVICE_ACCOUNT, Severity::Error, "more than 16 service accounts in one list"));
    }
    Values::Accounts(accounts)
}

/// Ports, which this kind writes as strings.
pub(super) fn ports(at: Cursor<'_>, _: Policy<'_>) -> Values {
    let one = |(item, text): (Cursor<'_>, &str)| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let port = text.parse::<u16>().ok().filter(|_| plain);
        if port.is_none() {
            item.report(item.finding(codes::PORT, Severity::Error, format!("`{text}` is not a port")));
        }
        port
    };
    Values::Ports(filled(at).filter_map(one).collect())
}

fn methods(at: Cursor<'_>, _: Policy<'_>) -> Values {
    let checked = patterns(at).inspect(|(item, text)| {
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let title = format!("methods are case-sensitive: `{text}` is not `{}`", text.to_ascii_uppercase());
            let mut finding = item.finding(codes::METHOD_CASE, Severity::Warning, title);
            finding.fix = Some(text.to_ascii_uppercase());
            item.report(finding);
        }
    });
    Values::Text(checked.map(|(_, text)| Form::read(text)).collect())
}

fn paths(at: Cursor<'_>, _: Policy<'_>) -> Values {
    let plain = |text: &str| !Template::is_template(text);
    let one = |(item, text): (Cursor<'_>, &str)| {
        let read = PathForm::read(text);
        if read.is_none() {
            let title = format!("`{text}` is no path template");
            let help = "a template has `{*}` for one whole segment and `{**}` once, for the rest";
            item.report(item.finding(codes::TEMPLATE, Severity::Error, title).help(help));
        } else if plain(text) && !text.starts_with(['/', '*']) {
            let title = format!("`{text}` matches no path: paths begin with `/`");
            item.report(item.finding(codes::TEMPLATE, Severity::Warning, title));
        }
        read
    };
    Values::Paths(filled(at).filter_map(one).collect())
}
