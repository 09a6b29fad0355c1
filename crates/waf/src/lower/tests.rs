//! The language of issue and research: what every deployment uses loads, what is refused is refused with its place.

use crate::{Bundle, LoadError, Support, Waf};
use std::sync::Arc;

fn load(text: &str) -> Result<Arc<Waf>, Vec<LoadError>> {
    let mut bundle = Bundle::default();
    bundle.add("a.data", "one\ntwo\n");
    bundle.add("nets.data", "192.0.2.0/24\n2001:db8::/32\n");
    bundle.add(
        "schema.json",
        r#"{"type":"object","required":["a"],"additionalProperties":false,"properties":{"a":{"type":"integer"}}}"#,
    );
    bundle.add("schema.xsd", "<xs:schema/>");
    bundle.add("b.conf", "SecMarker B\n");
    bundle.add("a.conf", text);
    Waf::load(&bundle, &["a.conf"])
}

/// Rules that CRS 4 with the recommended files of ModSecurity and Coraza uses (research, section 1), and priority 1.
#[rustfmt::skip]
const USED: &[&str] = &[
    // directives
    "Include b.conf", "IncludeOptional none*.conf", "SecRuleEngine DetectionOnly", "SecRequestBodyAccess On",
    "SecRequestBodyLimit 13107200", "SecRequestBodyNoFilesLimit 131072", "SecRequestBodyInMemoryLimit 131072",
    "SecRequestBodyLimitAction Reject", "SecRequestBodyJsonDepthLimit 512", "SecArgumentsLimit 1000",
    "SecPcreMatchLimit 1000", "SecPcreMatchLimitRecursion 1000", "SecResponseBodyAccess On",
    "SecResponseBodyMimeType text/plain text/html text/xml", "SecResponseBodyLimit 524288",
    "SecResponseBodyLimitAction ProcessPartial", "SecTmpDir /tmp/", "SecDataDir /tmp/", "SecAuditEngine RelevantOnly",
    "SecAuditLog /var/log/modsec_audit.log", "SecAuditLogRelevantStatus \"^(?:5|4(?!04))\"", "SecAuditLogParts ABIJDEFHZ",
    "SecAuditLogType Serial", "SecAuditLogFormat JSON", "SecArgumentSeparator &", "SecCookieFormat 0",
    "SecUnicodeMapFile unicode.mapping 20127", "SecStatusEngine On", "SecRxPreFilter On", "SecUploadFileLimit 100",
    "SecCollectionTimeout 600", "SecDefaultAction \"phase:1,log,auditlog,pass\"", "SecComponentSignature \"a/1\"",
    "SecMarker \"END\"", "SecAction \"id:1,phase:1,pass,nolog,t:none,setvar:tx.a=1\"",
    // exclusions
    "SecRuleRemoveById 1 \"5-9\"", "SecRuleRemoveByTag \"attack-.*\"", "SecRuleRemoveByMsg \"m\"",
    "SecAction \"id:2\"\nSecRuleUpdateTargetById 2 \"!ARGS:a\"", "SecAction \"id:2,tag:x\"\nSecRuleUpdateTargetByTag x \"!ARGS:/^a/\"",
    "SecAction \"id:2,msg:'x'\"\nSecRuleUpdateTargetByMsg x \"!REQUEST_COOKIES:'/^a b/'\"",
    "SecAction \"id:2,phase:1\"\nSecRuleUpdateActionById 2 \"pass,nolog\"",
    // operators
    "SecRule ARGS \"@rx ^a%{tx.b}\" \"id:3\"", "SecRule ARGS \"!@rx a\" \"id:3\"", "SecRule ARGS:n \"@lt 1\" \"id:3\"",
    "SecRule ARGS:n \"@le 1\" \"id:3\"", "SecRule ARGS:n \"@eq %{tx.a}\" \"id:3\"", "SecRule ARGS:n \"@ge 1\" \"id:3\"", "SecRule ARGS:n \"@gt 1\" \"id:3\"",
    "SecRule ARGS \"@pmFromFile a.data\" \"id:3\"", "SecRule ARGS \"@pmf a.data\" \"id:3\"", "SecRule ARGS \"@pm a b\" \"id:3\"",
    "SecRule ARGS \"@streq a\" \"id:3\"", "SecRule ARGS \"@within a b\" \"id:3\"", "SecRule ARGS \"@endsWith a\" \"id:3\"",
    "SecRule ARGS \"@beginsWith a\" \"id:3\"", "SecRule ARGS \"@contains a\" \"id:3\"", "SecRule ARGS \"@containsWord a\" \"id:3\"",
    "SecRule ARGS \"@strmatch a\" \"id:3\"", "SecRule ARGS \"@validateByteRange 32-126,9\" \"id:3\"",
    "SecRule REMOTE_ADDR \"@ipMatch 192.0.2.0/24,2001:db8::/32\" \"id:3\"", "SecRule REMOTE_ADDR \"@ipMatchFromFile nets.data\" \"id:3\"",
    "SecRule REMOTE_ADDR \"@geoLookup\" \"id:3\"", "SecRule ARGS \"@detectSQLi\" \"id:3\"", "SecRule ARGS \"@detectXSS\" \"id:3\"",
    "SecRule ARGS \"@unconditionalMatch\" \"id:3\"", "SecRule ARGS \"@noMatch\" \"id:3\"", "SecRule ARGS \"@validateUtf8Encoding\" \"id:3\"",
    "SecRule ARGS \"@validateUrlEncoding\" \"id:3\"",
    // actions and ctl
    "SecRule ARGS \"a\" \"id:4,phase:2,block,capture,multiMatch,severity:CRITICAL,msg:'%{TX.0}',logdata:'%{MATCHED_VAR}',tag:a,ver:b,rev:c,status:406,log,noauditlog,skipAfter:E\"\nSecMarker E",
    "SecRule ARGS a \"id:4,deny,status:500,chain\"\nSecRule ARGS b \"t:lowercase\"", "SecAction \"id:4,redirect:'https://a/%{unique_id}'\"",
    "SecAction \"id:4,drop\"", "SecAction \"id:4,allow:request\"", "SecAction \"id:4,allow:phase\"", "SecAction \"id:4,allow\"", "SecAction \"id:4,skip:2\"",
    "SecAction \"id:4,exec:/bin/true\"", "SecAction \"id:4,initcol:global=global,initcol:ip=%{remote_addr}\"",
    "SecAction \"id:4,setvar:'tx.a_%{tx.b}=+%{tx.c}',setvar:!tx.d,setvar:tx.e=-1\"",
    "SecAction \"id:4,ctl:ruleRemoveById=1-9,ctl:ruleRemoveByTag=a,ctl:ruleRemoveByMsg=m,ctl:ruleRemoveTargetById=1;ARGS:/^a/,ctl:ruleRemoveTargetByTag=a;ARGS,ctl:ruleRemoveTargetByMsg=m;ARGS:a\"",
    "SecAction \"id:4,ctl:ruleEngine=Off,ctl:requestBodyAccess=On,ctl:responseBodyAccess=Off,ctl:requestBodyProcessor=JSON,ctl:forceRequestBodyVariable=On,ctl:auditEngine=Off,ctl:auditLogParts=+E,ctl:debugLogLevel=3\"",
];

