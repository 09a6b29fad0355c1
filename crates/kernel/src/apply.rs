//! Applying: a Ruleset becomes what the kernel enforces, in one transaction, read back and compared.
//!
//! In: a [`Ruleset`], lists, names of reasons. Out: [`Applied`], or an error and the old ruleset still in force.
//! Never: a flush, a moment without rules, a table that ends with this process. What a process that was killed left in
//! force is taken over as it is; only what differs changes. Start reading at [`Firewall::apply`].

use crate::blocklist::{self, Block, Blocker, LONGEST, Ledger, Lists, Screen, TICK};
use crate::netlink::Error;
use crate::nft::batch::{Batch, Change};
use crate::nft::difference::{Difference, between};
use crate::nft::expression::Expression;
use crate::nft::group::names_set;
use crate::nft::layout::{LayoutError, Plan, Settings};
use crate::nft::table::{Element, Elements, Family, Key, Name, Table};
use crate::nft::watch::Watch;
use crate::nft::{Generation, NftBackend, Nftables, OTHER_GENERATION, read};
use ipnet::IpNet;
use ringwall_model::{RuleBook, Timestamp};
use ringwall_packet::ruleset::{Held, Ruleset};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Why a ruleset was not applied. The old one is in force as it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kernel, or the way to it.
    #[error(transparent)]
    Kernel(#[from] Error),
    /// The ruleset contradicts itself.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The change cannot be one transaction: the administrator's limit for messages is too low.
    #[error(
        "the change needs a message of {bytes} bytes; {longest} is the most here (CAP_NET_ADMIN of the machine lifts it)"
    )]
    TooLarge {
        /// What the change needs.
        bytes: usize,
        /// What this process may send.
        longest: usize,
    },
    /// Others change the rules so fast that no change was made for the rules in force.
    #[error("others changed the rules each time a change was made ready")]
    Crowded,
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Transactions; 0 when all was as wanted already, 1 wherever a message may be as long as it must.
    pub transactions: usize,
    /// Bytes that the kernel got.
    pub bytes: usize,
    /// Elements that came or went.
    pub elements: usize,
    /// From the beginning until the kernel had said yes; what is longer is the reading back.
    pub in_force: Duration,
    /// What reading it back said.
    pub read_back: ReadBack,
}

/// What the kernel has, compared with what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// It has just that.
    Equal,
    /// It has something else in these sets and chains.
    Differs(Vec<Box<str>>),
}

/// Our table in the kernel, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Firewall<B = Nftables> {
    backend: B,
    settings: Settings,
    lists: Lists,
    screen: Screen,
    ledger: Ledger,
    /// What names should be.
    names: Held,
    /// The sets of names as they were filled last; others' are not known.
    filled: Filled,
    /// What is in force as far as we know, and how many generations were then not ours.
    known: Option<(Arc<Table>, u32)>,
    /// What should be in force.
    wanted: Option<Arc<Table>>,
}

impl Firewall<Nftables> {
    /// Opens the way to the kernel; nothing changes yet. Blocks that are in force are remembered.
    ///
    /// # Errors
    /// When there is no socket, or nothing may be read.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let mut nftables = Nftables::open()?;
        let ledger = Ledger::default();
        let now = Instant::now();
        for block in blocklist::in_force(&mut nftables)? {
            ledger.enter(block.network, block.remaining.and_then(|lasts| now.checked_add(lasts)));
        }
        let screen = Screen::of(&nftables.table(&|_| false)?);
        Ok(Self { ledger, screen, ..Self::with(nftables, settings) })
    }

    /// What blocks single addresses, over a socket of its own.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn blocker(&self) -> Result<Blocker, Error> {
        Ok(Blocker::new(self.backend.another()?, self.ledger.clone()))
    }

    /// What hears changes that others make to our table; [`Self::mend`] puts them right.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn watch(&self) -> Result<Watch, Error> {
        self.backend.watch()
    }
}

impl<B: NftBackend> Firewall<B> {
    /// With another way to the kernel.
    pub fn with(backend: B, settings: Settings) -> Self {
        let (lists, screen, ledger) = (Lists::default(), Screen::default(), Ledger::default());
        let (names, filled) = (Held::new(), Filled::new());
        Self { backend, settings, lists, screen, ledger, names, filled, known: None, wanted: None }
    }

