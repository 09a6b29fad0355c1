//! The data zone's real servers: PostgreSQL and Redis, where they are installed. Each listens on a loopback address of
//! its own, keeps its files in a folder of this run, and ends with it.
//!
//! In: programs found on this machine; nothing is installed. Out: the manifests with the addresses where they listen
//! (`ringwall.dev/app`). Where one is missing or does not start, a byte echo stands there, as for RabbitMQ.

use ringwall_control::source::Input;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where Debian keeps PostgreSQL's programs.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// The running servers; dropping it ends them and removes their files.
#[derive(Debug, Default)]
pub struct Stores {
    running: Vec<Store>,
    folder: Option<PathBuf>,
}

#[derive(Debug)]
struct Store {
    app: &'static str,
    address: IpAddr,
    process: Child,
}

impl Stores {
    /// Starts what is installed.
    pub fn start() -> Self {
        let mut stores = Self::default();
        let Ok(random) = getrandom::u64() else { return stores };
        let folder = std::env::temp_dir().join(format!("ringwall-stores-{random:016x}"));
        if std::fs::DirBuilder::new().mode(0o711).create(&folder).is_err() {
            return stores;
        }
        stores.folder = Some(folder.clone());
        let [a, b, ..] = random.to_be_bytes();
        let address = |last: u8| Ipv4Addr::new(127, (a % 200) + 20, b, last);
        let redis = redis(&folder, address(30)).map(|process| ("redis", 6379, address(30), process));
        let postgresql = postgresql(&folder, address(10)).map(|process| ("postgresql", 5432, address(10), process));
        for (app, port, address, mut process) in [redis, postgresql].into_iter().flatten() {
            if answers(SocketAddr::new(address.into(), port), &mut process) {
                stores.running.push(Store { app, address: address.into(), process });
            } else {
                end(&mut process);
            }
        }
        stores
    }

    /// Whether the real server of that name runs.
    pub fn runs(&self, app: &str) -> bool {
        self.running.iter().any(|store| store.app == app)
    }

    /// The manifests with each server's address at its Pod.
    pub fn declare(&self, inputs: Vec<Input>) -> Vec<Input> {
        let mut inputs = inputs;
        for store in &self.running {
            let pod = format!("kind: Pod\nmetadata:\n  name: {}\n  namespace: data\n", store.app);
            let with = format!("{pod}  annotations:\n    ringwall.dev/app: {}\n", store.address);
            for input in &mut inputs {
                let text = String::from_utf8_lossy(&input.bytes).into_owned();
                input.bytes = text.replace(&pod, &with).into_bytes();
            }
        }
        inputs
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let stands = |app: &str, name: &str| {
            if self.runs(app) { name.to_owned() } else { format!("a byte echo for {name}") }
        };
        format!("{}, {}, a byte echo for RabbitMQ", stands("postgresql", "PostgreSQL"), stands("redis", "Redis"))
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        self.running.iter_mut().for_each(|store| end(&mut store.process));
        if let Some(folder) = &self.folder {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

fn redis(folder: &Path, address: Ipv4Addr) -> Option<Child> {
    let files = folder.join("redis");
    std::fs::create_dir(&files).ok()?;
    let address = address.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--bind", &address, "--port", "6379", "--save", "", "--appendonly", "no"]).arg("--dir").arg(&files);
    quiet(&mut command).spawn().ok()
}

/// PostgreSQL refuses to run as root: then it runs as its own user, when there is one.
fn postgresql(folder: &Path, address: Ipv4Addr) -> Option<Child> {
    let programs = newest(Path::new(POSTGRESQL))?.join("bin");
    let files = folder.join("postgresql");
    std::fs::DirBuilder::new().mode(0o700).create(&files).ok()?;
    let as_root = std::fs::metadata(&files).ok()?.uid() == 0;
    let other = if as_root { Some(ids("postgres")?) } else { None };
    if let Some((user, group)) = other {
        std::os::unix::fs::chown(&files, Some(user), Some(group)).ok()?;
    }
    // No program such as `runuser` between: it would be that one which our signals end.
    let program = |name: &str| {
        let mut command = Command::new(programs.join(name));
        if let Some((user, group)) = other {
            command.uid(user).gid(group);
        }
        command
    };
    let mut initdb = program("initdb");
    initdb.args(["--auth=trust", "--username=platform", "--no-sync", "--locale=C", "-D"]).arg(&files);
    quiet(&mut initdb).status().ok()?.success().then_some(())?;
    let mut server = program("postgres");
    server.arg("-D").arg(&files).args(["-h", &address.to_string(), "-p", "5432", "-c", "fsync=off", "-k"]).arg(&files);
    quiet(&mut server).spawn().ok()
}

fn quiet(command: &mut Command) -> &mut Command {
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// The folder of the highest version.
fn newest(folder: &Path) -> Option<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    found.filter(|path| version(path).is_some()).max_by_key(version)
}

/// User and group of a name (passwd(5)).
fn ids(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Whether the server takes a connection in time.
fn answers(at: SocketAddr, process: &mut Child) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE && matches!(process.try_wait(), Ok(None)) {
        if TcpStream::connect_timeout(&at, Duration::from_millis(200)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Asks it to end at once, whoever is connected (PostgreSQL's fast shutdown), and waits.
fn end(process: &mut Child) {
    let id = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw);
    // A signal that cannot be sent leaves the kill below.
    let _asked = id.map(|id| rustix::process::kill_process(id, rustix::process::Signal::INT));
    let started = Instant::now();
    while matches!(process.try_wait(), Ok(None)) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(process.kill());
    drop(process.wait());
}
