//! One request under one rule set: `inspect --crs DIR [--paranoia N] [--threshold N] [--preset NAME] [--all] REQUEST.http…`.
//! Prints each rule that matched, what it looked at, the value after its transformations, what it added to the score, and
//! the verdict; exit 1 when a request is refused. `--all` prints rules too that neither log nor score.

#[path = "../tests/harness.rs"]
mod harness;

use harness::{corpus, serve};
use ringwall_waf::{Preset, Profile, RuleMatch, Settings, Waf};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

const USAGE: &str = "usage: inspect --crs DIR [--paranoia N] [--threshold N] [--preset NAME] [--all] REQUEST.http…";

#[derive(Default)]
struct Options {
    crs: String,
    settings: Settings,
    own: String,
    all: bool,
    requests: Vec<String>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let own = format!("SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n{}", options.own);
    let (bundle, roots) = corpus::crs(Path::new(&options.crs), &own);
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let waf = match Waf::load(&bundle, &roots) {
        Ok(waf) => waf,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    println!("{} ({} rules)", waf.signatures().join(", "), waf.counts().rules);
    let profile = waf.profile(options.settings.clone()).expect("no exclusions");
    let refused = options.requests.iter().filter(|path| inspect(&waf, &profile, path, options.all)).count();
    if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        let number = |text: String| text.parse::<u8>().map_err(|_| format!("`{text}` is no small number"));
        match word.as_str() {
            "--crs" => options.crs = value()?,
            "--paranoia" => options.settings = options.settings.clone().paranoia(number(value()?)?),
            "--threshold" => options.settings = options.settings.clone().inbound_threshold(number(value()?)?.into()),
            "--preset" => {
                let name = value()?;
                let preset = Preset::named(&name).ok_or_else(|| format!("there is no preset `{name}`"))?;
                options.own.push_str(preset.text());
            }
            "--all" => options.all = true,
            _ => options.requests.push(word),
        }
    }
    if options.crs.is_empty() || options.requests.is_empty() {
        return Err("a rule set and a request are needed".into());
    }
    Ok(options)
}

/// Prints what became of a request; whether it was refused.
fn inspect(waf: &Arc<Waf>, profile: &Arc<Profile>, path: &str, all: bool) -> bool {
    let Some(raw) = corpus::bytes(Path::new(path)) else {
        eprintln!("{path}: cannot be read");
        return true;
    };
    let outcome = serve::serve(waf, profile, &raw);
    let report = &outcome.report;
    println!("\n{path}: {}", outcome.status.map_or_else(|| "closed".into(), |status| status.to_string()));
    for matched in report.matched.iter().filter(|matched| all || matched.logged || matched.score != 0) {
        print(matched);
    }
    println!("  inbound score {}, outbound score {}", report.inbound, report.outbound);
    match &report.interruption {
        Some(by) => println!("  refused by {} in phase {}: {}", by.rule, by.phase, by.message),
        None => println!("  passed"),
    }
    report.interruption.is_some()
}

fn print(matched: &RuleMatch) {
    let severity = matched.severity.map_or(String::new(), |level| format!(" severity {level}"));
    println!("  {} phase {} score {:+}{severity} {}", matched.id, matched.phase, matched.score, matched.message);
    println!("      {} = {:?}", matched.variable, matched.value);
    if !matched.data.is_empty() {
        println!("      {}", matched.data.replace(|c: char| c.is_control(), " "));
    }
    println!("      {}:{}", matched.file, matched.line);
}