    /// The way to the kernel.
    pub fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Makes the kernel enforce a ruleset. Connections that were let in before stay; see [`crate::conntrack`].
    ///
    /// # Errors
    /// With the message that was refused; the old ruleset is in force then.
    pub fn apply(&mut self, ruleset: &Ruleset, book: &RuleBook) -> Result<Applied, ApplyError> {
        let (lists, screen, settings) = (self.lists.clone(), self.screen.clone(), self.settings);
        let plan = Plan { ruleset, book, lists: &lists, screen: &screen, settings };
        let before = std::mem::replace(&mut self.names, ruleset.names.clone());
        self.reach(|is| Ok(plan.lay_out(is)?)).inspect_err(|_| self.names = before)
    }

    /// What names are in the ruleset in force.
    pub const fn names(&self) -> &Held {
        &self.names
    }

    /// The same addresses of names are good for another time, of those that the ruleset in force knows.
    ///
    /// # Errors
    /// As for [`Self::apply`]; they are good as long as before then.
    pub fn renew(&mut self, names: Held) -> Result<Applied, ApplyError> {
        let before = std::mem::replace(&mut self.names, names);
        self.reach_lists().inspect_err(|_| self.names = before)
    }

    /// As [`Self::apply`], and in the same transaction the lists are asked already at these links, as
    /// [`Self::set_links`] has it.
    ///
    /// # Errors
    /// As for [`Self::apply`]; the old links are in force then, too.
    pub fn apply_at(&mut self, links: &[&str], ruleset: &Ruleset, book: &RuleBook) -> Result<Applied, ApplyError> {
        let before = self.screen.clone();
        self.screen.set_links(links);
        self.apply(ruleset, book).inspect_err(|_| self.screen = before)
    }

    /// Replaces the lists of addresses. Before the first ruleset they wait for it.
    ///
    /// # Errors
    /// As for [`Self::apply`]; the old lists are in force then.
    pub fn set_lists(&mut self, lists: Lists) -> Result<Applied, ApplyError> {
        let before = std::mem::replace(&mut self.lists, lists);
        let reached = self.reach_lists();
        if reached.is_err() {
            self.lists = before;
        }
        reached
    }

    /// Asks the lists already at these links of the machine; none: only at the usual place. A link that is not there is
    /// waited for (Linux 6.16), or refused.
    ///
    /// # Errors
    /// As for [`Self::apply`]; the old links are in force then.
    pub fn set_links(&mut self, links: &[&str]) -> Result<Applied, ApplyError> {
        let before = self.screen.clone();
        self.screen.set_links(links);
        let reached = self.reach_lists();
        if reached.is_err() {
            self.screen = before;
        }
        reached
    }

    /// Makes place for a network that is to be blocked; from then on another one of its length has it.
    ///
    /// # Errors
    /// As for [`Self::apply`]; there is no place then.
    pub fn make_place(&mut self, network: &IpNet) -> Result<(), ApplyError> {
        let before = self.screen.clone();
        if self.screen.make_place(network) {
            self.reach_lists().inspect_err(|_| self.screen = before)?;
        }
        Ok(())
    }

    /// Lays the lists out anew. Before the first ruleset they wait for it.
    fn reach_lists(&mut self) -> Result<Applied, ApplyError> {
        let Some(wanted) = self.wanted.clone() else {
            return Ok(Applied {
                transactions: 0,
                bytes: 0,
                elements: 0,
                in_force: Duration::ZERO,
                read_back: ReadBack::Equal,
            });
        };
        let (lists, screen, settings) = (self.lists.clone(), self.screen.clone(), self.settings);
        self.reach(|_| {
            let mut table = Table::clone(&wanted);
            lists.lay_out(&screen, settings, &mut table);
            Ok(table)
        })
    }

    /// Looks at all that is in force, and puts back what somebody changed. What was found changed comes back.
    ///
    /// # Errors
    /// As for [`Self::apply`].
    pub fn mend(&mut self) -> Result<Vec<Box<str>>, ApplyError> {
        let Some(wanted) = self.wanted.clone() else { return Ok(Vec::new()) };
        self.known = None;
        let mut found = Vec::new();
        self.reach(|is| {
            found = differing(&wanted, is);
            Ok(Table::clone(&wanted))
        })?;
        Ok(found)
    }

