//! Process settings: one definition each, from which parsing, documentation and `ringwall config` come.
//!
//! In: default, file, environment, flag; a later one overrides an earlier one. Out: values with where they came from.
//! Never: policy (that is in the manifests).

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a value came from; later ones override earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    Default,
    /// `key = value` in the settings file, at that line.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// `--set key=value`.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File(path, line) => write!(out, "{}:{line}", path.display()),
            Self::Environment(name) => write!(out, "${name}"),
            Self::Flag => out.write_str("--set"),
        }
    }
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// At the next reload.
    Reload,
    /// At the next start.
    Restart,
}

/// One setting's definition.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Name: in the file and after `--set`; in the environment `RINGWALL_` and the name in upper case.
    pub name: &'static str,
    /// What it does, with its unit.
    pub says: &'static str,
    /// Its value when nobody sets it.
    pub default: &'static str,
    /// What a value looks like.
    pub form: Form,
    /// When a change takes effect.
    pub takes: Takes,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole number between the two, both included.
    Number(u64, u64),
    /// Milliseconds between the two, written `250ms`, `10s`, `5m`, `1h`.
    Duration(u64, u64),
    /// A path.
    Path,
    /// Words with commas between them.
    List,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// All settings, sorted by name.
pub const SETTINGS: &[Definition] = &[
    define("access_log", "where access log lines go", "off", Form::Word(&["off", "stdout", "file"]), Takes::Restart),
    define(
        "block_links",
        "links of this machine, such as `eth0,eth1`, where the kernel drops what is blocked before its stack; empty: none",
        "",
        Form::List,
        Takes::Restart,
    ),
    define(
        "crs",
        "folder of the OWASP Core Rule Set; `none` for a few rules of our own; empty looks for one (`ringwall crs where`)",
        "",
        Form::Path,
        Takes::Restart,
    ),
    define("drain_timeout", "how long open requests may finish after SIGTERM", "10s", DURATION, Takes::Restart),
    define(
        "established_flows",
        "flows that a change of network policies forbids and that are under way (`up --isolate`): `keep` or `cut` (strict)",
        "keep",
        Form::Word(&["keep", "cut"]),
        Takes::Restart,
    ),
    define("facts_cooldown", "least time between two fetches of one key set", "10s", DURATION, Takes::Restart),
    define(
        "facts_lifetime",
        "how long a fetched key set is used before it is fetched again",
        "5m",
        DURATION,
        Takes::Restart,
    ),
    define("metrics", "whether calls are counted for `/metrics`", "on", Form::Word(&["on", "off"]), Takes::Restart),
    define(
        "name_keep",
        "how long an address of a name that `domainNames` allow is good at least (`up --isolate`); programs keep it half as long",
        "60s",
        DURATION,
        Takes::Restart,
    ),
    define(
        "name_server",
        "who is asked for names that `domainNames` allow (`up --isolate`), `address:port`; empty: as in /etc/resolv.conf",
        "",
        Form::Path,
        Takes::Restart,
    ),
    define(
        "never_block",
        "addresses and CIDRs that no block reaches at `block_links`, such as balancers; own addresses are always among them",
        "",
        Form::List,
        Takes::Restart,
    ),
    define(
        "source_packets",
        "packets a second that one source may send by `block_links`; 0: any number",
        "0",
        Form::Number(0, 1_000_000_000),
        Takes::Restart,
    ),
    define("state_dir", "folder of keys, blocks, history and traces", "", Form::Path, Takes::Restart),
    define("svid_lifetime", "lifetime of a workload certificate", "24h", DURATION, Takes::Restart),
    define(
        "trace_records",
        "how many refused calls `explain ID` can find",
        "4096",
        Form::Number(16, 1_000_000),
        Takes::Restart,
    ),
    define("workers", "data plane threads; 0 is one a core", "0", Form::Number(0, 256), Takes::Restart),
    define("xdp", "whether drivers of `block_links` drop, too", "auto", Form::Word(&["auto", "off"]), Takes::Restart),
];

const DURATION: Form = Form::Duration(1, 31_536_000_000);

const fn define(name: &'static str, says: &'static str, default: &'static str, form: Form, takes: Takes) -> Definition {
    Definition { name, says, default, form, takes }
}

/// Values of all settings, each with its origin.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
}

/// What is wrong with a setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// There is none of that name.
    #[error("{origin}: there is no setting `{name}`; `ringwall config` lists them")]
    Unknown {
        /// The name.
        name: String,
        /// Where it was set.
        origin: Origin,
    },
    /// The value is not of the setting's form.
    #[error("{origin}: `{value}` is no value for `{name}`: {wants}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        wants: String,
        /// Where it was set.
        origin: Origin,
    },
    /// A line of the file is not `key = value`.
    #[error("{0}: not `key = value`")]
    Line(Origin),
}

