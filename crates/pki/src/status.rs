//! The state of each Certificate for metrics and people: what telemetry renders as `certmanager_certificate_…`.

use crate::certificate::{Certificate, IssuerRef};
use crate::plan::Progress;
use crate::renewal;
use crate::trigger::{self, Observed, Reason};
use ringwall_model::Timestamp;

/// The state of one Certificate. Times that are not known are `None`; cert-manager's metrics say 0 for these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Its issuer.
    pub issuer: IssuerRef,
    /// `notBefore` of the certificate in the Secret.
    pub not_before: Option<Timestamp>,
    /// `notAfter` of it.
    pub not_after: Option<Timestamp>,
    /// When it is to be renewed.
    pub renewal: Option<Timestamp>,
    /// The condition `Ready`.
    pub ready: Condition,
    /// Why it is not ready.
    pub reason: Option<Reason>,
    /// A renewal that is due and fails, with its cause: cert-manager keeps such a Certificate ready until it ends.
    pub failing: Option<String>,
}

/// A condition of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody has looked yet.
    Unknown,
}

impl Condition {
    /// All of them, in the order of the metric's series.
    pub const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// `True`, `False`, `Unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The state of a Certificate now; `observed` is `None` when nobody has looked yet.
pub fn of(spec: &Certificate, observed: Option<&Observed>, progress: &Progress, now: Timestamp) -> CertificateStatus {
    let validity = observed.and_then(Observed::validity);
    let reason = observed.and_then(|observed| trigger::unready(spec, observed, now));
    let due = observed.is_some_and(|observed| trigger::trigger(spec, observed, now).is_some());
    CertificateStatus {
        namespace: spec.namespace.clone(),
        name: spec.name.clone(),
        issuer: spec.issuer.clone(),
        not_before: validity.map(|validity| validity.from),
        not_after: validity.map(|validity| validity.until),
        renewal: validity.map(|validity| renewal::of_certificate(validity, spec.renew_before)),
        ready: match (observed, reason) {
            (None, _) => Condition::Unknown,
            (Some(_), None) => Condition::True,
            (Some(_), Some(_)) => Condition::False,
        },
        reason,
        failing: progress.last_failure.as_ref().filter(|_| due).map(|(_, cause)| cause.clone()),
    }
}
