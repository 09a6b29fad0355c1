//! What must hold for any bytes: no parser panics, and each keeps its law. Shared by libfuzzer and by `fuzz-replay`.

use bytes::Bytes;
use ringwall_head::read::{Progress, Scan};
use ringwall_head::{
    Context, Limits, Normalization, Settings, chunk, client, h2, path, proxy_protocol, response, tracing,
};
use ringwall_model::{BodyLength, Call, CallId, ClientOrigin, Fields, Peer, Scheme, Timestamp};

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("access_format", access_format),
    ("binary_message", binary_message),
    ("bot", bot),
    ("chunk", chunks),
    ("content_coding", content_coding),
    ("dns", names),
    ("dns_answer", answers),
    ("head", head),
    ("h2", streams),
    ("key_set", key_set),
    ("libinjection", injection),
    ("manifest", manifest),
    ("netlink", netlink),
    ("openapi", openapi),
    ("messages", messages),
    ("path", paths),
    ("proxy_protocol", proxy_header),
    ("response", responses),
    ("rule_archive", rule_archive),
    ("seclang", seclang),
    ("token", token),
    ("trace_context", trace_context),
    ("transformation", transformation),
    ("waf_body", waf_body),
];

fn context(settings: &Settings) -> Context<'_> {
    Context {
        id: CallId(1),
        received: Timestamp(0),
        scheme: Scheme::Http,
        peer: Peer { address: ([192, 0, 2, 1], 5555).into(), tls: None },
        origin: ClientOrigin::Peer,
        local: ([10, 0, 0, 1], 80).into(),
        settings,
    }
}

/// A head that is not refused can be read in one way only; its end does not depend on the pieces it came in.
fn head(bytes: &[u8]) {
    let limits = Limits::default();
    let whole = ringwall_head::read::head(bytes, &limits);
    let mut scan = Scan::default();
    let piecewise = (0..=bytes.len()).map(|end| scan.look(&bytes[..end], &limits)).find(|p| *p != Progress::Partial);
    assert_eq!(piecewise.unwrap_or(Progress::Partial), whole);
    let settings = Settings::default();
    let call = ringwall_head::call(Bytes::copy_from_slice(bytes), context(&settings));
    if call.faults.is_empty() {
        one_reading(&call);
    }
}

