//! Which WAF rules are in force, and where they come from: a folder that the setting `crs` names (laid out as the OWASP
//! Core Rule Set is released), else a small file of our own, which claims nothing of that set.
//!
//! In: a path. Out: a compiled rule set and its title. Never: a copy of foreign rules.

use ringwall_waf::{Bundle, Waf};
use std::path::Path;
use std::sync::Arc;

/// Rules of our own.
const BASIC: &str = include_str!("basic.conf");
/// Goes before a released set, whose files leave the engine's switches to their users.
const SWITCHES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess Off\n";
/// The most bytes of one rule file.
const MOST: u64 = 16 << 20;

/// A rule set with its title for people.
#[derive(Clone)]
pub struct Rules {
    /// Compiled.
    pub waf: Arc<Waf>,
    /// `OWASP_CRS/4.28.0, 695 rules`.
    pub title: String,
}

/// Loads the rules of a folder, or our own when the path is empty.
///
/// # Errors
/// Every error of the files, with file, line and column.
pub fn load(folder: &str) -> Result<Rules, String> {
    let mut bundle = Bundle::default();
    let roots = if folder.is_empty() {
        bundle.add("basic.conf", BASIC);
        vec!["basic.conf".to_owned()]
    } else {
        released(Path::new(folder), &mut bundle)?
    };
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let loaded = Waf::load(&bundle, &roots);
    let waf = loaded.map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect::<String>())?;
    waf.warm();
    let signature = waf.signatures().join(", ");
    let title = if folder.is_empty() {
        format!(
            "{} rules of our own; not the OWASP Core Rule Set: name its folder with `--set crs=DIR`",
            waf.counts().rules
        )
    } else {
        format!("{signature}, {} rules", waf.counts().rules)
    };
    Ok(Rules { waf, title })
}

/// `crs-setup.conf` or its example, then `rules/*.conf` in order, with the phrase files beside them.
fn released(folder: &Path, bundle: &mut Bundle) -> Result<Vec<String>, String> {
    let told = |path: &Path, error: std::io::Error| format!("cannot read `{}`: {error}\n", path.display());
    let mut roots = vec!["switches.conf".to_owned()];
    bundle.add("switches.conf", SWITCHES);
    let setup =
        ["crs-setup.conf", "crs-setup.conf.example"].iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let setup = setup.ok_or_else(|| format!("`{}` holds no crs-setup.conf\n", folder.display()))?;
    bundle.add("crs-setup.conf", read(&setup).map_err(|error| told(&setup, error))?);
    roots.push("crs-setup.conf".into());
    let rules = folder.join("rules");
    let listed = std::fs::read_dir(&rules).map_err(|error| told(&rules, error))?;
    let mut files: Vec<_> = listed.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    for path in files {
        let name = format!("rules/{}", path.file_name().unwrap_or_default().to_string_lossy());
        bundle.add(name.clone(), read(&path).map_err(|error| told(&path, error))?);
        if name.ends_with(".conf") {
            roots.push(name);
        }
    }
    Ok(roots)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::load;

    #[test]
    fn our_own_rules_load_and_a_wrong_folder_is_told() {
        let rules = load("").unwrap_or_else(|error| panic!("{error}"));
        assert!(rules.title.contains("not the OWASP Core Rule Set"));
        let folder = tempfile::tempdir().unwrap();
        assert!(load(&folder.path().display().to_string()).is_err_and(|error| error.contains("crs-setup.conf")));
    }
}
