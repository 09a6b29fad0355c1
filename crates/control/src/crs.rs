//! Where the OWASP Core Rule Set comes from, in the order of `docs/operate/crs.md`: a folder that somebody named, a folder
//! of our own in the state folder, Debian's package as installed on this machine, the same package unpacked into the cache.
//!
//! In: places. Out: a folder, and its rule files as a [`Bundle`]. Never: an installation; a rule file that is ours.

mod package;
mod release;

pub use package::download;
pub use release::{fetch, keep};

use ringwall_waf::Bundle;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of one rule file.
const MOST: u64 = 16 << 20;
/// The most files of one folder.
const MOST_FILES: usize = 4096;
/// Where Debian's package has its rules and its set-up, from the root.
const DEBIAN_RULES: &str = "usr/share/modsecurity-crs/rules";
const DEBIAN_SETUP: &str = "etc/modsecurity/crs";

/// Where a rule set was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody named it.
    Named,
    /// In the state folder.
    Own,
    /// Debian's package, installed.
    Installed,
    /// Debian's package, unpacked into the cache.
    Package,
}

impl Origin {
    /// In a few words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Named => "named by the setting crs",
            Self::Own => "own folder",
            Self::Installed => "Debian's package, installed",
            Self::Package => "Debian's package, unpacked into the cache",
        }
    }
}

/// Where rule sets may lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// Our own folder.
    pub own: PathBuf,
    /// The cache; `None` when there is no home to keep one in.
    pub cache: Option<PathBuf>,
    /// The root of the file system.
    pub root: PathBuf,
}

/// A rule set on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which kind of place.
    pub origin: Origin,
    /// Its folder, for [`read`].
    pub folder: PathBuf,
}

impl Places {
    /// The places in their order, whether or not there is anything.
    pub fn all(&self) -> Vec<Found> {
        let cached = self.cache.as_deref().map(package::folder);
        [(Origin::Own, Some(self.own.clone())), (Origin::Installed, Some(self.root.clone())), (Origin::Package, cached)]
            .into_iter()
            .filter_map(|(origin, folder)| Some(Found { origin, folder: folder? }))
            .collect()
    }

    /// The first place that holds a rule set.
    pub fn find(&self) -> Option<Found> {
        self.all().into_iter().find(|found| holds(&found.folder))
    }
}

/// Whether a folder holds a rule set, in either layout.
pub fn holds(folder: &Path) -> bool {
    folder.join("rules").is_dir() && setup(folder).is_some() || folder.join(DEBIAN_RULES).is_dir()
}

fn setup(folder: &Path) -> Option<PathBuf> {
    ["crs-setup.conf", "crs-setup.conf.example"].iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads the rule files of a folder: laid out as the Core Rule Set is released, or as Debian's package is from its root.
///
/// # Errors
/// A sentence that names the file or folder.
pub fn read(folder: &Path) -> Result<Bundle, String> {
    let mut bundle = Bundle::default();
    if let Some(setup) = setup(folder) {
        let name = setup.file_name().unwrap_or_default().to_string_lossy().into_owned();
        bundle.add(name, file(&setup)?);
        add(&mut bundle, &folder.join("rules"), "rules")?;
        if folder.join("plugins").is_dir() {
            add(&mut bundle, &folder.join("plugins"), "plugins")?;
        }
    } else if folder.join(DEBIAN_RULES).is_dir() {
        add(&mut bundle, &folder.join(DEBIAN_RULES), "rules")?;
        // Exclusions before and after the rules stand beside the set-up; their names put them in their places.
        add(&mut bundle, &folder.join(DEBIAN_SETUP), "rules")?;
        let setup = bundle.file("rules/crs-setup.conf").map(<[u8]>::to_vec);
        bundle.add("crs-setup.conf", setup.ok_or_else(|| missing(&folder.join(DEBIAN_SETUP)))?);
        bundle.remove("rules/crs-setup.conf");
    }
    bundle.released().map_err(|why| format!("`{}` holds no rule set: {why}", folder.display()))?;
    Ok(bundle)
}

fn missing(folder: &Path) -> String {
    format!("`{}` holds no crs-setup.conf", folder.display())
}

/// Adds the rule files and phrase files of a folder.
fn add(bundle: &mut Bundle, folder: &Path, name: &str) -> Result<(), String> {
    let listed = std::fs::read_dir(folder).map_err(|error| told(folder, &error))?;
    for entry in listed.flatten().take(MOST_FILES) {
        let path = entry.path();
        let is_ours = path.extension().is_some_and(|end| end == "conf" || end == "data");
        if is_ours && path.is_file() {
            bundle.add(format!("{name}/{}", entry.file_name().to_string_lossy()), file(&path)?);
        }
    }
    Ok(())
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    opened.map_err(|error| told(path, &error))?;
    if bytes.len() as u64 > MOST {
        return Err(format!("`{}` is longer than {MOST} bytes", path.display()));
    }
    Ok(bytes)
}

fn told(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read `{}`: {error}", path.display())
}

#[cfg(test)]
mod tests;