/// Priority 2 of the research, section 1.
#[rustfmt::skip]
const FURTHER: &[&str] = &[
    "SecAction \"id:5,initcol:session=a,initcol:user=a,initcol:resource=a,setsid:a,setuid:b\"",
    "SecAction \"id:5,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1,expirevar:ip.n=60,deprecatevar:ip.n=1/60\"\nSecRule IP:n|GLOBAL:a|SESSION:a|USER:a|RESOURCE:a \"@gt 1\" \"id:6\"",
    "SecRule REMOTE_ADDR \"@rbl list.example\" \"id:5\"", "SecRule ARGS \"@verifyCC \\d{13,16}\" \"id:5\"", "SecRule ARGS \"@verifyCPF \\d{11}\" \"id:5\"",
    "SecRule ARGS \"@verifySSN \\d{9}\" \"id:5\"", "SecRule ARGS \"@verifySVNR \\d{10}\" \"id:5\"", "SecRule ARGS \"@rxGlobal a\" \"id:5,capture\"",
    "SecAction \"id:5,sanitiseArg:password,sanitiseMatched,sanitiseMatchedBytes,sanitiseRequestHeader:Authorization,sanitiseResponseHeader:Set-Cookie\"",
    "SecRule XML:/s:Envelope/s:Body//@id|XML://item/text() \"a\" \"id:5,xmlns:s=http://schemas.xmlsoap.org/soap/envelope/\"",
    "SecRule REQUEST_BODY \"@validateSchema schema.json\" \"id:5,phase:2,deny\"",
    "SecAction \"id:5,setenv:a=b\"",
];

