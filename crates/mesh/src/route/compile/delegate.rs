//! Delegates: one level, HTTP only. A delegate's match must lie within one of its root's.

use super::Compiler;
use crate::route::code;
use crate::route::matching::{HttpMatch, StringMatch, UriMatch};
use crate::route::resource::{Action, HttpRoute, VirtualService};
use ringwall_model::{Finding, Severity};

/// The routes that stand for a root route: those of its delegate, narrowed by the root's matches.
pub(super) fn routes(
    compiler: &mut Compiler<'_>,
    root: &HttpRoute,
    namespace: &str,
    name: &str,
    all: &[&VirtualService],
) -> Vec<HttpRoute> {
    let wanted = |service: &&&VirtualService| *service.origin.namespace == *namespace && *service.origin.name == *name;
    let Some(service) = all.iter().find(wanted).filter(|service| service.hosts.is_empty()) else {
        let title = format!("there is no delegate `{namespace}/{name}`; the route is dropped");
        let finding = Finding::new(code::UNKNOWN_DELEGATE, Severity::Warning, root.place.clone(), title);
        compiler.findings.push(finding.help("a delegate is a VirtualService without `hosts` and `gateways`"));
        return Vec::new();
    };
    let mut merged = Vec::new();
    for route in &service.http {
        if matches!(route.action, Action::Delegate { .. }) {
            let title = "a delegate cannot delegate; the route is dropped";
            let finding = Finding::new(code::UNKNOWN_DELEGATE, Severity::Warning, route.place.clone(), title);
            compiler.findings.push(finding);
            continue;
        }
        merged.extend(merge(compiler, root, route));
    }
    merged
}

fn merge(compiler: &mut Compiler<'_>, root: &HttpRoute, route: &HttpRoute) -> Option<HttpRoute> {
    let matches = if root.matches.is_empty() {
        route.matches.clone()
    } else if route.matches.is_empty() {
        root.matches.clone()
    } else {
        let pairs = root.matches.iter().flat_map(|wide| route.matches.iter().filter_map(|narrow| within(wide, narrow)));
        let matches: Vec<HttpMatch> = pairs.collect();
        if matches.is_empty() {
            let title = "no match of the delegate lies within a match of its root; the route is dropped";
            let finding = Finding::new(code::CONFLICTING_DELEGATE, Severity::Warning, route.place.clone(), title);
            compiler.findings.push(finding.related(root.place.clone(), "the root"));
            return None;
        }
        matches
    };
    let name = match (&*root.name, &*route.name) {
        ("", own) => own.into(),
        (root, "") => root.into(),
        (root, own) => format!("{root}-{own}").into(),
    };
    let headers = if route.headers == Default::default() { root.headers.clone() } else { route.headers.clone() };
    Some(HttpRoute {
        matches,
        name,
        headers,
        rewrite: route.rewrite.clone().or_else(|| root.rewrite.clone()),
        timeout: route.timeout.or(root.timeout),
        retries: route.retries.clone().or_else(|| root.retries.clone()),
        fault: route.fault.clone().or_else(|| root.fault.clone()),
        cors: route.cors.clone().or_else(|| root.cors.clone()),
        mirrors: if route.mirrors.is_empty() { root.mirrors.clone() } else { route.mirrors.clone() },
        ..route.clone()
    })
}

/// Both matches as one, when the second lies within the first.
fn within(root: &HttpMatch, route: &HttpMatch) -> Option<HttpMatch> {
    let uri = match (&root.uri, &route.uri) {
        (wide, None) => wide.clone(),
        (None, narrow) => narrow.clone(),
        (Some(wide), Some(narrow)) => Some(path_within(wide, narrow)?),
    };
    let one = |wide: &Option<StringMatch>, narrow: &Option<StringMatch>| match (wide, narrow) {
        (wide, None) => Some(wide.clone()),
        (None, narrow) => Some(narrow.clone()),
        (Some(wide), Some(narrow)) => text_within(wide, narrow).then(|| Some(narrow.clone())),
    };
    let port = match (root.port, route.port) {
        (Some(wide), Some(narrow)) if wide != narrow => return None,
        (wide, narrow) => narrow.or(wide),
    };
    Some(HttpMatch {
        uri,
        scheme: one(&root.scheme, &route.scheme)?,
        method: one(&root.method, &route.method)?,
        authority: one(&root.authority, &route.authority)?,
        headers: lists(&root.headers, &route.headers)?,
        without_headers: lists(&root.without_headers, &route.without_headers)?,
        query: lists(&root.query, &route.query)?,
        port,
        source: if route.source == Default::default() { root.source.clone() } else { route.source.clone() },
        name: route.name.clone(),
        place: route.place.clone(),
    })
}

type Named = Vec<(Box<str>, StringMatch)>;

fn lists(root: &Named, route: &Named) -> Option<Named> {
    let mut joined = route.clone();
    for (name, wide) in root {
        match route.iter().find(|(own, _)| own == name) {
            Some((_, narrow)) if !text_within(wide, narrow) => return None,
            Some(_) => {}
            None => joined.push((name.clone(), wide.clone())),
        }
    }
    Some(joined)
}

fn path_within(wide: &UriMatch, narrow: &UriMatch) -> Option<UriMatch> {
    (wide.case == narrow.case && text_within(&wide.is, &narrow.is)).then(|| narrow.clone())
}

/// Whether each text of the second condition meets the first; expressions are never compared.
pub(super) fn text_within(wide: &StringMatch, narrow: &StringMatch) -> bool {
    match (wide, narrow) {
        (StringMatch::Present, _) => true,
        (StringMatch::Exact(wide), StringMatch::Exact(narrow)) => wide == narrow,
        (StringMatch::Prefix(wide), StringMatch::Exact(narrow) | StringMatch::Prefix(narrow)) => {
            narrow.starts_with(&**wide)
        }
        _ => false,
    }
}
