//! Programs of workloads: what `ringwall.dev/command` names is started in the workload's home, started again when it
//! ends, and ended with the wall.
//!
//! In: the World in force, once a second. Out: processes. Never: a shell, a capability, a program of a workload that has
//! no home. Who may write manifests may so start programs: as nobody where the wall is root's, else as its user.

use super::Platform;
use super::apps::COMMAND;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The pause before a program that ended is started again.
const PAUSE: Duration = Duration::from_secs(5);

/// The running programs; dropping this ends them.
pub struct Programs {
    folder: PathBuf,
    running: BTreeMap<String, Program>,
}

struct Program {
    words: Vec<String>,
    child: Option<Child>,
    started: Instant,
}

impl Programs {
    /// None yet; the folder is that of the control socket, by which each asks for its home.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), running: BTreeMap::new() }
    }

    /// Starts what the World wants and is not there, and ends what it does not want any more.
    pub fn follow(&mut self, platform: &Platform) {
        if platform.isolation.is_none() {
            return;
        }
        let wanted = wanted(platform);
        self.running.retain(|workload, program| {
            let stays = wanted.get(workload) == Some(&program.words);
            if !stays {
                program.end();
            }
            stays
        });
        for (workload, words) in wanted {
            let known = self.running.get_mut(&workload);
            if known.is_some_and(|program| program.is_running() || program.started.elapsed() < PAUSE) {
                continue;
            }
            let child = start(&self.folder, &workload, &words);
            if let Err(error) = &child {
                eprintln!("ringwall: {workload}: {error}");
            }
            self.running.insert(workload, Program { words, child: child.ok(), started: Instant::now() });
        }
    }
}

/// What each workload of the World is to run: words, separated by blanks.
fn wanted(platform: &Platform) -> BTreeMap<String, Vec<String>> {
    let current = platform.world();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let all = current.world.inventory.workloads.iter();
    let named = all.filter_map(|workload| Some((workload.full_name(), words(workload.annotations.get(COMMAND)?))));
    named.filter(|(_, words)| !words.is_empty()).collect()
}

fn start(folder: &Path, workload: &str, words: &[String]) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--state-dir").arg(folder).args(["run", "--follow", "--as", workload, "--"]).args(words);
    command.stdin(Stdio::null()).spawn()
}

impl Program {
    fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended already is only waited for.
            child.kill().unwrap_or_default();
            drop(child.wait());
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        self.running.values_mut().for_each(Program::end);
    }
}
