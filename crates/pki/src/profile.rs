//! Certificate profiles: what stands in each kind of certificate that we sign.
//!
//! SVIDs follow SPIFFE X509-SVID sections 2 to 4: exactly one URI name, critical KeyUsage with digitalSignature only,
//! both extended usages, no CA. Intermediates are constrained to DNS and IP names only. INVARIANT: no URI name
//! constraint is ever written: a verifier built on webpki refuses every URI name below a CA that has one, so it would
//! refuse every SVID. The trust domain of a URI name is held by our own verifier instead (see `verify`).

use ipnet::IpNet;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, SanType,
};
use ringwall_model::{Millis, SpiffeId, Timestamp};
use std::net::IpAddr;

use crate::authority::PkiError;

/// Clocks differ: certificates hold from so long before they were made.
pub const BACKDATE: Millis = Millis::seconds(120);
/// Lifetime of an SVID when nothing says otherwise.
pub const SVID_LIFETIME: Millis = Millis::seconds(24 * 3600);
/// The shorter lifetime for those who want it.
pub const SHORT_SVID_LIFETIME: Millis = Millis::seconds(3600);
/// Lifetime of a root.
pub const ROOT_LIFETIME: Millis = Millis::seconds(3650 * 86_400);
/// Lifetime of an intermediate, whose key is online.
pub const INTERMEDIATE_LIFETIME: Millis = Millis::seconds(7 * 86_400);

/// Which DNS and IP names an intermediate may sign for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Constraints {
    /// Any.
    #[default]
    Unconstrained,
    /// DNS names at or below these, and addresses in these networks; no address at all when there is none.
    Only {
        /// DNS names, without a leading dot.
        dns: Vec<Box<str>>,
        /// Networks.
        networks: Vec<IpNet>,
    },
}

impl Constraints {
    /// What the mesh's intermediate may sign for: DNS names below the trust domain, no addresses.
    pub fn mesh(trust_domain: &str) -> Self {
        Self::Only { dns: vec![trust_domain.into()], networks: Vec::new() }
    }

    /// Whether a DNS name (perhaps with a leading `*.`) may be signed.
    pub fn admits_dns(&self, name: &str) -> bool {
        let name = name.strip_prefix("*.").unwrap_or(name).to_ascii_lowercase();
        let below = |parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        match self {
            Self::Unconstrained => true,
            Self::Only { dns, .. } => dns.iter().any(|parent| below(&parent.to_ascii_lowercase())),
        }
    }

    /// Whether an address may be signed.
    pub fn admits_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Unconstrained => true,
            Self::Only { networks, .. } => networks.iter().any(|network| network.contains(&address)),
        }
    }

    fn lower(&self) -> Option<NameConstraints> {
        let Self::Only { dns, networks } = self else { return None };
        let cidr = |network: &IpNet| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network.addr(), network.prefix_len()))
        };
        let mut permitted: Vec<_> = dns.iter().map(|name| GeneralSubtree::DnsName(name.to_string())).collect();
        permitted.extend(networks.iter().map(cidr));
        let all = || [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])].map(GeneralSubtree::IpAddress);
        let excluded = if networks.is_empty() { all().into() } else { Vec::new() };
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded })
    }
}

/// A root: signs intermediates only.
pub(crate) fn root(name: &str, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = bare(Some(name), validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// An intermediate: signs leaves only.
pub(crate) fn intermediate(
    name: &str,
    constraints: &Constraints,
    validity: Validity,
) -> Result<CertificateParams, PkiError> {
    let mut params = bare(Some(name), validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = constraints.lower();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// An X509-SVID. With an empty subject, so the library marks the names as critical (RFC 5280 section 4.2.1.6).
pub(crate) fn svid(id: &SpiffeId, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = bare(None, validity)?;
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// From when and until when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`.
    pub from: Timestamp,
    /// `notAfter`.
    pub until: Timestamp,
}

impl Validity {
    /// From shortly before `now` (see [`BACKDATE`]) until `lifetime` after it, in whole seconds.
    pub const fn backdated(now: Timestamp, lifetime: Millis) -> Self {
        let from = Timestamp(now.0.saturating_sub(BACKDATE.0) / 1000 * 1000);
        Self { from, until: Timestamp(now.plus(lifetime).0 / 1000 * 1000) }
    }

    /// From `now`: cert-manager's own issuers do not backdate.
    pub const fn from_now(now: Timestamp, lifetime: Millis) -> Self {
        Self { from: Timestamp(now.0 / 1000 * 1000), until: Timestamp(now.plus(lifetime).0 / 1000 * 1000) }
    }
}

/// Parameters without a profile: subject, validity and a serial number of 120 random bits.
pub(crate) fn bare(common_name: Option<&str>, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.serial_number = Some(serial()?);
    // X.509 knows years up to 9999 and whole seconds.
    const LAST: u64 = 253_402_300_799;
    let date = |at: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Millis::seconds(at.seconds().min(LAST)).duration();
    (params.not_before, params.not_after) = (date(validity.from), date(validity.until));
    Ok(params)
}

fn serial() -> Result<rcgen::SerialNumber, PkiError> {
    // A first byte of 1 keeps the number positive and of one length (RFC 5280 section 4.1.2.2).
    let mut bytes = [1_u8; 16];
    if let Some(random) = bytes.get_mut(1..) {
        aws_lc_rs::rand::fill(random).map_err(|_| PkiError::Randomness)?;
    }
    Ok(rcgen::SerialNumber::from_slice(&bytes))
}
