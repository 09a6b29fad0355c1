use super::deployment::{Deployment, ListenTls};
use crate::source::Input;
use crate::{Ledger, read};
use ringwall_gateway::plugin::Config;
use ringwall_gateway::plugin::oidc::{Audience, Flow};
use ringwall_gateway::{Compatibility, Gateway, Settings};
use ringwall_head::client::Trust;
use ringwall_model::{Code, Finding, RuleBook, Severity};

fn lower(text: &str, compatibility: Compatibility) -> (Gateway, Vec<Finding>) {
    let (sources, mut findings) = read(&[Input { name: "kong.yaml", bytes: text.as_bytes() }]);
    let documents: Vec<_> = sources.documents.iter().collect();
    let settings = Settings { compatibility, ..Settings::default() };
    let (gateway, found, _) = super::lower(&documents, settings, &mut RuleBook::default());
    findings.extend(found);
    (gateway, findings)
}

/// The codes of the errors and warnings, sorted, once each.
fn codes(findings: &[Finding], severity: Severity) -> Vec<u16> {
    let mut codes: Vec<u16> =
        findings.iter().filter(|finding| finding.severity == severity).map(|finding| finding.code.0).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// A file with one service, one route below `/a/`, and this plugin on it.
fn with(plugin: &str) -> String {
    let body: String = plugin.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "_format_version: \"3.0\"\nservices:\n- name: s\n  url: http://s.test\n  routes:\n  - name: r\n    \
         paths: [/a/]\n    strip_path: true\n    plugins:\n{body}"
    )
}

#[track_caller]
fn says(text: &str, compatibility: Compatibility, errors: &[u16], warnings: &[u16]) {
    let (_, findings) = lower(text, compatibility);
    assert_eq!(codes(&findings, Severity::Error), errors, "{findings:#?}");
    assert_eq!(codes(&findings, Severity::Warning), warnings, "{findings:#?}");
}

#[track_caller]
fn plugin(text: &str, errors: &[u16], warnings: &[u16]) {
    says(&with(text), Compatibility::Safe, errors, warnings);
}

/// A file of the examples.
#[expect(clippy::disallowed_methods, reason = "a test reads the manifests from disk")]
fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_file_as_written_is_taken_for_what_was_meant() {
    let text = example("as-written/21-kong-services.yaml");
    let (gateway, findings) = lower(&text, Compatibility::Safe);
    assert_eq!(codes(&findings, Severity::Error), [0; 0], "{findings:#?}");
    assert_eq!((gateway.services.len(), gateway.routes.len(), gateway.plugins.len()), (2, 2, 6));
    let oidc = gateway.plugins.iter().find_map(|plugin| match &plugin.config {
        Config::Oidc(oidc) => Some(oidc),
        _ => None,
    });
    let oidc = oidc.unwrap();
    assert_eq!((&*oidc.issuer, oidc.flow), ("https://keycloak.platform.local/realms/platform", Flow::BearerOnly));
    let warned = codes(&findings, Severity::Warning);
    for code in [
        super::code::OIDC_FIELDS,
        super::code::OIDC_WORD,
        super::code::LIMIT_POLICY,
        super::code::STRIP_PATH,
        super::code::ESCAPES,
        super::code::TEMPLATE_VARIABLE,
        super::code::JWT_CREDENTIALS,
    ] {
        assert!(warned.contains(&code.0), "{code} is not among {warned:?}");
    }
}

#[test]
fn kong_itself_refuses_the_file_as_written() {
    let (_, findings) = lower(&example("as-written/21-kong-services.yaml"), Compatibility::Kong);
    let errors: Vec<&str> =
        findings.iter().filter(|it| it.severity == Severity::Error).map(|finding| &*finding.title).collect();
    for want in [
        "`config.issuer: unknown field`",
        "`config.client_secret: required field missing`",
        "`config.bearer_only: expected a string`",
        "`config.policy: expected one of: local, redis`",
    ] {
        assert!(errors.iter().any(|title| title.contains(want)), "{want} is not among {errors:#?}");
    }
}

