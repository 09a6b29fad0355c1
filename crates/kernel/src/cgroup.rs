//! Control groups for plain processes: a workload that has no namespace of its own still connects only where it may.
//!
//! In: a group, destinations with what becomes of a connection to them. Out: EPERM at `connect` and `sendto`, or another
//! destination; events that name the rule, the process and its number. Never: more than the hooks see. Raw and packet
//! sockets (CAP_NET_RAW) are not seen, nor is a socket that was connected before its process came into the group; and
//! the hooks end with their owner, also when that is killed: who starts a process in a group ends it with itself
//! (PR_SET_PDEATHSIG). A namespace has none of these holes. The program is `bpf/ringwall_connect.c`. Start reading at
//! [`Hooks::attach`].

mod group;
mod rule;

pub use group::Group;
pub use rule::{Action, Attempt, Attempts, Became, Destination};

use crate::bpf::{self, BpfError};
use aya::Ebpf;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use ringwall_model::RuleId;

const OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/ringwall_connect.o");
const PROGRAMS: [&str; 4] = ["connect4", "connect6", "sendmsg4", "sendmsg6"];

/// The hooks of one group and their rules. Dropping them ends them.
pub struct Hooks {
    exact: HashMap<MapData, rule::Key, rule::Value>,
    networks: LpmTrie<MapData, [u8; 16], rule::Value>,
    otherwise: Array<MapData, rule::Value>,
    _programs: Ebpf,
}

impl Hooks {
    /// Puts the hooks on a group. From now on each connection is refused that no rule lets pass.
    ///
    /// # Errors
    /// [`BpfError::NotPermitted`], [`BpfError::Refused`], or [`BpfError::Attach`] with the group.
    pub fn attach(group: &Group) -> Result<(Self, Attempts), BpfError> {
        let mut ebpf = bpf::load(OBJECT, &[])?;
        for name in PROGRAMS {
            let program = bpf::program::<CgroupSockAddr>(&mut ebpf, name)?;
            program.load().map_err(|error| BpfError::load(&error))?;
            let place = || group.path().display().to_string();
            // A link (Linux 5.7) always stands beside others, which all must agree; flags are refused.
            let attached = program.attach(group.directory(), CgroupAttachMode::Single);
            attached.map_err(|error| BpfError::attach(&place(), &error))?;
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
