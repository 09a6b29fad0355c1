//! `ringwall crs`, and which rule set `up`, `demo` and `explain` use: the order of `docs/operate/crs.md`.
//!
//! In: settings, places on this machine. Out: compiled rules; lists, rules and proposals for people. Never: an
//! installation; a failure for want of a network: then rules of our own are in force, and the first screen says so.

mod list;
mod pinned;

use crate::cli::{Crs, Everywhere, FetchRules, Format};
use crate::config;
use crate::exit::Exit;
use crate::platform::rules::{self, Rules};
use ringwall_control::crs::{self, Found, Origin, Places};
use ringwall_control::settings::Settings;
use ringwall_model::Millis;
use ringwall_waf::{Preset, Waf};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What becomes of a machine without a rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Its apt is asked for Debian's package.
    Download,
    /// Rules of our own are in force.
    Accept,
}

/// How long a start waits for a package.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a person who asked for one waits.
const ASKED: Duration = Duration::from_secs(300);

/// The rules in force.
///
/// # Errors
/// An [`Exit`]: a rule set that was named or found cannot be loaded.
pub fn rules(settings: &Settings, state: &Path, absent: Absent) -> Result<Rules, Exit> {
    let folder = folder(settings, state, absent);
    rules::load(&folder).map_err(|why| {
        let own = "`--set crs=none` starts with a few rules of our own";
        Exit::input(format!("the rules of `{folder}` are not taken:\n{}\n{own}", why.trim_end()))
    })
}

/// The folder of the rules in force; `none` for our own.
fn folder(settings: &Settings, state: &Path, absent: Absent) -> String {
    let named = settings.text("crs");
    if !named.is_empty() {
        return named.to_owned();
    }
    let places = places(state);
    if let Some(found) = places.find() {
        return found.folder.display().to_string();
    }
    let Some(cache) = places.cache.filter(|_| absent == Absent::Download) else { return rules::NONE.into() };
    eprintln!(
        "ringwall: no OWASP Core Rule Set here; asking apt for Debian's package, which is unpacked, not installed"
    );
    match crs::download(&cache, PATIENCE) {
        Ok(folder) => folder.display().to_string(),
        Err(why) => {
            eprintln!("ringwall: {why}; a few rules of our own are in force instead");
            rules::NONE.into()
        }
    }
}

fn places(state: &Path) -> Places {
    Places { own: state.join("crs"), cache: config::cache_dir(), root: PathBuf::from("/") }
}

/// Runs a command.
pub fn run(what: &Crs, common: &Everywhere, settings: &Settings, state: &Path) -> Exit {
    let folder = || folder(settings, state, Absent::Accept);
    match what {
        Crs::Where => shows_places(common, settings, state),
        Crs::Fetch(fetch) => match self::fetch(fetch, state) {
            Ok(told) => {
                println!("{told}");
                Exit::HELD
            }
            Err(exit) => exit,
        },
        Crs::List(filter) => list::list(&folder(), filter, common.format),
        Crs::Show { rule } => list::show(&folder(), *rule, common.format),
        Crs::Tune { log } => tune(log, common.format),
        Crs::Preset { name } => match Preset::named(name) {
            Some(preset) => {
                print!("{}", preset.text().trim_start());
                Exit::HELD
            }
            None => Exit::usage(format!("there is no preset `{name}`: prompts, graphql, json-api, strict")),
        },
    }
}

