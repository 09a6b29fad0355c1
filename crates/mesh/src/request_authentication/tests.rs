//! Rows of the study of Istio's RequestAuthentication, most of them measured on Envoy.

use super::{ClaimOutput, JwtRule, Location, OriginalToken, RequestAuthentication};
use crate::authorization::{Action, Applies, Field, RequestPrincipal, Sense, Values};
use crate::fixture::{HERE, NOW, call, clause, inventory, policy, rule, with};
use crate::judge::{Verdict, inbound};
use crate::mesh::{Mesh, Policies};
use ringwall_model::{Call, Decision, Edit, FieldEdit, Question, Reason, Reply, RuleId, Selector, Step};
use ringwall_token::{DevelopmentSigner, Facts, JwkSet, KeyAnswer, KeySource, Known};
use serde_json::{Value, json};
use std::sync::Arc;

const ISSUER: &str = "https://keycloak.platform.local/realms/platform";

struct Bench {
    signer: DevelopmentSigner,
    issuer: JwtRule,
    authorizations: Vec<crate::authorization::AuthorizationPolicy>,
    more: Vec<JwtRule>,
}

fn bench() -> Bench {
    let signer = DevelopmentSigner::generate("k").unwrap();
    let keys = JwkSet::read(signer.key_set().to_string().as_bytes()).unwrap();
    let issuer = JwtRule {
        id: RuleId(50),
        issuer: ISSUER.into(),
        audiences: Vec::new(),
        keys: KeySource::Inline(Arc::new(keys)),
        locations: Location::standard(),
        output_payload_to_header: None,
        output_claims: Vec::new(),
        original: OriginalToken::Forward,
        spaced_claims: Vec::new(),
    };
    Bench { signer, issuer, authorizations: Vec::new(), more: Vec::new() }
}

impl Bench {
    fn token(&self, change: Value) -> String {
        let mut claims = json!({"iss": ISSUER, "sub": "u1", "exp": NOW.seconds() + 600, "tenant_id": "t1"});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.signer.sign(&claims).unwrap()
    }

    fn step(&self, call: &Call, facts: &Facts, asked: &[Question]) -> Step<Verdict> {
        let rules = [self.issuer.clone()].into_iter().chain(self.more.clone()).collect();
        let resource = RequestAuthentication {
            id: RuleId(49),
            namespace: "application".into(),
            name: "jwt-auth".into(),
            applies: Applies::To(Selector::default()),
            rules,
        };
        let authorizations = self.authorizations.clone();
        let policies = Policies { requests: vec![resource], authorizations, ..Policies::default() };
        inbound(&Mesh::of(&policies, &inventory()), HERE, 8080, call, &Known { facts, asked, now: NOW })
    }

    fn judge(&self, call: &Call) -> Verdict {
        match self.step(call, &Facts::default(), &[]) {
            Step::Done(verdict) => verdict,
            other => panic!("{other:?}"),
        }
    }

    fn bearer(&self, change: Value) -> Call {
        authorized(&format!("Bearer {}", self.token(change)))
    }

    /// Status of the refusal (0 for a pass) and its details.
    #[track_caller]
    fn check(&self, call: &Call, status: u16, details: &str) {
        let verdict = self.judge(call);
        let got = match &verdict.judgement.decision {
            Decision::Pass { .. } => 0,
            Decision::Refuse { reply, .. } => reply.status().unwrap(),
        };
        assert_eq!((got, &*verdict.details), (status, details));
    }
}

fn authorized(value: &str) -> Call {
    with(call(None, "GET", "/health"), &[("authorization", value)])
}

fn refusal(text: &str) -> String {
    format!("jwt_authn_access_denied{{{}}}", text.replace(' ', "_"))
}

#[test]
fn a_token_makes_a_caller_and_none_is_a_pass() {
    let bench = bench();
    let verdict = bench.judge(&bench.bearer(json!({})));
    assert_eq!((verdict.caller.user.as_deref(), verdict.caller.tenant.as_deref()), (Some("u1"), Some("t1")));
    assert!(verdict.caller.is_authenticated());
    let anonymous = bench.judge(&call(None, "GET", "/health"));
    assert!(matches!(anonymous.judgement.decision, Decision::Pass { because: Reason::NoRuleApplies }));
    assert!(!anonymous.caller.is_authenticated());
}