    /// Compares all that is in force with what was asked for.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn read_back(&mut self) -> Result<ReadBack, Error> {
        let Some(wanted) = &self.wanted else { return Ok(ReadBack::Equal) };
        let is = self.backend.table(&|_| true)?;
        Ok(judge(differing(wanted, &is)))
    }

    /// From what is in force to what `wanted` makes of it.
    fn reach(&mut self, mut wanted: impl FnMut(&Table) -> Result<Table, ApplyError>) -> Result<Applied, ApplyError> {
        let begun = Instant::now();
        for _ in 0..16 {
            let (is, generation) = self.in_force()?;
            let table = Arc::new(wanted(&is)?);
            let mut difference = between(&is, &table);
            self.bring_blocks(&table, &mut difference);
            let filled = self.bring_names(&table, &mut difference);
            let (elements, touched) = (difference.elements, std::mem::take(&mut difference.touched));
            match self.commit(difference, generation) {
                Ok((transactions, bytes)) => {
                    let in_force = begun.elapsed();
                    let read_back = self.compare(&table, &touched)?;
                    self.known = (read_back == ReadBack::Equal).then(|| (table.clone(), generation));
                    (self.wanted, self.filled) = (Some(table), filled);
                    return Ok(Applied { transactions, bytes, elements, in_force, read_back });
                }
                Err(ApplyError::Kernel(error)) if error.is_refusal(OTHER_GENERATION) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ApplyError::Crowded)
    }

    /// What is in force, and how many generations are not ours: known, when there is no such one more, or else read.
    fn in_force(&mut self) -> Result<(Arc<Table>, u32), Error> {
        let generation = self.backend.generation()?.wrapping_sub(self.backend.taken());
        let known = self.known.take().filter(|(_, then)| *then == generation);
        let table = match known {
            Some((table, _)) => table,
            None => Arc::new(self.backend.table(&|_| true)?),
        };
        Ok((table, generation))
    }

    /// A set of blocks that is made anew gets those that have not ended.
    fn bring_blocks(&self, table: &Table, difference: &mut Difference) {
        let made: std::collections::BTreeSet<&str> = difference.touched.iter().map(AsRef::as_ref).collect();
        if made.iter().any(|name| name.starts_with("rw_block")) {
            let is_made = |set: &str| made.contains(set) && table.sets.contains_key(set);
            let blocks = self.ledger.remaining().into_iter();
            let blocks: Vec<Block> = blocks.filter(|block| is_made(&blocklist::set_of(&block.network))).collect();
            blocklist::add(&mut difference.switch, &blocks);
        }
    }

    /// Sets of names are filled when they are made, and when what they should hold is another: addresses each for the
    /// rest of its time, but for what ends within a tick. An element that is there keeps its time on most kernels, so all
    /// are made anew.
    fn bring_names(&self, table: &Table, difference: &mut Difference) -> Filled {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left =
            |until: &Timestamp| until.0.checked_sub(u64::try_from(now.as_millis()).ok()?).filter(|left| *left > TICK);
        let mut filled = Filled::new();
        for (of, (pattern, addresses)) in Family::ALL.iter().flat_map(|of| self.names.iter().map(move |it| (*of, it))) {
            let name: Name = names_set(pattern, of).into();
            let Some(set) = table.sets.get(&name) else { continue };
            let wanted: Vec<_> = addresses.iter().filter(|(address, _)| Family::of(*address) == of).copied().collect();
            let is_made = difference.touched.contains(&name);
            if is_made || self.filled.get(&name) != Some(&wanted) {
                if !is_made {
                    difference.switch.empty(&name);
                }
                let good = wanted.iter().filter_map(|(address, until)| Some((address, left(until)?.min(LONGEST))));
                let elements: Vec<_> =
                    good.map(|(address, left)| (Element::single(Key::address(*address)), left)).collect();
                let timed = elements.iter().map(|(element, left)| (element, Some(*left)));
                difference.switch.timed_elements(&name, &set.kind, Change::Add, timed);
            }
            filled.insert(name, wanted);
        }
        filled
    }

    /// In one transaction, where it fits in one message; else in several of which only one is seen by packets.
    fn commit(&mut self, difference: Difference, generation: u32) -> Result<(usize, usize), ApplyError> {
        let generation = Generation::This(generation.wrapping_add(self.backend.taken()));
        if difference.is_empty() {
            return Ok((0, 0));
        }
        let Difference { prepare, switch: batch, clean, .. } = difference;
        let (longest, switch) = (self.backend.longest(), batch.bytes());
        if prepare.bytes() + switch + clean.bytes() <= longest {
            let mut whole = prepare;
            whole.append(batch);
            whole.append(clean);
            self.backend.commit(&whole, generation)?;
            return Ok((1, whole.bytes()));
        }
        if switch > longest {
            return Err(ApplyError::TooLarge { bytes: switch, longest });
        }
        let mut pieces = prepare.cut(longest);
        pieces.push(batch);
        pieces.extend(clean.cut(longest));
        let pieces: Vec<Batch> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        for (number, piece) in pieces.iter().enumerate() {
            self.backend.commit(piece, if number == 0 { generation } else { Generation::Any })?;
        }
        Ok((pieces.len(), pieces.iter().map(Batch::bytes).sum()))
    }

    /// Reads back what was touched.
    fn compare(&mut self, wanted: &Table, touched: &[Box<str>]) -> Result<ReadBack, Error> {
        if touched.is_empty() {
            return Ok(ReadBack::Equal);
        }
        let touched: std::collections::BTreeSet<_> = touched.iter().map(AsRef::as_ref).collect();
        let is = self.backend.table(&|name| touched.contains(name))?;
        let mut differing = differing(wanted, &is);
        let known = |name: &str| {
            wanted.sets.contains_key(name) == is.sets.contains_key(name)
                && wanted.chains.contains_key(name) == is.chains.contains_key(name)
        };
        differing.retain(|name| touched.contains(name.as_ref()) || !known(name));
        Ok(judge(differing))
    }
}

