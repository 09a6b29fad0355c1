use crate::{Bundle, Fuel, RequestHead, RuleMatch, Settings, Waf};
use ringwall_model::Timestamp;

/// The values that a rule over these selectors sees, in order, and the error of the body.
fn values(selectors: &str, actions: &str, body: &str) -> (Vec<String>, String) {
    let rules = format!(
        "SecRequestBodyAccess On\n\
         SecRule {selectors} \"@unconditionalMatch\" \"id:1,phase:2,pass,log,t:none,setvar:'tx.seen=%{{tx.seen}}[%{{MATCHED_VAR}}]'{actions}\"\n\
         SecAction \"id:2,phase:2,pass,log,msg:'%{{tx.seen}}'\"\n\
         SecAction \"id:3,phase:2,pass,log,msg:'%{{REQBODY_ERROR_MSG}}'\"\n"
    );
    let mut bundle = Bundle::default();
    bundle.add("a.conf", rules);
    let waf = Waf::load(&bundle, &["a.conf"]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let mut tx = waf.begin(&waf.profile(Settings::default()).unwrap(), Timestamp(0));
    let end = ([192, 0, 2, 1], 1).into();
    let (line, method, target, protocol) = (b"POST / HTTP/1.1", b"POST", b"/", b"HTTP/1.1");
    let head = RequestHead { line, method, target, protocol, client: end, server: end, id: "id" };
    tx.head(&head, [(&b"Content-Type"[..], &b"text/xml"[..])].into_iter());
    tx.phase1(Fuel::ENDLESS);
    tx.request_body(body.as_bytes());
    tx.phase2(Fuel::ENDLESS);
    let report = tx.report();
    let message = |id| {
        let found: Option<&RuleMatch> = report.matched.iter().find(|one| one.id == id);
        found.map(|one| one.message.clone()).unwrap_or_default()
    };
    let seen = message(2);
    let list = seen
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .map(|rest| rest.split("][").map(str::to_owned).collect());
    (list.unwrap_or_default(), message(3))
}

const ORDER: &str = r#"<o:order xmlns:o="urn:o" id="7"><item sku="a">one<b>bold</b> more</item><item sku="b">two</item><x xmlns="urn:x"><item>three</item></x></o:order>"#;

#[track_caller]
fn check(selectors: &str, actions: &str, want: &[&str]) {
    assert_eq!(
        values(selectors, actions, ORDER),
        (want.iter().map(|text| (*text).to_owned()).collect(), String::new()),
        "{selectors}"
    );
}

#[test]
fn paths() {
    check("XML:/*", "", &["oneboldmoretwothree".replace("more", " more").as_str()]);
    check("XML://item", "", &["onebold more", "two"]);
    check("XML:/*/item/b", "", &["bold"]);
    check("XML://item/text()", "", &["one", " more", "two"]);
    check("XML://item/@sku", "", &["a", "b"]);
    check("XML:/*/@id", "", &["7"]);
    check("XML://x:item", ",xmlns:x=urn:x", &["three"]);
    check("XML:/o:order/@id", ",xmlns:o=urn:o", &["7"]);
    check("XML:/order/@id", "", &[]);
    check("XML://x:*", ",xmlns:x=urn:x", &["three", "three"]);
    check("XML://item|XML://b", "", &["onebold more", "two", "bold"]);
}

#[test]
fn another_prefix_for_the_same_namespace_is_no_way_around() {
    let body = r#"<a xmlns="urn:o"><order>evil</order></a>"#;
    assert_eq!(values("XML://o:order", ",xmlns:o=urn:o", body).0, ["evil"]);
    assert_eq!(values("XML://order", "", body).0, [""; 0]);
}

#[test]
fn what_is_broken_is_looked_at_and_said() {
    let (seen, error) = values("XML://b", "", "<a><b>evil<c>");
    assert_eq!((seen, error.is_empty()), (vec!["evil".to_owned()], false));
    let deep = format!("{}x{}", "<a>".repeat(500), "</a>".repeat(500));
    assert_eq!(values("XML://a", "", &format!("<r>{deep}</r>")).1, "");
    let long = format!("{}{}{}", "<a>".repeat(500), "x".repeat(5000), "</a>".repeat(500));
    assert!(values("XML://a", "", &long).1.contains("too often"));
    assert!(!values("XML:/*", "", "<!DOCTYPE a><a/>").1.is_empty());
}

#[test]
fn what_is_not_read_is_an_error_of_the_rules() {
    for wrong in ["XML://a[1]", "XML:a", "XML://p:a", "XML:/a/@b/c", "XML:/", "XML:count(//a)", "XML:'//a[@b=\"c\"]'"] {
        let mut bundle = Bundle::default();
        bundle.add("a.conf", format!("SecRule {} \"@rx x\" \"id:1\"\n", wrong.replace('"', "\\\"")));
        assert!(Waf::load(&bundle, &["a.conf"]).is_err_and(|errors| errors[0].message.contains("XPath")), "{wrong}");
    }
}