#[test]
fn a_bad_token_is_refused_in_envoys_words() {
    let bench = bench();
    let at = |change: Value| bench.bearer(change);
    bench.check(&at(json!({"exp": NOW.seconds() - 61})), 401, &refusal("Jwt is expired"));
    bench.check(&at(json!({"exp": NOW.seconds() - 59})), 0, "");
    bench.check(&at(json!({"nbf": NOW.seconds() + 61})), 401, &refusal("Jwt not yet valid"));
    bench.check(&at(json!({"iss": "https://evil"})), 401, &refusal("Jwt issuer is not configured"));
    let form = refusal("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
    bench.check(&authorized("Bearer garbage"), 401, &form);
    let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.";
    bench.check(&authorized(&format!("Bearer {none}")), 401, &refusal("Jwt header [alg] is not supported"));
    let other = DevelopmentSigner::generate("k").unwrap().sign(&json!({"iss": ISSUER, "sub": "u"})).unwrap();
    bench.check(&authorized(&format!("Bearer {other}")), 401, &refusal("Jwt verification fails"));
    let unknown = DevelopmentSigner::generate("z").unwrap().sign(&json!({"iss": ISSUER})).unwrap();
    let no_key = refusal("Jwks doesn't have key to match kid or alg from Jwt");
    bench.check(&authorized(&format!("Bearer {unknown}")), 401, &no_key);
}

#[test]
fn the_refusal_says_who_asks() {
    let bench = bench();
    let verdict = bench.judge(&authorized("Bearer x"));
    let Decision::Refuse { because, reply: Reply::Http { fields, .. } } = verdict.judgement.decision else { panic!() };
    assert_eq!(because, Reason::Rule(RuleId(50)));
    let (_, challenge) = fields.iter().find(|(name, _)| *name == "www-authenticate").unwrap();
    assert_eq!(&**challenge, br#"Bearer realm="http://bff.local:8080/health", error="invalid_token""#);
}

#[test]
fn the_prefix_is_literal_and_nothing_follows_the_token() {
    let bench = bench();
    let token = bench.token(json!({}));
    bench.check(&authorized(&format!("bearer {token}")), 0, "");
    assert!(!bench.judge(&authorized(&format!("bearer {token}"))).caller.is_authenticated());
    bench.check(&authorized(&format!("Bearer  {token}")), 0, "");
    assert!(bench.judge(&authorized(&format!("Bearer  {token}"))).caller.is_authenticated());
    let junk = refusal("Jwt signature is an invalid Base64url encoded");
    bench.check(&authorized(&format!("Bearer {token} x")), 401, &junk);
    let twice = with(authorized(&format!("Bearer {token}")), &[("Authorization", &format!("Bearer {token}"))]);
    let form = refusal("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
    bench.check(&twice, 401, &form);
}

#[test]
fn tokens_are_found_where_the_resource_says() {
    let mut bench = bench();
    let token = bench.token(json!({}));
    let found = |bench: &Bench, call: &Call| bench.judge(call).caller.is_authenticated();
    let query = call(None, "GET", &format!("/x?a=1&access_token={token}&b=2"));
    assert!(found(&bench, &query));
    bench.issuer.locations = vec![
        Location::Header { name: "x-jwt".into(), prefix: "".into() },
        Location::Parameter("jwt".into()),
        Location::Cookie("session".into()),
    ];
    assert!(!found(&bench, &query));
    assert!(found(&bench, &with(call(None, "GET", "/"), &[("X-Jwt", &token)])));
    assert!(found(&bench, &call(None, "GET", &format!("/?%6awt={token}"))));
    assert!(found(&bench, &with(call(None, "GET", "/"), &[("cookie", &format!("a=b; session={token}"))])));
    // A good token does not excuse a bad one at another place.
    let both = with(call(None, "GET", "/?jwt=bad"), &[("X-Jwt", &token)]);
    let form = refusal("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
    bench.check(&both, 401, &form);
}

#[test]
fn audiences_are_asked_only_where_they_are_named() {
    let mut bench = bench();
    bench.check(&bench.bearer(json!({"aud": "other"})), 0, "");
    bench.issuer.audiences = vec!["api".into()];
    bench.check(&bench.bearer(json!({"aud": ["other", "api"]})), 0, "");
    bench.check(&bench.bearer(json!({"aud": "other"})), 403, &refusal("Audiences in Jwt are not allowed"));
    bench.check(&bench.bearer(json!({})), 403, &refusal("Audiences in Jwt are not allowed"));
}

#[test]
fn one_of_several_issuers_is_enough() {
    let mut bench = bench();
    bench.more = vec![JwtRule { id: RuleId(51), issuer: "https://other".into(), ..bench.issuer.clone() }];
    bench.check(&bench.bearer(json!({})), 0, "");
    bench.check(&bench.bearer(json!({"iss": "https://other"})), 0, "");
    bench.check(&bench.bearer(json!({"iss": "https://third"})), 401, &refusal("Jwt issuer is not configured"));
    bench.check(&bench.bearer(json!({"exp": 1})), 401, &refusal("Jwt is expired"));
    bench.check(&call(None, "GET", "/"), 0, "");
}

#[test]
fn keys_that_are_not_known_are_asked_for() {
    let mut bench = bench();
    bench.issuer.keys = KeySource::Uri("https://keys".into());
    let call = bench.bearer(json!({}));
    let question = Question::Keys { uri: "https://keys".into(), kid: None };
    let Step::Ask(asked) = bench.step(&call, &Facts::default(), &[]) else { panic!() };
    assert_eq!(asked, question);
    let mut facts = Facts::default();
    facts.keys.insert("https://keys".into(), KeyAnswer::Unanswered);
    let Step::Done(verdict) = bench.step(&call, &facts, &[question]) else { panic!() };
    assert_eq!(&*verdict.details, refusal("Jwks remote fetch is failed"));
}

fn fields_after(bench: &Bench, call: &Call) -> Vec<(String, String)> {
    let mut fields = call.fields.clone();
    for edit in bench.judge(call).judgement.edits {
        if let Edit::Field(edit) = edit {
            FieldEdit::apply(&edit, &mut fields);
        }
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    fields.iter().map(|field| (text(&field.name), text(&field.value))).collect()
}

#[test]
fn claims_go_into_headers_and_clients_copies_never_do() {
    let mut bench = bench();
    let output = |header: &str, claim: &str| ClaimOutput { header: header.into(), claim: claim.into() };
    bench.issuer.output_claims = vec![
        output("x-user-id", "sub"),
        output("x-user-roles", "roles"),
        output("x-level", "acr.level"),
        output("x-site", "https://example.org/site"),
        output("x-absent", "nothing"),
    ];
    let claims = json!({"roles": ["admin", "dev"], "acr": {"level": 3}, "https://example.org/site": true});
    let got = fields_after(&bench, &with(bench.bearer(claims), &[("X-User-Id", "forged"), ("x_absent", "forged")]));
    let value = |name: &str| got.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(value("x-user-id"), Some("u1"));
    assert_eq!(value("x-user-roles"), Some("WyJhZG1pbiIsImRldiJd"));
    assert_eq!((value("x-level"), value("x-site")), (Some("3"), Some("true")));
    assert!(!got.iter().any(|(name, _)| name.contains("absent") || name == "X-User-Id"));
    let anonymous = fields_after(&bench, &with(call(None, "GET", "/"), &[("x-user-id", "forged"), ("a", "b")]));
    assert_eq!(anonymous, [("a".to_owned(), "b".to_owned())]);
}

#[test]
fn a_claim_with_a_line_end_is_refused() {
    let mut bench = bench();
    bench.issuer.output_claims = vec![ClaimOutput { header: "x-user-id".into(), claim: "sub".into() }];
    let because = bench.judge(&bench.bearer(json!({"sub": "a\r\nx-admin: 1"}))).judgement.decision.because();
    assert_eq!(because, Reason::Builtin("mesh/claim-not-a-field-value"));
}

#[test]
fn the_token_is_taken_out_unless_it_is_forwarded() {
    let mut bench = bench();
    let token = bench.token(json!({}));
    assert_eq!(fields_after(&bench, &bench.bearer(json!({}))).len(), 1);
    bench.issuer.original = OriginalToken::Strip;
    bench.issuer.output_payload_to_header = Some("x-payload".into());
    let got = fields_after(&bench, &authorized(&format!("Bearer {token}")));
    assert_eq!(got, [("x-payload".to_owned(), token.split('.').nth(1).unwrap().to_owned())]);
    let query = bench.judge(&call(None, "GET", &format!("/x?a=1&access_token={token}&b=2"))).judgement.edits;
    assert!(query.contains(&Edit::Query(Some("a=1&b=2".into()))));
}

#[test]
fn a_preflight_is_not_asked_for_a_token() {
    let bench = bench();
    let preflight =
        [("origin", "https://app"), ("access-control-request-method", "POST"), ("authorization", "Bearer x")];
    bench.check(&with(call(None, "OPTIONS", "/"), &preflight), 0, "");
    assert!(matches!(
        bench.judge(&with(call(None, "OPTIONS", "/"), &preflight[2..])).judgement.decision,
        Decision::Refuse { .. }
    ));
}

/// One ALLOW rule of one condition on the token: does the call pass?
#[track_caller]
fn admits(condition: crate::authorization::Clause, claims: Value, want: bool) {
    let mut bench = bench();
    let text = format!("{condition:?} {claims}");
    bench.authorizations = vec![policy("p", Action::Allow, 0, vec![rule(vec![], vec![], vec![condition])])];
    let got = matches!(bench.judge(&bench.bearer(claims)).judgement.decision, Decision::Pass { .. });
    assert_eq!(got, want, "{text}");
}

#[test]
fn claims_match_as_text_or_lists_of_text() {
    let claim = |name: &str, value: &str| clause(Field::Claim(name.split('/').map(Into::into).collect()), &[value]);
    admits(claim("role", "admin"), json!({"role": "admin"}), true);
    admits(claim("role", "admin"), json!({"role": ["dev", "admin"]}), true);
    admits(claim("role", "ad*"), json!({"role": ["dev", "admin"]}), true);
    admits(claim("n", "5"), json!({"n": 5}), false);
    admits(claim("b", "true"), json!({"b": true}), false);
    admits(claim("realm/role", "admin"), json!({"realm": {"role": "admin"}}), true);
    admits(claim("a.b", "x"), json!({"a.b": "x"}), true);
    admits(claim("a.b", "x"), json!({"a": {"b": "x"}}), false);
    admits(claim("scope", "read"), json!({"scope": "read write"}), true);
    admits(claim("scope", "read write"), json!({"scope": "read write"}), false);
    admits(claim("other", "read"), json!({"other": "read write"}), false);
    admits(clause(Field::Audience, &["api"]), json!({"aud": ["web", "api"]}), true);
    admits(clause(Field::Presenter, &["web"]), json!({"azp": "web"}), true);
    admits(clause(Field::Header("x-user-id".into()), &["*"]), json!({}), false);
}

#[test]
fn request_principals_part_at_the_last_slash() {
    let principal = |value: &str| crate::authorization::Clause {
        field: Field::RequestPrincipal,
        values: Values::RequestPrincipals(RequestPrincipal::read(value).into_iter().collect()),
        sense: Sense::Any,
    };
    admits(principal("*"), json!({}), true);
    admits(principal("*"), json!({"sub": ""}), false);
    admits(principal(&format!("{ISSUER}/u1")), json!({}), true);
    admits(principal(&format!("{ISSUER}/*")), json!({}), true);
    admits(principal(&format!("{ISSUER}/u2")), json!({}), false);
    admits(principal("*/u1"), json!({}), true);
    admits(principal("*1"), json!({}), true);
    admits(principal(&format!("{ISSUER}/u1")), json!({"sub": "u1/x"}), false);
    admits(principal(&format!("{ISSUER}/a/b")), json!({"sub": "a/b"}), false);
    assert!(RequestPrincipal::read("neither").is_none());
}

#[test]
fn authorization_sees_headers_as_authentication_leaves_them() {
    let mut bench = bench();
    bench.issuer.output_claims = vec![ClaimOutput { header: "x-tenant-id".into(), claim: "tenant_id".into() }];
    let tenant = clause(Field::Header("x-tenant-id".into()), &["t2"]);
    bench.authorizations = vec![policy("p", Action::Allow, 0, vec![rule(vec![], vec![], vec![tenant])])];
    let passes = |call: Call| matches!(bench.judge(&call).judgement.decision, Decision::Pass { .. });
    assert!(passes(bench.bearer(json!({"tenant_id": "t2"}))));
    assert!(!passes(with(bench.bearer(json!({})), &[("x-tenant-id", "t2")])));
    assert!(!passes(with(call(None, "GET", "/"), &[("x-tenant-id", "t2")])));
}
