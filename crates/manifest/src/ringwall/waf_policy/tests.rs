use super::{Binary, Fit, Subject, Unread, Unreadable, WafPolicy, lower};
use crate::node::Ledger;
use crate::resource::Resource;
use crate::source::Input;
use crate::world::firewall::{Firewall, RuleSet};
use crate::world::{self, Options, World};
use ringwall_model::{
    Finding, Inventory, Labels, Reason, RuleBook, Severity, SpiffeId, Timestamp, Workload, WorkloadId,
};
use ringwall_waf::{Access, Bundle, Engine, Exclude, Fuel, Interval, Overflow, Progress, RequestHead};

fn inventory() -> Inventory {
    let workload = |namespace: &str, app: &str| Workload {
        namespace: namespace.into(),
        name: app.into(),
        app: app.into(),
        labels: Labels::from([("app".into(), app.into())]),
        service_account: "default".into(),
        identity: SpiffeId::of_service_account("cluster.local", namespace, "default").unwrap(),
        address: [10, 0, 0, 1].into(),
        ports: Vec::new(),
        annotations: Labels::new(),
        in_mesh: true,
        app_address: None,
        place: None,
    };
    Inventory {
        workloads: vec![workload("gateway", "kong"), workload("gateway", "other"), workload("istio-system", "edge")],
        root_namespace: "istio-system".into(),
        ..Inventory::default()
    }
}

fn policy_in(namespace: &str, spec: &str) -> (WafPolicy, Vec<Finding>) {
    let text = format!(
        "apiVersion: ringwall.dev/v1\nkind: WafPolicy\nmetadata: {{name: chat, namespace: {namespace}}}\nspec:\n{spec}\n"
    );
    let (sources, mut findings) = crate::read(&[Input { name: "test.yaml", bytes: text.as_bytes() }]);
    let ledger = Ledger::open(&sources.documents[0]);
    let mut rules = RuleBook::default();
    let policy = lower(&Resource::open(ledger.root()), &inventory(), &mut rules);
    findings.extend(ledger.finish().0);
    (policy, findings)
}

fn codes(findings: &[Finding]) -> Vec<u16> {
    findings.iter().map(|finding| finding.code.0).collect()
}

const WHOLE: &str = r#"
  targets:
    selector: { matchLabels: { app: kong } }
    hosts: [api.example.com, "*.example.org"]
    kongRoutes: [chat]
    kongServices: [llm]
    virtualServices: [{ name: api, namespace: istio-system, route: chat }]
  mode: block
  paranoia: { blocking: 1, detection: 2 }
  thresholds: { inbound: 7, outbound: 4 }
  presets: [json, llm]
  exclusions:
  - rules: [942100, "942110-942199"]
  - tags: [attack-rce]
    targets: ["ARGS:json.prompt", "ARGS:/^json\\.notes\\./"]
  requestBody: { inspect: true, limit: 1Mi, beyond: refuse, unreadable: refuse }
  responseBody: { inspect: true, limit: 64Ki, beyond: refuse, unreadable: refuse, types: [Application/JSON] }
  webSocket: { binary: refuse }
  secLang:
    before: SecAction "id:1,phase:1,pass,nolog"
    after: SecAction "id:2,phase:2,pass,nolog""#;

#[test]
fn every_field_is_enforced() {
    let (policy, findings) = policy_in("gateway", WHOLE);
    assert_eq!(findings, []);
    let settings = &policy.settings;
    assert_eq!(settings.engine, Some(Engine::On));
    let pinned = |name: &str| settings.variables.iter().find(|(it, _)| **it == *name).map(|(_, value)| *value);
    assert_eq!((pinned("blocking_paranoia_level"), pinned("paranoia_level")), (Some(1), Some(1)));
    assert_eq!((pinned("detection_paranoia_level"), pinned("executing_paranoia_level")), (Some(2), Some(2)));
    assert_eq!(pinned("inbound_anomaly_score_threshold"), Some(7));
    assert_eq!(pinned("outbound_anomaly_score_threshold"), Some(4));
    let whole = |from, to| Exclude::Ids(Interval { from, to });
    let target = Exclude::TargetOfTag("attack-rce".into(), "ARGS:json.prompt".into());
    assert_eq!(settings.exclusions, [whole(942_100, 942_100), whole(942_110, 942_199), target]);
    let line = "SecRuleUpdateTargetByTag \"attack-rce\" \"!ARGS:/^json\\.notes\\./\"\n";
    assert_eq!(policy.made.after.as_deref(), Some(line));
    let before = policy.made.before.unwrap();
    assert!(before.find("9990100").unwrap() < before.find("9990300").unwrap());
    assert_eq!((settings.request_body, settings.request_limit), (Some(Access::On), Some(1 << 20)));
    assert_eq!((settings.response_body, settings.response_limit), (Some(Access::On), Some(64 << 10)));
    assert_eq!(
        (settings.request_overflow, settings.response_overflow),
        (Some(Overflow::Reject), Some(Overflow::Reject))
    );
    assert_eq!(settings.response_types, Some(vec!["application/json".to_owned()]));
    assert_eq!((policy.unread.request, policy.unread.response), (Unreadable::Refuse, Unreadable::Refuse));
    assert!(matches!(policy.unread.binary, Binary::Refuse(_)));
    assert!(policy.own.before.unwrap().contains("id:1") && policy.own.after.unwrap().contains("id:2"));
}

