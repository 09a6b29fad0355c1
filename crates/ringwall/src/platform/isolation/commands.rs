//! What the running wall says of its node: where a home is, what the packet filter enforces.

use super::super::Platform;
use ringwall_kernel::namespace::Standing;
use ringwall_shield::{Subject, Until};
use serde_json::{Value, json};

/// What is said where there is no node.
const NOT_ISOLATED: &str = "this wall is not isolated; start it with `ringwall up --isolate`";

/// How often the packet filter is compared with what was asked for, in seconds.
const MEND_SECONDS: u64 = 5;

impl Platform {
    /// Where a workload's home is, for `ringwall run`.
    pub(crate) fn home(&self, workload: &str) -> Result<Value, String> {
        let isolation = self.isolation.as_ref().ok_or(NOT_ISOLATED)?;
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

    /// What the packet filter enforces.
    pub(crate) fn kernel_status(&self) -> Result<Value, String> {
        let isolation = self.isolation.as_ref().ok_or(NOT_ISOLATED)?;
        Ok(json!({ "text": isolation.filter.status() }))
    }

    /// Hands the blocks that were kept from an earlier run to the packet filter.
    pub(crate) fn block_packets(&self) -> Result<(), String> {
        let Some(isolation) = &self.isolation else { return Ok(()) };
        let now = ringwall_control::facts::now();
        for block in self.force.blocks.list(now) {
            let (Subject::Address(network), Until::At(until)) = (&block.subject, block.until) else { continue };
            isolation.block(network, until.since(now).duration()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Every few seconds: what somebody changed in the packet filter is put back, and told.
    pub(crate) fn mend_packets(&self) {
        let due = ringwall_control::facts::now().seconds().is_multiple_of(MEND_SECONDS);
        let Some(isolation) = self.isolation.as_ref().filter(|_| due) else { return };
        match isolation.filter.mend() {
            Ok(found) if found.is_empty() => {}
            Ok(found) => eprintln!("ringwall: somebody changed the packet filter; put back: {}", found.join(", ")),
            Err(error) => eprintln!("ringwall: the packet filter could not be looked at: {error}"),
        }
    }

    /// Takes the packet filter away.
    pub(crate) fn kernel_detach(&self) -> Result<Value, String> {
        let isolation = self.isolation.as_ref().ok_or(NOT_ISOLATED)?;
        isolation.filter.detach().map_err(|error| error.to_string())?;
        Ok(json!({ "text": "the packet filter is gone; the next World that is taken brings it back" }))
    }
}