const VARIABLES: &str = "ARGS ARGS_NAMES ARGS_GET ARGS_GET_NAMES ARGS_POST ARGS_POST_NAMES ARGS_COMBINED_SIZE DURATION ENV \
    FILES FILES_NAMES FILES_SIZES FILES_COMBINED_SIZE FILES_TMPNAMES FULL_REQUEST FULL_REQUEST_LENGTH GEO HIGHEST_SEVERITY \
    INBOUND_DATA_ERROR MATCHED_VAR MATCHED_VAR_NAME MATCHED_VARS MATCHED_VARS_NAMES MODSEC_BUILD MULTIPART_BOUNDARY_QUOTED \
    MULTIPART_BOUNDARY_WHITESPACE MULTIPART_CRLF_LF_LINES MULTIPART_DATA_AFTER MULTIPART_DATA_BEFORE MULTIPART_FILENAME \
    MULTIPART_FILE_LIMIT_EXCEEDED MULTIPART_HEADER_FOLDING MULTIPART_INVALID_HEADER_FOLDING MULTIPART_INVALID_PART \
    MULTIPART_INVALID_QUOTING MULTIPART_LF_LINE MULTIPART_MISSING_SEMICOLON MULTIPART_NAME MULTIPART_PART_HEADERS \
    MULTIPART_STRICT_ERROR MULTIPART_UNMATCHED_BOUNDARY OUTBOUND_DATA_ERROR PATH_INFO QUERY_STRING REMOTE_ADDR REMOTE_HOST \
    REMOTE_PORT REMOTE_USER REQBODY_ERROR REQBODY_ERROR_MSG REQBODY_PROCESSOR REQUEST_BASENAME REQUEST_BODY \
    REQUEST_BODY_LENGTH REQUEST_COOKIES REQUEST_COOKIES_NAMES REQUEST_FILENAME REQUEST_HEADERS REQUEST_HEADERS_NAMES \
    REQUEST_LINE REQUEST_METHOD REQUEST_PROTOCOL REQUEST_URI REQUEST_URI_RAW RESPONSE_BODY RESPONSE_CONTENT_LENGTH \
    RESPONSE_CONTENT_TYPE RESPONSE_HEADERS RESPONSE_HEADERS_NAMES RESPONSE_PROTOCOL RESPONSE_STATUS RULE SERVER_ADDR \
    SERVER_NAME SERVER_PORT SESSION SESSIONID STATUS_LINE TIME TIME_DAY TIME_EPOCH TIME_HOUR TIME_MIN TIME_MON TIME_SEC \
    TIME_WDAY TIME_YEAR TX UNIQUE_ID URLENCODED_ERROR USER USERID XML IP GLOBAL RESOURCE AUTH_TYPE";

const TRANSFORMATIONS: &str = "none urlDecodeUni lowercase jsDecode htmlEntityDecode utf8toUnicode removeNulls cssDecode cmdLine \
    removeWhitespace replaceComments normalizePath normalisePath escapeSeqDecode compressWhitespace normalizePathWin length \
    base64Decode sha1 hexEncode removeCommentsChar hexDecode md5 urlEncode trim trimLeft trimRight sqlHexDecode uppercase \
    base64DecodeExt base64Encode parityEven7bit parityOdd7bit parityZero7bit removeComments replaceNulls urlDecode";