#[test]
fn the_correct_file_is_taken() {
    let (gateway, findings) = lower(&example("ai-platform/30-kong-services.yaml"), Compatibility::Safe);
    assert_eq!(codes(&findings, Severity::Error), [0; 0], "{findings:#?}");
    assert_eq!(gateway.routes.len(), 5);
    let audiences = gateway.plugins.iter().filter_map(|plugin| match &plugin.config {
        Config::Oidc(oidc) => Some(oidc.audience.clone()),
        _ => None,
    });
    assert!(audiences.clone().count() == 2);
    audiences.for_each(|audience| assert_eq!(audience, Audience::OneOf(vec!["platform-api".into()])));
}

#[test]
fn kongs_schema_is_kept() {
    let service =
        |fields: &str| format!("_format_version: \"3.0\"\nservices:\n- name: s\n  host: s.test\n  {fields}\n");
    let kong = |text: &str, errors: &[u16]| says(text, Compatibility::Safe, errors, &[]);
    kong("_format_version: 3.0\n", &[3001]);
    kong("_format_version: \"4.0\"\n", &[3001]);
    kong(&service("path: x"), &[3000]);
    kong(&service("path: /a//b"), &[3000]);
    kong(&service("protocol: gopher"), &[3000]);
    kong(&service("retries: 40000"), &[22]);
    kong(&service("colour: red"), &[20]);
    kong(&service("routes: [{name: r}]"), &[3000]);
    kong(&service("routes: [{name: r, hosts: [\"a*b\"]}]"), &[3000]);
    kong(&service("routes: [{name: r, paths: [\"~/(a\"], strip_path: true}]"), &[3020]);
    kong(&service("routes: [{name: r, protocols: [http, tcp], hosts: [a.test]}]"), &[3000]);
    kong(&service("routes: [{name: r, hosts: [a.test]}, {name: r, hosts: [b.test]}]"), &[3003]);
    kong("_format_version: \"3.0\"\nroutes: [{name: r, service: x, hosts: [a.test]}]\n", &[3002]);
    kong("_format_version: \"3.0\"\nplugins: [{name: cors, route: x}]\n", &[3002]);
}

#[test]
fn plugins_are_held_to_their_schemas() {
    plugin("- {name: nonsense}", &[3010], &[]);
    plugin("- {name: oauth2}", &[3011], &[]);
    plugin("- {name: http-log, config: {http_endpoint: x}}", &[], &[3013]);
    plugin("- {name: cors}\n- {name: cors}", &[3003], &[]);
    plugin("- {name: acl, config: {allow: [a], deny: [b]}}", &[3000], &[]);
    plugin("- {name: ip-restriction, config: {}}", &[3000], &[]);
    plugin("- {name: ip-restriction, config: {deny: [nowhere]}}", &[22], &[]);
    plugin("- {name: rate-limiting, config: {}}", &[3000], &[]);
    plugin("- {name: rate-limiting, config: {second: 5, minute: 4}}", &[3000], &[]);
    plugin("- {name: rate-limiting, config: {minute: 5, policy: cluster}}", &[], &[3050]);
    plugin("- {name: rate-limiting-advanced, config: {limit: [1, 2], window_size: [60]}}", &[3000], &[3012]);
    plugin("- {name: request-transformer, config: {remove: {headers: [\"A,B\"]}}}", &[], &[3062]);
    plugin("- {name: request-transformer, config: {remove: {headers: [\"A B\"]}}}", &[3000], &[]);
    plugin("- {name: request-transformer, config: {add: {headers: [\"A:$(os.time())\"]}}}", &[3061], &[]);
    plugin("- {name: request-transformer, config: {remove: {body: [a]}}}", &[3063], &[]);
    plugin("- {name: response-transformer, config: {remove: {headers: [\"A,B\"]}}}", &[], &[3062]);
    plugin("- {name: cors, config: {credentials: true}}", &[], &[3071]);
    plugin("- {name: key-auth, config: {anonymous: who}}", &[3002], &[]);
    plugin("- {name: jwt, config: {claims_to_verify: [\"exp,nbf\"], uri_param_names: []}}", &[], &[3042, 3062]);
    plugin("- {name: jwt, config: {maximum_expiration: 60, uri_param_names: []}}", &[], &[3040, 3042]);
    plugin("- {name: jwt, config: {claims_to_verify: [aud], uri_param_names: []}}", &[3000], &[3040, 3042]);
    plugin("- {name: oidc, config: {client_id: c, client_secret: s}}", &[3030, 3032], &[3033]);
}