impl Settings {
    /// Reads the layers: defaults, the file's text, the environment, the flags.
    ///
    /// # Errors
    /// The first [`BadSetting`], with its place.
    pub fn read(
        file: Option<(PathBuf, &str)>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, BadSetting> {
        let defaults = SETTINGS.iter().map(|one| (one.name, (one.default.to_owned(), Origin::Default)));
        let mut settings = Self { values: defaults.collect() };
        if let Some((path, text)) = file {
            for (number, line) in text.lines().enumerate() {
                let line = line.split('#').next().unwrap_or_default().trim();
                let origin = Origin::File(path.clone(), number + 1);
                if !line.is_empty() {
                    let (name, value) = line.split_once('=').ok_or_else(|| BadSetting::Line(origin.clone()))?;
                    settings.set(name.trim(), value.trim(), origin)?;
                }
            }
        }
        let mut named: Vec<_> = environment.collect();
        named.sort();
        for (variable, value) in named {
            let name = variable.strip_prefix("RINGWALL_").map(str::to_ascii_lowercase);
            // Other tools of the project read variables of that prefix too; only settings' names are ours here.
            if let Some(name) = name.filter(|name| SETTINGS.iter().any(|one| one.name == name)) {
                settings.set(&name, &value, Origin::Environment(variable))?;
            }
        }
        for flag in flags {
            let (name, value) = flag.split_once('=').ok_or(BadSetting::Line(Origin::Flag))?;
            settings.set(name.trim(), value.trim(), Origin::Flag)?;
        }
        Ok(settings)
    }

    /// The same settings with one more, as if by a flag.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, BadSetting> {
        self.set(name, value, Origin::Flag)?;
        Ok(self)
    }

    fn set(&mut self, name: &str, value: &str, origin: Origin) -> Result<(), BadSetting> {
        let definition = SETTINGS.iter().find(|one| one.name == name);
        let definition = definition.ok_or_else(|| BadSetting::Unknown { name: name.into(), origin: origin.clone() })?;
        if let Err(wants) = definition.form.check(value) {
            return Err(BadSetting::Value { name: definition.name, value: value.into(), wants, origin });
        }
        self.values.insert(definition.name, (value.into(), origin));
        Ok(())
    }

    /// The text of a setting.
    pub fn text(&self, name: &'static str) -> &str {
        self.values.get(name).map_or("", |(value, _)| value)
    }

    /// A number or a duration in milliseconds; its form was checked when it was read.
    pub fn number(&self, name: &'static str) -> u64 {
        let text = self.text(name);
        text.parse().ok().or_else(|| milliseconds(text)).unwrap_or_default()
    }

    /// Every setting with its value and origin, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = (&'static Definition, &str, &Origin)> {
        SETTINGS.iter().filter_map(|one| {
            let (value, origin) = self.values.get(one.name)?;
            Some((one, value.as_str(), origin))
        })
    }
}

impl Form {
    fn check(self, value: &str) -> Result<(), String> {
        let right = match self {
            Self::Number(least, most) => value.parse().is_ok_and(|number: u64| (least..=most).contains(&number)),
            Self::Duration(least, most) => milliseconds(value).is_some_and(|span| (least..=most).contains(&span)),
            Self::Path => !value.is_empty(),
            Self::List => !value.contains(char::is_whitespace),
            Self::Word(words) => words.contains(&value),
        };
        if right { Ok(()) } else { Err(self.to_string()) }
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(least, most) => write!(out, "a whole number from {least} to {most}"),
            Self::Duration(..) => out.write_str("a span of time such as `250ms`, `10s`, `5m` or `1h`"),
            Self::Path => out.write_str("a path"),
            Self::List => out.write_str("words with commas and no spaces between them"),
            Self::Word(words) => write!(out, "one of {}", words.join(", ")),
        }
    }
}

/// Milliseconds of `250ms`, `10s`, `5m`, `1h`, `7d`.
pub fn milliseconds(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::{BadSetting, Origin, SETTINGS, Settings};
    use std::path::PathBuf;

    #[test]
    fn a_later_layer_overrides_and_is_named() {
        let file = (PathBuf::from("r.conf"), "# first\nworkers = 3\ndrain_timeout=2s # short\n");
        let environment = [("RINGWALL_WORKERS".to_owned(), "4".to_owned()), ("RINGWALL_CORPUS".into(), "x".into())];
        let settings = Settings::read(Some(file), environment.into_iter(), &["svid_lifetime=1h".into()]).unwrap();
        assert_eq!(settings.number("workers"), 4);
        assert_eq!(settings.number("drain_timeout"), 2000);
        assert_eq!(settings.number("svid_lifetime"), 3_600_000);
        let origin = |name| settings.all().find(|(one, ..)| one.name == name).unwrap().2.to_string();
        assert_eq!(origin("workers"), "$RINGWALL_WORKERS");
        assert_eq!(origin("drain_timeout"), "r.conf:3");
        assert_eq!(origin("svid_lifetime"), "--set");
        assert_eq!(origin("access_log"), "default");
    }

    #[test]
    fn bad_settings_have_a_place() {
        let none = || std::iter::empty();
        let bad = Settings::read(Some((PathBuf::from("f"), "wrokers = 1")), none(), &[]).unwrap_err();
        assert_eq!(bad, BadSetting::Unknown { name: "wrokers".into(), origin: Origin::File("f".into(), 1) });
        let bad = Settings::read(None, none(), &["workers=many".into()]).unwrap_err();
        assert_eq!(bad.to_string(), "--set: `many` is no value for `workers`: a whole number from 0 to 256");
    }

    #[test]
    fn definitions_are_sorted_and_their_defaults_fit() {
        assert!(SETTINGS.is_sorted_by_key(|one| one.name));
        for one in SETTINGS.iter().filter(|one| !one.default.is_empty()) {
            assert_eq!(one.form.check(one.default), Ok(()), "{}", one.name);
        }
    }
}