/// `crs where`
fn shows_places(common: &Everywhere, settings: &Settings, state: &Path) -> Exit {
    let named = settings.text("crs");
    let first = (!named.is_empty()).then(|| Found { origin: Origin::Named, folder: named.into() });
    let all: Vec<Found> = first.into_iter().chain(places(state).all()).collect();
    let used = all.iter().position(|found| found.origin == Origin::Named || crs::holds(&found.folder));
    let list = all.iter().enumerate().map(|(at, found)| {
        let what = match used {
            Some(used) if used == at => "in force",
            _ if crs::holds(&found.folder) => "there",
            _ => "nothing",
        };
        (what, found)
    });
    let own_rules = used.is_none() || rules::is_own(named) && !named.is_empty();
    if common.format != Format::Human {
        let places: Vec<_> = list
            .map(|(what, found)| json!({ "place": found.origin.as_str(), "folder": found.folder, "state": what }))
            .collect();
        println!("{:#}", json!({ "places": places, "own_rules": own_rules }));
        return Exit::HELD;
    }
    for (what, found) in list {
        println!("{what:<9} {:<42} {}", found.origin.as_str(), found.folder.display());
    }
    println!("{:<9} a few rules of our own, which are not that set", if own_rules { "in force" } else { "last" });
    println!("`ringwall crs fetch --package` unpacks Debian's package; `crs fetch` has an official release.");
    Exit::HELD
}

/// `crs fetch`
fn fetch(fetch: &FetchRules, state: &Path) -> Result<String, Exit> {
    if fetch.package {
        let cache = config::cache_dir().ok_or_else(|| Exit::input("there is no HOME to keep a cache in"))?;
        let folder = crs::download(&cache, ASKED).map_err(Exit::input)?;
        let rules = rules::load(&folder.display().to_string()).map_err(Exit::input)?;
        return Ok(rules.title.to_string());
    }
    let own = state.join("crs");
    if own.exists() && !fetch.replace {
        return Err(Exit::input(format!("`{}` is there already; `--replace` moves it to crs.old", own.display())));
    }
    let version = fetch.version.as_deref().unwrap_or(pinned::DEFAULT);
    let is_version = version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if !is_version {
        return Err(Exit::usage(format!("`{version}` is no version such as 4.28.0")));
    }
    let hash = match (&fetch.sha256, pinned::sha256(version)) {
        (Some(given), _) => digest(given).ok_or_else(|| Exit::usage("--sha256 takes 64 hexadecimal digits"))?,
        (None, Some(known)) => digest(known).ok_or_else(|| Exit::usage(format!("no SHA-256 is known of {version}")))?,
        (None, None) => {
            return Err(Exit::usage(format!("no SHA-256 is known of {version}: give its archive's by --sha256")));
        }
    };
    let official = || {
        format!(
            "https://github.com/coreruleset/coreruleset/releases/download/v{version}/coreruleset-{version}-minimal.tar.gz"
        )
    };
    let address = fetch.from.clone().unwrap_or_else(official);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Exit::broken)?;
    let patience = Millis(u64::try_from(ASKED.as_millis()).unwrap_or(u64::MAX));
    let bundle = runtime.block_on(crs::fetch(&address, &hash, patience)).map_err(Exit::input)?;
    // What cannot be loaded is not kept.
    let roots = bundle.released().map_err(Exit::input)?;
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let waf = Waf::load(&bundle, &roots);
    let waf = waf.map_err(|errors| Exit::input(errors.iter().map(|error| format!("{error}\n")).collect::<String>()))?;
    ringwall_control::state::StateDir::open(state).map_err(Exit::input)?;
    crs::keep(&bundle, &own).map_err(Exit::input)?;
    Ok(format!("{}, {} rules in {}", waf.signatures().join(", "), waf.counts().rules, own.display()))
}

/// 32 bytes of 64 hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The most bytes of an audit log.
const LOG: u64 = 1 << 30;

/// `crs tune`
fn tune(log: &Path, format: Format) -> Exit {
    let mut text = Vec::new();
    let read = if log == Path::new("-") {
        std::io::stdin().take(LOG).read_to_end(&mut text)
    } else {
        std::fs::File::open(log).and_then(|file| file.take(LOG).read_to_end(&mut text))
    };
    if let Err(error) = read {
        return Exit::input(format!("cannot read `{}`: {error}", log.display()));
    }
    let (proposals, strange) = ringwall_waf::tune(&String::from_utf8_lossy(&text));
    if format == Format::Human {
        println!("# Proposals from {}: review each; it is right only if the traffic was good.", log.display());
        println!("# {strange} lines are no audit records.");
        print!("{proposals}");
    } else {
        println!("{:#}", json!({ "proposals": proposals, "strange_lines": strange }));
    }
    Exit::HELD
}
