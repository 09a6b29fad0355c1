//! Plain processes: without isolation, a program of a workload runs in a control group whose processes connect to the
//! workload's own outbound listener, and nowhere else.
//!
//! In: workloads that somebody starts a program as. Out: a group with hooks for each; refused connections as events.
//! Never: more than the hooks see (`ringwall_kernel::cgroup`). The hooks stay with a group that has processes, also when
//! this process is killed: they then reach nobody, until the next wall of the same state folder takes the group over.

use super::Platform;
use ringwall_kernel::cgroup::{Action, Attempt, Attempts, Destination, Group, Hooks};
use ringwall_kernel::events::{Event, Fate, Part};
use ringwall_model::RuleId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What hears of refused connections.
type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// The groups of one wall, by workload.
pub struct Plain {
    prefix: String,
    tell: Tell,
    ended: Arc<AtomicBool>,
    groups: Mutex<BTreeMap<String, Kept>>,
}

struct Kept {
    group: Group,
    hooks: Hooks,
    to: SocketAddr,
    /// Whether its processes are let go, until the next is started.
    open: bool,
}

/// How long a thread that hears events waits before it sees whether it has ended.
const PATIENCE: Duration = Duration::from_millis(500);

impl Plain {
    /// None yet. The state folder tells the groups of one wall from those of another. Empty ones that a wall left which
    /// was killed go.
    pub fn new(folder: &Path, tell: Tell) -> Self {
        sweep(folder);
        Self { prefix: prefix(folder), tell, ended: Arc::default(), groups: Mutex::default() }
    }

    /// The group of a workload, whose processes connect to `to` alone.
    ///
    /// # Errors
    /// A sentence; no program is to be started then.
    fn group(&self, workload: &str, address: IpAddr, to: SocketAddr) -> Result<PathBuf, String> {
        let mut groups = lock(&self.groups);
        if let Some(kept) = groups.get(workload).filter(|kept| kept.to == to && !kept.open) {
            return Ok(kept.group.path().to_owned());
        }
        // ORDER: before there is the next of that name, which this would remove. One with processes stays, and gets new
        // hooks.
        drop(groups.remove(workload));
        let refused = |error: String| format!("without isolation a program of a workload needs root: {error}");
        let group = Group::create(&self.name(workload)).map_err(|error| refused(error.to_string()))?;
        let (mut hooks, attempts) = Hooks::attach(&group).map_err(|error| refused(error.to_string()))?;
        let listener = Destination { network: to.ip().into(), port: Some(to.port()), protocol: Some(TCP) };
        hooks.set(listener, Action::Pass, RuleId(0)).map_err(|error| refused(error.to_string()))?;
        self.hear(address, attempts).map_err(|error| refused(error.to_string()))?;
        let path = group.path().to_owned();
        groups.insert(workload.to_owned(), Kept { group, hooks, to, open: false });
        Ok(path)
    }

    fn name(&self, workload: &str) -> String {
        format!("{}{}", self.prefix, workload.replace('/', "."))
    }

    fn hear(&self, address: IpAddr, mut attempts: Attempts) -> std::io::Result<()> {
        let (ended, tell) = (self.ended.clone(), self.tell.clone());
        let hear = move || {
            while !ended.load(Ordering::Relaxed) {
                attempts.wait(PATIENCE);
                attempts.by_ref().for_each(|attempt| tell(told(address, &attempt)));
            }
        };
        std::thread::Builder::new().name("groups".into()).spawn(hear).map(drop)
    }

    /// One line a group, for people.
    pub fn status(&self) -> String {
        let line = |(workload, kept): (&String, &Kept)| match kept.open {
            true => {
                format!("group        {workload}: its processes connect where they like, until the next is started\n")
            }
            false => format!("group        {workload}: its processes connect to {} and nowhere else\n", kept.to),
        };
        lock(&self.groups).iter().map(line).collect()
    }

    /// Lets all groups connect anywhere.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn detach(&self) -> Result<usize, String> {
        let mut groups = lock(&self.groups);
        for kept in groups.values_mut() {
            kept.hooks.otherwise(Action::Pass, RuleId(0)).map_err(|error| error.to_string())?;
            kept.open = true;
        }
        Ok(groups.len())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Platform {
    /// Where a program of a workload runs without isolation, for `ringwall run`.
    pub(super) fn plain_home(&self, workload: &str) -> Result<Value, String> {
        let current = self.world();
        let known = current.world.inventory.workloads.iter().find(|known| known.full_name() == workload);
        let known = known.ok_or_else(|| format!("there is no workload `{workload}`; write `namespace/name`"))?;
        let to = self.outbound(workload);
        let group = self.plain.group(workload, known.address, to)?;
        Ok(json!({ "group": group, "outbound": format!("http://{to}"), "address": known.address.to_string() }))
    }

    /// Takes over the groups that an earlier wall of this state folder left with processes in them.
    pub(super) fn adopt_groups(&self) {
        for workload in &self.world().world.inventory.workloads {
            let name = workload.full_name();
            if Group::is_there(&self.plain.name(&name))
                && let Err(error) = self.plain_home(&name)
            {
                eprintln!("ringwall: processes of {name} that an earlier wall left reach nobody: {error}");
            }
        }
    }
}

/// Removes the empty groups of a state folder's walls, of which none may run; how many there were.
pub fn sweep(folder: &Path) -> usize {
    // Where no control groups are, there are none of ours.
    let groups = Group::begun_with(&prefix(folder)).unwrap_or_default();
    let paths: Vec<PathBuf> = groups.iter().map(|group| group.path().to_owned()).collect();
    // One with processes stays.
    drop(groups);
    paths.iter().filter(|path| !path.exists()).count()
}

/// What the names of a state folder's groups begin with.
fn prefix(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let bytes = folder.as_os_str().as_encoded_bytes().iter();
    let number = bytes.fold(FNV.0, |number, byte| (number ^ u64::from(*byte)).wrapping_mul(FNV.1));
    format!("ringwall-{number:016x}-")
}

/// FNV-1a: its start and its factor. The same in every build, so that a later one finds the groups.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0100_0000_01b3);
/// IP protocol number.
const TCP: u8 = 6;

/// A refused connection in the words of the packet filter.
fn told(source: IpAddr, attempt: &Attempt) -> Event {
    Event {
        fate: Fate::Dropped,
        part: Part::Egress,
        reason: format!("only by its listener: process {} `{}`", attempt.process, attempt.name).into(),
        source,
        destination: attempt.to.ip(),
        protocol: attempt.protocol,
        ports: Some((0, attempt.to.port())),
        input: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
