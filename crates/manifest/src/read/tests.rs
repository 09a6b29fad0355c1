use super::*;
use proptest::prelude::*;

fn told(name: &str, bytes: &[u8]) -> Vec<String> {
    let (sources, findings) = read(&[Input { name, bytes }]);
    findings.iter().map(|finding| format!("{} {}", sources.locate(&finding.primary), finding.code)).collect()
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, want: &[&str]) {
    assert_eq!(told("t.yaml", text.as_ref()), want, "{}", String::from_utf8_lossy(text.as_ref()));
}

#[test]
fn what_cannot_be_read_has_a_place() {
    check("a: 1\nb: é\n", &[]);
    check(b"a: 1\nb: \xc3\xa9\xff\n", &["t.yaml:2:5 RW0001"]);
    check("a: 1\na: 2\n", &["t.yaml:2:1 RW0003"]);
    check("é: {b: 1, c: 2, b: 3}\n", &["t.yaml:1:17 RW0003"]);
    check("a: {b: 1\n", &["t.yaml:2:1 RW0002"]);
    check("a: *x\n", &["t.yaml:1:4 RW0002"]);
    check("a: &x {b: *x}\n", &["t.yaml:1:11 RW0006"]);
    check("? [1]\n: 2\n", &["t.yaml:1:3 RW0007"]);
    check("a: {{ value }}\n", &["t.yaml:1:5 RW0007"]);
    check("a: !vault x\n", &["t.yaml:1:4 RW0008"]);
    check(format!("a: {}1{}", "[".repeat(70), "]".repeat(70)), &["t.yaml:1:67 RW0004"]);
    check("a: 1\n---\nb: [\n---\n", &["t.yaml:4:1 RW0002"]);
}

#[test]
fn what_is_open_or_too_deep_is_told_with_what_would_be_right() {
    let check = |text: &str, code: &str, help: &str| {
        let (_, findings) = read(&[Input { name: "t.yaml", bytes: text.as_bytes() }]);
        assert_eq!(findings[0].code.to_string(), code, "{text:.20}");
        assert!(findings[0].help.as_deref().is_some_and(|told| told.contains(help)), "{:?}", findings[0].help);
    };
    check("a: [b\n", "RW0002", "ends with `]`");
    check("a: {b: 1\n", "RW0002", "ends with `}`");
    for depth in [70, 20_000] {
        check(&format!("a: {}{}", "[".repeat(depth), "]".repeat(depth)), "RW0004", "not closed");
    }
}

#[test]
fn a_tab_is_told_as_a_tab() {
    let (sources, findings) = read(&[Input { name: "t.yaml", bytes: b"a:\n\tb: 1\n" }]);
    assert_eq!(sources.locate(&findings[0].primary), "t.yaml:2:1");
    assert_eq!(findings[0].help.as_deref(), Some("indent with spaces"));
}

#[test]
fn a_file_that_stays_is_not_read_again() {
    let file = |name, bytes| Input { name, bytes };
    let before =
        read(&[file("b.yaml", b"a: 1\n---\nb: 2\n"), file("c.yaml", b"a: yes\n"), file("d.yaml", b"x: 1\n")]).0;
    assert_eq!(before.files.iter().map(|file| file.clean).collect::<Vec<_>>(), [true, false, true]);
    // One is new, one is the same, one has a finding to be told again, one has changed.
    let now: &[&[u8]] = &[b"new: 1\n", b"a: 1\n---\nb: 2\n", b"a: yes\n", b"x: 2\n"];
    let inputs: Vec<_> =
        ["a.yaml", "b.yaml", "c.yaml", "d.yaml"].into_iter().zip(now).map(|(n, b)| file(n, b)).collect();
    let (kept, fresh) = (read_after(&inputs, &before), read(&inputs));
    assert_eq!(format!("{kept:?}"), format!("{fresh:?}"));
    let shared = |document: &&Document| before.documents.iter().any(|it| Arc::ptr_eq(&it.root, &document.root));
    assert_eq!(kept.0.documents.iter().filter(shared).map(|it| it.id.0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn aliases_are_bounded() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let before = level - 1;
        let list = vec![format!("*a{before}"); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    let (sources, findings) = read(&[Input { name: "b.yaml", bytes: bomb.as_bytes() }]);
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [code::ALIAS]);
    assert!(sources.documents.iter().all(|document| (document.root.last as usize) < MAX_ALIASED));
    let (sources, findings) = read(&[Input { name: "m.yaml", bytes: b"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n" }]);
    assert!(findings.is_empty());
    let b = sources.documents[0].root.get("b").unwrap().to_json();
    assert_eq!(b, serde_json::json!({ "y": 3, "x": 1 }));
}

#[test]
fn kong_files_are_of_yaml_1_1() {
    let scalars = "yes\n- off\n- 010\n- 12:30\n- 1_000\n- 1e3\n- y\n- ~\n- '010'\n- 2001-12-14\n";
    let value = |head: &str| {
        let text = format!("{head}list:\n- {scalars}");
        let (sources, findings) = read(&[Input { name: "k.yaml", bytes: text.as_bytes() }]);
        (sources.documents[0].root.get("list").unwrap().to_json(), findings.len())
    };
    let old = serde_json::json!([true, false, 8, 750, 1000, 1000.0, "y", null, "010", "2001-12-14"]);
    let core = serde_json::json!(["yes", "off", 10, "12:30", "1_000", 1000.0, "y", null, "010", "2001-12-14"]);
    assert_eq!(value("_format_version: '3.0'\n"), (old, 5));
    assert_eq!(value("kind: x\n"), (core, 5));
}

#[test]
fn lists_are_unrolled_and_scripts_split() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {kind: B}\n";
    let (sources, _) = read(&[Input { name: "l.yaml", bytes: list.as_bytes() }]);
    assert_eq!(sources.documents.len(), 2);
    let place = Place::value(sources.documents[1].id, "/kind");
    assert_eq!(sources.locate(&place), "l.yaml:5:10");
    let script = "# no\ncurl -X POST http://kong-admin:8001/plugins \\\n  --data name=x\n\nls\n";
    let (sources, _) = read(&[Input { name: "s.sh", bytes: script.as_bytes() }]);
    let commands = sources.documents[0].root.to_json();
    assert_eq!(commands[1], "ls");
    assert_eq!(sources.locate(&Place::value(sources.documents[0].id, "/0")), "s.sh:2:1");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let inputs = [Input { name: "x.yaml", bytes: &bytes }, Input { name: "x.sh", bytes: &bytes }];
        let (world, findings) = crate::lower(&inputs, &crate::Options::default());
        crate::render::human(&findings, &world.sources, crate::render::Colour::Plain);
    }

    #[test]
    fn no_yaml_panics(text in "([a-z]{1,3}: ?|- |\\[|\\]|\\{|\\}|, |&a |\\*a|\n {0,4}|é|\t|'|\"|# |---\n|\\|\n|<<: |!!str |0[0-9]:?){0,60}") {
        let (sources, findings) = read(&[Input { name: "x.yaml", bytes: text.as_bytes() }]);
        crate::render::human(&findings, &sources, crate::render::Colour::Plain);
        crate::render::sarif(&findings, &sources);
        for document in &sources.documents {
            prop_assert!(document.root.span.start <= document.root.span.end);
            prop_assert!(sources.files[0].text.is_char_boundary(document.root.span.start as usize));
        }
    }
}
