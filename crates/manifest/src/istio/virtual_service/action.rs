//! What HTTP routes do: destinations, redirects, answers, rewriting, header operations, faults, copies, CORS.

use super::{Context, matching};
use crate::Cursor;
use crate::istio::networking::complete;
use bytes::Bytes;
use ringwall_mesh::route::cors::{Cors, Credentials, Unmatched};
use ringwall_mesh::route::{
    Abort, Action, BadTemplate, Destination, DirectResponse, Fault, FieldOps, HeaderOps, HttpMatch, Mirror, Redirect,
    RedirectPort, Rewrite, StringMatch, Template, Weighted, code,
};
use ringwall_model::{Millis, Severity};
use std::sync::Arc;

/// `route`, `redirect`, `directResponse` or `delegate`: exactly one.
pub(super) fn lower(context: &Context<'_>, at: Cursor<'_>) -> Action {
    let (route, redirected) = (at.get("route"), at.get("redirect"));
    let (direct, delegate) = (at.get("directResponse"), at.get("delegate"));
    let told = [route, redirected, direct, delegate].into_iter().filter(|one| one.is_present()).count();
    if told != 1 {
        let title = "a route needs exactly one of `route`, `redirect`, `directResponse`, `delegate`";
        at.report(at.finding(code::ROUTE_SETTING, Severity::Error, title));
        // Which of them is meant is not known, so they are not judged field by field.
        [route, redirected, direct, delegate].iter().for_each(|one| _ = one.whole());
    }
    if redirected.is_present() {
        return Action::Redirect(redirect(redirected));
    }
    if direct.is_present() {
        let status = direct.get("status").required().integer(200..=599).and_then(|status| u16::try_from(status).ok());
        let text = direct.get("body").get("string").string().unwrap_or_default();
        direct.get("body").ignored("bytes", "write the body as `string`");
        return Action::Respond(DirectResponse { status: status.unwrap_or(503), body: text.to_owned().into() });
    }
    if delegate.is_present() {
        let namespace = delegate.get("namespace").filled().unwrap_or(context.namespace);
        let name = delegate.get("name").required().filled().unwrap_or_default();
        return Action::Delegate { namespace: namespace.into(), name: name.into() };
    }
    Action::Forward(destinations(context, route))
}

/// Destinations with their weights.
pub(super) fn destinations(context: &Context<'_>, at: Cursor<'_>) -> Vec<Weighted> {
    let list: Vec<Weighted> = at
        .items()
        .map(|one| Weighted {
            destination: destination(context, one.get("destination").required()),
            weight: one
                .get("weight")
                .integer(0..=i64::from(i32::MAX))
                .and_then(|it| u32::try_from(it).ok())
                .unwrap_or(0),
            headers: headers(one.get("headers")),
        })
        .collect();
    let total: u64 = list.iter().map(|one| u64::from(one.weight)).sum();
    if list.len() > 1 && total == 0 {
        let title = "all weights are 0: no destination is ever chosen";
        at.report(at.finding(code::WEIGHT, Severity::Error, title));
    } else if let [only] = list.as_slice()
        && only.weight != 0
        && only.weight != 100
    {
        let title = format!("the weight {} of a single destination does nothing: it gets every call", only.weight);
        at.report(at.finding(code::WEIGHT, Severity::Note, title));
    } else if list.len() > 1 && list.iter().any(|one| one.weight == 0) {
        let title = "a destination with weight 0 gets no call";
        at.report(at.finding(code::WEIGHT, Severity::Note, title));
    }
    list
}

fn destination(context: &Context<'_>, at: Cursor<'_>) -> Destination {
    let host = at.get("host").required().filled().unwrap_or_default();
    Destination {
        host: complete(host, context.namespace),
        port: at.get("port").get("number").port(),
        subset: at.get("subset").filled().map(Arc::from),
        place: at.place(),
    }
}

fn redirect(at: Cursor<'_>) -> Redirect {
    let text = |name: &'static str| at.get(name).filled().map(|text| Bytes::from(text.to_owned()));
    let port = match at.get("port").port() {
        Some(number) => RedirectPort::Number(number),
        None => at
            .get("derivePort")
            .enumeration(&[
                ("FROM_PROTOCOL_DEFAULT", RedirectPort::ProtocolDefault),
                ("FROM_REQUEST_PORT", RedirectPort::OfRequest),
            ])
            .unwrap_or_default(),
    };
    let code_at = at.get("redirectCode");
    let status = code_at.integer(0..=999).and_then(|status| u16::try_from(status).ok()).unwrap_or(301);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let title = format!("{status} is no redirect that can be sent: 301, 302, 303, 307 or 308");
        code_at.report(code_at.finding(code::ROUTE_SETTING, Severity::Error, title));
    }
    at.ignored("uriRegexRewrite", "not supported in redirects");
    let scheme = at.get("scheme").enumeration(&[("http", "http"), ("https", "https")]);
    Redirect { uri: text("uri"), authority: text("authority"), port, scheme: scheme.map(Into::into), status }
}

