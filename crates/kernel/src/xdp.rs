//! Volumetric defence at the driver: what is blocked, or too much of one source, is dropped before the kernel makes a
//! packet of it.
//!
//! In: addresses with a time to live and the rule that blocked them, allowed networks, rates. Out: counters, and events
//! that name the rule. Never: the only place of a block; nftables has every block as well, so that a kernel or a user
//! without XDP loses speed and not the block. The program is `bpf/ringwall_xdp.c`; it goes with its owner, also when that
//! is killed. Start reading at [`Xdp::load`], then `xdp/list.rs`.

mod counter;
mod event;
mod limit;
mod list;

pub use counter::{Counters, Tally, Verdict};
pub use event::{Event, Events};
pub use limit::{Limits, Rate};
pub use list::Removed;

use crate::bpf::{self, BpfError};
use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{TestRunOptions, Xdp as Program, XdpMode};
use aya::{Ebpf, TestRun};

const OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/ringwall_xdp.o");
const PROGRAM: &str = "ringwall_xdp";

/// How much the kernel may keep. Memory is taken by use, except for sources (about 90 bytes each, at once) and 16 bytes an
/// address: a table that is much larger than what is in it costs a cache miss a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Blocked single addresses of each family.
    pub addresses: u32,
    /// Blocked networks of each family.
    pub networks: u32,
    /// Sources whose rate is known at the same time; the one that was quiet longest makes place.
    pub sources: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { addresses: 1 << 17, networks: 1 << 14, sources: 1 << 16 }
    }
}

impl Sizes {
    /// For a list of so many addresses, with place for a quarter more; the rest as by default.
    pub fn of(addresses: usize) -> Self {
        let addresses = u32::try_from(addresses.saturating_add(addresses / 4)).unwrap_or(u32::MAX);
        Self { addresses: addresses.max(1 << 14), ..Self::default() }
    }
}

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the stack, because the driver cannot: about as fast as nftables.
    Generic,
}

/// The program in the kernel. Dropping it detaches it everywhere.
pub struct Xdp {
    ebpf: Ebpf,
    settings: Array<MapData, limit::Settings>,
    words: limit::Settings,
    counters: PerCpuArray<MapData, counter::Words>,
    lists: list::Lists,
    attached: Vec<Attached>,
}

struct Attached {
    link: Box<str>,
    mode: Mode,
    id: aya::programs::xdp::XdpLinkId,
}

impl Xdp {
    /// Loads the program; it is attached to nothing and its lists are empty.
    ///
    /// # Errors
    /// [`BpfError::NotPermitted`] or [`BpfError::Refused`]: the caller says so, and nftables drops alone.
    pub fn load(sizes: Sizes) -> Result<(Self, Events), BpfError> {
        let entries = [
            ("block4", sizes.addresses),
            ("block6", sizes.addresses),
            ("network4", sizes.networks),
            ("network6", sizes.networks),
            ("sources", sizes.sources),
        ];
        let mut ebpf = bpf::load(OBJECT, &entries)?;
        bpf::program::<Program>(&mut ebpf, PROGRAM)?.load().map_err(|error| BpfError::load(&error))?;
        let events = Events::take(&mut ebpf)?;
        let xdp = Self {
            settings: bpf::map(&mut ebpf, "settings")?,
            words: limit::Settings::default(),
            counters: bpf::map(&mut ebpf, "counters")?,
            lists: list::Lists::take(&mut ebpf)?,
            ebpf,
            attached: Vec::new(),
        };
        Ok((xdp, events))
    }

    /// Attaches the program to a link of the caller's network namespace: in the driver, else in the stack.
    ///
    /// # Errors
    /// [`BpfError::Attach`]: there is no such link, or another program is there (it is never replaced).
    pub fn attach(&mut self, link: &str) -> Result<Mode, BpfError> {
        if link.contains('\0') {
            return Err(BpfError::Attach { place: link.escape_default().to_string(), cause: "not a name".into() });
        }
        let program = bpf::program::<Program>(&mut self.ebpf, PROGRAM)?;
        let (mode, id) = match program.attach(link, XdpMode::Driver) {
            Ok(id) => (Mode::Native, id),
            Err(_) => match program.attach(link, XdpMode::Skb) {
                Ok(id) => (Mode::Generic, id),
                Err(error) => return Err(BpfError::attach(link, &error)),
            },
        };
        self.attached.push(Attached { link: link.into(), mode, id });
        Ok(mode)
    }

    /// Detaches it from all links of that name; whether there was one.
    ///
    /// # Errors
    /// When the kernel does not let go.
    pub fn detach(&mut self, link: &str) -> Result<Detached, BpfError> {
        let program = bpf::program::<Program>(&mut self.ebpf, PROGRAM)?;
        let mut detached = Detached::WasNotThere;
        for place in self.attached.extract_if(.., |place| &*place.link == link) {
            program.detach(place.id).map_err(|error| BpfError::attach(link, &error))?;
            detached = Detached::Now;
        }
        Ok(detached)
    }

    /// The links it was attached to, and how.
    pub fn links(&self) -> impl Iterator<Item = (&str, Mode)> {
        self.attached.iter().map(|place| (&*place.link, place.mode))
    }

    /// What was counted since it was loaded, over all cores.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counters(&self) -> Result<Counters, BpfError> {
        let cores = self.counters.get(&0, 0).map_err(|error| BpfError::map("counters", &error))?;
        Ok(Counters::sum(cores.iter()))
    }

    /// Has the program judge one Ethernet frame that is sent nowhere. It is counted like any other.
    ///
    /// # Errors
    /// When the kernel cannot run it: frames have 14 bytes at least and 3,520 at most.
    pub fn judge(&mut self, frame: &[u8]) -> Result<Fate, BpfError> {
        const DROP: u32 = 1;
        let program = bpf::program::<Program>(&mut self.ebpf, PROGRAM)?;
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        let result = program.test_run(options).map_err(|error| BpfError::load(&error))?;
        Ok(if result.return_value == DROP { Fate::Dropped } else { Fate::Passed })
    }
}

/// Whether there was something to detach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// It is gone now.
    Now,
    /// It was not attached there.
    WasNotThere,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on into the stack.
    Passed,
    /// It ends here.
    Dropped,
}
