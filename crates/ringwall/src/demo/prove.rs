//! `demo --prove`: each refusal loses the rule that it named, and must then become a pass or name another rule.
//!
//! In: what a scenario saw. Out: what the same call meets on a platform without that rule; where no rule of the manifests
//! decides (framing, TLS), what the neighbour of the call meets: the same call without its fault; where the firewall comes
//! first, what the call meets without its rule set. Never: a rule switched off by another way than taking its text out.

use super::Tour;
use super::client::{Way, once};
use super::scenario::{Play, Report, Scenario, clear, ground, mesh, mutual, passed};
use super::stage::{Stage, request};
use crate::cli::{Everywhere, Format};
use crate::platform::NotUp;
use ringwall_control::source::Input;
use serde_json::json;

/// What became of one scenario.
#[derive(Debug, Default)]
pub struct Proof {
    /// Whether the refusal hangs on what it named; also for a call that is let through, where there is none.
    pub proved: bool,
    /// `proved`, `neighbour`, `let through` or `FAILED`.
    pub kind: &'static str,
    /// What was taken out, or what the neighbour lacks.
    pub without: String,
    /// What was seen then.
    pub then: Report,
}

impl Tour {
    /// Proves one scenario by what it saw on the platform as it is.
    pub(super) async fn proof(&self, scenario: &Scenario, before: &Report) -> Proof {
        if !before.held {
            return Proof {
                kind: "FAILED",
                without: "nothing: it did not hold".into(),
                then: before.clone(),
                ..Proof::default()
            };
        }
        if let Some(neighbour) = neighbour(scenario.name) {
            return self.accepted(scenario, neighbour).await;
        }
        let inputs = self.wanted(scenario.wants);
        let Some((inputs, without)) = self.edited(&inputs, before) else {
            // Nothing of the manifests refused it: then it was let through, or it needs a neighbour.
            let proved = before.layer.is_empty() || before.layer == "control";
            let kind = if proved { "let through" } else { "FAILED" };
            return Proof { proved, kind, then: before.clone(), ..Proof::default() };
        };
        let then = match self.fresh(scenario.wants, &inputs) {
            Ok(stage) => (scenario.run)(&stage).await,
            Err(NotUp(why)) => {
                let error = why.lines().find(|line| line.starts_with("error")).unwrap_or("it did not come up");
                Report { saw: format!("no platform: {error}"), ..Report::default() }
            }
        };
        let proved = then.through || (!then.rule.is_empty() && then.rule != before.rule);
        Proof { proved, kind: if proved { "proved" } else { "FAILED" }, without, then }
    }

    /// Sends the neighbour of a call that no rule of the manifests refuses.
    async fn accepted(&self, scenario: &Scenario, neighbour: Neighbour) -> Proof {
        let stage = match self.fresh(scenario.wants, &self.wanted(scenario.wants)) {
            Ok(stage) => stage,
            Err(NotUp(why)) => return Proof { kind: "FAILED", without: why, ..Proof::default() },
        };
        let (then, without) = match neighbour {
            Neighbour::Call(call) => {
                let (way, bytes, without) = call(&stage);
                let answer = once(&way, &bytes).await;
                (passed(&way, &bytes, &answer, 200), without)
            }
            Neighbour::Run(run, without) => (run(&stage).await, without),
        };
        let kind = if then.held { "neighbour" } else { "FAILED" };
        Proof { proved: then.held, kind, without: without.into(), then }
    }

    /// The manifests without what refused, and its name; `None` when nothing of the manifests did.
    fn edited(&self, inputs: &[Input], before: &Report) -> Option<(Vec<Input>, String)> {
        if let Some(id) = before.rule.strip_prefix("SecRule/").filter(|_| before.layer == "waf") {
            return Some((without_rule(inputs, id), format!("{} (excluded by the WafPolicies)", before.rule)));
        }
        if before.rule.starts_with("default deny") {
            let (namespace, app) = self.owner(before)?;
            return Some((without_allow(inputs, &namespace, &app), format!("the policies that allow calls to {app}")));
        }
        if before.layer == "packet" && before.rule.starts_with("NetworkPolicy/") {
            // What isolates a pod is the policy, not one of its rules: the whole of it goes.
            return Some((without_document(inputs, &before.place)?, before.rule.clone()));
        }
        if before.place.is_empty() {
            // A body that outgrows its limit on the way is refused by the plugin that counts it.
            let place = (before.status == 413).then(|| place_of(inputs, "- name: request-size-limiting")).flatten()?;
            return Some((
                without_element(inputs, &place)?,
                "KongPlugin/service:bff-service/request-size-limiting".into(),
            ));
        }
        Some((without_element(inputs, &before.place)?, before.rule.clone()))
    }

