//! `ringwall demo`: three acts. What a flawed set of manifests does not mean; the right platform, up; attacks through it.
//!
//! In: nothing but this binary. Out: a screen that tells what held. Everything that it starts ends with it.

pub mod app;
pub mod client;
pub mod manifests;
mod prove;
pub mod provider;
mod scenario;
mod stage;
mod stores;
#[cfg(test)]
mod tests;

use crate::cli::{Demo, Everywhere, Format};
use crate::crs;
use crate::exit::Exit;
use crate::platform::rules::Rules;
use crate::platform::{NotUp, Options, Platform};
use ringwall_control::settings::Settings;
use ringwall_control::source::{Input, Source};
use ringwall_dataplane::page::ProxyHeader;
use ringwall_kernel::namespace::Standing;
use ringwall_manifest::world::StandIn;
use ringwall_model::{Millis, Severity};
use scenario::{Report, Scenario, Wants};
use serde_json::json;
use stage::Stage;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stores::Stores;

/// How long one key set is not fetched again in the tour; a real run waits longer.
pub const COOLDOWN: Duration = Duration::from_millis(100);

/// Runs the tour.
pub fn run(demo: &Demo, common: &Everywhere, settings: &Settings) -> Exit {
    let settings = match settings.clone().with("facts_cooldown", &format!("{}ms", COOLDOWN.as_millis())) {
        Ok(settings) => &settings.clone(),
        Err(error) => return Exit::usage(error),
    };
    // ORDER: before the first thread.
    let isolate = match demo.isolate.then(ringwall_kernel::namespace::enter).transpose() {
        Ok(standing) => standing,
        Err(error) => return Exit::input(error),
    };
    let inputs = match &demo.platform {
        Some(path) => match Source::Path(path.clone()).read() {
            Ok(inputs) => inputs,
            Err(error) => return Exit::input(error),
        },
        None => manifests::ai_platform(),
    };
    let human = common.format == Format::Human;
    let rules = match crs::rules(settings, &crate::config::state_dir(common, settings), crs::Absent::Download) {
        Ok(rules) => rules,
        Err(exit) => return exit,
    };
    let started = Instant::now();
    // What runs outside the homes could not be reached from inside.
    let stores = if isolate.is_some() { Stores::default() } else { Stores::start() };
    let inputs = stores.declare(inputs);
    if human {
        first_act();
    }
    let platform = match start(&inputs, settings, &rules, ProxyHeader::Absent, isolate) {
        Ok(platform) => platform,
        Err(NotUp(why)) => {
            eprint!("{why}");
            return Exit::input("the platform did not come up");
        }
    };
    if human {
        second_act(&platform, &stores);
        let act = if demo.prove {
            "each named rule taken out of the manifests, and the call sent again"
        } else {
            "attacks, and calls that must pass"
        };
        println!("\nAct 3  {act}");
    }
    let tour = Tour {
        inputs,
        settings: settings.clone(),
        rules,
        platform: platform.clone(),
        prove: demo.prove,
        stores,
        isolate,
    };
    let (held, failed) = tour.run(demo, common);
    if human {
        let held_as = if demo.prove { "proved or let through" } else { "held" };
        println!("\n{held} {held_as}, {failed} failed, in {:.1} s", started.elapsed().as_secs_f64());
        println!("next   ringwall check examples/as-written");
        println!("       ringwall up examples/ai-platform --stand-in");
        println!("       ringwall demo --prove");
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if human && terminal && !demo.once && !demo.prove {
        println!("The platform keeps serving; Ctrl-C ends it.");
        crate::up::serve(&platform, Millis(settings.number("drain_timeout")), || ());
    }
    if failed == 0 && held > 0 { Exit::HELD } else { Exit::FAILED }
}

/// What `check` says of the set as it was written.
fn first_act() {
    let inputs = manifests::as_written();
    let (_, findings) = crate::platform::lower(&inputs, &crate::platform::options(StandIn::Workloads));
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    println!("Act 1  check examples/as-written: {} files", inputs.len());
    println!(
        "       {} errors, {} warnings, {} notes; the first three:",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note)
    );
    let worst = findings.iter().filter(|finding| finding.severity != Severity::Note);
    for finding in worst.take(3) {
        let title: String = finding.title.chars().take(100).collect();
        println!("       {} {title}", finding.code);
    }
}

