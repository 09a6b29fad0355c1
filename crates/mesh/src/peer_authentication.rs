//! Which workload ports demand mutual TLS.
//!
//! In: PeerAuthentication resources. Out: [`PeerRules`] of one workload. Follows Istio's composition: the narrowest
//! scope wins, within a scope the oldest resource; what a resource leaves unset comes from the scope above; nothing
//! anywhere is [`Mode::Permissive`]. A selector in the root namespace selects nothing. Port modes come from the
//! workload's resource alone and name the workload's ports, not a service's.

use ringwall_model::{Reason, RuleId, Selector, Workload};

/// Who may connect to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Plaintext only.
    Disable,
    /// Plaintext and mutual TLS.
    Permissive,
    /// Mutual TLS only.
    Strict,
}

/// One PeerAuthentication.
#[derive(Clone, Debug)]
pub struct PeerAuthentication {
    /// Its number in the rule book.
    pub id: RuleId,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its labels; empty is the whole namespace.
    pub selector: Selector,
    /// `metadata.creationTimestamp` as written (RFC 3339 in UTC sorts as text); empty when there is none.
    pub created: Box<str>,
    /// `mtls.mode`; `None` is unset.
    pub mode: Option<Mode>,
    /// `portLevelMtls`; `None` is unset.
    pub ports: Vec<(u16, Option<Mode>)>,
}

/// What is in force on one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRules {
    mode: Mode,
    because: Reason,
    ports: Vec<(u16, Mode, Reason)>,
    inferred: Mode,
}

impl Default for PeerRules {
    fn default() -> Self {
        Self { mode: Mode::Permissive, because: Reason::NoRuleApplies, ports: Vec::new(), inferred: Mode::Permissive }
    }
}

impl PeerRules {
    /// Resolves what is in force on a workload.
    pub fn of(workload: &Workload, all: &[PeerAuthentication], root: &str) -> Self {
        let whole =
            |namespace: &str| oldest(all.iter().filter(|it| &*it.namespace == namespace && it.selector.0.is_empty()));
        let own = oldest(all.iter().filter(|it| {
            let selects = !it.selector.0.is_empty() && it.selector.matches(&workload.labels);
            it.namespace == workload.namespace && &*it.namespace != root && selects
        }));
        let mut rules = Self::default();
        for scope in [whole(root), whole(&workload.namespace)].into_iter().flatten() {
            rules.take(scope);
        }
        rules.inferred = rules.mode;
        if let Some(own) = own {
            rules.take(own);
            let port = |(port, mode): &(u16, Option<Mode>)| {
                let (mode, because) = mode.map_or((rules.mode, rules.because), |mode| (mode, Reason::Rule(own.id)));
                (*port, mode, because)
            };
            rules.ports = own.ports.iter().map(port).collect();
        }
        rules
    }

    fn take(&mut self, scope: &PeerAuthentication) {
        if let Some(mode) = scope.mode {
            (self.mode, self.because) = (mode, Reason::Rule(scope.id));
        }
    }

    /// The mode of a port, and the rule that sets it.
    pub fn mode(&self, port: u16) -> (Mode, Reason) {
        let special = self.ports.iter().find(|(number, _, _)| *number == port);
        special.map_or((self.mode, self.because), |(_, mode, because)| (*mode, *because))
    }

    /// What clients infer when they choose between plaintext and mutual TLS on their own (auto mTLS): the mode of the
    /// namespace or the mesh. A resource of the workload alone does not count, as in Istio.
    pub const fn inferred(&self) -> Mode {
        self.inferred
    }
}

/// Without a time of creation, as in files, the name decides: the order of files changes nothing.
fn oldest<'a>(those: impl Iterator<Item = &'a PeerAuthentication>) -> Option<&'a PeerAuthentication> {
    those.min_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)))
}

#[cfg(test)]
mod tests;
