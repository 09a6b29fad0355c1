//! A control group of version 2 that we made: a folder in the kernel's tree.

use std::fs::File;
use std::io::{self, Error};
use std::path::{Path, PathBuf};

/// A group; it is removed with this when no process is in it.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    directory: File,
}

impl Group {
    /// Makes a group, or finds the one of that name, below the root of the unified tree.
    ///
    /// # Errors
    /// When no such tree is mounted, the name is not one, or this process may not.
    pub fn create(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(Error::new(io::ErrorKind::InvalidInput, "not the name of a control group"));
        }
        let path = root()?.join(name);
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Self { directory: File::open(&path)?, path })
    }

    /// The groups whose names begin so.
    ///
    /// # Errors
    /// When no such tree is mounted, or it cannot be read.
    pub fn begun_with(begin: &str) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(root()?)?.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(begin)) && entry.path().is_dir() {
                found.push(Self { directory: File::open(entry.path())?, path: entry.path() });
            }
        }
        Ok(found)
    }

    /// Whether there is a group of that name.
    pub fn is_there(name: &str) -> bool {
        root().is_ok_and(|root| root.join(name).is_dir())
    }

    /// Moves a process into it, with all its threads; what it starts is born there.
    ///
    /// # Errors
    /// When there is no such process, or this one may not.
    pub fn add(&self, process: u32) -> io::Result<()> {
        std::fs::write(self.path.join("cgroup.procs"), process.to_string())
    }

    /// Moves the calling process into the group at a path, for good where it may not write there later.
    ///
    /// # Errors
    /// When there is no such group, or this process may not.
    pub fn enter(path: &Path) -> io::Result<()> {
        std::fs::write(path.join("cgroup.procs"), "0")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn directory(&self) -> &File {
        &self.directory
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group with processes stays: they must not fall back into one without rules.
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// Where version 2 is mounted: alone, or beside version 1 (systemd calls that hybrid).
fn root() -> io::Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mount = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    });
    mount.ok_or_else(|| Error::new(io::ErrorKind::NotFound, "no control groups of version 2 are mounted"))
}