    /// Namespace and `app` label of the workload whose listener the call was sent to.
    fn owner(&self, report: &Report) -> Option<(String, String)> {
        let current = self.platform.world();
        let listener = current.bound.get(&report.listener.parse().ok()?)?;
        let workload = current.world.inventory.workload(listener.workload)?;
        let namespace = workload.full_name().split('/').next()?.to_owned();
        Some((namespace, workload.labels.get("app")?.to_string()))
    }
}

/// The call without its fault, and what it lacks.
enum Neighbour {
    /// Where to, and which bytes.
    Call(Call),
    /// Packets between workloads.
    Run(Play, &'static str),
}

type Call = fn(&Stage) -> (Way, Vec<u8>, &'static str);

/// The accepted neighbour of what is refused by something other than a rule of the manifests.
fn neighbour(name: &str) -> Option<Neighbour> {
    match ground::neighbour(name) {
        Some((run, without)) => Some(Neighbour::Run(run, without)),
        None => call(name).map(Neighbour::Call),
    }
}

fn call(name: &str) -> Option<Call> {
    let post: Call = |stage| {
        let fields = [("Content-Type", "application/json")];
        (stage.edge(), stage.good("POST", "/api/v1/orders", &fields, b"{}"), "its second reading")
    };
    Some(match name {
        "TLS 1.2" => |stage| (stage.edge(), orders(stage), "the old version: with TLS 1.3"),
        "unknown server name" => |stage| (stage.edge(), orders(stage), "the unknown name: with the served one"),
        "NUL in the path" => |stage| (stage.edge(), stage.good("GET", "/api/v1/orders.json", &[], b""), "the NUL"),
        "X-Internal-Secret as the 101st header" => |stage| {
            (stage.edge(), stage.good("GET", "/api/v1/orders", &[("X-Filler-0", "x")], b""), "the ninety others")
        },
        "plaintext into STRICT" => |stage| (agent(stage), agent_call(stage, &[]), "the plaintext: with mutual TLS"),
        "identity of another trust domain" => {
            |stage| (agent(stage), agent_call(stage, &[]), "the foreign authority: with the mesh's own")
        }
        "security header sent twice" => {
            |stage| (agent(stage), agent_call(stage, &[("X-Tenant-Id", "acme")]), "the second header")
        }
        "egress to a host that nothing declares" => |stage| {
            let bearer = format!("Bearer {}", stage.token());
            let host = "llm-agent-service.application.svc.cluster.local:8080";
            let bytes = request("GET", "/api/v1/agents/summary", host, &[("Authorization", &bearer)], b"");
            (clear(stage.platform.outbound("application/bff-service")), bytes, "the unknown host: to a declared one")
        },
        "blocked address, and its open connection" => |stage| {
            let mut way = stage.edge();
            way.from = Some([127, 0, 0, 67].into());
            (way, orders(stage), "the block: from another address")
        },
        "upstream down" => |stage| (stage.edge(), orders(stage), "the outage"),
        "bad configuration while traffic flows" => |stage| (stage.edge(), orders(stage), "the bad manifest"),
        "zip bomb" | "adversarial value of 10 MiB" => |stage| {
            let fields = [("Content-Type", "application/x-www-form-urlencoded")];
            (stage.edge(), stage.good("POST", "/api/v1/orders", &fields, b"q=1"), "most of its length")
        },
        "SQL injection behind what JSON readers disagree about" => |stage| {
            let fields = [("Content-Type", "application/json")];
            let body = br#"{"rate":1,"id":"17"}"#;
            (stage.edge(), stage.good("POST", "/api/v1/orders", &fields, body), "the number that is none")
        },
        it if it.starts_with("smuggling") => post,
        _ => return None,
    })
}

fn orders(stage: &Stage) -> Vec<u8> {
    stage.good("GET", "/api/v1/orders", &[], b"")
}

fn agent(stage: &Stage) -> Way {
    mutual(stage, stage.platform.inbound(mesh::AGENT, 8080), "application", "bff-service")
}

fn agent_call(stage: &Stage, fields: &[(&str, &str)]) -> Vec<u8> {
    mesh::agent_call(stage, "/api/v1/completions/chat", fields)
}

/// File, line and column of a place.
fn parts(place: &str) -> Option<(&str, usize, usize)> {
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?, line, column))
}

/// The manifests without the document at a place.
fn without_document(inputs: &[Input], place: &str) -> Option<Vec<Input>> {
    let (file, line, _) = parts(place)?;
    let mut inputs = inputs.to_vec();
    let input = inputs.iter_mut().find(|input| input.name == file)?;
    let text = String::from_utf8_lossy(&input.bytes).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let (first, end) = document(&lines, line.checked_sub(1)?);
    let kept = lines.iter().take(first).chain(lines.iter().skip(end));
    input.bytes = format!("{}\n", kept.copied().collect::<Vec<_>>().join("\n")).into_bytes();
    Some(inputs)
}

