//! `ringwall run --as WORKLOAD -- COMMAND`: becomes a program inside a workload's home.
//!
//! In: the running wall's word on where the home is, or without isolation the control group. Out: the program, in this process. Never: a capability for it.

use crate::cli::Run;
use crate::exit::Exit;
use ringwall_control::socket::ask;
use ringwall_kernel::cgroup::Group;
use ringwall_kernel::namespace::confine::{Confinement, Parent};
use serde_json::{Value, json};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user and group that a program of root's becomes: nobody.
const NOBODY: u32 = 65_534;

/// Becomes the program; comes back only when that failed.
pub fn run(run: &Run, folder: &Path) -> Exit {
    let home = match ask(folder, "home", json!({ "workload": run.workload })) {
        Ok(home) => home,
        Err(error) => return Exit::input(error),
    };
    let Some((program, arguments)) = run.command.split_first() else { return Exit::usage("name a command") };
    let path = |name: &str| home.get(name).and_then(Value::as_str).map(PathBuf::from);
    let (network, group) = (path("network"), path("group"));
    // ORDER: into the group before all else: what it opens from here on is judged.
    match &group {
        Some(group) if let Err(error) = Group::enter(group) => {
            return Exit::broken(format!("`{}`: {error}", group.display()));
        }
        None if network.is_none() => return Exit::broken("the running wall does not say where the home is"),
        _ => {}
    }
    // In a user namespace of the wall's own there is one user, and it has no capability once they are given up.
    let becomes = path("user").is_none() && ringwall_kernel::namespace::is_root();
    let number = run.user.unwrap_or(NOBODY);
    let confinement = Confinement {
        network,
        user: path("user"),
        // The wall's own keys, and what other programs of the machine listen at.
        hidden: vec![folder.canonicalize().unwrap_or_else(|_| folder.to_owned()), PathBuf::from("/run")],
        identity: becomes.then_some((number, number)),
        parent: if run.follow { Parent::Followed } else { Parent::Ignored },
    };
    if let Err(error) = confinement.enter() {
        return Exit::broken(error);
    }
    let mut command = Command::new(program);
    // A folder that the program may not read is no place to start from.
    if std::fs::read_dir(".").is_err() {
        command.current_dir("/");
    }
    if let Some(outbound) = home.get("outbound").and_then(Value::as_str) {
        command.env("RINGWALL_OUTBOUND", outbound);
    }
    let error = command.args(arguments).env("RINGWALL_WORKLOAD", &run.workload).exec();
    Exit::input(format!("`{program}`: {error}"))
}

/// Keeps namespaces until a wall ends it; the socket at which walls come is its standard input.
pub fn keep() -> Exit {
    let listener = std::io::stdin().as_fd().try_clone_to_owned();
    match listener.and_then(|listener| ringwall_kernel::namespace::keep::serve(&listener)) {
        Ok(()) => Exit::HELD,
        Err(error) => Exit::broken(error),
    }
}