fn one_reading(call: &Call) {
    let one = |name: &str| call.fields.all(name).count() <= 1;
    assert!(one("host") && one("content-length") && one("transfer-encoding"));
    let both = call.fields.first("content-length").is_some() && call.fields.first("transfer-encoding").is_some();
    assert!(!both);
    assert_eq!(call.body == BodyLength::Unknown, call.fields.first("transfer-encoding").is_some());
    assert!(call.fields.iter().all(|field| !field.value.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'))));
    assert!(call.target.starts_with(b"/") || call.target.as_ref() == b"*");
}

/// Where a message ends, and what a server's first frame says, does not depend on what comes after it.
fn messages(bytes: &[u8]) {
    use ringwall_head::h2::settings::{LONGEST, extended_connect};
    if let Some(said) = extended_connect(bytes) {
        let first = &bytes[..bytes.len().min(LONGEST)];
        assert_eq!(extended_connect(first), Some(said));
    }
    use ringwall_head::messages::{event_end, frame_head, grpc_length};
    if let Some(end) = event_end(bytes) {
        assert!(end >= 2 && end <= bytes.len());
        assert!(event_end(&bytes[..end]).is_some_and(|again| again <= end));
    }
    if let Some(frame) = frame_head(bytes) {
        assert!((2..=14).contains(&frame.head));
        assert_eq!(frame_head(&bytes[..frame.head]), Some(frame));
        assert_eq!(frame_head(&bytes[..frame.head - 1]), None);
    }
    if let Some(length) = grpc_length(bytes) {
        assert!(length >= 5);
        assert_eq!(grpc_length(&bytes[..5]), Some(length));
    }
}

/// The same for a stream: the first line is the pseudo-fields, each other one a field.
fn streams(bytes: &[u8]) {
    let mut lines = bytes.split(|octet| *octet == b'\n');
    let mut pseudo = lines.next().unwrap_or_default().split(|octet| *octet == b' ').map(Bytes::copy_from_slice);
    let pseudo = h2::Pseudo {
        method: pseudo.next().unwrap_or_default(),
        scheme: pseudo.next(),
        authority: pseudo.next(),
        path: pseudo.next(),
        protocol: pseudo.next(),
    };
    let opens_socket = pseudo.protocol.is_some() && pseudo.method == "CONNECT";
    let mut fields = Fields::default();
    for line in lines {
        let mut parts = line.splitn(2, |octet| *octet == b'=').map(Bytes::copy_from_slice);
        fields.push(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    }
    let settings = Settings::default();
    let call = h2::call(pseudo, fields, h2::Stream::Open, context(&settings));
    assert!(call.raw.head.starts_with(&call.raw.line));
    let said = call.fields.all("connection").count();
    assert!(!call.faults.is_empty() || said == 0 || (said == 1 && opens_socket && call.method == "GET"));
}

/// A line `name=value` for each field: what is told onward, the next hop reads as the same trace and the same decision.
fn trace_context(bytes: &[u8]) {
    let mut fields = Fields::default();
    for line in bytes.split(|octet| *octet == b'\n') {
        let mut parts = line.splitn(2, |octet| *octet == b'=').map(Bytes::copy_from_slice);
        fields.push(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    }
    for sampling in [0, 1_000_000].map(tracing::Sampling) {
        let span = sampling.span(CallId(u128::MAX - 1), &fields);
        let mut onward = fields.clone();
        tracing::propagate(span.as_ref(), &mut onward);
        for other in [0, 1_000_000].map(tracing::Sampling) {
            let next = other.span(CallId(7), &onward);
            let below = span.as_ref().map(|span| (span.trace, Some(span.id)));
            assert_eq!(next.map(|next| (next.trace, next.parent)), below);
        }
    }
}

/// What is decoded does not depend on the pieces, and no content is made up.
fn chunks(bytes: &[u8]) {
    let decode = |step: usize| {
        let (mut decoder, mut content, mut at, mut come) = (chunk::Decoder::default(), Vec::new(), 0, 0);
        loop {
            match decoder.next(&bytes[at..come]) {
                Err(_) => return None,
                Ok(chunk::Piece::End { trailers, .. }) => return Some((content, trailers)),
                Ok(chunk::Piece::Content { framing, content: len }) => {
                    assert!(framing + len > 0);
                    content.extend_from_slice(&bytes[at + framing..at + framing + len]);
                    at += framing + len;
                }
                Ok(chunk::Piece::Partial) if come == bytes.len() => return None,
                Ok(chunk::Piece::Partial) => come = (come + step).min(bytes.len()),
            }
        }
    };
    let whole = decode(bytes.len().max(1));
    assert_eq!(whole, decode(1));
    assert_eq!(whole, decode(7));
}

/// A normal form has no dot segment, and what needs no change is not changed.
fn paths(bytes: &[u8]) {
    use Normalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    for mode in [None, Base, MergeSlashes, DecodeAndMergeSlashes] {
        let Ok(normal) = path::normalize(bytes, mode) else { continue };
        if mode == None {
            continue;
        }
        for segment in normal.split(|octet| *octet == b'/') {
            let name = segment.split(|octet| *octet == b';').next().unwrap_or_default();
            assert!(name != b"." && name != b"..");
        }
        if path::is_plain(bytes) {
            assert_eq!(normal, bytes);
        }
    }
    let kong = path::kong(bytes);
    assert!(kong.starts_with(b"/") && !kong.windows(2).any(|two| two == b"//"));
}

/// What the kernel tells is read without belief in its lengths: nftables, nflog, connections. The first byte chooses.
fn netlink(bytes: &[u8]) {
    use ringwall_kernel::netlink::{answer, attribute::attributes, messages};
    use ringwall_kernel::nft::{expression, read};
    let (kind, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    match kind % 4 {
        0 => {
            for message in messages(bytes) {
                let _ = answer(&message);
                let _ = ringwall_kernel::conntrack::connection(&message);
                let told = attributes(message.payload).filter_map(|(_, element)| read::told(&attributes(element)));
                for interval in read::intervals(told.collect()) {
                    assert!(interval.last.is_some());
                }
            }
        }
        1 => drop(expression::read_list(bytes)),
        2 => drop(ringwall_kernel::events::event(bytes)),
        _ => {
            let read = ringwall_kernel::events::packet(bytes);
            assert!(read.is_none_or(|read| read.ports.is_none() || bytes.len() >= 24));
        }
    }
}

fn proxy_header(bytes: &[u8]) {
    if let proxy_protocol::Progress::Complete { len, .. } = proxy_protocol::read(bytes) {
        assert!(len <= bytes.len());
        assert_eq!(proxy_protocol::read(&bytes[..len]), proxy_protocol::read(bytes));
    }
    let mut fields = Fields::default();
    fields.push("x-forwarded-for", bytes.to_vec());
    let nearest = ringwall_model::Client { address: [192, 0, 2, 1].into(), origin: ClientOrigin::Peer };
    let _ = client::derive(&fields, nearest, &ringwall_head::Trust::Gateway { proxies: 2 });
}

fn responses(bytes: &[u8]) {
    if let Ok(read) = response::response(&Bytes::copy_from_slice(bytes), Limits::default()) {
        let _ = ringwall_head::framing::response(b"GET", read.status, read.version, &read.fields);
    }
}

fn token(bytes: &[u8]) {
    if let Ok(token) = ringwall_token::Token::read(bytes) {
        assert!(token.signed().len() < bytes.len());
    }
}

fn key_set(bytes: &[u8]) {
    if let Ok(set) = ringwall_token::JwkSet::read(bytes) {
        let unsigned = b"eyJhbGciOiJub25lIn0.e30.";
        let refused = ringwall_token::Token::read(unsigned).map_or(true, |token| set.verify(&token).is_err());
        assert!(refused);
    }
}

/// Any text becomes a World or findings; the same text the same ones.
fn manifest(bytes: &[u8]) {
    for name in ["fuzz.yaml", "fuzz.json", "fuzz.sh"] {
        let inputs = [ringwall_manifest::Input { name, bytes }];
        let options = ringwall_manifest::Options::default();
        let (_, findings) = ringwall_manifest::lower(&inputs, &options);
        let (_, again) = ringwall_manifest::lower(&inputs, &options);
        assert_eq!(findings.len(), again.len());
    }
}

fn access_format(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = ringwall_telemetry::Format::text(&text);
    let _ = ringwall_telemetry::Format::json_text(&text);
}

/// Rules load as a whole or not at all.
fn seclang(bytes: &[u8]) {
    let mut bundle = ringwall_waf::Bundle::default();
    bundle.add("fuzz.conf", bytes);
    let _ = ringwall_waf::Waf::load(&bundle, &["fuzz.conf"]);
}

/// Compiled rules, which must load.
fn rules(text: &str) -> std::sync::Arc<ringwall_waf::Waf> {
    let mut bundle = ringwall_waf::Bundle::default();
    bundle.add("fuzz.conf", text);
    ringwall_waf::Waf::load(&bundle, &["fuzz.conf"]).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

/// The ids that match a body under rules.
fn matched(
    waf: &std::sync::Arc<ringwall_waf::Waf>,
    fields: &str,
    body: &[u8],
    prefilter: ringwall_waf::Prefilter,
) -> Vec<u64> {
    use ringwall_waf::Fuel;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    let settings = Settings::default();
    let call = ringwall_head::call(Bytes::from(head), context(&settings));
    let profile = waf.profile(ringwall_waf::Settings { prefilter, ..Default::default() });
    let mut transaction = waf.begin(&profile.unwrap_or_else(|error| panic!("{error}")), Timestamp(0));
    transaction.call(&call);
    let _ = transaction.phase1(Fuel(1_000_000));
    let _ = transaction.request_body(body);
    let _ = transaction.phase2(Fuel(10_000_000));
    transaction.report().matched.iter().map(|one| one.id).collect()
}

/// A body of each kind: the first byte chooses its media type. The same rules match with and without the prefilter.
fn waf_body(bytes: &[u8]) {
    use std::sync::{Arc, OnceLock};
    const RULES: &str = "SecRuleEngine DetectionOnly\nSecRequestBodyAccess On\n\
        SecRule REQUEST_HEADERS:Content-Type \"@contains graphql\" \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=GRAPHQL\"\n\
        SecRule ARGS|ARGS_NAMES|FILES|REQUEST_BODY|XML:/*|XML://a/@b|XML:/*/c//text()|!ARGS:json.a.0 \"@contains attack\" \"id:1,phase:2,deny,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode\"\n\
        SecRule ARGS|MULTIPART_PART_HEADERS|XML://@* \"@rx (?i)att(?:ack|empt)\" \"id:2,phase:2,pass\"\n\
        SecRule REQBODY_ERROR \"!@eq 0\" \"id:3,phase:2,pass\"\n";
    static WAF: OnceLock<Arc<ringwall_waf::Waf>> = OnceLock::new();
    let waf = WAF.get_or_init(|| rules(RULES));
    let kinds = [
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=b\r\n",
        "Content-Type: application/json\r\n",
        "Content-Type: text/xml\r\n",
        "Content-Type: application/grpc\r\n",
        "Content-Type: application/graphql+json\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        "Content-Type: application/json\r\nContent-Encoding: deflate, br\r\n",
        "Content-Type: application/grpc\r\ngrpc-encoding: deflate\r\n",
    ];
    let (first, body) = bytes.split_first().unwrap_or((&0, &[]));
    let fields = kinds[usize::from(*first) % kinds.len()];
    let with = matched(waf, fields, body, ringwall_waf::Prefilter::On);
    assert_eq!(with, matched(waf, fields, body, ringwall_waf::Prefilter::Off));
}

/// A binary message of a WebSocket: the texts in it are judged, with and without the prefilter alike.
fn binary_message(bytes: &[u8]) {
    use ringwall_waf::{Fuel, Prefilter};
    use std::sync::{Arc, OnceLock};
    const RULES: &str = "SecRuleEngine DetectionOnly\nSecRequestBodyAccess On\n\
        SecRule ARGS:message|ARGS:/^json/ \"@contains attack\" \"id:1,phase:2,deny,t:none,t:jsDecode\"\n\
        SecRule REQUEST_BODY \"@rx (?i)att(?:ack|empt)\" \"id:2,phase:2,pass\"\n";
    static WAF: OnceLock<Arc<ringwall_waf::Waf>> = OnceLock::new();
    let waf = WAF.get_or_init(|| rules(RULES));
    let found = |prefilter| {
        let profile = waf.profile(ringwall_waf::Settings { prefilter, ..Default::default() });
        let mut transaction = waf.begin(&profile.unwrap_or_else(|error| panic!("{error}")), Timestamp(0));
        let _ = transaction.phase1(Fuel(1_000_000));
        let _ = transaction.binary_message(bytes);
        let _ = transaction.phase2(Fuel::ENDLESS);
        transaction.report().matched.iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let with = found(Prefilter::On);
    assert_eq!(with, found(Prefilter::Off));
    // Its bytes are the body, whatever texts were found in it.
    assert!(with.contains(&2) || !bytes.windows(6).any(|text| text == b"attack"));
}

/// The first byte chooses the coding, the second the sizes of parts: a stream says the same in any parts, never more at a
/// time than was asked for, and nothing behind its end.
fn content_coding(bytes: &[u8]) {
    use ringwall_waf::coding::Decoder;
    const MOST: usize = 1 << 20;
    let [coding, size, coded @ ..] = bytes else { return };
    let names = [&b"gzip"[..], b"deflate", b"br"];
    let name = names[usize::from(*coding) % names.len()];
    let read = |size: usize| {
        let Ok(Some(mut decoder)) = Decoder::of(name) else { panic!("a coding that is read") };
        let (mut out, mut waiting) = (Vec::new(), Vec::new());
        for part in coded.chunks(size) {
            waiting.extend_from_slice(part);
            loop {
                let before = out.len();
                let Ok(used) = decoder.read(&waiting, &mut out, 4096) else { return (out, None) };
                assert!(used <= waiting.len() && out.len() - before <= 4096 + (16 << 10));
                waiting.drain(..used);
                if (used == 0 && out.len() == before) || out.len() > MOST {
                    break;
                }
            }
        }
        (out, Some(decoder.is_whole() && waiting.is_empty()))
    };
    let (whole, ended) = read(coded.len().max(1));
    let (parts, ended_in_parts) = read(usize::from(*size).max(1));
    if whole.len() <= MOST && parts.len() <= MOST {
        assert_eq!(ended, ended_in_parts);
        // What breaks may break before all that stood before it was made.
        assert!(ended.is_none() || whole == parts);
    }
}

/// Each transformation over the same bytes, alone and after two others.
fn transformation(bytes: &[u8]) {
    use std::sync::{Arc, OnceLock};
    static WAF: OnceLock<Arc<ringwall_waf::Waf>> = OnceLock::new();
    let waf = WAF.get_or_init(|| {
        let names = ringwall_waf::Support::table();
        let names = names.iter().filter(|one| one.kind == "transformation").map(|one| one.name).enumerate();
        let rule = |(number, name): (usize, &str)| {
            let id = 2 * number + 1;
            format!(
                "SecRule REQUEST_BODY \"@rx ^\\W*\\w\" \"id:{id},phase:2,pass,t:none,t:{name}\"\n\
                 SecRule REQUEST_BODY \"@rx a.b$\" \"id:{},phase:2,pass,t:none,t:urlDecodeUni,t:lowercase,t:{name},multiMatch\"\n",
                id + 1
            )
        };
        let force = "SecRequestBodyAccess On\nSecAction \"id:1000,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\n";
        rules(&format!("{force}{}", names.map(rule).collect::<String>()))
    });
    let with = matched(waf, "", bytes, ringwall_waf::Prefilter::On);
    assert_eq!(with, matched(waf, "", bytes, ringwall_waf::Prefilter::Off));
}

/// A fingerprint has one to five letters.
fn injection(bytes: &[u8]) {
    use ringwall_waf::libinjection::{sqli, xss};
    let print = sqli(bytes);
    assert!(print.is_none_or(|print| (1..=5).contains(&print.as_bytes().len())));
    let _ = xss(bytes);
}

/// What is read of an archive has no path outside of a release's folders.
fn rule_archive(bytes: &[u8]) {
    let tar = ringwall_waf::Bundle::from_archive(bytes);
    for path in tar.iter().flat_map(ringwall_waf::Bundle::paths) {
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
    }
}

/// A document, and behind a line of `%%` a target and a body: what it declares decides, whatever they hold.
fn openapi(bytes: &[u8]) {
    use ringwall_waf::openapi::{Asked, OpenApi};
    let at = bytes.windows(4).position(|four| four == b"\n%%\n").unwrap_or(bytes.len());
    let Ok(document) = serde_json::from_slice(&bytes[..at]) else { return };
    let Ok((api, _)) = OpenApi::read(&document) else { return };
    let rest = bytes.get(at + 4..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (target, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    for method in [&b"GET"[..], b"POST", b"PUT"] {
        let fields = [(&b"cookie"[..], target), (b"x-a", body)];
        if let Ok(fitting) = api.head(Asked { method, target }, fields.into_iter()) {
            assert!(api.operations().any(|(_, _, name)| name == fitting.name()));
            for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
                let _ = api.body(fitting, kind.as_bytes(), body);
            }
        }
    }
}

/// The score is the sum of the signs.
fn bot(bytes: &[u8]) {
    use ringwall_waf::bot::{Bots, Sender};
    let fields = bytes.split(|byte| *byte == b'\n').map(|line| {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        (&line[..at], line.get(at + 1..).unwrap_or_default())
    });
    let mut bots = Bots::default();
    bots.believe("bot", "bot", "192.0.2.0/24").unwrap_or_else(|error| panic!("{error}"));
    let verdict = bots.judge(fields, Sender { address: [192, 0, 2, 1].into(), last_minute: Some(bytes.len() as u64) });
    assert_eq!(verdict.score, verdict.signs.iter().map(|sign| sign.points).sum::<u32>());
}

/// An answer from outside: what is read of it is of the family that was asked for, and cut anywhere it is none.
fn answers(bytes: &[u8]) {
    use ringwall_kernel::dns::{Wanted, answer};
    let id = bytes.first_chunk().copied().map(u16::from_be_bytes).unwrap_or_default();
    for (wanted, v4) in [(Wanted::V4, true), (Wanted::V6, false)] {
        let read = answer::read_answer(bytes, id, "api.example.com", wanted);
        assert!(read.iter().flatten().all(|(address, _)| address.is_ipv4() == v4));
        assert!(read.is_err() || bytes.len() <= answer::MOST_OF_ANSWER);
    }
}

/// A question that is read is said back as it came, and its name has no byte that could be taken for another.
fn names(bytes: &[u8]) {
    use ringwall_kernel::dns::{Said, read, render, render_bad};
    match read(bytes) {
        Ok(question) => {
            assert!(question.name.len() < 256 && !question.name.bytes().any(|byte| byte.is_ascii_uppercase()));
            let addresses = vec![std::net::Ipv4Addr::LOCALHOST.into(); 20];
            let answer = render(&question, &Said::Addresses(addresses), 30);
            assert!(answer.len() <= ringwall_kernel::dns::MOST && answer.starts_with(&bytes[..2]));
            assert!(read(&answer).is_err());
        }
        Err(bad) => assert!(render_bad(bad).is_none_or(|answer| answer.len() == 12)),
    }
}
