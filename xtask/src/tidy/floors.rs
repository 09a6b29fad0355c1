//! Floors: a room depends only on rooms of lower floors, and a pure room says that it is pure.

use std::path::Path;

/// All rooms with their floors. What is not shipped stands above everything.
const FLOORS: &[(&str, u8)] = &[
    ("model", 0),
    ("head", 1),
    ("token", 1),
    ("packet", 2),
    ("shield", 2),
    ("waf", 2),
    ("gateway", 2),
    ("mesh", 2),
    ("pki", 2),
    ("watch", 2),
    ("manifest", 3),
    ("wall", 4),
    ("dataplane", 5),
    ("control", 5),
    ("kernel", 5),
    ("telemetry", 5),
    ("console", 5),
    ("audit", 5),
    ("ringwall", 6),
];

/// Not shipped: used by tests of every room, and uses none.
const TESTKIT: &str = "testkit";
/// Below this floor a room is pure. `audit` is pure as well.
const PURE_BELOW: u8 = 5;

/// Edges that climb, rooms without a floor, pure rooms that do not say so.
pub fn problems(root: &Path) -> Vec<String> {
    let mut rooms: Vec<String> = std::fs::read_dir(root.join("crates"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    rooms.sort();
    let mut problems = Vec::new();
    for room in rooms.iter().filter(|room| *room != TESTKIT) {
        let folder = root.join("crates").join(room);
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let Some(own) = floor(room) else {
            problems.push(format!("crates/{room} has no floor in xtask/src/tidy/floors.rs"));
            continue;
        };
        problems.extend(climbs(room, own, &manifest));
        if own < PURE_BELOW {
            problems.extend(impure(room, &folder));
        }
    }
    problems
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Dependencies of this manifest on rooms that are not lower.
fn climbs(room: &str, own: u8, manifest: &str) -> Vec<String> {
    let used = |line: &str| {
        let name = line.strip_prefix("ringwall-")?;
        let name = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()?;
        Some(name.to_owned())
    };
    let others = manifest.lines().filter_map(used).filter(|other| other != TESTKIT);
    others
        .filter(|other| floor(other).is_none_or(|floor| floor >= own))
        .map(|other| format!("crates/{room} (floor {own}) depends on `{other}`, which is not on a lower floor"))
        .collect()
}

fn impure(room: &str, folder: &Path) -> Vec<String> {
    let holds =
        |file: &str, word: &str| std::fs::read_to_string(folder.join(file)).is_ok_and(|text| text.contains(word));
    let mut problems = Vec::new();
    for word in ["std::time::SystemTime::now", "std::time::Instant::now", "std::thread::spawn", "std::net::TcpStream"] {
        if !holds("clippy.toml", word) {
            problems.push(format!("crates/{room} is pure, and its clippy.toml does not ban {word}"));
        }
    }
    for word in ["clippy::unwrap_used", "clippy::indexing_slicing", "clippy::panic"] {
        if !holds("src/lib.rs", word) {
            problems.push(format!("crates/{room} is pure, and its lib.rs does not deny {word}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::climbs;

    #[test]
    fn an_edge_that_climbs_is_found() {
        let manifest =
            "[dependencies]\nringwall-model.workspace = true\nringwall-waf = { path = \"../waf\" }\nbytes = \"1\"\n";
        assert_eq!(climbs("mesh", 2, manifest).len(), 1);
        assert!(climbs("manifest", 3, manifest).is_empty());
        assert_eq!(climbs("head", 1, "ringwall-nowhere.workspace = true").len(), 1);
    }
}