#[test]
fn unreadable_deny_lists_and_limits_stay_closed() {
    let (gateway, _) = lower(&with("- {name: ip-restriction, config: {allow: [nowhere]}}"), Compatibility::Safe);
    let Config::IpRestriction(config) = &gateway.plugins[0].config else { panic!() };
    assert!(config.has_allow && config.allow.is_empty());
    let (gateway, _) = lower(&with("- {name: rate-limiting, config: {}}"), Compatibility::Safe);
    let Config::RateLimiting(config) = &gateway.plugins[0].config else { panic!() };
    assert_eq!(config.budgets[0].limit, 0);
}

#[test]
fn plugins_that_never_run_are_told() {
    let text = with("- {name: rate-limiting, config: {minute: 5}}")
        + "plugins:\n- {name: rate-limiting, config: {minute: 50}}\n- {name: cors, consumer: c}\n\
           consumers:\n- {username: c}\n";
    says(&text, Compatibility::Safe, &[], &[3015, 3051, 3052]);
}

fn deployment(text: &str, compatibility: Compatibility) -> (Option<Deployment>, Vec<Code>) {
    let (sources, _) = read(&[Input { name: "kong.yaml", bytes: text.as_bytes() }]);
    let found = sources
        .documents
        .iter()
        .find(|document| document.root.get("spec").is_some_and(|spec| spec.get("replicas").is_some()));
    let ledger = Ledger::open(found.unwrap());
    let deployment = super::deployment::lower(ledger.root().get("spec").get("template").get("spec"), compatibility);
    let (findings, _) = ledger.finish();
    let mut codes: Vec<Code> = findings.iter().map(|finding| finding.code).filter(|code| code.0 >= 3000).collect();
    codes.sort_unstable();
    codes.dedup();
    (deployment, codes)
}

#[test]
fn settings_of_the_deployment_as_written() {
    let (found, codes) = deployment(&example("as-written/13-kong-deployment.yaml"), Compatibility::Safe);
    let found = found.unwrap();
    assert_eq!(found.trust, Trust::Peer, "a range of all addresses is no trust");
    assert!(!found.settings.trusts("192.0.2.1".parse().unwrap()));
    assert_eq!(
        found.proxy.iter().map(|it| (it.port, it.tls)).collect::<Vec<_>>(),
        [(8000, ListenTls::Off), (8443, ListenTls::On)]
    );
    assert!(found.admin.iter().all(|listen| listen.address.is_loopback()));
    let plugins = found.settings.plugins.unwrap();
    assert!(plugins.contains("oidc") && plugins.contains("ip-restriction") && !plugins.contains("openid-connect"));
    let got: Vec<u16> = codes.iter().map(|code| code.0).collect();
    assert_eq!(got, [3100, 3101, 3102, 3103, 3105, 3106, 3107, 3108, 3109, 3110]);
    let (kong, _) = deployment(&example("as-written/13-kong-deployment.yaml"), Compatibility::Kong);
    assert!(matches!(kong.unwrap().trust, Trust::RealIp(_)));
}

#[test]
fn settings_of_the_correct_deployment() {
    let (found, codes) = deployment(&example("ai-platform/13-kong.yaml"), Compatibility::Safe);
    assert!(matches!(found.unwrap().trust, Trust::RealIp(_)));
    let got: Vec<u16> = codes.iter().map(|code| code.0).collect();
    assert!(!got.iter().any(|code| [3100, 3101, 3102, 3103, 3104, 3106].contains(code)), "{got:?}");
}
