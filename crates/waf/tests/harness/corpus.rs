//! Where foreign truth lies, and how files become a bundle.

use ringwall_waf::Bundle;
use std::path::{Path, PathBuf};

/// The folder given, or `RINGWALL_CORPUS`, or the one beside the workspace.
pub fn folder(given: Option<&Path>) -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let named = || std::env::var_os("RINGWALL_CORPUS").map(PathBuf::from);
    given.map(Path::to_path_buf).or_else(named).unwrap_or_else(beside)
}

/// Reads a file; `None` when it is not there.
#[allow(
    clippy::disallowed_methods,
    reason = "tests and examples read files; the room does not; others share this file"
)]
pub fn bytes(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// All files under a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The rule files of a CRS folder (`crs-setup.conf` or its example, `rules/*.conf`, phrase files) and a file of our own.
pub fn crs(folder: &Path, own: &str) -> (Bundle, Vec<String>) {
    let mut bundle = Bundle::default();
    bundle.add("own.conf", own);
    let mut roots = vec!["own.conf".to_owned()];
    let setup = ["crs-setup.conf", "crs-setup.conf.example"].iter().find_map(|name| bytes(&folder.join(name)));
    if let Some(setup) = setup {
        bundle.add("crs-setup.conf", setup);
        roots.insert(0, "crs-setup.conf".to_owned());
    }
    for path in files(&folder.join("rules")) {
        let name = format!("rules/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let Some(content) = bytes(&path) else { continue };
        if name.ends_with(".conf") {
            roots.push(name.clone());
        }
        bundle.add(name, content);
    }
    (bundle, roots)
}