/// `rewrite`: the path, or the prefix that matched; an expression; the authority.
pub(super) fn rewrite(at: Cursor<'_>, matches: &[HttpMatch]) -> Option<Rewrite> {
    if !at.is_present() {
        return None;
    }
    let text = |name: &'static str| at.get(name).filled().map(|text| Bytes::from(text.to_owned()));
    let regex_at = at.get("uriRegexRewrite");
    let regex = regex_at.get("match").filled().and_then(|text| {
        let pattern = matching::expression(regex_at.get("match"), text)?;
        Some((pattern, regex_at.get("rewrite").string().unwrap_or_default().into()))
    });
    let uri = text("uri");
    for matching in matches {
        let Some(StringMatch::Prefix(prefix)) = matching.uri.as_ref().map(|uri| &uri.is) else { continue };
        let Some(new) = uri.as_ref().filter(|_| prefix.len() > 1) else { continue };
        if prefix.ends_with('/') != new.ends_with(b"/") {
            let new = String::from_utf8_lossy(new);
            let mark = if prefix.ends_with('/') { "" } else { "/" };
            let title = format!("`{prefix}{mark}x` becomes `{new}{mark}x`: the slash is doubled or missing");
            let help = "let the prefix and what takes its place both end with `/`, or neither";
            at.report(at.finding(code::REWRITE_SLASH, Severity::Warning, title).help(help));
        }
    }
    Some(Rewrite { uri, regex, authority: text("authority") })
}

/// `headers`: operations on request and response.
pub(super) fn headers(at: Cursor<'_>) -> HeaderOps {
    HeaderOps { request: field_ops(at.get("request")), response: field_ops(at.get("response")) }
}

fn field_ops(at: Cursor<'_>) -> FieldOps {
    let list = |name: &'static str| {
        let mut list: Vec<(Bytes, Template)> =
            at.get(name).entries().filter_map(|(name, value)| field(name, value)).collect();
        list.sort_by(|(one, _), (other, _)| one.cmp(other));
        list
    };
    let remove = at.get("remove").items().filter_map(|name| field_name(name.filled()?, name));
    FieldOps { set: list("set"), add: list("add"), remove: remove.collect() }
}

fn field(name: &str, at: Cursor<'_>) -> Option<(Bytes, Template)> {
    let name = field_name(name, at)?;
    let text = at.string()?;
    let template = Template::read(text).unwrap_or_else(|bad| {
        let says = match bad {
            BadTemplate::LonePercent => "has a `%` that begins no operator; write `%%` for a percent sign".into(),
            BadTemplate::UnknownOperator(name) => format!("has the operator `%{name}%`, which is not known here"),
            BadTemplate::ControlCharacter => "has a control character".into(),
        };
        let title = format!("the value `{}` {says}", text.escape_default());
        at.report(at.finding(code::HEADER_VALUE, Severity::Error, title));
        Template::literal(Bytes::new())
    });
    if template.waits_for_answer() {
        let title = format!("`{text}` is not known when the header is written: it becomes `-`");
        at.report(at.finding(code::LATE_VALUE, Severity::Warning, title));
    }
    Some((name, template))
}

fn field_name(name: &str, at: Cursor<'_>) -> Option<Bytes> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let pseudo = name.starts_with(':') && name != ":authority";
    if pseudo || name.is_empty() || !name.strip_prefix(':').unwrap_or(name).bytes().all(token) {
        let title = format!("`{name}` is no header that can be changed");
        at.report(at.finding(code::HEADER_VALUE, Severity::Error, title));
        return None;
    }
    Some(name.to_ascii_lowercase().into())
}