#[test]
fn what_is_wrong_is_an_error_and_what_refuses_nothing_is_told() {
    let said = |spec: &str| codes(&policy_in("gateway", spec).1);
    assert_eq!(said("  mode: \"off\""), [5017]);
    assert_eq!(said("  mode: detect"), [5017]);
    assert_eq!(said("  requestBody: { inspect: false }"), [5017]);
    assert_eq!(said("  responseBody: { beyond: pass }"), [5017]);
    for looks_away in ["requestBody: { unreadable", "responseBody: { unreadable", "webSocket: { binary"] {
        assert_eq!(said(&format!("  {looks_away}: pass }}")), [5017], "{looks_away}");
    }
    assert_eq!(policy_in("gateway", "  mode: block").0.unread, Unread::default());
    assert_eq!(said("  paranoia: { blocking: 3, detection: 1 }"), [5016]);
    assert_eq!(said("  targets: { hosts: [] }"), [5014]);
    assert_eq!(said("  targets: { selector: { matchLabels: { app: gone } } }"), [5014]);
    assert_eq!(said("  exclusions: [{ targets: [\"ARGS:a\"] }]"), [5016]);
    assert_eq!(said("  exclusions: [{ rules: [949110] }]"), [5018]);
    for wrong in [
        "  exclusions: [{ rules: [x] }]",
        "  exclusions: [{ rules: [942100], targets: [NOTHING] }]",
        "  exclusions: [{ rules: [942100], targets: ['ARGS:a\" \"b'] }]",
        "  paranoia: { blocking: 5 }",
        "  presets: [wordpress]",
        "  requestBody: { limit: 0 }",
        "  requestBody: { limit: 1Gi }",
        "  responseBody: { types: [text/event-stream] }",
        "  unknown: 1",
        "  mode: on",
        "  requestBody: { unreadable: judge }",
        "  responseBody: { unreadable: true }",
        "  webSocket: { binary: Pass }",
        "  webSocket: { text: judge }",
    ] {
        let (policy, findings) = policy_in("gateway", wrong);
        assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{wrong}: {findings:?}");
        assert!(policy.settings.exclusions.iter().all(|one| matches!(one, Exclude::Ids(_))), "{wrong}");
        assert_eq!(policy.settings.engine, Some(Engine::On), "{wrong}");
        assert_eq!(policy.unread, Unread::default(), "{wrong}");
    }
}

fn fit(namespace: &str, targets: &str, subject: &Subject<'_>) -> Option<Fit> {
    let spec = format!("  targets: {targets}\n  mode: block");
    policy_in(namespace, &spec).0.targets.fit(subject)
}

