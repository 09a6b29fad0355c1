//! The binary: reads the command line and wires the rooms together.
//!
//! In: arguments. Out: an exit code ([`exit`]). Never: a decision about a call; those are the page's (`wall`).

mod check;
mod cli;
mod config;
mod crs;
mod demo;
mod exit;
mod explain;
mod export;
mod import;
mod platform;
mod probe;
mod rehearse;
mod remote;
mod run;
mod up;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use exit::Exit;

/// Many small short-lived buffers of many connections: this allocator keeps their memory small.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    exit::quietly_without_a_reader();
    run(Cli::parse())
}

fn run(cli: Cli) -> Exit {
    let settings = match config::read(&cli.common) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let folder = config::state_dir(&cli.common, &settings);
    let remote = remote::Remote { folder: &folder, format: cli.common.format };
    match &cli.command {
        Command::Up(up) => up::run(up, &cli.common, settings),
        Command::Demo(demo) => demo::run(demo, &cli.common, &settings),
        Command::Check(check) => check::run(check, &cli.common, &settings, &folder),
        Command::Test(test) => rehearse::run(test, &cli.common),
        Command::Explain(explain) => match (&explain.id, &explain.url) {
            (_, Some(url)) => explain::described::run(url, explain, &cli.common, &settings, &folder),
            (Some(id), None) => match ringwall_manifest::pages::read_code(id) {
                Some(code) => explain::finding(code, cli.common.format),
                None => remote.explain(id),
            },
            (None, None) => Exit::usage("name a call's id or a finding's code, or describe a call with --url"),
        },
        Command::Status => remote.status(),
        Command::History => remote.history(),
        Command::Rollback { generation } => remote.rollback(*generation),
        Command::Reload => remote.reload(),
        Command::Block(block) => remote.block(block),
        Command::Unblock { subject } => remote.unblock(subject),
        Command::Blocks => remote.blocks(),
        Command::Token(token) => remote.token(token),
        Command::Run(run) => run::run(run, &folder),
        Command::Keep => run::keep(),
        Command::Kernel { what } => remote.kernel(*what),
        Command::Export { what: cli::Export::Nft(wanted) } => export::nft(wanted),
        Command::Probe(probe) => remote.probe(probe),
        Command::Crs { what } => crs::run(what, &cli.common, &settings, &folder),
        Command::Config => config::show(&cli.common, &settings),
        Command::Import { scripts } => import::run(scripts, &cli.common),
        Command::Completion { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "ringwall", &mut std::io::stdout());
            Exit::HELD
        }
        Command::Man => manual(),
    }
}

fn manual() -> Exit {
    match clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout()) {
        Ok(()) => Exit::HELD,
        Err(error) => Exit::broken(error),
    }
}
