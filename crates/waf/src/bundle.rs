//! The files of a rule set, read by whoever may read files: paths and bytes, nothing more.

mod archive;

pub use archive::ArchiveError;

use std::collections::BTreeMap;

/// Rule files (`.conf`) and phrase files (`.data`) by their path, `/` between the parts.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Adds a file; a path given twice keeps the last bytes.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), bytes.into());
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// The paths in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The bytes of a file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The files that are loaded of a bundle laid out as the Core Rule Set is released, in the order that it documents:
    /// the set-up (else its example), what plugins set and do before, the rules, what plugins do after.
    ///
    /// # Errors
    /// A sentence, when the set-up or the rules are missing.
    pub fn released(&self) -> Result<Vec<String>, &'static str> {
        let setup =
            ["crs-setup.conf", "crs-setup.conf.example"].into_iter().find(|path| self.files.contains_key(*path));
        let mut roots = vec![setup.ok_or("there is no crs-setup.conf and no crs-setup.conf.example")?.to_owned()];
        for pattern in ["plugins/*-config.conf", "plugins/*-before.conf"] {
            roots.extend(self.matching("", pattern));
        }
        let before = roots.len();
        roots.extend(self.matching("", "rules/*.conf"));
        if roots.len() == before {
            return Err("there is no rules/*.conf");
        }
        roots.extend(self.matching("", "plugins/*-after.conf"));
        Ok(roots)
    }

    /// A file named in another one: relative to that one's folder, else as it is.
    pub(crate) fn beside(&self, file: &str, name: &str) -> Option<&[u8]> {
        self.file(&resolve(file, name)).or_else(|| self.file(name))
    }

    /// The files that a pattern with `*` names, in order, relative to the folder of `file`, else as it is.
    pub(crate) fn matching(&self, file: &str, pattern: &str) -> Vec<String> {
        let found = |pattern: &str| -> Vec<String> {
            self.files.keys().filter(|path| fits(pattern.as_bytes(), path.as_bytes())).cloned().collect()
        };
        let near = found(&resolve(file, pattern));
        if near.is_empty() { found(pattern) } else { near }
    }
}

/// `name` as seen from the folder of `file`, `.` and `..` taken away.
fn resolve(file: &str, name: &str) -> String {
    if name.starts_with('/') {
        return name.to_owned();
    }
    let folder = file.rfind('/').and_then(|at| file.get(..=at)).unwrap_or("");
    let joined = format!("{folder}{name}");
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|last| !last.is_empty()) => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// Shell-like match where `*` stands for any bytes but `/`. Linear: one place to go back to.
fn fits(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while let Some(&byte) = path.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&want) if want == byte => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((after, at)) if path.get(at) != Some(&b'/') => {
                    star = Some((after, at + 1));
                    (p, t) = (after, at + 1);
                }
                _ => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}
