//! `ringwall config`: every process setting with its value and where it came from.

use crate::cli::{Everywhere, Format};
use crate::exit::Exit;
use ringwall_control::settings::{Settings, Takes};
use serde_json::json;
use std::path::PathBuf;

/// Reads the settings that a command line, its environment and its file give.
///
/// # Errors
/// An [`Exit`] that names the setting and its place.
pub fn read(common: &Everywhere) -> Result<Settings, Exit> {
    let text = match &common.settings {
        Some(path) => {
            let read = std::fs::read_to_string(path);
            Some(read.map_err(|error| Exit::input(format!("cannot read `{}`: {error}", path.display())))?)
        }
        None => None,
    };
    let file = common.settings.clone().zip(text.as_deref());
    let settings = Settings::read(file, std::env::vars(), &common.set).map_err(Exit::input)?;
    match &common.crs {
        Some(folder) => settings.with("crs", &folder.display().to_string()).map_err(Exit::input),
        None => Ok(settings),
    }
}

/// The cache folder of the user; `None` when there is no home.
pub fn cache_dir() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    cache.or_else(home).map(|cache| cache.join("ringwall"))
}

/// The state folder: the flag, else the setting, else the place for state of the user.
pub fn state_dir(common: &Everywhere, settings: &Settings) -> PathBuf {
    if let Some(path) = &common.state_dir {
        return path.clone();
    }
    match settings.text("state_dir") {
        "" => {
            let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
            let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            state.or_else(home).unwrap_or_else(std::env::temp_dir).join("ringwall")
        }
        set => PathBuf::from(set),
    }
}

/// Prints them.
pub fn show(common: &Everywhere, settings: &Settings) -> Exit {
    if common.format == Format::Human {
        println!("{:<18} {:<12} {:<24} WHAT IT DOES", "SETTING", "VALUE", "FROM");
        for (one, value, origin) in settings.all() {
            let restart = if one.takes == Takes::Restart { " (restart)" } else { "" };
            println!("{:<18} {:<12} {:<24} {}{restart}", one.name, value, origin.to_string(), one.says);
        }
    } else {
        let all: Vec<_> = settings
            .all()
            .map(|(one, value, origin)| {
                json!({ "name": one.name, "value": value, "from": origin.to_string(), "default": one.default,
                    "form": one.form.to_string(), "says": one.says, "restart": one.takes == Takes::Restart })
            })
            .collect();
        println!("{:#}", json!(all));
    }
    Exit::HELD
}
