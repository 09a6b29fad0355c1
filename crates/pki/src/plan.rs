//! All Certificates of a World with their issuers: what signs what, and what to do next.
//!
//! In: lowered resources, how this run treats issuers that it does not reach, the time. Out: [`Source`] and [`Step`] for
//! each Certificate; the shell makes keys and Secrets of them. Never: ACME, Vault, files.

use crate::backoff;
use crate::certificate::{Certificate, IssuerRef};
use crate::solver::Solver;
use crate::trigger::{self, LastRequest, Observed, Reason};
use ringwall_model::{Place, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The certificates of a World.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Issuers by reference.
    pub issuers: BTreeMap<IssuerRef, Issuer>,
    /// Certificates, in the order of namespace and name.
    pub certificates: Vec<Certificate>,
}

/// An `Issuer` or `ClusterIssuer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What it is.
    pub kind: IssuerKind,
    /// Where it is declared.
    pub place: Option<Place>,
}

/// The kinds of issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// Signs each certificate with its own key.
    SelfSigned,
    /// Signs with the pair in a Secret (namespace, name).
    Ca {
        /// Namespace of the Secret.
        namespace: Box<str>,
        /// Its name.
        secret: Box<str>,
    },
    /// An ACME server.
    Acme(Box<Acme>),
    /// A Vault or OpenBao server.
    Vault {
        /// Its address.
        server: Box<str>,
        /// Path of the signing role.
        path: Box<str>,
    },
    /// Venafi.
    Venafi {
        /// Zone.
        zone: Box<str>,
    },
    /// Declared, but not soundly: it signs nothing.
    Broken,
}

/// An ACME issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acme {
    /// Directory of the server.
    pub server: Box<str>,
    /// E-mail address of the account.
    pub email: Option<Box<str>>,
    /// Profile asked for.
    pub profile: Option<Box<str>>,
    /// Whether `duration` is asked of the server.
    pub duration: DurationAsked,
    /// Its solvers, in order.
    pub solvers: Vec<Solver>,
}

/// Whether `duration` is asked of an ACME server (`enableDurationFeature`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurationAsked {
    /// It is not: the server decides.
    #[default]
    Ignored,
    /// It is.
    Asked,
}

/// How a run treats issuers outside this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They are not asked: the embedded authority signs in their stead (development, one machine). Each such
    /// Certificate says so.
    StandIn,
    /// They are asked by the shell; until they answer, the Certificate is pending.
    Real,
}

/// Where a Certificate's signature comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its own key.
    SelfSigned,
    /// The pair in this Secret (namespace, name).
    Secret(Box<str>, Box<str>),
    /// The embedded authority of the edge, in the stead of the real issuer.
    StandIn {
        /// Why, for people.
        why: String,
    },
    /// Nobody: it is pending.
    Pending {
        /// Why, for people.
        why: String,
    },
}

/// What became of a Certificate so far; the shell keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Failures in a row.
    pub failures: u32,
    /// The last failure and what it was.
    pub last_failure: Option<(Timestamp, String)>,
    /// The spec that failed.
    pub failed_spec: Option<LastRequest>,
}

impl Progress {
    /// After an issuance.
    pub fn issued() -> Self {
        Self::default()
    }

    /// After a failure.
    pub fn failed(self, spec: &Certificate, cause: String, now: Timestamp) -> Self {
        let failed_spec = Some(LastRequest { spec: spec.clone() });
        Self { failures: self.failures.saturating_add(1), last_failure: Some((now, cause)), failed_spec }
    }
}

/// What to do with a Certificate now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Issue it.
    Issue {
        /// Why.
        because: Reason,
    },
    /// Nothing before then. Look again sooner by the wall clock: timers do not count suspended time.
    Wait {
        /// When to look again.
        until: Timestamp,
    },
}

impl Plan {
    /// What to do with a Certificate now.
    pub fn step(&self, spec: &Certificate, observed: &Observed, progress: &Progress, now: Timestamp) -> Step {
        let Some(because) = trigger::trigger(spec, observed, now) else {
            let due = observed.validity().map(|validity| crate::renewal::of_certificate(validity, spec.renew_before));
            return Step::Wait { until: due.unwrap_or(now) };
        };
        let changed = progress.failed_spec.as_ref().is_none_or(|failed| failed.differs(spec));
        match progress.last_failure.as_ref().map(|(last, _)| backoff::next_attempt(progress.failures, *last)) {
            Some(until) if now < until && !changed => Step::Wait { until },
            _ => Step::Issue { because },
        }
    }

    /// Where a Certificate's signature comes from.
    pub fn source(&self, certificate: &Certificate, reach: Reach) -> Source {
        let reference = &certificate.issuer;
        let named = format!("{} `{}`", reference.kind, reference.name);
        let Some(issuer) = self.issuers.get(reference) else {
            return unreached(format!("{named} is not declared"), reach);
        };
        match &issuer.kind {
            IssuerKind::SelfSigned => Source::SelfSigned,
            IssuerKind::Ca { namespace, secret } => Source::Secret(namespace.clone(), secret.clone()),
            IssuerKind::Acme(acme) => unreached(format!("{named} asks `{}`", acme.server), reach),
            IssuerKind::Vault { server, .. } => unreached(format!("{named} asks `{server}`"), reach),
            IssuerKind::Venafi { zone } => unreached(format!("{named} asks Venafi zone `{zone}`"), reach),
            IssuerKind::Broken => Source::Pending { why: format!("{named} is not sound") },
        }
    }

    /// Indices of the certificates in an order in which each finds its issuer's Secret made before it. Those that wait
    /// for each other in a ring come last.
    pub fn order(&self) -> Vec<usize> {
        let makes = |certificate: &Certificate| (certificate.namespace.clone(), certificate.secret.clone());
        let made_here: BTreeSet<_> = self.certificates.iter().map(makes).collect();
        let mut made = BTreeSet::new();
        let mut order: Vec<usize> = Vec::new();
        let needs = |certificate: &Certificate| match self.source(certificate, Reach::Real) {
            Source::Secret(namespace, secret) => Some((namespace, secret)).filter(|pair| made_here.contains(pair)),
            _ => None,
        };
        loop {
            let before = order.len();
            for (index, certificate) in self.certificates.iter().enumerate() {
                let waits = needs(certificate).is_some_and(|secret| !made.contains(&secret));
                if !waits && !order.contains(&index) {
                    made.insert(makes(certificate));
                    order.push(index);
                }
            }
            if order.len() == before {
                break;
            }
        }
        order.extend((0..self.certificates.len()).filter(|index| !order.contains(index)).collect::<Vec<_>>());
        order
    }

    /// The Certificate that makes a Secret, such as the one a Gateway names. Of two, the first.
    pub fn maker(&self, namespace: &str, secret: &str) -> Option<&Certificate> {
        let makes = |certificate: &&Certificate| *certificate.namespace == *namespace && *certificate.secret == *secret;
        self.certificates.iter().find(makes)
    }
}

fn unreached(why: String, reach: Reach) -> Source {
    match reach {
        Reach::StandIn => Source::StandIn { why: format!("{why}; the embedded authority signs in its stead") },
        Reach::Real => Source::Pending { why },
    }
}

impl Observed {
    /// From when and until when the certificate in the Secret holds.
    pub fn validity(&self) -> Option<crate::profile::Validity> {
        match self.secret.as_ref()?.content {
            trigger::Content::Pair { validity, .. } => Some(validity),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