/// Addresses of names and their ends, by set.
type Filled = BTreeMap<Name, Vec<(IpAddr, Timestamp)>>;

fn judge(differing: Vec<Box<str>>) -> ReadBack {
    if differing.is_empty() { ReadBack::Equal } else { ReadBack::Differs(differing) }
}

/// Names of the sets and chains that are not the same in both.
fn differing(wanted: &Table, is: &Table) -> Vec<Box<str>> {
    let living = |set: &&crate::nft::table::Set| set.elements == Elements::Living;
    let sets = wanted.sets.keys().chain(is.sets.keys()).filter(|name| {
        let (one, other) = (wanted.sets.get(*name), is.sets.get(*name));
        one != other && !(one.is_some_and(|one| living(&one)) && other.is_some_and(|other| living(&other)))
    });
    let chains = wanted.chains.keys().chain(is.chains.keys());
    let chains = chains.filter(|name| wanted.chains.get(*name) != is.chains.get(*name));
    let mut names: Vec<_> = sets.chain(chains).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What our table is and has done, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Sets, chains, and elements of the sets that a ruleset fills.
    pub sets: usize,
    /// Chains.
    pub chains: usize,
    /// Elements.
    pub elements: usize,
    /// Single blocks in force.
    pub blocks: usize,
    /// Packets and bytes by reason, the most first: what was dropped, and what would be.
    pub counts: Vec<Count>,
}

/// What one reason counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// As events tell it: a letter for the part of the filter, a colon, the reason.
    pub reason: Box<str>,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Looks at our table, whoever made it; `None` when there is none.
///
/// # Errors
/// When the kernel does not say.
pub fn status() -> Result<Option<Status>, Error> {
    let mut nftables = Nftables::open()?;
    let table = nftables.table(&|_| true)?;
    if table == Table::default() {
        return Ok(None);
    }
    let counters = read::counters(nftables.socket())?;
    let mut counts: Vec<Count> = Vec::new();
    for (name, (packets, bytes)) in counters.into_iter().filter(|(_, (packets, _))| *packets > 0) {
        let rules = table.chains.get(&name).map_or(&[][..], |chain| &chain.rules);
        let log = rules.iter().flatten().find_map(|expression| match expression {
            Expression::Log(log) => log.prefix.strip_prefix("rw:"),
            _ => None,
        });
        counts.push(Count { reason: log.unwrap_or(&name).into(), packets, bytes });
    }
    counts.sort_by(|one, other| other.packets.cmp(&one.packets).then_with(|| one.reason.cmp(&other.reason)));
    let filled = table.sets.values().map(|set| match &set.elements {
        Elements::Fixed(elements) => elements.len(),
        Elements::Living => 0,
    });
    let (sets, chains, elements) = (table.sets.len(), table.chains.len(), filled.sum());
    Ok(Some(Status { sets, chains, elements, blocks: blocklist::in_force(&mut nftables)?.len(), counts }))
}

/// Takes our table away, with all that is in it: nothing is filtered any more. Only ever when somebody asks for it.
///
/// # Errors
/// When the kernel refuses.
pub fn detach() -> Result<Detached, Error> {
    let mut batch = Batch::default();
    batch.delete_table();
    match Nftables::open()?.commit(&batch, Generation::Any) {
        Err(error) if error.is_refusal(libc::ENOENT) => Ok(Detached::WasNone),
        done => done.map(|()| Detached::Gone),
    }
}

/// What became of a table that should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// It is gone.
    Gone,
    /// There was none.
    WasNone,
}
