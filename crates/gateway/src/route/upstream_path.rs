//! What a call's path becomes upstream: Kong's `path_handling: v0`.

use crate::entity::{Route, Service};
use crate::router::MatchedPath;
use bytes::Bytes;

/// The path (without query) that goes to the service. `path` is the view the router judged.
pub fn upstream_path(route: &Route, service: Option<&Service>, matched: Option<MatchedPath>, path: &[u8]) -> Bytes {
    let base: &[u8] = service.and_then(|service| service.path.as_deref()).unwrap_or(b"/");
    let joined = if route.strip_path {
        // Without a path of the route there is nothing to cut but the slash itself.
        let length = matched.map_or(1, |matched| matched.length as usize);
        join_rest(base, without_dots(path.get(length..).unwrap_or_default()), path)
    } else {
        join_whole(base, path)
    };
    joined.into()
}

fn join_rest(base: &[u8], rest: &[u8], path: &[u8]) -> Vec<u8> {
    let ends_with_slash = path.len() > 1 && path.ends_with(b"/");
    match (base.strip_suffix(b"/"), rest) {
        (Some(b""), []) => b"/".to_vec(),
        (Some(_), []) if ends_with_slash => base.to_vec(),
        (Some(trimmed), []) => trimmed.to_vec(),
        (Some(trimmed), [b'/', ..]) => [trimmed, rest].concat(),
        (Some(_), _) => [base, rest].concat(),
        (None, []) if ends_with_slash => [base, b"/"].concat(),
        (None, []) => base.to_vec(),
        (None, [b'/', ..]) => [base, rest].concat(),
        (None, _) => [base, b"/", rest].concat(),
    }
}

fn join_whole(base: &[u8], path: &[u8]) -> Vec<u8> {
    match base.strip_suffix(b"/") {
        Some(_) => [base, path.strip_prefix(b"/").unwrap_or(path)].concat(),
        None if path == b"/" => base.to_vec(),
        None => [base, path].concat(),
    }
}

/// What is left after the cut must not climb: `/api` cut from `/api../x` leaves `../x`. Kong takes one such step away;
/// all of them are taken here, which differs only for what Kong would let climb.
fn without_dots(rest: &[u8]) -> &[u8] {
    let mut rest = rest;
    loop {
        rest = match rest {
            b"." | b".." => return b"",
            _ => match rest.strip_prefix(b"../").or_else(|| rest.strip_prefix(b"./")) {
                Some(after) => after,
                None => return rest,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::upstream_path;
    use crate::entity::{Route, Service};
    use crate::router::MatchedPath;
    use ringwall_model::RuleId;

    /// `prefix` is the route's path; empty for a route without paths.
    #[track_caller]
    fn check(base: &str, prefix: &str, strip: bool, path: &str, want: &str) {
        let mut service = Service::new(RuleId(0), "s", "h");
        service.path = (!base.is_empty()).then(|| base.to_owned().into());
        let mut route = Route::new(RuleId(0), uuid::Uuid::nil(), "r", None);
        route.strip_path = strip;
        let matched = (!prefix.is_empty()).then_some(MatchedPath { path: 0, length: prefix.len() as u32 });
        assert_eq!(upstream_path(&route, Some(&service), matched, path.as_bytes()), want.to_owned().into_bytes());
    }

    #[test]
    fn a_cut_path_is_joined_with_one_slash() {
        check("/", "/", true, "/", "/");
        check("/", "/route", true, "/route", "/");
        check("/", "/route", true, "/route/", "/");
        check("/", "/route", true, "/route/more", "/more");
        check("/", "/route", true, "/routeless", "/less");
        check("/", "/route/", true, "/route/more", "/more");
        check("/service", "/", true, "/", "/service");
        check("/service", "/", true, "/route", "/service/route");
        check("/service", "/route", true, "/route", "/service");
        check("/service", "/route", true, "/route/", "/service/");
        check("/service", "/route", true, "/routeless", "/service/less");
        check("/service/", "/route", true, "/route", "/service");
        check("/service/", "/route", true, "/route/", "/service/");
        check("/service/", "/route", true, "/route/more", "/service/more");
        check("/service/", "/route", true, "/routeless", "/service/less");
        check("", "/route", true, "/route/more", "/more");
        check("", "", true, "/more", "/more");
    }

    #[test]
    fn a_whole_path_is_put_behind_the_base() {
        check("/", "/route", false, "/route", "/route");
        check("/service", "/", false, "/", "/service");
        check("/service", "/route", false, "/route", "/service/route");
        check("/service/", "/route", false, "/route/", "/service/route/");
        check("", "/route", false, "/route", "/route");
    }

    #[test]
    fn what_is_left_does_not_climb() {
        check("/a/b", "/api", true, "/api../secret", "/a/b/secret");
        check("/a/b", "/api", true, "/api..", "/a/b");
        check("/a/b", "/api", true, "/api.././../x", "/a/b/x");
        check("/a/b", "/api", true, "/api./x", "/a/b/x");
    }
}
