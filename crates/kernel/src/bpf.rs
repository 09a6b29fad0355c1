//! What the programs in `bpf/` have in common: how they are loaded, and why that fails.
//!
//! In: an object that is checked in beside its source (`cargo xtask bpf` rebuilds and compares it). Out: programs and maps
//! in the kernel, which go when their owner goes: nothing is pinned.

use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Why there is no BPF program.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// This process may not load programs.
    #[error("BPF is not permitted here: it needs CAP_BPF and CAP_NET_ADMIN, outside of user namespaces")]
    NotPermitted,
    /// The kernel does not take the program or lacks one of its maps.
    #[error("this kernel does not take the BPF program: {0}")]
    Refused(String),
    /// It cannot be attached there.
    #[error("no BPF program can be attached to {place}: {cause}")]
    Attach {
        /// The link or the control group.
        place: String,
        /// What the kernel said.
        cause: String,
    },
    /// A list is full; nothing was entered.
    #[error("the kernel's list `{0}` is full")]
    Full(&'static str),
    /// A map could not be read or written.
    #[error("the kernel's map `{name}`: {cause}")]
    Map {
        /// Its name in the source.
        name: &'static str,
        /// What the kernel said.
        cause: String,
    },
}

impl BpfError {
    pub(crate) fn map(name: &'static str, error: &MapError) -> Self {
        match cause(error).map(io::Error::raw_os_error) {
            // E2BIG of a hash, ENOSPC of a trie
            Some(Some(7 | 28)) => Self::Full(name),
            _ => Self::Map { name, cause: told(error) },
        }
    }

    pub(crate) fn load(error: &(dyn std::error::Error + 'static)) -> Self {
        match cause(error) {
            Some(error) if error.kind() == io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Refused(told(error)),
        }
    }

    pub(crate) fn attach(place: &str, error: &ProgramError) -> Self {
        Self::Attach { place: place.into(), cause: told(error) }
    }
}

/// Makes the maps of an object; programs are loaded by [`program`].
pub(crate) fn load(object: &[u8], sizes: &[(&'static str, u32)]) -> Result<Ebpf, BpfError> {
    let mut loader = aya::EbpfLoader::new();
    for (map, entries) in sizes {
        loader.map_max_entries(map, (*entries).max(1));
    }
    loader.load(object).map_err(|error: EbpfError| BpfError::load(&error))
}

/// A program of the object, as its kind.
pub(crate) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, BpfError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| BpfError::Refused(format!("it has no program `{name}`")))?;
    program.try_into().map_err(|error| BpfError::load(&error))
}

/// Takes a map of the object, as its kind.
pub(crate) fn map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, BpfError>
where
    M: TryFrom<aya::maps::Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| BpfError::Refused(format!("it has no map `{name}`")))?;
    map.try_into().map_err(|error| BpfError::map(name, &error))
}

/// Waits until something can be read, or so long.
pub(crate) fn wait(of: impl AsFd, patience: Duration) {
    let mut asked = [PollFd::new(&of, PollFlags::IN)];
    let patience = Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
    // Interrupted or not: the caller looks, and waits again.
    let _ = poll(&mut asked, Some(&patience));
}

/// The clock of the programs: time since boot without suspension.
pub(crate) fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// In nanoseconds; what does not fit (584 years) is as good as for ever.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// The system's error at the root, when there is one.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// One line: each error of the chain that says more, without the verifier's log.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |error| error.source()) {
        let line = error.to_string().lines().next().unwrap_or_default().trim().to_owned();
        if !said.iter().any(|earlier| earlier.contains(&line)) {
            said.push(line);
        }
    }
    said.join(": ")
}
