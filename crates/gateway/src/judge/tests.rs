use super::{Verdict, limit_fields, limited, request};
use crate::entity::{BasicCredential, Consumer, JwtCredential, KeyCredential, VerifyKey};
use crate::plugin::acl::{Acl, Groups};
use crate::plugin::basic_auth::BasicAuth;
use crate::plugin::bot_detection::BotDetection;
use crate::plugin::correlation_id::{CorrelationId, Generator};
use crate::plugin::cors::{Cors, Origin};
use crate::plugin::ip_restriction::IpRestriction;
use crate::plugin::jwt::{Jwt, TimeClaim};
use crate::plugin::key_auth::{Anonymous, KeyAuth};
use crate::plugin::oidc::{Audience, Flow, Oidc};
use crate::plugin::rate_limiting::{LimitBy, OnFailure, RateLimiting};
use crate::plugin::request_size_limiting::RequestSizeLimiting;
use crate::plugin::request_termination::RequestTermination;
use crate::plugin::request_transformer::{Changes, RequestTransformer};
use crate::plugin::response_transformer::ResponseTransformer;
use crate::plugin::{Config, Plugin, Scope};
use crate::route::{Selection, select};
use crate::template::Template;
use crate::{Compatibility, ConsumerIndex, Gateway, Parts, Route, RouteIndex, Service, ServiceIndex, Settings};
use ringwall_model::{
    BodyLength, Budget, Call, CallId, Client, ClientOrigin, Decision, Edit, Fields, Millis, Peer, Raw, Reason, Reply,
    RuleId, Scheme, Spent, Step, Timestamp, Version, Views, Window,
};
use ringwall_token::{Algorithm, DevelopmentSigner, Facts, JwkSet, KeyAnswer, KeySource, Known};
use serde_json::{Value, json};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A call to `target` from 192.0.2.1 with these fields.
fn call(method: &'static str, target: &'static str, lines: &[(&str, &str)]) -> Call {
    let mut fields = Fields::default();
    lines.iter().for_each(|(name, value)| fields.push(name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Call {
        id: CallId(7),
        received: NOW,
        raw: Raw::default(),
        faults: Vec::new(),
        version: Version::Http11,
        method: method.into(),
        scheme: Scheme::Http,
        authority: "api.test".into(),
        target: target.into(),
        views: Views { istio: path.into(), kong: path.into(), query: query.map(Into::into) },
        fields,
        peer: Peer { address: "192.0.2.1:4000".parse().unwrap(), tls: None },
        client: Client { address: "192.0.2.1".parse().unwrap(), origin: ClientOrigin::Peer },
        local: "10.0.0.1:8000".parse().unwrap(),
        body: BodyLength::Empty,
    }
}

fn gateway(compatibility: Compatibility, plugins: Vec<(Scope, Config)>, consumers: Vec<Consumer>) -> Gateway {
    let service = Service { port: 8080, ..Service::new(RuleId(1), "bff", "bff.test") };
    let mut route = Route::new(RuleId(2), uuid::Uuid::nil(), "api", Some(ServiceIndex(0)));
    route.paths = vec!["/".into()];
    route.strip_path = false;
    let plugin = |(number, (scope, config)): (u32, (Scope, Config))| Plugin {
        rule: RuleId(number + 10),
        stable: u64::from(number) + 10,
        scope,
        config,
    };
    Gateway::assemble(Parts {
        settings: Settings { compatibility, ..Settings::default() },
        services: vec![service],
        routes: vec![route],
        consumers,
        plugins: (0..).zip(plugins).map(plugin).collect(),
        ..Parts::default()
    })
}

fn with(config: Config) -> Gateway {
    gateway(Compatibility::Safe, vec![(Scope::default(), config)], consumers())
}

fn consumers() -> Vec<Consumer> {
    let jwt = |key: &str, secret: &[u8]| JwtCredential {
        key: key.into(),
        algorithm: Algorithm::Hs256,
        verify: VerifyKey::Secret(secret.into()),
    };
    vec![
        Consumer {
            id: "id-ann".into(),
            username: Some("ann".into()),
            groups: ["staff".into()].into(),
            keys: vec![KeyCredential { id: "k1".into(), key: "ann-key".into() }],
            basic: vec![BasicCredential { username: "ann".into(), password: "open:sesame".into() }],
            jwt: vec![jwt("ann-iss", b"secret")],
            ..Consumer::default()
        },
        Consumer { id: "id-nobody".into(), username: Some("nobody".into()), ..Consumer::default() },
    ]
}

fn judge_with(gateway: &Gateway, call: &Call, facts: &Facts) -> Step<Box<Verdict>> {
    let Selection::Route(selected) = select(gateway, call) else { panic!("no route") };
    request(gateway, &selected, call, &Known { facts, asked: &[], now: NOW }, 0x0123_4567_89ab_cdef)
}

fn judge(gateway: &Gateway, call: &Call) -> Verdict {
    match judge_with(gateway, call, &Facts::default()) {
        Step::Done(verdict) => *verdict,
        other => panic!("{other:?}"),
    }
}

/// Status and body of a refusal, or 0 and the empty text for a pass.
fn outcome(verdict: &Verdict) -> (u16, String) {
    match &verdict.judgement.decision {
        Decision::Pass { .. } => (0, String::new()),
        Decision::Refuse { reply: Reply::Http { status, body, .. }, .. } => {
            (*status, String::from_utf8(body.to_vec()).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(verdict: &Verdict, status: u16, message: &str) {
    let want = format!("{{\"message\":\"{message}\",\"request_id\":\"{:032x}\"}}", 7);
    assert_eq!(outcome(verdict), (status, want));
}

#[track_caller]
fn passed(verdict: &Verdict) {
    assert_eq!(outcome(verdict), (0, String::new()));
}

/// The call's fields after the edits, by name.
fn upstream(call: &Call, verdict: &Verdict, name: &str) -> Vec<String> {
    let mut fields = call.fields.clone();
    for edit in &verdict.judgement.edits {
        if let Edit::Field(edit) = edit {
            edit.apply(&mut fields);
        }
    }
    fields.all(name).map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

fn response(verdict: &Verdict, lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    lines.iter().for_each(|(name, value)| fields.push(name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    verdict.response_edits.iter().for_each(|edit| edit.apply(&mut fields));
    fields
}

fn key_auth() -> KeyAuth {
    KeyAuth {
        key_names: vec!["apikey".into()],
        key_in_header: true,
        key_in_query: true,
        hide_credentials: true,
        anonymous: Anonymous::Refused,
        run_on_preflight: true,
    }
}

#[test]
fn key_auth_finds_the_consumer() {
    let gateway = with(Config::KeyAuth(key_auth()));
    let try_one = |target, lines: &[(&str, &str)]| judge(&gateway, &call("GET", target, lines));
    refused(&try_one("/", &[]), 401, "No API key found in request");
    refused(&try_one("/", &[("apikey", "wrong")]), 401, "Unauthorized");
    refused(&try_one("/", &[("apikey", "ann-key"), ("apikey", "ann-key")]), 401, "Duplicate API key found");
    let good = try_one("/?a=1&apikey=ann-key", &[]);
    passed(&good);
    assert_eq!(good.caller.consumer.as_deref(), Some("ann"));
    assert!(good.judgement.edits.contains(&Edit::Query(Some("a=1".into()))));
    assert_eq!(upstream(&call("GET", "/", &[]), &good, "x-consumer-username"), ["ann"]);
}

#[test]
fn a_refusal_names_its_plugin() {
    let verdict = judge(&with(Config::KeyAuth(key_auth())), &call("GET", "/", &[]));
    assert_eq!(verdict.judgement.decision.because(), Reason::Rule(RuleId(10)));
    let verdict = judge(&gateway(Compatibility::Safe, Vec::new(), Vec::new()), &call("GET", "/", &[]));
    assert_eq!(verdict.judgement.decision.because(), Reason::Rule(RuleId(2)));
}

#[test]
fn the_anonymous_consumer_is_nobodys_identity() {
    let config = KeyAuth { anonymous: Anonymous::Consumer(ConsumerIndex(1)), ..key_auth() };
    let subject = call("GET", "/", &[]);
    let verdict = judge(&with(Config::KeyAuth(config)), &subject);
    passed(&verdict);
    assert!(!verdict.caller.is_authenticated());
    assert_eq!(upstream(&subject, &verdict, "x-anonymous-consumer"), ["true"]);
    assert_eq!(upstream(&subject, &verdict, "x-consumer-username"), ["nobody"]);
    let config = KeyAuth { anonymous: Anonymous::Missing, ..key_auth() };
    refused(&judge(&with(Config::KeyAuth(config)), &subject), 500, "An unexpected error occurred");
}

#[test]
fn claimed_identity_fields_are_dropped() {
    let subject = call("GET", "/", &[("X_Consumer_Username", "root"), ("X-Userinfo", "x"), ("X-Other", "y")]);
    let safe = judge(&gateway(Compatibility::Safe, Vec::new(), Vec::new()), &subject);
    assert_eq!(upstream(&subject, &safe, "x_consumer_username"), [""; 0]);
    assert_eq!(upstream(&subject, &safe, "x-other"), ["y"]);
    let kong = judge(&gateway(Compatibility::Kong, Vec::new(), Vec::new()), &subject);
    assert_eq!(upstream(&subject, &kong, "x_consumer_username"), ["root"]);
}

#[test]
fn basic_auth_compares_user_and_password() {
    let config = BasicAuth { hide_credentials: true, anonymous: Anonymous::Refused, realm: "service".into() };
    let gateway = with(Config::BasicAuth(config));
    let subject = call("GET", "/", &[("authorization", "Basic YW5uOm9wZW46c2VzYW1l")]);
    let verdict = judge(&gateway, &subject);
    passed(&verdict);
    assert!(upstream(&subject, &verdict, "authorization").is_empty());
    refused(&judge(&gateway, &call("GET", "/", &[("authorization", "Basic YW5uOndyb25n")])), 401, "Unauthorized");
    refused(&judge(&gateway, &call("GET", "/", &[])), 401, "Unauthorized");
}

#[test]
fn acl_asks_for_a_group() {
    let try_one = |groups, key: &[(&str, &str)]| {
        let acl = Config::Acl(Acl { groups, hide_groups_header: false });
        let plugins = vec![(Scope::default(), acl), (Scope::default(), Config::KeyAuth(key_auth()))];
        judge(&gateway(Compatibility::Safe, plugins, consumers()), &call("GET", "/", key))
    };
    let ann: &[(&str, &str)] = &[("apikey", "ann-key")];
    passed(&try_one(Groups::Allow(["staff".into()].into()), ann));
    refused(&try_one(Groups::Allow(["boss".into()].into()), ann), 403, "You cannot consume this service");
    refused(&try_one(Groups::Deny(["staff".into()].into()), ann), 403, "You cannot consume this service");
    passed(&try_one(Groups::Deny(["boss".into()].into()), ann));
}

fn jwt(verify: &[TimeClaim], maximum_expiration: u64) -> Config {
    Config::Jwt(Jwt {
        uri_param_names: vec!["jwt".into()],
        cookie_names: vec!["token".into()],
        header_names: vec!["authorization".into()],
        key_claim_name: "iss".into(),
        secret_is_base64: false,
        claims_to_verify: verify.iter().copied().collect(),
        maximum_expiration,
        anonymous: Anonymous::Refused,
        run_on_preflight: true,
        realm: None,
    })
}

/// A token signed with `secret`; `header` is the JOSE header.
fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    use base64::Engine;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encode(tag.as_ref()))
}

#[track_caller]
fn jwt_case(compatibility: Compatibility, config: Config, claims: Value, want: (u16, &str)) {
    let token = hs256(&json!({"alg": "HS256"}), &claims, b"secret");
    let gateway = gateway(compatibility, vec![(Scope::default(), config)], consumers());
    let verdict = judge(&gateway, &call("GET", "/", &[("authorization", &format!("Bearer {token}"))]));
    let (status, body) = outcome(&verdict);
    assert!(status == want.0 && body.contains(want.1), "{status} {body}");
}

#[test]
fn jwt_judges_times() {
    use Compatibility::{Kong, Safe};
    let (now, both) = (NOW.seconds(), [TimeClaim::Expires, TimeClaim::NotBefore]);
    let good = json!({"iss": "ann-iss", "exp": now + 60, "nbf": now - 1});
    jwt_case(Safe, jwt(&both, 3600), good.clone(), (0, ""));
    jwt_case(Safe, jwt(&[], 0), json!({"iss": "ann-iss"}), (401, r#"{"exp":"must be a number"}"#));
    jwt_case(Kong, jwt(&[], 0), json!({"iss": "ann-iss"}), (0, ""));
    jwt_case(Safe, jwt(&both, 0), json!({"iss": "ann-iss", "exp": now, "nbf": 0}), (401, r#"{"exp":"token expired"}"#));
    let early = json!({"iss": "ann-iss", "exp": now + 60, "nbf": now + 1});
    jwt_case(Safe, jwt(&[], 0), early, (401, r#"{"nbf":"token not valid yet"}"#));
    jwt_case(Safe, jwt(&both, 30), good, (401, "exceeds maximum allowed expiration"));
    // In Kong `maximum_expiration` alone lets what has expired pass.
    let expired = json!({"iss": "ann-iss", "exp": now - 100});
    jwt_case(Kong, jwt(&[], 3600), expired.clone(), (0, ""));
    jwt_case(Safe, jwt(&[], 3600), expired, (401, "token expired"));
}

#[test]
fn jwt_wants_one_good_token() {
    let gateway = with(jwt(&[], 0));
    let claims = json!({"iss": "ann-iss", "exp": NOW.seconds() + 60});
    let good = hs256(&json!({"alg": "HS256"}), &claims, b"secret");
    let try_one = |line: &str| outcome(&judge(&gateway, &call("GET", "/", &[("authorization", line)])));
    let says = |line: &str, want: &str| {
        let (status, body) = try_one(line);
        assert!(status == 401 && body.contains(want), "{status} {body}");
    };
    assert_eq!(try_one(&format!("bearer {good}")).0, 0);
    says("", "\"Unauthorized\"");
    says("Basic x", "\"Unauthorized\"");
    says("Bearer x", "Bad token");
    says(&format!("Bearer {}", hs256(&json!({"alg": "HS256"}), &claims, b"other")), "Invalid signature");
    says(&format!("Bearer {}", hs256(&json!({"alg": "HS512"}), &claims, b"secret")), "Invalid algorithm");
    says(&format!("Bearer {}", hs256(&json!({"alg": "none"}), &claims, b"secret")), "Bad token");
    says(&format!("Bearer {}", hs256(&json!({"alg": "HS256"}), &json!({}), b"secret")), "No mandatory 'iss' in claims");
    let unknown = json!({"iss": "who"});
    says(
        &format!("Bearer {}", hs256(&json!({"alg": "HS256"}), &unknown, b"s")),
        "No credentials found for given 'iss'",
    );
    let two = [("authorization", &*format!("Bearer {good}")), ("cookie", "a=b; token=x.y.z")];
    refused(&judge(&gateway, &call("GET", "/", &two)), 401, "Multiple tokens provided");
    let same = [("authorization", &*format!("Bearer {good}")), ("cookie", &*format!("token={good}"))];
    passed(&judge(&gateway, &call("GET", "/", &same)));
}

fn oidc(audience: Audience) -> Oidc {
    Oidc {
        name: "oidc",
        issuer: "https://issuer.test".into(),
        keys: KeySource::Uri("https://issuer.test/keys".into()),
        audience,
        scopes: vec!["read".into()],
        algorithms: vec![Algorithm::Es256],
        flow: Flow::BearerOnly,
        realm: "kong".into(),
        header_claims: vec![(vec!["email".into()], "X-Email".into())],
        userinfo_header: None,
        groups_claim: None,
        consumer_claim: None,
        leeway: Millis::seconds(60),
    }
}

#[test]
fn oidc_takes_only_good_bearer_tokens() {
    let signer = DevelopmentSigner::generate("k").unwrap();
    let keys = JwkSet::read(signer.key_set().to_string().as_bytes()).unwrap();
    let mut facts = Facts::default();
    facts.keys.insert("https://issuer.test/keys".into(), KeyAnswer::Set(Arc::new(keys)));
    let now = NOW.seconds();
    let good = json!({"iss": "https://issuer.test", "sub": "u1", "aud": ["api"], "exp": now + 60, "scope": "read write",
        "tenant_id": "t1", "email": "a@b.test", "azp": "web"});
    let check = |change: Value, audience: Audience, want: u16| {
        let mut claims = good.clone();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let gateway = with(Config::Oidc(oidc(audience)));
        let line = format!("Bearer {}", signer.sign(&claims).unwrap());
        let subject = call("GET", "/", &[("authorization", &line), ("x-email", "root@b.test")]);
        let Step::Done(verdict) = judge_with(&gateway, &subject, &facts) else { panic!() };
        assert_eq!(outcome(&verdict).0, want, "{change}");
        if want == 0 {
            assert_eq!((verdict.caller.user.as_deref(), verdict.caller.tenant.as_deref()), (Some("u1"), Some("t1")));
            assert_eq!(upstream(&subject, &verdict, "x-email"), ["a@b.test"]);
        }
    };
    let api = || Audience::OneOf(vec!["api".into()]);
    check(json!({}), api(), 0);
    check(json!({}), Audience::Client("web".into()), 0);
    check(json!({}), Audience::Client("other".into()), 401);
    check(json!({"aud": "elsewhere"}), api(), 401);
    check(json!({"iss": "https://issuer.test/"}), api(), 401);
    check(json!({"exp": now - 61}), api(), 401);
    check(json!({"nbf": now + 61}), api(), 401);
    check(json!({"scope": "write"}), api(), 403);
}

#[test]
fn oidc_asks_for_keys_it_does_not_have() {
    let gateway = with(Config::Oidc(oidc(Audience::Any)));
    let signer = DevelopmentSigner::generate("k").unwrap();
    let claims = json!({"iss": "https://issuer.test", "exp": NOW.seconds() + 60});
    let line = format!("Bearer {}", signer.sign(&claims).unwrap());
    let subject = call("GET", "/", &[("authorization", &line)]);
    assert!(matches!(judge_with(&gateway, &subject, &Facts::default()), Step::Ask(_)));
    let mut facts = Facts::default();
    facts.keys.insert("https://issuer.test/keys".into(), KeyAnswer::Unanswered);
    let Step::Done(verdict) = judge_with(&gateway, &subject, &facts) else { panic!() };
    refused(&verdict, 401, "Unauthorized");
    refused(&judge(&gateway, &call("GET", "/", &[])), 401, "Unauthorized");
    refused(
        &judge(&with(Config::Oidc(Oidc { flow: Flow::Login, ..oidc(Audience::Any) })), &subject),
        500,
        "An unexpected error occurred",
    );
}

fn minute(limit: u64, limit_by: LimitBy) -> Config {
    Config::RateLimiting(RateLimiting {
        budgets: vec![Budget { limit, window: Window::Minute }, Budget { limit: limit * 10, window: Window::Hour }],
        limit_by,
        hide_client_headers: false,
        error_code: 429,
        error_message: "API rate limit exceeded".into(),
        on_failure: OnFailure::Refuse,
    })
}

#[test]
fn limits_are_takes_and_headers() {
    let gateway = with(minute(10, LimitBy::Ip));
    let subject = call("GET", "/", &[]);
    let verdict = judge(&gateway, &subject);
    assert_eq!(verdict.judgement.takes.len(), 2);
    let spent =
        |number: usize, remaining, reset| Spent { budget: verdict.judgement.takes[number].budget, remaining, reset };
    let edits = limit_fields(&gateway, &verdict, &[spent(0, 3, 20), spent(1, 93, 1220)]);
    let mut fields = Fields::default();
    edits.iter().for_each(|edit| edit.apply(&mut fields));
    let got: Vec<String> =
        fields.iter().map(|field| String::from_utf8([&*field.name, b": ", &*field.value].concat()).unwrap()).collect();
    assert_eq!(
        got,
        [
            "x-ratelimit-limit-minute: 10",
            "x-ratelimit-remaining-minute: 3",
            "x-ratelimit-limit-hour: 100",
            "x-ratelimit-remaining-hour: 93",
            "ratelimit-limit: 10",
            "ratelimit-remaining: 3",
            "ratelimit-reset: 20",
        ]
    );
    let Reply::Http { status, fields, body } = limited(&gateway, &verdict, 0, &spent(0, 0, 20), &subject) else {
        panic!()
    };
    assert_eq!(
        (status, fields.iter().find(|(name, _)| *name == "retry-after").map(|(_, value)| &**value)),
        (429, Some(&b"20"[..]))
    );
    assert!(body.starts_with(b"{\"message\":\"API rate limit exceeded\""));
}

#[test]
fn limits_fall_back_to_the_address() {
    let subject_of = |config: Config, lines: &[(&str, &str)], path| {
        let plugins = vec![(Scope::default(), config), (Scope::default(), Config::KeyAuth(key_auth()))];
        judge(&gateway(Compatibility::Safe, plugins, consumers()), &call("GET", path, lines)).judgement.takes[0]
            .key
            .subject
    };
    let ann: &[(&str, &str)] = &[("apikey", "ann-key")];
    let tagged: &[(&str, &str)] = &[("apikey", "ann-key"), ("x-tag", "1")];
    let address = subject_of(minute(1, LimitBy::Ip), ann, "/");
    assert_ne!(subject_of(minute(1, LimitBy::Consumer), ann, "/"), address);
    assert_eq!(subject_of(minute(1, LimitBy::Header("x-tag".into())), ann, "/"), address);
    assert_ne!(subject_of(minute(1, LimitBy::Header("x-tag".into())), tagged, "/"), address);
    assert_eq!(subject_of(minute(1, LimitBy::Path("/a".into())), ann, "/b"), address);
    assert_ne!(subject_of(minute(1, LimitBy::Path("/a".into())), ann, "/a"), address);
}

#[test]
fn exactly_one_configuration_runs_the_most_specific() {
    let (route, service, consumer) = (Some(RouteIndex(0)), Some(ServiceIndex(0)), Some(ConsumerIndex(0)));
    let order = [
        Scope { route, service, consumer },
        Scope { route, service: None, consumer },
        Scope { route: None, service, consumer },
        Scope { route, service, consumer: None },
        Scope { route: None, service: None, consumer },
        Scope { route, service: None, consumer: None },
        Scope { route: None, service, consumer: None },
        Scope::default(),
    ];
    for first in 0..order.len() {
        // Handed in least specific first, so that the order of the file cannot be what decides.
        let mut plugins: Vec<(Scope, Config)> =
            order[first..].iter().rev().map(|scope| (*scope, minute(1, LimitBy::Ip))).collect();
        plugins.push((Scope::default(), Config::KeyAuth(key_auth())));
        let gateway = gateway(Compatibility::Safe, plugins, consumers());
        let verdict = judge(&gateway, &call("GET", "/", &[("apikey", "ann-key")]));
        assert_eq!(verdict.limits.len(), 1);
        assert_eq!(gateway.plugin(verdict.limits[0].plugin).unwrap().scope, order[first]);
    }
}

#[test]
fn addresses_are_denied_first_then_allowed() {
    let check = |allow: &[&str], deny: &[&str], want: u16| {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let has_allow = !allow.is_empty();
        let config = IpRestriction { allow: nets(allow), deny: nets(deny), has_allow, ..IpRestriction::default() };
        assert_eq!(outcome(&judge(&with(Config::IpRestriction(config)), &call("GET", "/", &[]))).0, want);
    };
    check(&[], &["192.0.2.0/24"], 403);
    check(&[], &["198.51.100.0/24"], 0);
    check(&["192.0.2.0/24"], &[], 0);
    check(&["198.51.100.0/24"], &[], 403);
    check(&["192.0.2.0/24"], &["192.0.2.1/32"], 403);
    let config = IpRestriction { deny: vec!["192.0.2.1/32".parse().unwrap()], ..IpRestriction::default() };
    let verdict = judge(&with(Config::IpRestriction(config)), &call("GET", "/", &[]));
    refused(&verdict, 403, "IP address not allowed: 192.0.2.1");
    // Nothing of the list could be read: nobody is allowed.
    let config = IpRestriction { has_allow: true, ..IpRestriction::default() };
    assert_eq!(outcome(&judge(&with(Config::IpRestriction(config)), &call("GET", "/", &[]))).0, 403);
}

#[test]
fn bodies_are_limited() {
    let check = |body, require_content_length, expect: &[(&str, &str)], want: u16| {
        let config = RequestSizeLimiting { allowed: 100, require_content_length };
        let subject = Call { body, ..call("POST", "/", expect) };
        let verdict = judge(&with(Config::RequestSizeLimiting(config)), &subject);
        assert_eq!((outcome(&verdict).0, verdict.body_limit), (want, Some(100)));
    };
    check(BodyLength::Known(100), false, &[], 0);
    check(BodyLength::Known(101), false, &[], 413);
    check(BodyLength::Known(101), false, &[("expect", "100-continue")], 417);
    check(BodyLength::Unknown, false, &[], 0);
    check(BodyLength::Unknown, true, &[], 411);
}

#[test]
fn correlation_ids_are_kept_only_from_trusted_peers() {
    let config = |echo_downstream| {
        let header_name = "X-Correlation-ID".into();
        Config::CorrelationId(CorrelationId { header_name, generator: Generator::Uuid, echo_downstream })
    };
    let subject = call("GET", "/", &[("x-correlation-id", "mine")]);
    let safe = judge(&with(config(true)), &subject);
    let made = "00000000-0000-4000-8123-456789abcdef";
    assert_eq!(upstream(&subject, &safe, "x-correlation-id"), [made]);
    assert_eq!(response(&safe, &[]).first("x-correlation-id").map(|value| &**value), Some(made.as_bytes()));
    let kong = gateway(Compatibility::Kong, vec![(Scope::default(), config(false))], Vec::new());
    assert_eq!(upstream(&subject, &judge(&kong, &subject), "x-correlation-id"), ["mine"]);
    let mut trusting = with(config(false));
    trusting.settings.trusted = vec!["192.0.2.0/24".parse().unwrap()];
    assert_eq!(upstream(&subject, &judge(&trusting, &subject), "x-correlation-id"), ["mine"]);
    trusting.settings.trusted = vec!["0.0.0.0/0".parse().unwrap()];
    assert_eq!(upstream(&subject, &judge(&trusting, &subject), "x-correlation-id"), [made]);
}

fn pair(name: &str, value: &str) -> (Box<str>, Template) {
    (name.into(), Template::read(value).unwrap())
}

#[test]
fn removals_cover_every_spelling_and_every_line() {
    let headers = Changes { remove: vec!["X-Internal-Secret".into()], ..Changes::default() };
    let config = || Config::RequestTransformer(RequestTransformer { headers: headers.clone(), ..Default::default() });
    let mut lines = vec![("x-pad", "1"); 150];
    lines.extend([("X_Internal_Secret", "a"), ("x-internal-secret", "b"), ("X-Internal_Secret", "c")]);
    let subject = call("GET", "/", &lines);
    let left = |compatibility| {
        let gateway = gateway(compatibility, vec![(Scope::default(), config())], Vec::new());
        let verdict = judge(&gateway, &subject);
        ["x_internal_secret", "x-internal-secret", "x-internal_secret"]
            .map(|name| upstream(&subject, &verdict, name).len())
    };
    assert_eq!(left(Compatibility::Safe), [0, 0, 0]);
    assert_eq!(left(Compatibility::Kong), [1, 0, 1]);
}

#[test]
fn transformers_change_in_kongs_order() {
    let headers = Changes {
        remove: vec!["a".into()],
        rename: vec![("b".into(), "a".into())],
        replace: vec![pair("a", "new"), pair("absent", "x"), pair("host", "other.test")],
        add: vec![pair("a", "no"), pair("x-start", "$(msec)"), pair("x-who", "$(headers.who or 'none')")],
        append: vec![pair("x-start", "two")],
    };
    let query = Changes { remove: vec!["q".into()], add: vec![pair("n", "a b")], ..Changes::default() };
    let transformer =
        RequestTransformer { headers, query, method: Some("PUT".into()), uri: Some(Template::read("/new").unwrap()) };
    let subject = call("GET", "/?q=1&r=%41", &[("A", "1"), ("B", "2")]);
    let verdict = judge(&with(Config::RequestTransformer(transformer)), &subject);
    assert_eq!(upstream(&subject, &verdict, "a"), ["new"]);
    assert!(upstream(&subject, &verdict, "absent").is_empty());
    assert_eq!(upstream(&subject, &verdict, "x-start"), ["1700000000000", "two"]);
    assert_eq!(upstream(&subject, &verdict, "x-who"), ["none"]);
    let edits = &verdict.judgement.edits;
    for want in [
        Edit::Method("PUT".into()),
        Edit::Query(Some("r=%41&n=a%20b".into())),
        Edit::Path("/new".into()),
        Edit::Authority("other.test".into()),
    ] {
        assert!(edits.contains(&want), "{want:?} in {edits:?}");
    }
}

#[test]
fn an_argument_cannot_end_the_line_of_a_field() {
    let headers = Changes { add: vec![pair("x-q", "$(query_params.q)")], ..Changes::default() };
    let config = RequestTransformer { headers, ..Default::default() };
    let subject = call("GET", "/?q=a%0d%0aX-Admin:+1", &[]);
    let verdict = judge(&with(Config::RequestTransformer(config)), &subject);
    assert_eq!(upstream(&subject, &verdict, "x-q"), ["a  X-Admin: 1"]);
}

#[test]
fn responses_are_transformed() {
    let config = || ResponseTransformer {
        remove: vec!["X-Powered-By,Server".into()],
        add: vec![("X-Frame-Options".into(), "DENY".into())],
        ..ResponseTransformer::default()
    };
    let sent = [("Server", "x"), ("X-Powered-By", "y"), ("X-Frame-Options", "SAMEORIGIN")];
    let left = |compatibility| {
        let plugins = vec![(Scope::default(), Config::ResponseTransformer(config()))];
        let verdict = judge(&gateway(compatibility, plugins, Vec::new()), &call("GET", "/", &[]));
        response(&verdict, &sent)
            .iter()
            .map(|field| String::from_utf8(field.value.to_vec()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(left(Compatibility::Safe), ["SAMEORIGIN"]);
    assert_eq!(left(Compatibility::Kong), ["x", "y", "SAMEORIGIN"]);
}

#[test]
fn cors_names_who_may_read() {
    let config = |origins: &[&str]| {
        Config::Cors(Cors {
            origins: origins.iter().filter_map(|origin| Origin::read(origin, Compatibility::Safe)).collect(),
            methods: vec!["GET".into()],
            headers: Vec::new(),
            exposed_headers: Vec::new(),
            credentials: true,
            max_age: Some(60),
            preflight_continue: false,
        })
    };
    let allowed = |origins: &[&str], origin: &str| {
        let verdict = judge(&with(config(origins)), &call("GET", "/", &[("origin", origin)]));
        let fields = response(&verdict, &[]);
        let text = |name| fields.first(name).map(|value| String::from_utf8(value.to_vec()).unwrap());
        (text("access-control-allow-origin"), text("access-control-allow-credentials"))
    };
    assert_eq!(allowed(&["*"], "https://evil.test"), (Some("*".into()), None));
    let ours = (Some("https://a.test".into()), Some("true".into()));
    assert_eq!(allowed(&["https://a.test"], "https://a.test"), ours);
    assert_eq!(allowed(&["https://a.test"], "https://evil.test"), (None, None));
    assert_eq!(allowed(&["https://.*\\.a\\.test"], "https://b.a.test.evil.test"), (None, None));
    let preflight = [("origin", "https://a.test"), ("access-control-request-method", "GET")];
    assert_eq!(outcome(&judge(&with(config(&["https://a.test"])), &call("OPTIONS", "/", &preflight))).0, 200);
}

#[test]
fn bots_are_known_by_their_agent() {
    let check = |agents: &[(&str, &str)], want: u16| {
        let verdict = judge(&with(Config::BotDetection(BotDetection::default())), &call("GET", "/", agents));
        assert_eq!(outcome(&verdict).0, want);
    };
    check(&[], 0);
    check(&[("user-agent", "Mozilla/5.0")], 0);
    check(&[("user-agent", "Go-http-client/1.1")], 403);
    check(&[("user-agent", "a"), ("user-agent", "b")], 400);
}

#[test]
fn unknown_plugins_close_their_routes() {
    refused(&judge(&with(Config::Unknown("x".into())), &call("GET", "/", &[])), 500, "An unexpected error occurred");
    let config = RequestTermination { status: 503, message: None, body: None, trigger: None };
    refused(&judge(&with(Config::RequestTermination(config)), &call("GET", "/", &[])), 503, "Service unavailable");
}

#[test]
fn forwarded_fields_count_only_from_trusted_peers() {
    let subject = call("GET", "/a", &[("x-forwarded-for", "8.8.8.8"), ("x-forwarded-proto", "https"), ("proxy", "x")]);
    let told = |gateway: &Gateway| {
        let verdict = judge(gateway, &subject);
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "proxy"]
            .map(|name| upstream(&subject, &verdict, name).join("|"))
    };
    let mut subject_gateway = gateway(Compatibility::Safe, Vec::new(), Vec::new());
    assert_eq!(told(&subject_gateway), ["192.0.2.1", "http", "80", ""]);
    subject_gateway.settings.trusted = vec!["192.0.2.1/32".parse().unwrap()];
    assert_eq!(told(&subject_gateway), ["8.8.8.8, 192.0.2.1", "https", "80", ""]);
    let kong = gateway(Compatibility::Kong, Vec::new(), Vec::new());
    assert_eq!(told(&kong), ["8.8.8.8, 192.0.2.1", "http", "80", ""]);
}

#[test]
fn the_service_is_told_its_own_name() {
    let verdict = judge(&gateway(Compatibility::Safe, Vec::new(), Vec::new()), &call("GET", "/a", &[]));
    let target = verdict.upstream.unwrap();
    assert_eq!(
        (&*target.host, target.port, &*target.authority, &*target.path),
        ("bff.test", 8080, &b"bff.test:8080"[..], &b"/a"[..])
    );
    assert!(verdict.judgement.edits.contains(&Edit::Authority("bff.test:8080".into())));
}
