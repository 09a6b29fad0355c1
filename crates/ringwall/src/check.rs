//! `ringwall check`: what manifests do not mean, or will not do.
//!
//! In: folders, files, standard input. Out: findings for people, as JSON, SARIF or JUnit; exit 1 when one is an error.

use crate::cli::{Check, Color, Everywhere, Format};
use crate::exit::Exit;
use ringwall_control::settings::Settings;
use ringwall_control::source::{Input, Source};
use ringwall_manifest::render::{self, Colour};
use ringwall_manifest::world::StandIn;
use ringwall_model::Severity;
use std::io::IsTerminal;
use std::path::Path;

/// Checks manifests.
pub fn run(check: &Check, common: &Everywhere, settings: &Settings, folder: &Path) -> Exit {
    let inputs = match read(&check.manifests) {
        Ok(inputs) => inputs,
        Err(exit) => return exit,
    };
    let stand_in = if check.stand_in { StandIn::Workloads } else { StandIn::Nothing };
    let (mut world, mut findings) = crate::platform::lower(&inputs, &crate::platform::options(stand_in));
    // Policies of the firewall are held against the rules that `up` would find.
    match crate::crs::rules(settings, folder, crate::crs::Absent::Accept) {
        Ok(rules) => findings.extend(world.arm(&rules)),
        Err(exit) => return exit,
    }
    if check.quiet {
        findings.retain(|finding| finding.severity != Severity::Note);
    }
    let text = match common.format {
        Format::Human => render::human(&findings, &world.sources, colour(common.color)),
        Format::Json => render::json(&findings, &world.sources),
        Format::Sarif => render::sarif(&findings, &world.sources),
        Format::Junit => render::junit(&findings, &world.sources),
    };
    println!("{}", text.trim_end());
    // The page of what is worst.
    if let (Format::Human, Some(worst)) = (common.format, findings.iter().min_by_key(|finding| finding.severity)) {
        println!("`ringwall explain {}` says more", worst.code);
    }
    if ringwall_manifest::world::may_be_taken(&findings) { Exit::HELD } else { Exit::FAILED }
}

/// Reads several sources into one set.
///
/// # Errors
/// An [`Exit`] that names what cannot be read.
pub fn read(sources: &[String]) -> Result<Vec<Input>, Exit> {
    let mut inputs = Vec::new();
    for source in sources {
        inputs.extend(Source::parse(source).read().map_err(Exit::input)?);
    }
    Ok(inputs)
}

/// Colours on a terminal, unless NO_COLOR (no-color.org) is set.
pub fn colour(wanted: Color) -> Colour {
    let terminal = || std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    match wanted {
        Color::Always => Colour::Ansi,
        Color::Never => Colour::Plain,
        Color::Auto => {
            if terminal() {
                Colour::Ansi
            } else {
                Colour::Plain
            }
        }
    }
}
