//! Control groups for plain processes: a workload that has no namespace of its own still connects only where it may.
//!
//! In: a group, destinations with what becomes of a connection to them. Out: EPERM at `connect` and `sendto`, or another
//! destination; events that name the rule, the process and its number. Never: more than the hooks see. Raw and packet
//! sockets (CAP_NET_RAW) are not seen, nor is a socket that was connected before its process came into the group. A
//! namespace has none of these holes. The program is `bpf/ringwall_connect.c`.
//! INVARIANT: the hooks belong to the group, not to this process: they and their rules are there as long as it is, also
//! when this process is killed, and a group with processes is never removed. Start reading at [`Hooks::attach`].

mod group;
mod rule;

pub use group::Group;
pub use rule::{Action, Attempt, Attempts, Became, Destination};

use crate::bpf::{self, BpfError};
use aya::Ebpf;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::CgroupSockAddr;
use ringwall_model::RuleId;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

const OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/ringwall_connect.o");
/// The programs and where they are attached (`enum bpf_attach_type`).
const PROGRAMS: [(&str, u32); 4] = [("connect4", 10), ("connect6", 11), ("sendmsg4", 14), ("sendmsg6", 15)];

/// The rules of one group's hooks. Dropping this leaves both in force.
pub struct Hooks {
    exact: HashMap<MapData, rule::Key, rule::Value>,
    networks: LpmTrie<MapData, [u8; 16], rule::Value>,
    otherwise: Array<MapData, rule::Value>,
    _programs: Ebpf,
}

impl Hooks {
    /// Puts the hooks on a group, in place of those that it may have. From now on each connection is refused that no rule
    /// lets pass, here and in groups below it, which can have no hooks of their own.
    ///
    /// # Errors
    /// [`BpfError::NotPermitted`], [`BpfError::Refused`], or [`BpfError::Attach`] with the group.
    pub fn attach(group: &Group) -> Result<(Self, Attempts), BpfError> {
        let mut ebpf = bpf::load(OBJECT, &[])?;
        for (name, kind) in PROGRAMS {
            let program = bpf::program::<CgroupSockAddr>(&mut ebpf, name)?;
            program.load().map_err(|error| BpfError::load(&error))?;
            let program = program.fd().map_err(|error| BpfError::load(&error))?;
            let place = || group.path().display().to_string();
            attach(program.as_fd(), group.directory().as_fd(), kind)
                .map_err(|error| BpfError::Attach { place: place(), cause: error.to_string() })?;
        }
        let attempts = Attempts::take(&mut ebpf)?;
        let hooks = Self {
            exact: bpf::map(&mut ebpf, "exact")?,
            networks: bpf::map(&mut ebpf, "networks")?,
            otherwise: bpf::map(&mut ebpf, "otherwise")?,
            _programs: ebpf,
        };
        Ok((hooks, attempts))
    }

    /// What becomes of connections to a destination; an earlier rule for the same is replaced. The most exact rule
    /// decides: address, port and protocol; address and port; address; the longest network; then [`Self::otherwise`].
    ///
    /// # Errors
    /// [`BpfError::Full`]; [`BpfError::Map`] when a redirection leads into the other family, or a network has a port.
    pub fn set(&mut self, to: Destination, action: Action, rule: RuleId) -> Result<(), BpfError> {
        let value = action.value(to, rule)?;
        match to.key()? {
            rule::Place::Exact(key) => self.exact.insert(key, value, 0).map_err(|error| BpfError::map("exact", &error)),
            rule::Place::Network(key) => {
                self.networks.insert(&key, value, 0).map_err(|error| BpfError::map("networks", &error))
            }
        }
    }

    /// What becomes of all other connections: refused, until something else is said.
    ///
    /// # Errors
    /// [`BpfError::Map`], for a redirection too: it needs a destination.
    pub fn otherwise(&mut self, action: Action, rule: RuleId) -> Result<(), BpfError> {
        let value = action.value_for_all(rule)?;
        self.otherwise.set(0, value, 0).map_err(|error| BpfError::map("otherwise", &error))
    }
}

/// Has the group hold a program (`BPF_PROG_ATTACH`). A link, which is what aya makes, would end with this process.
fn attach(program: BorrowedFd<'_>, group: BorrowedFd<'_>, kind: u32) -> std::io::Result<()> {
    const PROG_ATTACH: libc::c_long = 8;
    /// The kernel's `union bpf_attr` for this command; it takes a shorter one as followed by zeros.
    #[repr(C)]
    struct Attributes {
        target: i32,
        program: i32,
        kind: u32,
        // None: the only one, in place of the one before, and none below.
        flags: u32,
    }
    let attributes = Attributes { target: group.as_raw_fd(), program: program.as_raw_fd(), kind, flags: 0 };
    #[expect(unsafe_code, reason = "neither aya nor rustix has a door to this command")]
    // SAFETY: both descriptors are open as long as they are borrowed; the kernel reads as many bytes as `attributes` has,
    // which lives until the call returns, and writes none.
    let status = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attributes, size_of::<Attributes>()) };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