#[test]
fn the_narrowest_target_is_the_greatest() {
    let rule = RuleBook::default().enter("VirtualService", "istio-system", "api", "/spec/http/0", None);
    let mut book = RuleBook::default();
    book.enter("VirtualService", "istio-system", "api", "/spec/http/0", None);
    let subject = Subject {
        workloads: [Some(WorkloadId(2)), Some(WorkloadId(0))],
        authority: b"API.example.com:8443",
        kong_route: Some("chat"),
        kong_service: Some("llm"),
        virtual_service: Some((book.name(rule).unwrap(), "first")),
    };
    let narrowing = [
        ("istio-system", "{}"),
        ("gateway", "{}"),
        ("gateway", "{ selector: { matchLabels: { app: kong } } }"),
        ("gateway", "{ hosts: [\"*.example.com\"] }"),
        ("gateway", "{ hosts: [api.example.com] }"),
        ("gateway", "{ kongServices: [llm] }"),
        ("gateway", "{ kongRoutes: [chat] }"),
    ];
    let fits: Vec<Fit> = narrowing.iter().map(|(namespace, it)| fit(namespace, it, &subject).expect(it)).collect();
    assert!(fits.is_sorted() && fits.windows(2).all(|two| two[0] != two[1]), "{fits:?}");
    let by_service = fit("istio-system", "{ virtualServices: [{ name: api }] }", &subject);
    let by_route = fit("istio-system", "{ virtualServices: [{ name: api, route: first }] }", &subject);
    assert!(by_service.is_some() && by_route > by_service);
    for other in [
        "{ selector: { matchLabels: { app: other } } }",
        "{ hosts: [example.com] }",
        "{ hosts: [\"*.api.example.com\"] }",
        "{ kongRoutes: [other] }",
        "{ kongServices: [other] }",
        "{ virtualServices: [{ name: api, namespace: istio-system, route: second }] }",
        "{ virtualServices: [{ name: api }] }",
    ] {
        assert_eq!(fit("gateway", other, &subject), None, "{other}");
    }
    let bare = Subject { workloads: [Some(WorkloadId(1)), None], ..Subject::default() };
    assert!(fit("gateway", "{}", &bare).is_some());
    assert_eq!(fit("gateway", "{ hosts: [\"*.example.com\"] }", &bare), None);
}

const SET: &str = "SecRule ARGS:q \"@contains bad\" \"id:100,phase:2,deny,status:403,log,msg:'bad',tag:'t'\"\n";

fn set() -> RuleSet {
    let mut bundle = Bundle::default();
    bundle.add("set.conf", SET);
    RuleSet::load(bundle, vec!["set.conf".into()], |_| "a set".into()).unwrap()
}

fn armed(specs: &[&str]) -> (World, Vec<Finding>) {
    let documents = specs.iter().enumerate().map(|(number, spec)| {
        format!(
            "---\napiVersion: ringwall.dev/v1\nkind: WafPolicy\n\
             metadata: {{name: p{number}, namespace: istio-system}}\nspec:\n{spec}\n"
        )
    });
    let text = documents.collect::<String>();
    let (mut world, mut findings) =
        world::lower(&[Input { name: "test.yaml", bytes: text.as_bytes() }], &Options::default());
    findings.extend(world.arm(&set()));
    (world, findings)
}

fn verdict(firewall: &Firewall, host: &str, target: &str) -> (u16, Reason) {
    let guard = firewall.guard(&Subject { authority: host.as_bytes(), ..Subject::default() });
    let mut transaction = guard.waf.begin(&guard.profile, Timestamp(0));
    let end = ([127, 0, 0, 1], 1).into();
    let head = RequestHead {
        line: b"",
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
        client: end,
        server: end,
        id: "",
    };
    transaction.head(&head, std::iter::empty());
    let first = transaction.phase1(Fuel::ENDLESS);
    if first == Progress::Pass && transaction.phase2(Fuel::ENDLESS) == Progress::Pass {
        return (200, guard.passes());
    }
    (transaction.interruption().map_or(0, |by| by.status), guard.reason(&transaction.report()))
}

#[test]
fn a_call_is_judged_under_its_own_policy() {
    let own = "  targets: { hosts: [own.example] }\n  secLang:\n    after: |\n      \
               SecRule ARGS:q \"@streq own\" \"id:7,phase:2,deny,status:404,log,msg:'own'\"";
    let (world, findings) = armed(&[
        "  targets: { hosts: [out.example] }\n  exclusions: [{ rules: [100] }]",
        "  targets: { hosts: [off.example] }\n  mode: off",
        own,
        "  targets: { hosts: [seen.example] }\n  mode: detect",
    ]);
    assert!(world::may_be_taken(&findings), "{findings:?}");
    let firewall = world.firewall.as_ref().unwrap();
    let name = |reason: Reason| world.rules.render(reason);
    assert_eq!(verdict(firewall, "any.example", "/?q=bad").0, 403);
    assert_eq!(name(verdict(firewall, "any.example", "/?q=bad").1), "SecRule/100");
    assert_eq!(name(verdict(firewall, "any.example", "/?q=good").1), "no rule applies");
    assert_eq!(verdict(firewall, "out.example", "/?q=bad").0, 200);
    assert_eq!(name(verdict(firewall, "out.example", "/?q=bad").1), "WafPolicy/istio-system/p0");
    for passes in ["off.example", "seen.example"] {
        assert_eq!(verdict(firewall, passes, "/?q=bad").0, 200, "{passes}");
    }
    assert_eq!(verdict(firewall, "any.example", "/?q=own").0, 200);
    let (status, reason) = verdict(firewall, "own.example", "/?q=own");
    assert_eq!((status, name(reason)), (404, "SecRule/7".into()));
    let Reason::Rule(id) = reason else { panic!("{reason:?}") };
    let place = world.rules.name(id).and_then(|name| name.place.clone()).unwrap();
    assert_eq!(&*place.pointer, "/spec/secLang/after");
}

