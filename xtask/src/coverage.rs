//! Which fields of a folder's manifests are enforced.

use crate::run;

/// `coverage DIR…`
pub fn command(folders: &[&str]) -> bool {
    run::example("xtask", "coverage", folders)
}
