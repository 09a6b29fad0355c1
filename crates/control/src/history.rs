//! Every World that was in force: when, by whom, from which revision, and the manifests it was made of, so that any of
//! them can be brought back.
//!
//! In: inputs that were taken. Out: entries, and inputs again. Never: a World itself (it is lowered anew).
//! Each World is a file of its own, written once: what a reload costs does not grow with what was before it.

use crate::source::Input;
use crate::state::{StateDir, StateError};
use ringwall_model::Timestamp;
use serde::{Deserialize, Serialize};

/// How many Worlds are kept; the oldest goes first.
pub const KEPT: usize = 32;

/// One World that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub generation: u64,
    /// When it was taken.
    pub time: Timestamp,
    /// Who had it taken: a user's name, or the command.
    pub author: String,
    /// Revision of the folder when it is a git checkout.
    pub revision: Option<String>,
    /// Files that are new, gone or changed against the one before: `+a.yaml`, `-b.yaml`, `~c.yaml`.
    pub difference: Vec<String>,
}

/// An entry with the manifests it was made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    entry: Entry,
    inputs: Vec<(String, String)>,
}

/// The Worlds of one state folder.
#[derive(Debug)]
pub struct History {
    state: Option<StateDir>,
    stored: Vec<Stored>,
}

impl History {
    /// Reads the history of a state folder; without one it lives in memory.
    ///
    /// # Errors
    /// [`StateError`]. A file that is not of a history is as if it were not there: it decides nothing.
    pub fn open(state: Option<StateDir>) -> Result<Self, StateError> {
        let mut stored: Vec<Stored> = Vec::new();
        if let Some(state) = &state {
            for name in state.names(BEGIN)? {
                let bytes = state.read(&name)?;
                stored.extend(bytes.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok()));
            }
        }
        stored.sort_by_key(|one| one.entry.generation);
        Ok(Self { state, stored })
    }

    /// The number that the next World gets.
    pub fn next_generation(&self) -> u64 {
        self.stored.last().map_or(1, |last| last.entry.generation + 1)
    }

    /// Notes a World that was taken.
    ///
    /// # Errors
    /// [`StateError`] when it could not be kept; the World is in force all the same.
    pub fn note(
        &mut self,
        author: &str,
        revision: Option<String>,
        inputs: &[Input],
        now: Timestamp,
    ) -> Result<(), StateError> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|input| (input.name.clone(), String::from_utf8_lossy(&input.bytes).into_owned()))
            .collect();
        let before = self.stored.last().map_or(&[][..], |last| &last.inputs);
        let entry = Entry {
            generation: self.next_generation(),
            time: now,
            author: author.into(),
            revision,
            difference: difference(before, &inputs),
        };
        let stored = Stored { entry, inputs };
        let name = file(&stored);
        let bytes = self.state.as_ref().map(|_| serde_json::to_vec(&stored).unwrap_or_default());
        self.stored.push(stored);
        let old = self.stored.len().saturating_sub(KEPT);
        let gone: Vec<_> = self.stored.drain(..old).collect();
        let (Some(state), Some(bytes)) = (&self.state, bytes) else { return Ok(()) };
        state.write(&name, &bytes)?;
        gone.iter().try_for_each(|old| state.remove(&file(old)))
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.stored.iter().map(|stored| &stored.entry)
    }

    /// The manifests of a World.
    pub fn inputs(&self, generation: u64) -> Option<Vec<Input>> {
        let stored = self.stored.iter().find(|stored| stored.entry.generation == generation)?;
        let input = |(name, text): &(String, String)| Input { name: name.clone(), bytes: text.clone().into_bytes() };
        Some(stored.inputs.iter().map(input).collect())
    }
}

/// What the names of a history's files begin with.
const BEGIN: &str = "world-";

fn file(stored: &Stored) -> String {
    format!("{BEGIN}{}.json", stored.entry.generation)
}

fn difference(before: &[(String, String)], after: &[(String, String)]) -> Vec<String> {
    let find = |set: &[(String, String)], name: &str| set.iter().position(|(other, _)| other == name);
    let mut lines = Vec::new();
    for (name, text) in after {
        match find(before, name).and_then(|at| before.get(at)) {
            None => lines.push(format!("+{name}")),
            Some((_, old)) if old != text => lines.push(format!("~{name}")),
            Some(_) => {}
        }
    }
    lines.extend(before.iter().filter(|(name, _)| find(after, name).is_none()).map(|(name, _)| format!("-{name}")));
    lines
}

/// The revision of the git checkout that a folder is in, read from its files; `None` where there is none.
pub fn revision(folder: &std::path::Path) -> Option<String> {
    let git = folder.ancestors().map(|up| up.join(".git")).find(|git| git.is_dir())?;
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().into()) };
    let loose = std::fs::read_to_string(git.join(name)).ok();
    let packed = || {
        let all = std::fs::read_to_string(git.join("packed-refs")).ok()?;
        all.lines().find_map(|line| line.strip_suffix(name)).map(str::to_owned)
    };
    loose.or_else(packed).map(|hash| hash.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{History, KEPT};
    use crate::source::Input;
    use crate::state::StateDir;
    use ringwall_model::Timestamp;

    fn input(name: &str, text: &str) -> Input {
        Input { name: name.into(), bytes: text.into() }
    }

    #[test]
    fn worlds_can_be_brought_back_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("s")).unwrap();
        let mut history = History::open(Some(state.clone())).unwrap();
        history.note("ana", None, &[input("a", "1"), input("b", "1")], Timestamp(1)).unwrap();
        history.note("ben", Some("abc".into()), &[input("a", "2"), input("c", "1")], Timestamp(2)).unwrap();
        let again = History::open(Some(state)).unwrap();
        let last = again.entries().last().unwrap();
        assert_eq!((last.generation, last.author.as_str()), (2, "ben"));
        assert_eq!(last.difference, ["~a", "+c", "-b"]);
        assert_eq!(again.inputs(1).unwrap(), [input("a", "1"), input("b", "1")]);
        assert_eq!(again.inputs(9), None);
    }

    #[test]
    fn history_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("s")).unwrap();
        let mut history = History::open(Some(state.clone())).unwrap();
        for n in 0..KEPT as u64 + 5 {
            history.note("x", None, &[input("a", &n.to_string())], Timestamp(n)).unwrap();
        }
        assert_eq!(history.entries().count(), KEPT);
        assert_eq!(history.next_generation(), KEPT as u64 + 6);
        let again = History::open(Some(state)).unwrap();
        assert!(again.entries().eq(history.entries()));
    }
}
