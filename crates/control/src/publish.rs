//! A new World is taken whole or not at all.
//!
//! In: a World, and the shells that must follow it (listeners, certificates, telemetry, the kernel). Out: the World in
//! force, or the step that said no. Never: a half-taken World: every shell prepares first, and what may still fail after
//! that is undone in reverse order.
// waypoint: policy/5 — the World is prepared by every shell, then in force for the next request

use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};

/// One part of the running process that follows the World.
pub trait Shell<W> {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Does everything that may fail: binds sockets, loads keys, checks what it will do. Nothing that is in force changes.
    ///
    /// # Errors
    /// Why the World cannot be taken.
    fn prepare(&self, world: &Arc<W>) -> Result<Prepared, String>;
}

/// What a shell will do.
pub struct Prepared {
    /// Puts it in force; returns how to take it back.
    pub commit: Box<dyn FnOnce() -> Result<Undo, String>>,
}

/// Takes a commit back.
pub type Undo = Box<dyn FnOnce()>;

/// Why a World was not taken. The one before it is still in force.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// A shell cannot follow it.
    #[error("{shell}: {why}; nothing was changed")]
    Prepare {
        /// Which.
        shell: &'static str,
        /// Why.
        why: String,
    },
    /// A shell failed after all had prepared; the others were taken back.
    #[error("{shell}: {why}; what had changed was taken back")]
    Commit {
        /// Which.
        shell: &'static str,
        /// Why.
        why: String,
    },
}

/// Publishes Worlds, one at a time.
pub struct Publisher<W> {
    current: Arc<ArcSwap<W>>,
    turn: Mutex<()>,
}

impl<W> Publisher<W> {
    /// A publisher over the World in force.
    pub fn new(current: Arc<ArcSwap<W>>) -> Self {
        Self { current, turn: Mutex::new(()) }
    }

    /// Puts a World in force. The shells commit in the order given: what widens comes last, so that nothing is open
    /// before it is guarded.
    ///
    /// # Errors
    /// [`NotTaken`]; everything is then as before.
    pub fn publish(&self, world: W, shells: &[Box<dyn Shell<W> + '_>]) -> Result<Arc<W>, NotTaken> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let world = Arc::new(world);
        let mut prepared = Vec::with_capacity(shells.len());
        for shell in shells {
            let name = shell.name();
            let ready = shell.prepare(&world).map_err(|why| NotTaken::Prepare { shell: name, why })?;
            prepared.push((name, ready));
        }
        let before = self.current.swap(world.clone());
        let mut undo: Vec<Undo> = Vec::with_capacity(prepared.len());
        for (shell, ready) in prepared {
            match (ready.commit)() {
                Ok(back) => undo.push(back),
                Err(why) => {
                    self.current.store(before);
                    undo.into_iter().rev().for_each(|back| back());
                    return Err(NotTaken::Commit { shell, why });
                }
            }
        }
        Ok(world)
    }

    /// The World in force.
    pub fn current(&self) -> Arc<W> {
        self.current.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::{NotTaken, Prepared, Publisher, Shell};
    use arc_swap::ArcSwap;
    use std::sync::{Arc, Mutex};

    struct Noting {
        name: &'static str,
        fails: Option<&'static str>,
        log: Arc<Mutex<Vec<String>>>,
    }

    impl Shell<u32> for Noting {
        fn name(&self) -> &'static str {
            self.name
        }

        fn prepare(&self, world: &Arc<u32>) -> Result<Prepared, String> {
            let (name, log, world, fails) = (self.name, self.log.clone(), **world, self.fails);
            log.lock().unwrap().push(format!("{name} prepares {world}"));
            if fails == Some("prepare") && world > 1 {
                return Err("cannot".into());
            }
            let commit = move || {
                if fails == Some("commit") && world > 1 {
                    return Err("broke".into());
                }
                log.lock().unwrap().push(format!("{name} commits {world}"));
                let back = move || log.lock().unwrap().push(format!("{name} goes back"));
                Ok(Box::new(back) as super::Undo)
            };
            Ok(Prepared { commit: Box::new(commit) })
        }
    }

    type Parts = (Publisher<u32>, Vec<Box<dyn Shell<u32>>>, Arc<Mutex<Vec<String>>>);

    fn publisher(fails: Option<&'static str>) -> Parts {
        let log = Arc::new(Mutex::new(Vec::new()));
        let shell = |name, fails| Box::new(Noting { name, fails, log: log.clone() }) as Box<dyn Shell<u32>>;
        let shells = vec![shell("a", None), shell("b", None), shell("c", fails)];
        (Publisher::new(Arc::new(ArcSwap::from_pointee(1))), shells, log)
    }

    #[test]
    fn a_world_is_taken_when_all_can_follow() {
        let (publisher, shells, log) = publisher(None);
        assert_eq!(*publisher.publish(2, &shells).unwrap(), 2);
        assert_eq!(*publisher.current(), 2);
        assert_eq!(
            log.lock().unwrap().join(", "),
            "a prepares 2, b prepares 2, c prepares 2, a commits 2, b commits 2, c commits 2"
        );
    }

    #[test]
    fn one_that_cannot_prepare_changes_nothing() {
        let (publisher, shells, log) = publisher(Some("prepare"));
        let refused = publisher.publish(2, &shells).unwrap_err();
        assert_eq!(refused, NotTaken::Prepare { shell: "c", why: "cannot".into() });
        assert_eq!(*publisher.current(), 1);
        assert!(!log.lock().unwrap().iter().any(|line| line.contains("commits")));
    }

    #[test]
    fn one_that_breaks_at_commit_is_taken_back_in_reverse() {
        let (publisher, shells, log) = publisher(Some("commit"));
        assert_eq!(publisher.publish(2, &shells).unwrap_err(), NotTaken::Commit { shell: "c", why: "broke".into() });
        assert_eq!(*publisher.current(), 1);
        assert!(log.lock().unwrap().join(", ").ends_with("b commits 2, b goes back, a goes back"));
    }
}
