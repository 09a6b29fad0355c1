use super::{Import, import};
use ringwall_model::DocumentId;

fn of(script: &str) -> Import {
    import(&[(DocumentId(0), script)])
}

/// The codes of the findings, once each.
#[track_caller]
fn codes(script: &str, want: &[u16]) {
    let mut got: Vec<u16> = of(script).findings.iter().map(|finding| finding.code.0).collect();
    got.dedup();
    assert_eq!(got, want, "{:#?}", of(script).findings);
}

#[test]
fn forms_become_files() {
    let script = r#"
# a comment
curl -X POST http://127.0.0.1:8001/services --data name=a --data 'url=http://a.test'
curl -X POST http://127.0.0.1:8001/services/a/routes -d "name=r" -d "paths[]=/a/" -d "strip_path=false"
curl -X POST http://127.0.0.1:8001/routes/r/plugins \
  --data "name=request-transformer" \
  --data "config.add.headers=X-A:1; b" \
  --data "config.add.headers=X-B:2"
"#;
    let want = "\
_format_version: \"3.0\"
services:
- name: \"a\"
  url: \"http://a.test\"
routes:
- name: \"r\"
  paths:
  - \"/a/\"
  strip_path: false
  service: \"a\"
plugins:
- name: \"request-transformer\"
  config:
    add:
      headers:
      - \"X-A:1; b\"
      - \"X-B:2\"
  route: \"r\"
";
    assert_eq!(of(script).yaml, want);
}

#[test]
fn the_file_can_be_lowered() {
    let script = "curl http://127.0.0.1:8001/services -d name=a -d url=http://a.test/x\n\
                  curl http://127.0.0.1:8001/services/a/routes -d name=r -d paths=/a/ -d strip_path=true\n";
    let text = of(script).yaml;
    let (sources, _) = crate::read(&[crate::Input { name: "kong.yaml", bytes: text.as_bytes() }]);
    let documents: Vec<_> = sources.documents.iter().collect();
    let (gateway, findings, _) =
        crate::kong::lower(&documents, Default::default(), &mut ringwall_model::RuleBook::default());
    assert_eq!(gateway.routes.len(), 1);
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn what_kong_answers_is_told() {
    let call = |rest: &str| format!("curl -X POST http://kong-admin:8001/routes/r/plugins {rest}");
    codes(&call("-d name=rate-limiting -d config.minute=5"), &[3205]);
    codes(
        &call("-d name=jwt -d config.claims_to_verify=exp,nbf -d config.uri_param_names[]="),
        &[3041, 3042, 3201, 3205],
    );
    codes(&call("-d name=request-transformer -d config.remove.headers=A,B"), &[3201, 3205]);
    codes(
        &call("-d name=rate-limiting-advanced -d config.limit[0]=5 -d config.window_size[0]=60"),
        &[3012, 3202, 3205],
    );
    codes("curl -X PATCH http://a/plugins/x -d \"config.deny[]=${IP}\"", &[3203, 3205, 3206]);
    codes("echo remove | at now + 60 seconds", &[3207]);
    codes("curl https://kong-admin:8444/services -d name=a -d url=http://a.test", &[]);
    codes("curl http://[::1]:8001/services -d name=a -d url=http://a.test", &[]);
}

#[test]
fn findings_stand_at_their_commands() {
    let script = "# one\ncurl http://kong-admin/services \\\n  -d name=a -d url=http://a.test\n\
                  curl http://kong-admin/routes -d name=r -d paths[0]=/a/ -d strip_path=true\n";
    let places: Vec<_> = of(script).findings.iter().map(|it| (it.code.0, it.primary.pointer.to_string())).collect();
    assert_eq!(places, [(3205, "/0".into()), (3202, "/1".into())]);
}