fn second_act(platform: &Arc<Platform>, stores: &Stores) {
    println!("\nAct 2  examples/ai-platform, up: Internet → TLS 1.3 edge → shield → API gateway ══ mTLS ══▶ services");
    let current = platform.world();
    let roles = |role| current.bound.values().filter(|listener| listener.role == role).count();
    use ringwall_model::Role;
    println!(
        "       listeners  edge {} on {}, gateway {}, inbound {}, outbound {}, egress {}",
        roles(Role::Edge),
        platform.edge(443),
        roles(Role::Gateway),
        roles(Role::Inbound),
        roles(Role::Outbound),
        roles(Role::Egress)
    );
    for line in platform.certificate_lines().lines() {
        println!("       {line}");
    }
    println!("       data zone  {}", stores.line());
    println!("       in force   packet, tls, head, shield, route, waf, gateway, mesh");
    if let Some(firewall) = &current.world.firewall {
        println!("       waf        {}", firewall.title);
    }
    match platform.isolation() {
        Some(isolation) => println!("       {}", isolation.filter.status().trim_end()),
        None => crate::platform::commands::NOT_IN_FORCE
            .iter()
            .for_each(|(layer, why)| println!("       not        {layer}: {why}")),
    }
    for line in platform.ready_lines() {
        println!("       good       {line}");
        let attack = line.split(" -H ").next().unwrap_or_default();
        let url = line.split(' ').next_back().unwrap_or_default().replace("/orders", "/orders/..%2fadmin");
        println!("       attack     {attack} --path-as-is {url}");
    }
}

/// Starts a platform in memory.
fn start(
    inputs: &[Input],
    settings: &Settings,
    rules: &Rules,
    proxy_header: ProxyHeader,
    isolate: Option<Standing>,
) -> Result<Arc<Platform>, NotUp> {
    let options = Options {
        stand_in: StandIn::Workloads,
        settings: settings.clone(),
        rules: rules.clone(),
        state: None,
        proxy_header,
        author: "demo".into(),
        revision: None,
        isolate,
    };
    Platform::start(inputs.to_vec(), options)
}

struct Tour {
    inputs: Vec<Input>,
    settings: Settings,
    rules: Rules,
    platform: Arc<Platform>,
    prove: bool,
    stores: Stores,
    isolate: Option<Standing>,
}

