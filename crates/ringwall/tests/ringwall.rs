//! The built binary from outside: the tour, the proofs, findings in every format, a running wall with its commands, its
//! end, and the search for canaries in all that it writes.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

#[path = "ringwall/collector.rs"]
mod collector;
#[path = "ringwall/mirror.rs"]
mod mirror;
#[path = "ringwall/standing.rs"]
mod standing;
#[path = "ringwall/tutorial.rs"]
mod tutorial;

const HOST: &str = "api.platform.local";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn ringwall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringwall"));
    // The rules of our own, so that no test depends on what this machine or its network holds.
    command.current_dir(root()).args(arguments).stdin(Stdio::null()).env("RINGWALL_CRS", "none");
    command
}

fn run(arguments: &[&str]) -> Output {
    ringwall(arguments).output().unwrap()
}

#[track_caller]
fn exits(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    out.into_owned()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_tour_holds() {
    let all = lines(&exits(&["demo", "--once", "--format", "json"], 0));
    assert!(all.len() >= 28, "{} scenarios", all.len());
    let failed: Vec<_> = all.iter().filter(|one| one["held"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The same under the Core Rule Set of the corpus, and its rules as a person asks for them.
#[test]
fn the_tour_holds_under_the_core_rule_set() {
    let corpus = std::env::var_os("RINGWALL_CORPUS").map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    let folder = corpus.join("crs").display().to_string();
    if !Path::new(&folder).join("rules").is_dir() {
        assert!(std::env::var("RINGWALL_REQUIRE").as_deref() != Ok("parts"), "no Core Rule Set in {folder}");
        println!("not run: the tour under the Core Rule Set: no corpus");
        return;
    }
    let all = lines(&exits(&["demo", "--once", "--format", "json", "--crs", &folder], 0));
    let failed: Vec<_> = all.iter().filter(|one| one["held"] != true).collect();
    assert!(all.len() >= 28 && failed.is_empty(), "{failed:#?}");
    let listed = exits(&["crs", "list", "--crs", &folder, "--paranoia", "1", "--format", "json"], 0);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert!(listed.as_array().is_some_and(|rules| rules.len() > 150 && rules.iter().all(|rule| rule["paranoia"] == 1)));
    let shown = exits(&["crs", "show", "942100", "--crs", &folder], 0);
    assert!(shown.contains("SQL injection by tokens") && shown.contains("REQUEST-942-APPLICATION-ATTACK-SQLI.conf:"));
    exits(&["crs", "show", "1", "--crs", &folder], 3);
}

#[test]
fn every_refusal_hangs_on_the_rule_it_names() {
    let all = lines(&exits(&["demo", "--prove", "--format", "json"], 0));
    let count = |kind: &str| all.iter().filter(|one| one["kind"] == kind).count();
    assert!(count("proved") >= 18, "{} proved", count("proved"));
    assert!(count("neighbour") >= 12, "{} neighbours", count("neighbour"));
    assert_eq!(count("FAILED"), 0);
}

#[test]
fn check_finds_what_the_flawed_set_does_not_mean() {
    let json: Value = serde_json::from_str(&checked("json")).unwrap();
    assert!(!json.is_null());
    let sarif: Value = serde_json::from_str(&checked("sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert!(sarif["runs"][0]["results"].as_array().unwrap().len() > 50);
    assert!(sarif["runs"][0]["tool"]["driver"]["rules"][0]["help"]["markdown"].as_str().unwrap().starts_with("# RW"));
    let human = checked("human");
    let code =
        human.trim_end().rsplit_once("`ringwall explain ").and_then(|(_, rest)| rest.strip_suffix("` says more"));
    let page = exits(&["explain", code.unwrap()], 0);
    assert!(page.starts_with(&format!("# {} · ", code.unwrap())) && page.contains("```yaml good"), "{page}");
    exits(&["explain", "RW9999"], 2);
    let junit = checked("junit");
    assert!(junit.starts_with("<?xml") && junit.trim_end().ends_with("</testsuite>"), "{junit}");
}

fn checked(format: &str) -> String {
    let output = run(&["check", "examples/as-written", "--format", format]);
    assert!(matches!(output.status.code(), Some(0 | 1)));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_right_platform_has_no_error() {
    assert!(exits(&["check", "examples/ai-platform"], 0).contains("0 errors"));
}

#[test]
fn exit_codes_say_what_went_wrong() {
    exits(&["no-such-command"], 2);
    exits(&["demo", "--no-such-option"], 2);
    exits(&["check", "no-such-folder"], 3);
    let state = tempfile::tempdir().unwrap();
    exits(&["status", "--state-dir", state.path().to_str().unwrap()], 4);
}

#[test]
fn flawed_sets_come_up_with_stand_ins_twice() {
    let seed = root().join("../shared/seed/manifests");
    let state = tempfile::tempdir().unwrap();
    let state = state.path().join("state");
    let state = state.to_str().unwrap();
    for folder in ["examples/as-written", seed.to_str().unwrap()] {
        if !root().join(folder).exists() {
            println!("not run: {folder}: absent");
            continue;
        }
        for _ in 0..2 {
            exits(&["up", "--once", "--stand-in", folder, "--state-dir", state], 0);
        }
    }
}

#[test]
fn manifests_come_from_standard_input() {
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("state");
    let mut text = String::new();
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("examples/ai-platform")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| !file.ends_with("30-kong-services.yaml")) {
        text.push_str("---\n");
        text.push_str(&std::fs::read_to_string(file).unwrap());
    }
    let mut child = ringwall(&["up", "--once", "--stand-in", "-", "--state-dir", state.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A running wall; it is killed when a test ends early.
struct Wall {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    said: String,
    state: tempfile::TempDir,
    err: PathBuf,
}

impl Wall {
    fn start() -> Self {
        Self::of("examples/ai-platform")
    }

    /// Of the manifests of another folder.
    fn of(manifests: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let err = state.path().with_extension("err");
        let folder = state.path().join("state");
        let options = ["up", manifests, "--stand-in", "--set", "access_log=file", "--state-dir"];
        let mut child = ringwall(&[&options[..], &[folder.to_str().unwrap()]].concat())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let mut wall =
            Self { out: BufReader::new(child.stdout.take().unwrap()), child, said: String::new(), state, err };
        while !wall.said.contains("Ctrl-C ends it.") {
            let read = wall.out.read_line(&mut wall.said).unwrap();
            assert!(read > 0, "it ended: {}\n{}", wall.said, std::fs::read_to_string(&wall.err).unwrap());
        }
        wall
    }

    fn folder(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// Runs a command against this wall.
    #[track_caller]
    fn told(&self, arguments: &[&str]) -> Value {
        let folder = self.folder();
        let all = [arguments, &["--format", "json", "--state-dir", folder.to_str().unwrap()]].concat();
        serde_json::from_str(&exits(&all, 0)).unwrap()
    }

    /// `address:port` of the edge, from the ready line.
    fn edge(&self) -> String {
        let from = self.said.split("--resolve ").nth(1).unwrap();
        let mut parts = from.split(' ').next().unwrap().splitn(3, ':');
        let (port, address) = (parts.nth(1).unwrap(), parts.next().unwrap());
        format!("{address}:{port}")
    }

    fn client(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(self.folder().join("edge-root.pem")).unwrap();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    fn connect(&self) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let name = ServerName::try_from(HOST).unwrap();
        let socket = TcpStream::connect(self.edge()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        rustls::StreamOwned::new(rustls::ClientConnection::new(Arc::new(self.client()), name).unwrap(), socket)
    }

    /// Opens a WebSocket with a token of these options.
    fn socket(&self, options: &[&str]) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let token = self.told(&[&["token"], options].concat())["token"].as_str().unwrap().to_owned();
        let mut stream = self.connect();
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let head = format!("GET /api/v1/socket HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n");
        stream.write_all(format!("{head}{upgrade}{key}\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert_eq!(status(&String::from_utf8_lossy(&answer)), "101");
        stream
    }

    /// Sends one call and returns all of the answer.
    fn call(&self, target: &str, fields: &str) -> String {
        let mut stream = self.connect();
        let head = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{fields}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // The end of a connection without close_notify is an end as well.
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Ends it by SIGTERM; returns all that it said on standard output.
    fn end(&mut self) -> String {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        format!("{}{rest}", self.said)
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.err));
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let line = answer.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim()).unwrap_or_default()
}

#[test]
fn a_running_wall_takes_commands_and_ends_clean() {
    let mut wall = Wall::start();
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(status(&wall.call("/api/v1/orders", &bearer)), "200");
    let refused = wall.call("/api/v1/orders", "");
    assert_eq!(status(&refused), "401");
    let explained = wall.told(&["explain", field(&refused, "x-request-id")]);
    assert_eq!(explained["record"]["rule"], "KongPlugin/service:bff-service/oidc");
    assert!(wall.told(&["status"])["generation"].as_u64().unwrap() >= 1);
    assert_eq!(wall.told(&["history"]).as_array().unwrap().len(), 1);
    wall.told(&["block", "user:alice", "--for", "1h", "--reason", "test"]);
    assert_eq!(wall.told(&["blocks"])[0]["subject"], "user:alice");
    assert_ne!(status(&wall.call("/api/v1/orders", &bearer)), "200");
    assert_eq!(wall.told(&["unblock", "user:alice"])["lifted"], 1);
    assert_eq!(status(&wall.call("/api/v1/orders", &bearer)), "200");
    let first = wall.told(&["history"])[0]["generation"].to_string();
    let second = wall.told(&["rollback", &first])["generation"].as_u64().unwrap();
    assert!(second > first.parse().unwrap());
    assert_eq!(status(&wall.call("/api/v1/orders", &bearer)), "200");
    let edge = wall.edge();
    wall.end();
    assert!(TcpStream::connect(&edge).is_err(), "{edge} still listens");
    let folder = wall.folder();
    exits(&["status", "--state-dir", folder.to_str().unwrap()], 4);
}

#[test]
fn a_block_of_a_user_ends_what_goes_on_of_that_user_alone() {
    let wall = Wall::start();
    let (mut alice, mut bob) = (wall.socket(&["--sub", "alice"]), wall.socket(&["--sub", "bob"]));
    let blocked = wall.told(&["block", "user:alice", "--for", "1h", "--reason", "test"]);
    // The hops behind the edge end with it, or are judged themselves.
    assert!(blocked["cut"].as_u64().unwrap() >= 1, "{blocked}");
    assert_eq!(alice.read(&mut [0; 16]).unwrap_or(0), 0, "the stream goes on");
    bob.write_all(b"\x81\x02hi").unwrap();
    let mut echoed = [0; 4];
    bob.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"\x81\x02hi");
}

/// `check … | head`: nobody reads the rest.
#[test]
fn output_that_nobody_reads_ends_quietly() {
    let mut child =
        ringwall(&["check", "examples/as-written"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn credentials_are_in_no_file_and_no_output() {
    let mut wall = Wall::start();
    let canary = |name: &str| format!("canary{name}{:08x}{}", std::process::id(), wall.child.id());
    let path = canary("path");
    let secrets: Vec<String> =
        ["auth", "cookie", "apikey", "query", "basic", "refused"].iter().map(|name| canary(name)).collect();
    let [auth, cookie, apikey, query, basic, refused] = secrets.as_slice() else { unreachable!() };
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    let (good, signature) = (token.clone(), token.rsplit('.').next().unwrap().to_owned());
    let tail = format!("Cookie: session={cookie}\r\napikey: {apikey}\r\n");
    let target = format!("/api/v1/{path}?access_token={query}&page=2");
    for authorization in [format!("Bearer {auth}"), format!("Basic {basic}"), format!("Bearer {good}")] {
        wall.call(&target, &format!("Authorization: {authorization}\r\n{tail}"));
    }
    // A head that is refused before anything has judged it, and a path that a policy refuses.
    wall.call(&target, &format!("Authorization: Bearer {refused}\r\nContent-Length: 1\r\nContent-Length: 2\r\n{tail}"));
    wall.call(
        &format!("/api/v1/admin/{path}?access_token={query}"),
        &format!("Authorization: Bearer {good}\r\n{tail}"),
    );
    let out = wall.end();
    let mut all = vec![("stdout".to_owned(), out.into_bytes())];
    all.push(("stderr".into(), std::fs::read(&wall.err).unwrap()));
    read_all(&wall.folder(), &mut all);
    let holds = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(all.iter().any(|(_, bytes)| holds(bytes, &path)), "the path is in no log: the search finds nothing");
    for secret in secrets.iter().chain([&signature]) {
        let found: Vec<_> = all.iter().filter(|(_, bytes)| holds(bytes, secret)).map(|(name, _)| name).collect();
        assert!(found.is_empty(), "{secret} is in {found:?}");
    }
}

fn read_all(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, all);
        } else if path.is_file() {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn the_scenarios_hold_and_hang_on_the_fields_of_their_manifests() {
    let told = exits(&["test", "tests/scenarios"], 0);
    assert!(told.contains(" passed, 0 failed"), "{told}");
    let fields = exits(&["--format", "json", "test", "--fields", "tests/scenarios/mesh-authorization.md"], 0);
    let field = |path: &str| {
        let lines = fields.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut of = lines.filter(|line| line["kind"] == "security.istio.io/AuthorizationPolicy");
        of.find(|line| line["path"] == path).map(|line| line["scenario"].clone())
    };
    let principals = field("/spec/rules/*/from/*/source/principals/*");
    assert_eq!(principals, Some("Who may call the agent, and what".into()), "{fields}");
}
