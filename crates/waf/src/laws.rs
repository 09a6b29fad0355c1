//! Laws that hold for every input: nothing panics, skipping changes no verdict, a slice of work changes no verdict.

use crate::{Bundle, Fuel, Prefilter, Progress, RequestHead, Settings, Waf, libinjection};
use proptest::prelude::*;
use ringwall_model::Timestamp;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// Bytes that mean something to some parser, and some that mean nothing.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let words: [&[u8]; 46] = [
        b"'",
        b"\"",
        b"`",
        b"\\",
        b"/*",
        b"*/",
        b"--",
        b"#",
        b"<",
        b">",
        b"=",
        b"on",
        b"onload",
        b"<script",
        b"select ",
        b"union ",
        b"0x",
        b"1.e",
        b"$$",
        b"q'[",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"json",
        b"\\u00",
        b"\\ud800\\u",
        b"&#x",
        b"&#",
        b"%",
        b"%u",
        b"%41",
        b"+",
        b"--x",
        b"\r\n",
        b"\n",
        b"Content-Disposition: form-data; name=",
        b"<![CDATA[",
        b"]]>",
        b"\x0a\x05",
        b"\0",
        b"\xff",
        b"../",
        b"-1e9",
    ];
    let word = prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 1..6),
        1 => Just(b"abc".to_vec()),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

static RULES: LazyLock<Arc<Waf>> = LazyLock::new(|| {
    let chains = [
        "urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:lowercase",
        "utf8toUnicode,t:cssDecode,t:removeNulls,t:compressWhitespace",
        "cmdLine,t:normalizePathWin",
        "replaceComments,t:removeWhitespace,t:base64DecodeExt",
        "escapeSeqDecode,t:sqlHexDecode,t:length",
    ];
    let operators = [
        "@rx (?i)(?:union|select)[^a]+x|\\.\\./",
        "@rx [<>]\\w+\\s*=",
        "@pm script onload union",
        "@detectSQLi",
        "@detectXSS",
        "@contains '",
        "!@rx ^[a-z]*$",
    ];
    let mut text = String::new();
    for (number, (chain, operator)) in
        chains.iter().flat_map(|chain| operators.iter().map(move |operator| (chain, operator))).enumerate()
    {
        let targets = "ARGS|ARGS_NAMES|REQUEST_HEADERS|REQUEST_COOKIES|REQUEST_URI|FILES|MULTIPART_PART_HEADERS|XML:/*|XML://@*|REQUEST_BODY";
        text.push_str(&format!("SecRule {targets} \"{operator}\" \"id:{},phase:2,pass,capture,t:none,t:{chain},setvar:'tx.a_%{{MATCHED_VAR_NAME}}=+1'\"\n", number + 1));
    }
    let mut bundle = Bundle::default();
    bundle.add("laws.conf", text);
    Waf::load(&bundle, &["laws.conf"]).expect("the rules of the laws")
});

fn judged(settings: Settings, fuel: Fuel, kind: &str, text: &[u8], body: &[u8]) -> Vec<(u64, String)> {
    let mut tx = RULES.begin(&RULES.profile(settings).unwrap(), Timestamp(0));
    let ends = SocketAddr::from(([192, 0, 2, 1], 1));
    let target = [b"/p?", text].concat();
    let head = RequestHead {
        line: text,
        method: b"POST",
        target: &target,
        protocol: b"HTTP/1.1",
        client: ends,
        server: ends,
        id: "",
    };
    let fields: [(&[u8], &[u8]); 4] =
        [(b"Host", text), (b"Cookie", text), (b"Content-Type", kind.as_bytes()), (text, b"x")];
    tx.head(&head, fields.into_iter());
    while tx.phase1(fuel) == Progress::Yield {}
    tx.request_body(body);
    while tx.phase2(fuel) == Progress::Yield {}
    tx.report().matched.into_iter().map(|matched| (matched.id, matched.variable)).collect()
}

proptest! {
    #[test]
    fn what_is_skipped_could_not_have_matched(
        kind in proptest::sample::select(vec![
            "application/x-www-form-urlencoded", "application/json", "text/xml", "multipart/form-data; boundary=x",
            "application/grpc", "multipart/form-data; boundary=\"", "text/plain",
        ]),
        text in soup(),
        body in soup(),
    ) {
        let with = judged(Settings::default(), Fuel::ENDLESS, kind, &text, &body);
        let without = judged(Settings { prefilter: Prefilter::Off, ..Settings::default() }, Fuel::ENDLESS, kind, &text, &body);
        prop_assert_eq!(&with, &without);
        prop_assert_eq!(&with, &judged(Settings::default(), Fuel(50), kind, &text, &body));
        prop_assert_eq!(&with, &judged(Settings { room: Some(0), ..Settings::default() }, Fuel::ENDLESS, kind, &text, &body));
    }

    #[test]
    fn rule_files_are_read_or_refused(text in "(SecRule|SecAction|Include|SecMarker|x)?( |\\\\\n|\"|')?[A-Z:|!&/%{}.'\" ]{0,12}( |\")?[@a-z(){}\\[\\]%.*+?\\\\]{0,12}\"? ?\"?(id:1,)?[a-z:'=%{}+,]{0,20}\"?") {
        let mut bundle = Bundle::default();
        bundle.add("a.conf", text);
        if let Err(errors) = Waf::load(&bundle, &["a.conf"]) {
            prop_assert!(errors.iter().all(|error| !error.to_string().is_empty()));
        }
    }

    #[test]
    fn injections_are_judged_whatever_the_bytes(text in soup()) {
        let _ = libinjection::xss(&text);
        prop_assert!(libinjection::sqli(&text).is_none_or(|print| !print.as_bytes().is_empty()));
        prop_assert!(libinjection::html(&text).len() < 100 + text.len() * 64);
        prop_assert!(libinjection::tokens(&text).len() < 100 + text.len() * 64);
        prop_assert!(libinjection::folded(&text).len() < 400);
    }
}
