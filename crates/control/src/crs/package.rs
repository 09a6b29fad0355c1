//! Debian's package of the Core Rule Set: downloaded by the machine's own apt client, which checks the archive's signature
//! and the package's hash, and unpacked into the cache. Nothing is installed and no root is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "modsecurity-crs";
/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Where the unpacked package lies in a cache.
pub fn folder(cache: &Path) -> PathBuf {
    cache.join("crs-package")
}

/// Downloads and unpacks the package; an older one in the cache is replaced once the new one is whole.
///
/// # Errors
/// A sentence: no apt here, no network, or not within `patience`.
pub fn download(cache: &Path, patience: Duration) -> Result<PathBuf, String> {
    let deadline = Instant::now() + patience;
    let work = cache.join(format!(".package-{}", std::process::id()));
    let told = |error: std::io::Error| format!("`{}`: {error}", work.display());
    private(cache).and_then(|()| private(&work)).map_err(told)?;
    let unpacked = unpack(&work, deadline).and_then(|tree| place(&tree, &folder(cache)));
    // What is left is in the cache's own folder, and the next download makes it anew.
    let _ = fs::remove_dir_all(&work);
    unpacked
}

/// A folder that is ours alone.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn unpack(work: &Path, deadline: Instant) -> Result<PathBuf, String> {
    if let Err(first) = run(apt(&[]).args(["download", NAME]), work, deadline) {
        // The machine's lists of packages may be absent or old: lists for this once, beside the download.
        let lists = work.join("lists");
        fs::create_dir_all(lists.join("partial")).map_err(|error| error.to_string())?;
        fs::create_dir_all(work.join("cache/archives/partial")).map_err(|error| error.to_string())?;
        let own = [format!("Dir::State::Lists={}", lists.display()), format!("Dir::Cache={}/cache", work.display())];
        run(apt(&own).arg("update"), work, deadline).map_err(|_| first.clone())?;
        run(apt(&own).args(["download", NAME]), work, deadline).map_err(|_| first)?;
    }
    let listed = fs::read_dir(work).map_err(|error| error.to_string())?;
    let package =
        listed.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.ok_or("apt-get downloaded no package")?;
    let tree = work.join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&tree), work, deadline)?;
    if super::holds(&tree) { Ok(tree) } else { Err(format!("{NAME} holds no rule set where Debian's has it")) }
}

/// The apt client, asking nothing and not waiting long for a server.
fn apt(own: &[String]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet");
    let bounds = ["Acquire::Retries=0", "Acquire::http::Timeout=8", "Acquire::https::Timeout=8"];
    for option in bounds.into_iter().chain(own.iter().map(String::as_str)) {
        command.args(["-o", option]);
    }
    command
}

/// Runs a program in a folder until the deadline; the error is the last line it said.
fn run(command: &mut Command, work: &Path, deadline: Instant) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let log = work.join("log");
    let said = fs::File::create(&log).map_err(|error| error.to_string())?;
    command.current_dir(work).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let last = text.lines().rev().find(|line| line.starts_with("E:")).or(text.lines().next_back());
                return Err(format!("{name}: {}", last.unwrap_or("it failed").trim()));
            }
            None if Instant::now() > deadline => {
                // It ends with its own children once their pipe is closed.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name}: no answer in time"));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// Moves a whole tree into its place.
fn place(tree: &Path, target: &Path) -> Result<PathBuf, String> {
    let told = |error: std::io::Error| format!("`{}`: {error}", target.display());
    if target.exists() {
        fs::remove_dir_all(target).map_err(told)?;
    }
    match fs::rename(tree, target) {
        // Another process was faster, with the same package.
        Err(_) if super::holds(target) => Ok(target.to_path_buf()),
        outcome => outcome.map(|()| target.to_path_buf()).map_err(told),
    }
}
