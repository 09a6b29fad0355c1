//! The rule files in force, and what they become together with the rules of a policy.

use crate::ringwall::waf_policy::Files;
use ringwall_waf::{Bundle, Collections, LoadError, Waf};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Name of the file of a policy's own rules that come first; in errors.
pub(super) const BEFORE: &str = "secLang.before";
/// Name of the file of those that come last.
pub(super) const AFTER: &str = "secLang.after";

/// So many members of all persistent collections are kept; what expires first makes room.
const MEMBERS: usize = 100_000;

/// The rule files in force, compiled. Outlives Worlds, so that a policy that does not change is not compiled again.
#[derive(Debug)]
pub struct RuleSet {
    /// Compiled, without the rules of any policy.
    pub waf: Arc<Waf>,
    /// What it is, for the first screen: `OWASP_CRS/4.28.0, 695 rules`.
    pub title: Arc<str>,
    /// What rules keep beyond one call (`initcol`).
    pub(super) collections: Arc<Collections>,
    bundle: Bundle,
    roots: Vec<String>,
    /// Compiled together with the rules of policies, as long as a World holds them.
    made: Mutex<BTreeMap<[Files; 2], Weak<Waf>>>,
}

impl RuleSet {
    /// Compiles the files named `roots`, in order, and all that they include.
    ///
    /// # Errors
    /// Every error of the files.
    pub fn load(
        bundle: Bundle,
        roots: Vec<String>,
        title: impl FnOnce(&Waf) -> String,
    ) -> Result<Self, Vec<LoadError>> {
        let names: Vec<&str> = roots.iter().map(String::as_str).collect();
        let waf = Waf::load(&bundle, &names)?;
        waf.warm();
        let title = title(&waf).into();
        let collections = Arc::new(Collections::new(MEMBERS));
        Ok(Self { waf, title, collections, bundle, roots, made: Mutex::default() })
    }

    /// The set with rules that a policy makes and rules that it writes out.
    ///
    /// # Errors
    /// Every error; those of the policy's own rules are in the files [`BEFORE`] and [`AFTER`].
    pub(super) fn with(&self, made: &Files, own: &Files) -> Result<Arc<Waf>, Vec<LoadError>> {
        if *made == Files::default() && *own == Files::default() {
            return Ok(Arc::clone(&self.waf));
        }
        let mut held = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, waf| waf.strong_count() > 0);
        let key = [made.clone(), own.clone()];
        if let Some(waf) = held.get(&key).and_then(Weak::upgrade) {
            return Ok(waf);
        }
        let waf = self.compile(made, own)?;
        held.insert(key, Arc::downgrade(&waf));
        Ok(waf)
    }

    fn compile(&self, made: &Files, own: &Files) -> Result<Arc<Waf>, Vec<LoadError>> {
        let mut bundle = self.bundle.clone();
        let mut add = |name: &'static str, text: &Option<Box<str>>| {
            let text = text.as_ref()?;
            bundle.add(name, text.as_bytes());
            Some(name)
        };
        let before = [add("policy.before", &made.before), add(BEFORE, &own.before)];
        let after = [add("policy.after", &made.after), add(AFTER, &own.after)];
        // After the set-up, which may choose what rules do by default, and before the first rule.
        let first = self.roots.iter().position(|root| root.starts_with("rules/")).unwrap_or(0);
        let (setup, rules) = self.roots.split_at_checked(first).unwrap_or_default();
        let roots: Vec<&str> = setup
            .iter()
            .map(String::as_str)
            .chain(before.into_iter().flatten())
            .chain(rules.iter().map(String::as_str))
            .chain(after.into_iter().flatten())
            .collect();
        let waf = Waf::load(&bundle, &roots)?;
        waf.warm();
        Ok(waf)
    }
}