#[test]
fn wrong_rules_keep_the_world_out() {
    let (world, findings) =
        armed(&["  secLang:\n    before: |\n      SecAction \"id:9,phase:1,pass\"\n      SecRool A"]);
    assert!(world.firewall.is_none());
    let error = findings.iter().find(|finding| finding.severity == Severity::Error).unwrap();
    assert_eq!((error.code.0, &*error.primary.pointer), (5013, "/spec/secLang/before"));
    assert!(error.title.starts_with("line 2, column 1: "), "{}", error.title);
    let (_, twice) = armed(&["  secLang:\n    after: SecAction \"id:100,phase:1,pass\""]);
    assert!(!world::may_be_taken(&twice), "an id of the set is taken: {twice:?}");
}

#[test]
fn what_the_set_does_not_know_is_told() {
    let (_, findings) = armed(&[
        "  exclusions: [{ rules: [\"200-300\"] }, { tags: [u] }, { rules: [100], tags: [t] }]\n  paranoia: { blocking: 2 }",
        "  mode: block\n  targets: { kongRoutes: [gone], virtualServices: [{ name: gone }] }",
        "  mode: block\n  targets: { kongRoutes: [gone], virtualServices: [{ name: gone }] }",
    ]);
    let mut codes = codes(&findings);
    codes.sort_unstable();
    assert_eq!(codes, [5014, 5014, 5014, 5014, 5015, 5015, 5016, 5019], "{findings:?}");
}

#[test]
fn a_document_names_what_it_cannot_mean() {
    let at = |spec: &str| {
        let (policy, findings) = policy_in("gateway", spec);
        let said: Vec<_> = findings.iter().map(|it| (it.code.0, it.severity, it.primary.pointer.to_string())).collect();
        (policy.api.is_some(), said)
    };
    let open = "  mode: block\n  openapi:\n    openapi: 3.1.0\n    paths:\n      /a: { get: { parameters: [{ name: q, in: query, schema: SCHEMA }] } }";
    assert_eq!(at(&open.replace("SCHEMA", "{ type: string }")), (true, vec![]));
    let pointer = "/spec/openapi/paths/~1a/get/parameters/0/schema/";
    let note = (5020, Severity::Note, format!("{pointer}contains"));
    assert_eq!(at(&open.replace("SCHEMA", "{ contains: { type: string } }")), (true, vec![note]));
    let error = (5020, Severity::Error, format!("{pointer}type"));
    assert_eq!(at(&open.replace("SCHEMA", "{ type: text }")), (true, vec![error]));
    assert_eq!(at("  openapi: { swagger: '2.0' }").1, [(5020, Severity::Error, "/spec/openapi".to_owned())]);
    let (held, said) = at("  mode: detect\n  openapi: { openapi: 3.0.0, paths: {} }");
    assert!(held && said.iter().any(|(code, ..)| *code == 5017), "{said:?}");
    assert!(!at("  openapi: document.yaml").0);
}

#[test]
fn bots_become_a_rule_and_a_list() {
    let spec = "  bots:\n    crawlers: [{ name: E, userAgent: ebot, networks: [192.0.2.0/24, '2001:db8::/32'] }]\n    refuseAt: 60";
    let (policy, findings) = policy_in("gateway", spec);
    assert_eq!(findings, []);
    assert!(policy.made.before.is_some_and(|text| text.contains("TX:ringwall_bot_score \"@ge 60\"")));
    let (policy, findings) =
        policy_in("gateway", "  bots: { crawlers: [{ name: E, userAgent: ebot, networks: [] }], refuseAt: 0 }");
    assert!(findings.len() >= 2 && policy.made.before.is_none(), "{findings:?}");
}
