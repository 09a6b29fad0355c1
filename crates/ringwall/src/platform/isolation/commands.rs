//! What the running wall says of its node: where a home is, what the packet filter enforces.

use super::super::Platform;
use super::super::screen::Screen;
use ipnet::IpNet;
use ringwall_kernel::namespace::Standing;
use ringwall_shield::{BlockId, Subject, Until};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is said where the kernel enforces nothing.
const NO_FILTER: &str =
    "this wall has no packet filter; start it with `ringwall up --isolate`, or with `--set block_links=eth0`";

/// How often the packet filter is compared with what was asked for, in seconds.
const MEND_SECONDS: u64 = 5;

impl Platform {
    /// Where a workload's home is, for `ringwall run`.
    pub(crate) fn home(&self, workload: &str) -> Result<Value, String> {
        let Some(isolation) = &self.isolation else { return self.plain_home(workload) };
        let current = self.world();
        let known = current.world.inventory.workloads.iter().find(|known| known.full_name() == workload);
        let known = known.ok_or_else(|| format!("there is no workload `{workload}`; write `namespace/name`"))?;
        let namespace = isolation.namespace(known.address).ok_or("that workload has no home yet")?;
        let user = match isolation.standing {
            Standing::Privileged => Value::Null,
            Standing::OwnUser => format!("/proc/{}/ns/user", std::process::id()).into(),
        };
        Ok(json!({ "network": namespace.path(), "user": user, "address": known.address.to_string() }))
    }

    /// What the packet filter enforces, of the node and at the machine's links.
    pub(crate) fn kernel_status(&self) -> Result<Value, String> {
        let node = self.isolation.as_ref().map(|isolation| isolation.filter.status() + &isolation.kept());
        let links = self.screen().map(Screen::status);
        let groups = self.plain.status();
        if node.is_none() && links.is_none() && groups.is_empty() {
            return Err(NO_FILTER.into());
        }
        let text = links.as_ref().and_then(|links| links["text"].as_str()).unwrap_or_default();
        let text = format!("{}{text}{groups}", node.as_deref().unwrap_or_default());
        Ok(json!({ "text": text, "node": node, "links": links, "groups": groups.lines().collect::<Vec<_>>() }))
    }

    /// Blocks an address or a network wherever the kernel enforces something of ours. What it refuses is asked for again.
    pub(crate) fn block_packet(&self, network: &IpNet, lasts: Option<Duration>, id: BlockId) -> Result<(), String> {
        self.try_block(network, lasts, id).inspect_err(|_| self.owed.store(true, Ordering::Relaxed))
    }

    fn try_block(&self, network: &IpNet, lasts: Option<Duration>, id: BlockId) -> Result<(), String> {
        if let Some(screen) = self.screen() {
            screen.block(network, lasts, id)?;
        }
        if let Some(isolation) = &self.isolation {
            isolation.filter.block(network, lasts)?;
        }
        Ok(())
    }

    /// Ends such a block.
    pub(crate) fn unblock_packet(&self, network: &IpNet) -> Result<(), String> {
        if let Some(screen) = self.screen() {
            screen.unblock(network)?;
        }
        match &self.isolation {
            Some(isolation) => isolation.filter.unblock(network).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// Hands the blocks that were kept from an earlier run to the packet filter.
    pub(crate) fn block_packets(&self) -> Result<(), String> {
        let now = ringwall_control::facts::now();
        for block in self.force.blocks.list(now) {
            let Subject::Address(network) = &block.subject else { continue };
            let lasts = match block.until {
                Until::At(until) => Some(until.since(now).duration()),
                Until::Lifted => None,
            };
            self.block_packet(network, lasts, block.id)?;
        }
        Ok(())
    }

    /// Every few seconds: what somebody changed in the packet filter is put back, the node is kept by another process when
    /// somebody ended the one that did, and the kernel is asked again for blocks that it refused.
    pub(crate) fn mend_packets(&self) {
        let due = ringwall_control::facts::now().seconds().is_multiple_of(MEND_SECONDS);
        if let Some(isolation) = self.isolation.as_ref().filter(|_| due) {
            isolation.filter.mend();
            // Why not is told where the wall says whether it is ready.
            isolation.keep_on().unwrap_or_default();
        }
        if due && self.owed.load(Ordering::Relaxed) && self.block_packets().is_ok() {
            self.owed.store(false, Ordering::Relaxed);
            eprintln!("ringwall: the kernel has taken the blocks that it had refused");
        }
        if let Some(mended) = self.screen().filter(|_| due).map(Screen::mend) {
            match mended {
                Ok(found) if found.is_empty() => {}
                Ok(found) => eprintln!("ringwall: somebody changed the packet filter; put back: {}", found.join(", ")),
                Err(error) => eprintln!("ringwall: the packet filter could not be looked at: {error}"),
            }
        }
    }

    /// Takes the packet filter away.
    pub(crate) fn kernel_detach(&self) -> Result<Value, String> {
        let mut text = Vec::new();
        if let Some(screen) = self.screen() {
            screen.detach()?;
            text.push("the packet filter at the machine's links is gone; the next start of the wall brings it back");
        }
        if let Some(isolation) = &self.isolation {
            isolation.filter.detach().map_err(|error| error.to_string())?;
            text.push("the packet filter is gone; the next World that is taken brings it back");
        }
        if self.plain.detach()? > 0 {
            text.push("plain processes of workloads connect where they like, until the next `ringwall run`");
        }
        if text.is_empty() { Err(NO_FILTER.into()) } else { Ok(json!({ "text": text.join("\n") })) }
    }
}