/// `fault`. A percentage that is absent is 0.
pub(super) fn fault(at: Cursor<'_>) -> Option<Fault> {
    if !at.is_present() {
        return None;
    }
    let (delay_at, abort_at) = (at.get("delay"), at.get("abort"));
    let delay = delay_at.get("fixedDelay").duration().map(|delay| (delay, share(delay_at, 0)));
    let status = abort_at.get("httpStatus").integer(200..=599).and_then(|status| u16::try_from(status).ok());
    let grpc = abort_at.get("grpcStatus").filled();
    let abort = status.map(Abort::Http).or_else(|| Some(Abort::Grpc(grpc_status(abort_at, grpc?)?)));
    let abort = abort.map(|abort| (abort, share(abort_at, 0)));
    abort_at.ignored("http2Error", "not supported");
    for part in [delay_at, abort_at] {
        if part.is_present() && !part.get("percentage").is_present() && !part.get("percent").is_present() {
            let title = "without `percentage` this fault never happens";
            let finding = part.finding(code::FAULT_WITHOUT_PERCENTAGE, Severity::Warning, title);
            part.report(finding.help("percentage: {value: 100}"));
        }
    }
    Some(Fault { delay, abort })
}

fn grpc_status(at: Cursor<'_>, text: &str) -> Option<u16> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let known = (0_u16..).zip(NAMES).find(|(_, name)| *name == text).map(|(number, _)| number);
    known.or_else(|| text.parse().ok()).or_else(|| at.get("grpcStatus").refuse(format!("`{text}` is no gRPC status")))
}

/// `percentage.value` (or the older `percent`), of a million.
fn share(at: Cursor<'_>, otherwise: u32) -> u32 {
    let value = at.get("percentage").get("value").number().or_else(|| at.get("percent").number());
    match value {
        Some(value) if (0.0..=100.0).contains(&value) => (value * 10_000.0).round() as u32,
        Some(value) => {
            at.report(at.finding(code::ROUTE_SETTING, Severity::Error, format!("{value} is no percentage")));
            0
        }
        None if at.get("percentage").is_present() => 0,
        None => otherwise,
    }
}

/// `mirror` with `mirrorPercentage`, and `mirrors`.
pub(super) fn mirrors(context: &Context<'_>, at: Cursor<'_>) -> Vec<Mirror> {
    let mut list = Vec::new();
    let one = at.get("mirror");
    if one.is_present() {
        let value = at.get("mirrorPercentage").get("value").number();
        let value = value.or_else(|| at.get_either("mirrorPercent", "mirror_percent").number());
        let share = value.map_or(1_000_000, |value| (value.clamp(0.0, 100.0) * 10_000.0).round() as u32);
        list.push(Mirror { destination: destination(context, one), share });
    }
    let more = at.get("mirrors").items().map(|one| Mirror {
        destination: destination(context, one.get("destination").required()),
        share: share(one, 1_000_000),
    });
    list.extend(more);
    list
}

/// `corsPolicy`.
pub(super) fn cors(at: Cursor<'_>) -> Option<Cors> {
    if !at.is_present() {
        return None;
    }
    let joined = |name: &'static str| {
        let words = at.get(name).strings().filter(|words| !words.is_empty())?;
        Some(Bytes::from(words.join(",")))
    };
    let old = at.get("allowOrigin").strings().unwrap_or_default();
    let old =
        old.into_iter().map(|text| if text == "*" { StringMatch::Present } else { StringMatch::Exact(text.into()) });
    let new = at.get("allowOrigins").items().filter_map(|origin| {
        let is = matching::string(origin)?;
        Some(if matches!(&is, StringMatch::Exact(text) if &**text == "*") { StringMatch::Present } else { is })
    });
    let origins: Vec<StringMatch> = new.chain(old).collect();
    let allowed = at.get("allowCredentials").flag() == Some(true);
    if allowed && origins.iter().any(|origin| matches!(origin, StringMatch::Present)) {
        let title = "any origin may send credentials: every web site can act as the user";
        at.report(at.finding(code::ROUTE_SETTING, Severity::Warning, title).help("list the origins"));
    }
    let unmatched = at.get("unmatchedPreflights").enumeration(&[
        ("UNSPECIFIED", Unmatched::Forward),
        ("FORWARD", Unmatched::Forward),
        ("IGNORE", Unmatched::Answer),
    ]);
    Some(Cors {
        origins,
        methods: joined("allowMethods"),
        headers: joined("allowHeaders"),
        expose: joined("exposeHeaders"),
        max_age: at.get("maxAge").duration().filter(|age| *age != Millis(0)),
        credentials: if allowed { Credentials::Allowed } else { Credentials::Unsaid },
        unmatched: unmatched.unwrap_or_default(),
    })
}
