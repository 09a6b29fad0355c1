//! `crs list` and `crs show`.

use crate::cli::{Format, ListRules};
use crate::exit::Exit;
use crate::platform::rules;
use ringwall_waf::{Bundle, Listed, Shown, Waf};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;

const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// Prints the rules of a folder that a filter lets through.
pub fn list(folder: &str, filter: &ListRules, format: Format) -> Exit {
    let severity = match filter.severity.as_deref().map(severity) {
        Some(None) => return Exit::usage(format!("a severity is 0 to 7 or one of {}", SEVERITIES.join(", "))),
        Some(level) => level,
        None => None,
    };
    let (_, waf) = match load(folder) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let has = |one: &Listed, word: &str| {
        let word = word.to_lowercase();
        let hit = |text: &str| text.to_lowercase().contains(&word);
        one.id.to_string().contains(&word) || hit(&one.message) || one.tags.iter().any(|tag| hit(tag))
    };
    let fits = |one: &Listed| {
        filter.phase.is_none_or(|phase| one.phase == phase)
            && filter.paranoia.is_none_or(|level| one.paranoia == Some(level))
            && severity.is_none_or(|level| one.severity == Some(level))
            && filter.tag.as_ref().is_none_or(|tag| one.tags.contains(tag))
            && filter.word.as_ref().is_none_or(|word| has(one, word))
    };
    let rules: Vec<Listed> = waf.listed().filter(fits).collect();
    // A pipe that is closed early, as `| head` does, is no failure.
    let mut out = std::io::stdout().lock();
    let _ = if format == Format::Human {
        table(&mut out, &rules, &waf)
    } else {
        writeln!(out, "{:#}", Value::Array(rules.iter().map(described).collect()))
    };
    Exit::HELD
}

fn table(out: &mut impl Write, rules: &[Listed], waf: &Waf) -> std::io::Result<()> {
    writeln!(out, "{:>8}  PHASE  PL  {:<9}  MESSAGE", "ID", "SEVERITY")?;
    for one in rules {
        let level = one.paranoia.map_or("-".into(), |level| level.to_string());
        writeln!(out, "{:>8}  {:<5}  {level:<2}  {:<9}  {}", one.id, one.phase, name(one.severity), one.message)?;
    }
    writeln!(out, "{} of {} rules of {}", rules.len(), waf.counts().rules, waf.signatures().join(", "))
}

/// Prints one rule of a folder.
pub fn show(folder: &str, id: u64, format: Format) -> Exit {
    let (bundle, waf) = match load(folder) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let Some(shown) = waf.shown(&bundle, id) else {
        return Exit::input(format!("there is no rule {id} in {}", waf.signatures().join(", ")));
    };
    if format == Format::Human {
        print(folder, &shown);
        return Exit::HELD;
    }
    let links: Vec<_> = shown
        .links
        .iter()
        .map(|link| {
            json!({ "targets": link.targets, "exclusions": link.exclusions, "transformations": link.transformations,
                "operator": link.operator })
        })
        .collect();
    let mut value = described(&shown.listed);
    if let Value::Object(fields) = &mut value {
        fields.insert("text".into(), shown.text.into());
        fields.insert("does".into(), shown.does.into());
        fields.insert("links".into(), links.into());
        fields.insert("left_out_by".into(), shown.left_out_by.into());
    }
    println!("{value:#}");
    Exit::HELD
}

fn print(folder: &str, shown: &Shown) {
    let one = &shown.listed;
    let folder = if rules::is_own(folder) { "" } else { folder };
    println!("{}{}{}:{}", folder, if folder.is_empty() { "" } else { "/" }, one.file, one.line);
    println!("{}", shown.text);
    let level = one.paranoia.map_or(String::new(), |level| format!(", paranoia level {level}"));
    println!("rule {}, phase {}, {}{level}, severity {}", one.id, one.phase, shown.does, name(one.severity));
    for (at, link) in shown.links.iter().enumerate() {
        println!("{}", if at == 0 { "matches when" } else { "and" });
        if !link.targets.is_empty() {
            println!("  looks at   {}", link.targets.join(" "));
        }
        if !link.exclusions.is_empty() {
            println!("  but not    {}", link.exclusions.join(" "));
        }
        if !link.transformations.is_empty() {
            println!("  made by    {}", link.transformations.join(", "));
        }
        println!("  question   {}", link.operator);
    }
    if !shown.left_out_by.is_empty() {
        let by: Vec<String> = shown.left_out_by.iter().map(u64::to_string).collect();
        println!("left out, or a target of it, while a transaction runs, by {}", by.join(", "));
    }
}

fn load(folder: &str) -> Result<(Bundle, Arc<Waf>), Exit> {
    let (bundle, roots) = rules::bundle(folder).map_err(Exit::input)?;
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    match Waf::load(&bundle, &roots) {
        Ok(waf) => Ok((bundle, waf)),
        Err(errors) => Err(Exit::input(errors.iter().map(|error| format!("{error}\n")).collect::<String>())),
    }
}

fn described(one: &Listed) -> Value {
    json!({ "id": one.id, "phase": one.phase, "paranoia": one.paranoia, "severity": one.severity.map(|_| name(one.severity)),
        "message": one.message, "tags": one.tags, "file": one.file, "line": one.line })
}

fn name(severity: Option<u8>) -> &'static str {
    severity.and_then(|level| SEVERITIES.get(usize::from(level)).copied()).unwrap_or("-")
}

fn severity(text: &str) -> Option<u8> {
    let named = SEVERITIES.iter().position(|name| name.eq_ignore_ascii_case(text));
    named.and_then(|at| u8::try_from(at).ok()).or_else(|| text.parse().ok().filter(|level| *level < 8))
}
