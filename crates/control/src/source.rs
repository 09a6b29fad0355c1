//! Reads manifests from where they are: a file, a folder (sorted, so that the order of a directory changes nothing), or
//! standard input. Bounded in size and number.
//!
//! In: a path or `-`. Out: names and bytes. Never: an opinion on what the bytes say (that is `manifest`).

use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes that one set of manifests may have.
pub const MOST_BYTES: u64 = 64 << 20;
/// The most files that one set may have.
pub const MOST_FILES: usize = 20_000;

/// One input as the manifests' reader takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name for messages: the path below the folder, or `-`.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Why manifests could not be read from where they are.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file system said no.
    #[error("cannot read `{path}`: {error}")]
    Io {
        /// Which file.
        path: String,
        /// What it said.
        error: std::io::Error,
    },
    /// More than [`MOST_BYTES`].
    #[error("`{0}` and what stands before it hold more than {MOST_BYTES} bytes of manifests; split the set")]
    TooLarge(String),
    /// More than [`MOST_FILES`].
    #[error("more than {MOST_FILES} files below `{0}`; name a smaller folder")]
    TooMany(String),
    /// Nothing to read.
    #[error("no manifest in `{0}`: files end in .yaml, .yml, .json or .sh")]
    Empty(String),
}

/// Where manifests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or a folder.
    Path(PathBuf),
    /// Standard input.
    Standard,
}

impl Source {
    /// `-` is standard input; all else is a path.
    pub fn parse(text: &str) -> Self {
        if text == "-" { Self::Standard } else { Self::Path(PathBuf::from(text)) }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// [`SourceError`] names the file and what would be right.
    pub fn read(&self) -> Result<Vec<Input>, SourceError> {
        match self {
            Self::Standard => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes);
                read.map_err(|error| SourceError::Io { path: "-".into(), error })?;
                if bytes.len() as u64 > MOST_BYTES {
                    return Err(SourceError::TooLarge("-".into()));
                }
                Ok(vec![Input { name: "-".into(), bytes }])
            }
            Self::Path(path) => read_path(path),
        }
    }
}

fn read_path(path: &Path) -> Result<Vec<Input>, SourceError> {
    let shown = path.display().to_string();
    let told = |error| SourceError::Io { path: shown.clone(), error };
    if std::fs::metadata(path).map_err(told)?.is_file() {
        let bytes = read_file(path, MOST_BYTES)?;
        let name = path.file_name().map_or(shown, |name| name.to_string_lossy().into_owned());
        return Ok(vec![Input { name, bytes }]);
    }
    let mut files = Vec::new();
    walk(path, &mut files, 0)?;
    files.sort();
    let mut left = MOST_BYTES;
    let mut inputs = Vec::with_capacity(files.len());
    for file in files {
        let bytes = read_file(&file, left)?;
        left -= bytes.len() as u64;
        let name = file.strip_prefix(path).unwrap_or(&file).display().to_string();
        inputs.push(Input { name, bytes });
    }
    if inputs.is_empty() { Err(SourceError::Empty(path.display().to_string())) } else { Ok(inputs) }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), SourceError> {
    let told = |error| SourceError::Io { path: folder.display().to_string(), error };
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let entry = entry.map_err(told)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let kind = std::fs::metadata(&path).map_err(told)?;
        if hidden {
            // A configuration volume of a cluster keeps its older generations in hidden folders.
            continue;
        } else if kind.is_dir() && depth < 16 {
            walk(&path, files, depth + 1)?;
        } else if kind.is_file() && is_manifest(&path) {
            files.push(path);
            if files.len() > MOST_FILES {
                return Err(SourceError::TooMany(folder.display().to_string()));
            }
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().and_then(|end| end.to_str()).is_some_and(|end| matches!(end, "yaml" | "yml" | "json" | "sh"))
}

fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, SourceError> {
    let told = |error| SourceError::Io { path: path.display().to_string(), error };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(told)?.take(most + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > most {
        return Err(SourceError::TooLarge(path.display().to_string()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Source, SourceError};

    #[test]
    fn a_folder_is_read_in_order_and_hidden_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", ".hidden.yaml", "notes.md", "c.json"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("deeper")).unwrap();
        std::fs::write(folder.path().join("deeper/z.yaml"), "z").unwrap();
        let inputs = Source::Path(folder.path().to_owned()).read().unwrap();
        let names: Vec<_> = inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.json", "deeper/z.yaml"]);
    }

    #[test]
    fn nothing_to_read_is_an_error_that_teaches() {
        let folder = tempfile::tempdir().unwrap();
        let error = Source::Path(folder.path().to_owned()).read().unwrap_err();
        assert!(matches!(error, SourceError::Empty(_)));
        let missing = Source::parse("/nowhere/at/all").read().unwrap_err();
        assert!(missing.to_string().contains("/nowhere/at/all"));
    }
}
