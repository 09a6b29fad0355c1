//! `ringwall up`: brings a platform up behind the wall and keeps it up until Ctrl-C.
//!
//! In: manifests. Out: a table, ready curl lines, and a running wall. Everything that was started ends with it.

use crate::cli::{Everywhere, Format, Up};
use crate::exit::Exit;
use crate::platform::programs::Programs;
use crate::platform::{NotUp, Options, Platform, commands};
use crate::{config, crs, remote};
use ringwall_control::settings::Settings;
use ringwall_control::socket::{Answerer, ControlSocket};
use ringwall_control::source::Source;
use ringwall_control::state::StateDir;
use ringwall_control::{history, watch};
use ringwall_dataplane::page::ProxyHeader;
use ringwall_kernel::namespace::keep::enter_beside;
use ringwall_manifest::world::StandIn;
use ringwall_model::Millis;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Runs a platform.
pub fn run(up: &Up, common: &Everywhere, settings: Settings) -> Exit {
    let source = Source::parse(&up.manifests);
    let folder = config::state_dir(common, &settings);
    let drain = Millis(settings.number("drain_timeout"));
    // ORDER: before the first thread.
    let isolate = match up.isolate.then(|| enter_beside(&folder)).transpose() {
        Ok(standing) => standing,
        Err(error) => return Exit::input(error),
    };
    progress(common, "reading manifests");
    let inputs = match source.read() {
        Ok(inputs) => inputs,
        Err(error) => return Exit::input(error),
    };
    let state = match StateDir::open(&folder) {
        Ok(state) => state,
        Err(error) => return Exit::input(error),
    };
    let rules = match crs::rules(&settings, &folder, crs::Absent::Download) {
        Ok(rules) => rules,
        Err(exit) => return exit,
    };
    let options = Options {
        stand_in: if up.stand_in { StandIn::Workloads } else { StandIn::Nothing },
        settings,
        rules,
        state: Some(state),
        proxy_header: ProxyHeader::Absent,
        author: remote::author(),
        revision: path_of(&source).and_then(|path| history::revision(&path)),
        isolate,
    };
    progress(common, &format!("{} files; making the World, certificates and listeners", inputs.len()));
    let platform = match Platform::start(inputs, options) {
        Ok(platform) => platform,
        Err(NotUp(why)) => {
            eprint!("{why}");
            return Exit::input("the World was not taken");
        }
    };
    let ended = keep_up(up, common, &platform, (source, &folder, drain));
    if let Some(isolation) = platform.isolation() {
        isolation.end();
    }
    ended
}

/// Serves commands and follows the manifests until somebody ends it.
fn keep_up(up: &Up, common: &Everywhere, platform: &Arc<Platform>, (source, folder, drain): Of<'_>) -> Exit {
    let socket = match ControlSocket::serve(folder, answerer(platform, &source)) {
        Ok(socket) => socket,
        Err(error) => return Exit::input(error),
    };
    show(common, platform);
    if up.once {
        return Exit::HELD;
    }
    let watched = path_of(&source).map(|path| follow(platform, source.clone(), path));
    let mut programs = Programs::new(folder);
    let ended = serve(platform, drain, || programs.follow(platform));
    drop((watched, programs, socket));
    ended
}

/// Where manifests come from, where state is, and how long requests may take to finish at the end.
type Of<'a> = (Source, &'a Path, Millis);

/// Prints the table and ready lines.
fn show(common: &Everywhere, platform: &Arc<Platform>) {
    if common.format != Format::Human {
        let current = platform.world();
        let listeners: Vec<_> = current
            .bound
            .values()
            .map(|one| json!({ "role": one.role.as_str(), "address": one.address.to_string(), "bound": one.bind.to_string() }))
            .collect();
        println!("{}", json!({ "generation": current.world.generation, "listeners": listeners }));
        return;
    }
    println!("{}", platform.findings_summary());
    print!("{}", platform.table());
    for assumed in platform.assumptions() {
        println!("{assumed}");
    }
    for line in platform.ready_lines() {
        println!("{line}");
    }
    println!("Ctrl-C ends it.");
}

fn progress(common: &Everywhere, what: &str) {
    if common.format == Format::Human {
        eprintln!("ringwall: {what}");
    }
}

fn path_of(source: &Source) -> Option<PathBuf> {
    match source {
        Source::Path(path) => Some(path.clone()),
        Source::Standard => None,
    }
}

/// Answers commands. Only here it is known where manifests are read again.
fn answerer(platform: &Arc<Platform>, source: &Source) -> Arc<Answerer> {
    let (others, platform, source) = (commands::answerer(platform), Arc::downgrade(platform), source.clone());
    Arc::new(move |command, arguments| {
        let Some(platform) = platform.upgrade().filter(|_| command == "reload") else {
            return others(command, arguments);
        };
        let path = path_of(&source).ok_or("the manifests came by standard input, which has ended")?;
        let inputs = source.read().map_err(|error| error.to_string())?;
        let author = arguments.get("author").and_then(Value::as_str).unwrap_or_default();
        let taken = platform.take(inputs, author, history::revision(&path));
        taken.map(|generation| json!({ "generation": generation })).map_err(|NotUp(why)| why)
    })
}

/// Reloads when the manifests change.
fn follow(platform: &Arc<Platform>, source: Source, path: PathBuf) -> std::io::Result<watch::Watch> {
    let platform = Arc::downgrade(platform);
    let revision_path = path.clone();
    watch::watch(&path, move || {
        let Some(platform) = platform.upgrade() else { return };
        let inputs = match source.read() {
            Ok(inputs) => inputs,
            Err(error) => return eprintln!("ringwall: not reloaded: {error}"),
        };
        if inputs == platform.inputs() {
            return;
        }
        match platform.take(inputs, "watch", history::revision(&revision_path)) {
            Ok(generation) => eprintln!("ringwall: World {generation} is in force"),
            Err(NotUp(why)) => eprintln!("{why}ringwall: not taken; the World before it stays in force"),
        }
    })
}

/// Waits for SIGINT or SIGTERM, doing what is due meanwhile; then drains.
pub fn serve(platform: &Arc<Platform>, drain: Millis, mut each_second: impl FnMut()) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::broken(error),
    };
    let waited = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        // ORDER: by the wall clock, looked at often: timers do not count the time a machine was suspended.
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                signal = tokio::signal::ctrl_c() => break signal,
                _ = terminate.recv() => break Ok(()),
                _ = tick.tick() => {
                    platform.tick();
                    each_second();
                }
            }
        }
    });
    eprintln!("ringwall: draining");
    let cut = platform.drain(drain);
    if cut > 0 {
        eprintln!("ringwall: {cut} connections were cut after {} ms", drain.0);
    }
    match waited {
        Ok(()) => Exit::HELD,
        Err(error) => Exit::broken(error),
    }
}