/// The manifests without the list element at `file:line:column`: its line, and all that is indented as deep as it.
fn without_element(inputs: &[Input], place: &str) -> Option<Vec<Input>> {
    let (file, line, column) = parts(place)?;
    let mut inputs = inputs.to_vec();
    let input = inputs.iter_mut().find(|input| input.name == file)?;
    let text = String::from_utf8_lossy(&input.bytes).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let first = line.checked_sub(1)?;
    let deep = |line: &&&str| line.len() - line.trim_start().len() >= column.saturating_sub(1);
    let end = line + lines.iter().skip(line).take_while(deep).count();
    let sibling = lines.get(end).is_some_and(|next| next.trim_start().starts_with("- "));
    let alone =
        first.checked_sub(1).and_then(|before| lines.get(before)).is_some_and(|it| it.trim_end().ends_with(':'));
    // A list is not left empty: that would say something else. Its resource goes with its last element.
    let (first, end) = if alone && !sibling { document(&lines, first) } else { (first, end) };
    let kept = lines.iter().take(first).chain(lines.iter().skip(end));
    input.bytes = format!("{}\n", kept.copied().collect::<Vec<_>>().join("\n")).into_bytes();
    Some(inputs)
}

/// The lines of the document around a line, first included, last excluded.
fn document(lines: &[&str], line: usize) -> (usize, usize) {
    let mark = |one: &&str| *one == "---";
    let first = lines.iter().take(line).rposition(mark).map_or(0, |at| at + 1);
    let end = lines.iter().skip(line).position(mark).map_or(lines.len(), |at| line + at);
    (first, end)
}

/// The manifests with a rule of the firewall excluded by every WafPolicy; by one of its own where there is none.
fn without_rule(inputs: &[Input], id: &str) -> Vec<Input> {
    let entry = format!("  - rules: [\"{id}\"]\n");
    let mut inputs = inputs.to_vec();
    let mut found = false;
    for input in &mut inputs {
        let text = String::from_utf8_lossy(&input.bytes).into_owned();
        let excluded = text.split("\n---\n").map(|document| {
            if !document.contains("kind: WafPolicy\n") {
                return document.to_owned();
            }
            found = true;
            match document.contains("\n  exclusions:\n") {
                true => document.replacen("\n  exclusions:\n", &format!("\n  exclusions:\n{entry}"), 1),
                false => document.replacen("\nspec:\n", &format!("\nspec:\n  exclusions:\n{entry}"), 1),
            }
        });
        input.bytes = excluded.collect::<Vec<_>>().join("\n---\n").into_bytes();
    }
    if !found {
        let text = format!(
            "apiVersion: ringwall.dev/v1\nkind: WafPolicy\nmetadata:\n  name: prove\n  namespace: istio-system\nspec:\n  exclusions:\n{entry}"
        );
        inputs.push(Input { name: "prove.yaml".into(), bytes: text.into_bytes() });
    }
    inputs
}

/// Where the first line that begins so stands, as [`without_element`] wants it.
fn place_of(inputs: &[Input], start: &str) -> Option<String> {
    inputs.iter().find_map(|input| {
        let text = String::from_utf8_lossy(&input.bytes).into_owned();
        let (number, line) = text.lines().enumerate().find(|(_, line)| line.trim_start().starts_with(start))?;
        Some(format!("{}:{}:{}", input.name, number + 1, line.len() - line.trim_start().len() + 3))
    })
}

/// The manifests without every policy that allows calls to an application: with none of them, nothing denies by default.
fn without_allow(inputs: &[Input], namespace: &str, app: &str) -> Vec<Input> {
    let (namespace, app) = (format!("namespace: {namespace}\n"), format!("app: {app}\n"));
    let allows = |document: &&str| {
        document.contains("kind: AuthorizationPolicy\n")
            && document.contains(&namespace)
            && !document.contains("action: DENY\n")
            && (!document.contains("selector:") || document.contains(&app))
    };
    let mut inputs = inputs.to_vec();
    for input in &mut inputs {
        let text = String::from_utf8_lossy(&input.bytes).into_owned();
        let kept: Vec<&str> = text.split("\n---\n").filter(|document| !allows(&&*format!("{document}\n"))).collect();
        input.bytes = format!("{}\n", kept.join("\n---\n")).into_bytes();
    }
    inputs
}

/// One line for a scenario.
pub fn print(scenario: &Scenario, proof: &Proof, common: &Everywhere) {
    let then = &proof.then;
    if common.format != Format::Human {
        println!(
            "{}",
            json!({ "scenario": scenario.name, "proved": proof.proved, "kind": proof.kind, "without": proof.without,
                "then": { "saw": then.saw, "status": then.status, "through": then.through, "layer": then.layer,
                    "rule": then.rule, "place": then.place, "request": then.request, "listener": then.listener } })
        );
        return;
    }
    let rule = if then.rule.is_empty() { String::new() } else { format!(" by {} {}", then.layer, then.rule) };
    let without = if proof.without.is_empty() { String::new() } else { format!(" · without {}", proof.without) };
    println!("{:<11} {}{without}: {}{rule}", proof.kind, scenario.name, then.saw);
}
