//! Two namespaces and the link between them; what arrived, what was delivered, and what it cost.

use ringwall_kernel::link::{End, LOOPBACK, Links};
use ringwall_kernel::namespace::{Namespace, set_sysctl};
use std::io::{self, Error, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

pub const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
pub const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub const LINK: &str = "eth0";
const INDEX: u32 = 7;
const OTHERS: u8 = 30;
const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Who sends, and who defends itself.
pub struct Ground {
    pub sender: Namespace,
    pub defender: Namespace,
}

impl Ground {
    pub fn create() -> io::Result<Self> {
        let (sender, defender) = (Namespace::create()?, Namespace::create()?);
        let end = |hardware| End { name: LINK.into(), index: INDEX, hardware };
        sender.run(|| {
            let mut links = Links::open()?;
            links.up(LOOPBACK)?;
            links.add_pair(&end(NEAR_MAC), &end(FAR_MAC), &defender)?;
            wire(&mut links, NEAR, FAR, FAR_MAC)
        })?;
        defender.run(|| {
            set_sysctl("ipv4/conf/all/rp_filter", "0")?;
            set_sysctl("ipv4/conf/default/rp_filter", "0")?;
            let mut links = Links::open()?;
            links.up(LOOPBACK)?;
            wire(&mut links, FAR, NEAR, NEAR_MAC)?;
            // As many as a router of workloads has.
            for ((name, _), index) in Self::others().zip(INDEX + 1..) {
                let end = |name: &str| End { name: name.into(), index, hardware: [2, 0, 0, 1, 0, OTHERS] };
                links.add_pair(&end(&name), &end(&name), &sender)?;
                links.up(index)?;
            }
            Ok(())
        })?;
        // Without a program or this, a veth makes socket buffers at the sender and takes no frames of a driver.
        let ground = Self { sender, defender };
        ground.tell("ethtool", &["-K", LINK, "gro", "on"], "")?;
        // A queue for each core, as a card has: frames of the driver take that of the core they are made on, and what
        // the client sends takes the first.
        let cores = std::thread::available_parallelism()?.to_string();
        ground.tell("ethtool", &["-L", LINK, "rx", &cores], "")?;
        Ok(ground)
    }

    /// The defender's other links, and the addresses of who would be behind them.
    pub fn others() -> impl Iterator<Item = (String, Ipv4Addr)> {
        (1..=OTHERS).map(|number| (format!("rw{number}"), Ipv4Addr::new(10, 244, 0, number)))
    }

    /// The sender's link, for the generator.
    pub const fn link(&self) -> u32 {
        INDEX
    }

    /// Runs a program in the defender's namespace.
    pub fn tell(&self, program: &str, words: &[&str], input: &str) -> io::Result<()> {
        self.defender.run(|| {
            let mut child = Command::new(program).args(words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
            child.stdin.take().ok_or_else(|| Error::other("no input"))?.write_all(input.as_bytes())?;
            let status = child.wait()?;
            if status.success() { Ok(()) } else { Err(Error::other(format!("{program}: {status}"))) }
        })
    }

    /// Frames that the defender's link took in, and packets that its stack gave to a protocol.
    pub fn arrived(&self) -> io::Result<Arrived> {
        self.defender.run(|| {
            let odd = || Error::other("/proc/net is not as it is known");
            let links = std::fs::read_to_string("/proc/thread-self/net/dev")?;
            let line = links.lines().find_map(|line| line.trim().strip_prefix("eth0:")).ok_or_else(odd)?;
            let frames = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).ok_or_else(odd)?;
            let stack = std::fs::read_to_string("/proc/thread-self/net/snmp")?;
            let mut lines = stack.lines().filter(|line| line.starts_with("Ip: "));
            let (names, values) = lines.next().zip(lines.next()).ok_or_else(odd)?;
            let at = names.split_whitespace().position(|name| name == "InDelivers").ok_or_else(odd)?;
            let delivered = values.split_whitespace().nth(at).and_then(|word| word.parse().ok()).ok_or_else(odd)?;
            Ok(Arrived { frames, delivered })
        })
    }
}

fn wire(links: &mut Links, own: IpAddr, other: IpAddr, hardware: [u8; 6]) -> io::Result<()> {
    links.up(INDEX)?;
    links.add_address(INDEX, own)?;
    links.add_neighbour(INDEX, other, hardware)?;
    links.add_route(INDEX, Some(other), None)
}

#[derive(Clone, Copy)]
pub struct Arrived {
    pub frames: u64,
    pub delivered: u64,
}

/// CPU time of the calling thread and of the kernel's own thread for what it put off, on one core.
pub struct Meter {
    deferred: String,
}

impl Meter {
    /// Binds the calling thread to a core.
    pub fn on(core: usize) -> io::Result<Self> {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        rustix::thread::sched_setaffinity(None, &cores)?;
        let wanted = format!("ksoftirqd/{core}\n");
        for entry in std::fs::read_dir("/proc")?.flatten() {
            if std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == wanted) {
                return Ok(Self { deferred: format!("{}/schedstat", entry.path().display()) });
            }
        }
        Err(Error::other("no kernel thread for deferred work"))
    }

    /// Nanoseconds so far.
    pub fn read(&self) -> io::Result<u64> {
        let of = |path: &str| -> io::Result<u64> {
            let text = std::fs::read_to_string(path)?;
            text.split(' ').next().and_then(|word| word.parse().ok()).ok_or_else(|| Error::other("no schedstat"))
        };
        Ok(of("/proc/thread-self/schedstat")? + of(&self.deferred)?)
    }
}
