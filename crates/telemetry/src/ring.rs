//! A bounded ring of JSON lines on disk: two files, of which the older one is overwritten when the newer one is full.
//!
//! INVARIANT: both files together never hold more than the bytes given at the start, plus one line.

use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The ring, as its one writer has it.
#[derive(Debug)]
pub struct Ring {
    files: [PathBuf; 2],
    current: usize,
    open: BufWriter<File>,
    written: u64,
    half: u64,
}

impl Ring {
    /// Opens the ring in a directory, which must exist; what it held before stays.
    ///
    /// # Errors
    /// When a file cannot be opened for writing.
    pub fn open(directory: &Path, bytes: u64) -> io::Result<Self> {
        let files = paths(directory);
        let age = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
        let current = usize::from(age(&files[1]) > age(&files[0]));
        let open = appended(&files[current])?;
        let written = open.get_ref().metadata()?.len();
        Ok(Self { files, current, open, written, half: (bytes / 2).max(1) })
    }

    /// Adds a line, which ends with a line end.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn push(&mut self, line: &[u8]) -> io::Result<()> {
        if self.written >= self.half {
            self.open.flush()?;
            self.current ^= 1;
            self.open = appended(&self.files[self.current])?;
            self.open.get_ref().set_len(0)?;
            self.written = 0;
        }
        self.open.write_all(line)?;
        self.written += line.len() as u64;
        Ok(())
    }

    /// Hands what was added to the system, so that others can read it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.open.flush()
    }
}

/// All records of one call, oldest first. May be asked by another process than the one that writes.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn find(directory: &Path, id: &str) -> io::Result<Vec<Value>> {
    let mut found = Vec::new();
    for path in paths(directory) {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().map_while(Result::ok).filter(|line| line.contains(id)) {
            found.extend(serde_json::from_str(&line).ok().filter(|record: &Value| record["id"] == id));
        }
    }
    let time =
        |record: &Value| record["time"].as_str().or(record["start_time"].as_str()).unwrap_or_default().to_owned();
    found.sort_by_key(time);
    Ok(found)
}

fn paths(directory: &Path) -> [PathBuf; 2] {
    ["decisions-0.jsonl", "decisions-1.jsonl"].map(|name| directory.join(name))
}

/// Opened so that only the owner may read it: a record names people and what they did.
fn appended(path: &Path) -> io::Result<BufWriter<File>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(BufWriter::new)
}

#[cfg(test)]
mod tests {
    use super::{Ring, find, paths};

    #[test]
    fn a_ring_is_bounded_and_keeps_the_latest() {
        let directory = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(directory.path(), 1000).unwrap();
        for number in 0..200 {
            ring.push(format!("{{\"id\":\"c{number}\",\"time\":\"{number:03}\"}}\n").as_bytes()).unwrap();
        }
        drop(ring);
        let bytes: u64 = paths(directory.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(bytes <= 1000 + 60, "{bytes}");
        assert_eq!(find(directory.path(), "c199").unwrap().len(), 1);
        assert_eq!(find(directory.path(), "c19").unwrap().len(), 0);
        // Opened again, it goes on where it was.
        let mut ring = Ring::open(directory.path(), 1000).unwrap();
        ring.push(b"{\"id\":\"later\"}\n").unwrap();
        ring.flush().unwrap();
        assert_eq!(find(directory.path(), "c199").unwrap().len(), 1);
        assert_eq!(find(directory.path(), "later").unwrap().len(), 1);
    }
}
