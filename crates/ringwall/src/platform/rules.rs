//! Which WAF rules are in force: those of a folder (the OWASP Core Rule Set as it is released or as Debian packs it), else
//! a small file of our own, which claims nothing of that set. Where the folder comes from: `crate::crs`.
//!
//! In: a path. Out: a compiled rule set and its title. Never: a copy of foreign rules.

use ringwall_manifest::world::firewall::RuleSet;
use ringwall_waf::{Bundle, Waf};
use std::path::Path;
use std::sync::Arc;

/// Rules of our own.
const BASIC: &str = include_str!("basic.conf");
/// Goes before a released set, whose files leave the engine's switches to their users.
const SWITCHES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess Off\n";
/// The value of the setting `crs` that stands for our own rules.
pub const NONE: &str = "none";

/// A rule set, shared by all that arm a World with it.
pub type Rules = Arc<RuleSet>;

/// Loads the rules of a folder; our own for `none`, and when the path is empty.
///
/// # Errors
/// Every error of the files, with file, line and column.
pub fn load(folder: &str) -> Result<Rules, String> {
    let (bundle, roots) = bundle(folder)?;
    let title = |waf: &Waf| {
        let count = waf.counts().rules;
        if is_own(folder) {
            return format!(
                "{count} rules of our own; not the OWASP Core Rule Set (`ringwall crs where` says what was looked for)"
            );
        }
        format!("{}, {count} rules from {folder}", waf.signatures().join(", "))
    };
    let loaded = RuleSet::load(bundle, roots, title);
    let set = loaded.map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect::<String>())?;
    set.waf.warnings().iter().for_each(|warning| eprintln!("ringwall: {warning}"));
    Ok(Arc::new(set))
}

/// Whether that stands for our own rules.
pub fn is_own(folder: &str) -> bool {
    matches!(folder, "" | NONE)
}

/// The rule files of a folder, and which of them are loaded in which order; ours for `none` and an empty path.
///
/// # Errors
/// A sentence that names the folder or file.
pub fn bundle(folder: &str) -> Result<(Bundle, Vec<String>), String> {
    if is_own(folder) {
        let mut bundle = Bundle::default();
        bundle.add("basic.conf", BASIC);
        return Ok((bundle, vec!["basic.conf".to_owned()]));
    }
    let mut bundle = ringwall_control::crs::read(Path::new(folder))?;
    let mut roots = vec!["switches.conf".to_owned()];
    roots.extend(bundle.released()?);
    bundle.add("switches.conf", SWITCHES);
    Ok((bundle, roots))
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
        assert_eq!(load("none").unwrap_or_else(|error| panic!("{error}")).title, rules.title);
    }
}