impl Tour {
    /// Runs all scenarios, printing each; returns how many held and failed.
    fn run(&self, demo: &Demo, common: &Everywhere) -> (usize, usize) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return (0, 1) };
        let (mut held, mut failed) = (0, 0);
        let all = if self.isolate.is_some() { scenario::ground::LIST.to_vec() } else { scenario::all() };
        for scenario in all {
            if demo.only.as_ref().is_some_and(|word| !scenario.name.contains(word.as_str())) {
                continue;
            }
            let local = tokio::task::LocalSet::new();
            let report = local.block_on(&runtime, self.play(&scenario));
            if self.prove {
                let proof = local.block_on(&runtime, self.proof(&scenario, &report));
                if proof.proved {
                    held += 1
                } else {
                    failed += 1
                }
                prove::print(&scenario, &proof, common);
                continue;
            }
            if report.held {
                held += 1
            } else {
                failed += 1
            }
            print(&scenario, &report, common);
        }
        (held, failed)
    }

    async fn play(&self, scenario: &Scenario) -> Report {
        let stage = match self.stage(scenario.wants) {
            Ok(stage) => stage,
            Err(NotUp(why)) => return Report { saw: format!("no platform: {why}"), ..Report::default() },
        };
        (scenario.run)(&stage).await
    }

    /// The platform that a scenario wants.
    fn stage(&self, wants: Wants) -> Result<Stage, NotUp> {
        if wants == Wants::Shared {
            return Ok(self.on(self.platform.clone()));
        }
        self.fresh(wants, &self.wanted(wants))
    }

    /// A new platform of these manifests, as the scenario wants it.
    fn fresh(&self, wants: Wants, inputs: &[Input]) -> Result<Stage, NotUp> {
        let header = if wants == Wants::Balancer { ProxyHeader::Required } else { ProxyHeader::Absent };
        Ok(self.on(start(inputs, &self.settings, &self.rules, header, self.isolate)?))
    }

    fn on(&self, platform: Arc<Platform>) -> Stage {
        let real = ["postgresql", "redis"].into_iter().filter(|app| self.stores.runs(app)).collect();
        Stage { platform, real }
    }

    /// The manifests that a scenario wants.
    fn wanted(&self, wants: Wants) -> Vec<Input> {
        match wants {
            Wants::Shared | Wants::Fresh | Wants::Balancer => self.inputs.clone(),
            Wants::Proxies(count) => {
                let change = ("numTrustedProxies: 0".to_owned(), format!("numTrustedProxies: {count}"));
                replaced(&self.inputs, &[change])
            }
            Wants::Clear => {
                let off = |mode: &str| (format!("mode: {mode}"), "mode: DISABLE".to_owned());
                let mut inputs = replaced(&self.inputs, &[off("STRICT")]);
                // Also where a DestinationRule of the mesh's own services asks for it; a Gateway's servers keep theirs.
                for input in inputs.iter_mut().filter(|input| input.name.ends_with("50-traffic.yaml")) {
                    *input = replaced(std::slice::from_ref(input), &[off("ISTIO_MUTUAL")]).remove(0);
                }
                inputs
            }
            Wants::Limit(name, limit) => limited(&self.inputs, name, limit),
        }
    }
}

/// The manifests with texts replaced.
fn replaced(inputs: &[Input], changes: &[(String, String)]) -> Vec<Input> {
    let mut inputs = inputs.to_vec();
    for input in &mut inputs {
        let mut text = String::from_utf8_lossy(&input.bytes).into_owned();
        for (from, to) in changes {
            text = text.replace(from, to);
        }
        input.bytes = text.into_bytes();
    }
    inputs
}

/// The manifests with one limit of the ShieldPolicy made small, and counted by the day: a scenario never runs into the
/// edge of a window but at midnight, and then it is counted by the month.
fn limited(inputs: &[Input], name: &str, limit: u32) -> Vec<Input> {
    let mut inputs = inputs.to_vec();
    let seconds_of_day = ringwall_control::facts::now().seconds() % 86_400;
    let window = if seconds_of_day > 86_280 { "month" } else { "day" };
    for input in &mut inputs {
        let text = String::from_utf8_lossy(&input.bytes).into_owned();
        let Some(at) = text.find(&format!("- scope: {name}\n")) else { continue };
        let (before, rest) = text.split_at(at);
        let lines: Vec<String> = rest
            .lines()
            .enumerate()
            .map(|(number, line)| match line.trim_start() {
                it if it.starts_with("requests:") && number < 3 => format!("    requests: {limit}"),
                it if it.starts_with("per:") && number < 3 => format!("    per: {window}"),
                _ => line.to_owned(),
            })
            .collect();
        input.bytes = format!("{before}{}\n", lines.join("\n")).into_bytes();
    }
    inputs
}

fn print(scenario: &Scenario, report: &Report, common: &Everywhere) {
    if common.format != Format::Human {
        println!(
            "{}",
            json!({ "scenario": scenario.name, "held": report.held, "saw": report.saw, "status": report.status,
                "layer": report.layer, "rule": report.rule, "place": report.place, "id": report.id,
                "listener": report.listener, "request": report.request, "wanted": report.wanted })
        );
        return;
    }
    let mark = if report.held { "held  " } else { "FAILED" };
    let rule = if report.rule.is_empty() { String::new() } else { format!(" · {} {}", report.layer, report.rule) };
    let id = report.id.get(..8).map(|id| format!(" · explain {id}")).unwrap_or_default();
    println!("{mark} {} · {}{rule}{id}", scenario.name, report.saw);
    if !report.held {
        println!("       wanted: {}", report.wanted);
    }
}
