//! An official release of the Core Rule Set: fetched over https, taken only with the SHA-256 that the caller pins.

use crate::fetch::{FetchError, Fetcher, Resolve};
use ringwall_model::Millis;
use ringwall_waf::Bundle;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The system's resolver.
struct System;

impl Resolve for System {
    fn resolve(&self, _: &str, _: u16) -> Option<SocketAddr> {
        None
    }
}

/// Fetches a release archive and reads it.
///
/// # Errors
/// A sentence: not had, not the pinned file, or no release.
pub async fn fetch(address: &str, sha256: &[u8; 32], patience: Millis) -> Result<Bundle, String> {
    let fetcher = Fetcher::new(Arc::new(System));
    let archive = fetcher.pinned(address, sha256, patience).await;
    let archive = archive.map_err(|error: FetchError| format!("{address}: {error}"))?;
    Bundle::from_archive(&archive).map_err(|error| format!("{address}: {error}"))
}

/// Keeps a rule set as the own folder. What stood there is moved to the same name with `.old`, taking that one's place.
///
/// # Errors
/// A sentence that names the file; what stood there before stays then.
pub fn keep(bundle: &Bundle, own: &Path) -> Result<(), String> {
    let beside =
        |end: &str| own.with_file_name(format!("{}{end}", own.file_name().unwrap_or_default().to_string_lossy()));
    let (new, old) = (beside(&format!(".new-{}", std::process::id())), beside(".old"));
    let told = |path: &Path, error: std::io::Error| format!("`{}`: {error}", path.display());
    for path in bundle.paths() {
        let file = new.join(path);
        let folder = file.parent().unwrap_or(&new);
        fs::create_dir_all(folder).map_err(|error| told(folder, error))?;
        fs::write(&file, bundle.file(path).unwrap_or_default()).map_err(|error| told(&file, error))?;
    }
    if own.exists() {
        if old.exists() {
            fs::remove_dir_all(&old).map_err(|error| told(&old, error))?;
        }
        fs::rename(own, &old).map_err(|error| told(own, error))?;
    }
    fs::rename(&new, own).map_err(|error| told(own, error))
}