/// Priority 3: refused.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "SecRuleScript a.lua \"id:1\"", "SecRule FILES_TMPNAMES \"@inspectFile a.lua\" \"id:1\"", "SecRemoteRules k https://a/", "SecHashEngine On",
    "SecGuardianLog |a", "SecContentInjection On", "SecRule REQUEST_BODY \"@fuzzyHash a 1\" \"id:1\"", "SecRule ARGS \"@rsub s/a/b/\" \"id:1\"",
    "SecAction \"id:1,append:'a'\"", "SecAction \"id:1,proxy:http://a/\"", "SecRule PERF_ALL a \"id:1\"", "SecRule XML \"@validateSchema schema.xsd\" \"id:1\"",
    // never taken silently
    "SecNothing On", "SecRule ARGS \"@nothing a\" \"id:1\"", "SecAction \"id:1,t:nothing\"", "SecAction \"id:1,nothing\"", "SecRule NOTHING a \"id:1\"",
    "SecAction \"id:1,ctl:nothing=1\"", "SecRule ARGS \"@rx (\" \"id:1\"", "SecRule ARGS \"@pmFromFile none.data\" \"id:1\"",
];

#[test]
fn what_is_used_loads() {
    for text in USED.iter().chain(FURTHER) {
        if let Err(errors) = load(text) {
            panic!("{text}\n{}", errors[0]);
        }
    }
    for name in VARIABLES.split_ascii_whitespace() {
        let text = format!("SecRule {name}|&{name}|!{name} \"a\" \"id:1,phase:5,msg:'%{{{name}}}'\"\n");
        assert!(load(&text).is_ok(), "{name}");
    }
    for name in TRANSFORMATIONS.split_ascii_whitespace() {
        assert!(load(&format!("SecRule ARGS a \"id:1,t:{name}\"\n")).is_ok(), "{name}");
    }
    let warned = load("SecAction \"id:4,phase:1,pass,exec:/bin/true\"\n").unwrap();
    assert_eq!((warned.warnings().len(), warned.warnings()[0].line), (1, 1));
}

#[test]
fn what_is_refused_says_where_and_why() {
    for text in REFUSED {
        let Err(errors) = load(&format!("# a comment\n\n  {text}\n")) else { panic!("{text} is taken") };
        let error = &errors[0];
        assert_eq!((error.file.as_str(), error.line), ("a.conf", 3), "{text}");
        assert!(error.column > 2 && !error.excerpt.is_empty() && error.message.len() > 15, "{text}: {error:?}");
        assert!(error.excerpt.len() >= error.indent, "{text}: {error:?}");
    }
}

#[test]
fn the_list_of_support_knows_all_of_it() {
    let table = Support::table();
    let state = |kind: &str, name: &str| {
        let found = table.iter().find(|one| one.kind == kind && one.name.eq_ignore_ascii_case(name));
        found.map_or("unknown", |one| one.state)
    };
    for name in VARIABLES.split_ascii_whitespace() {
        assert_eq!(state("variable", name), "supported", "{name}");
    }
    for name in TRANSFORMATIONS.split_ascii_whitespace() {
        assert_eq!(state("transformation", name), "supported", "{name}");
    }
    assert!(table.iter().all(|one| (one.state == "supported") == one.why.is_empty()));
    for kind in ["directive", "operator", "action", "ctl"] {
        let names: Vec<String> =
            table.iter().filter(|one| one.kind == kind).map(|one| one.name.to_lowercase()).collect();
        assert!(names.is_sorted(), "{kind}");
    }
    assert_eq!(
        (state("operator", "rbl"), state("action", "exec"), state("directive", "SecRuleScript")),
        ("ignored", "ignored", "rejected")
    );
}
