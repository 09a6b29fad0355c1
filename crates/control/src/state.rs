//! The folder of what must survive a restart: keys, blocks, history, traces. 0700, its files 0600.
//!
//! In: bytes. Out: the same bytes after a crash: a file is written beside, synced and renamed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The most bytes of one state file.
const MOST: u64 = 64 << 20;

/// An open state folder.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system said no.
    #[error("state folder: `{path}`: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// Others may read or write what must be ours alone.
    #[error("`{path}` may be read or written by others (mode {mode:04o}); run `chmod {wants:04o} {path}`")]
    Open {
        /// Which file.
        path: PathBuf,
        /// The mode it has.
        mode: u32,
        /// The mode it should have.
        wants: u32,
    },
}

impl StateDir {
    /// Opens a folder, making it when it is missing.
    ///
    /// # Errors
    /// [`StateError::Open`] when others have access to it: keys are in it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let told = |error| StateError::Io { path: path.into(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(told)?;
        check_mode(path, 0o700)?;
        Ok(Self { path: path.into() })
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// [`StateError`], also when others may read it.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        let told = |error| StateError::Io { path: path.clone(), error };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(told(error)),
        };
        check_mode(&path, 0o600)?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes).map_err(told)?;
        Ok(Some(bytes))
    }

    /// The names of the files that begin so, in no order.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn names(&self, begin: &str) -> Result<Vec<String>, StateError> {
        let told = |error| StateError::Io { path: self.path.clone(), error };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(told)? {
            let name = entry.map_err(told)?.file_name();
            names.extend(name.to_str().filter(|name| name.starts_with(begin)).map(str::to_owned));
        }
        Ok(names)
    }

    /// Takes a file away; it is no error when there is none.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StateError::Io { path, error }),
            _ => Ok(()),
        }
    }

    /// Writes a file whole, or not at all.
    ///
    /// # Errors
    /// [`StateError::Io`]; the file is then as it was.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.file(name);
        let beside = self.file(&format!(".{name}.new"));
        let told = |error| StateError::Io { path: path.clone(), error };
        let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let mut file = open.map_err(told)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(told)?;
        std::fs::rename(&beside, &path).map_err(told)
    }
}

fn check_mode(path: &Path, wants: u32) -> Result<(), StateError> {
    let told = |error| StateError::Io { path: path.into(), error };
    let found = std::fs::metadata(path).map_err(told)?;
    let mode = found.permissions().mode() & 0o777;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if ours && mode & 0o077 == 0 { Ok(()) } else { Err(StateError::Open { path: path.into(), mode, wants }) }
}

#[cfg(test)]
mod tests {
    use super::{StateDir, StateError};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_read_and_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        assert_eq!(state.read("blocks.json").unwrap(), None);
        state.write("blocks.json", b"[]").unwrap();
        assert_eq!(state.read("blocks.json").unwrap().unwrap(), b"[]");
        std::fs::set_permissions(state.file("blocks.json"), PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(state.read("blocks.json"), Err(StateError::Open { mode: 0o640, wants: 0o600, .. })));
    }

    #[test]
    fn a_folder_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let error = StateDir::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 0700"), "{error}");
    }
}
