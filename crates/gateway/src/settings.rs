//! What holds for the whole gateway: how closely Kong is followed, and the `KONG_*` settings that change judgements.

use ipnet::IpNet;
use std::collections::BTreeSet;

/// How closely Kong is followed where its own behaviour is a hole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compatibility {
    /// Holes are closed: path prefixes end at a segment, tokens must expire, removals cover `_` and `-` alike, forwarded
    /// fields and request ids count only from trusted peers.
    #[default]
    Safe,
    /// As Kong does it.
    Kong,
}

/// Settings of the whole gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How closely Kong is followed.
    pub compatibility: Compatibility,
    /// Peers whose `X-Forwarded-*` fields count (`trusted_ips`). In [`Compatibility::Safe`] a range of all addresses is
    /// no trust at all.
    pub trusted: Vec<IpNet>,
    /// Field that carries the client's address (`real_ip_header`).
    pub real_ip_header: Box<str>,
    /// Whether the address is looked for behind all trusted hops (`real_ip_recursive`).
    pub real_ip_recursive: bool,
    /// Which of the gateway's own fields responses carry.
    pub own_fields: OwnFields,
    /// Plugins that may be used; `None` means all that Ringwall knows.
    pub plugins: Option<BTreeSet<Box<str>>>,
    /// Claim that names the tenant in verified tokens.
    pub tenant_claim: Box<str>,
}

/// Which of the gateway's own fields (`Via`, `X-Kong-*`) responses carry (`headers`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnFields {
    /// Kong's set.
    #[default]
    Shown,
    /// None (`headers = off`).
    Hidden,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            compatibility: Compatibility::Safe,
            trusted: Vec::new(),
            real_ip_header: "X-Real-IP".into(),
            real_ip_recursive: false,
            own_fields: OwnFields::Shown,
            plugins: None,
            tenant_claim: "tenant_id".into(),
        }
    }
}

impl Settings {
    /// Whether a peer's forwarded fields count.
    pub fn trusts(&self, peer: std::net::IpAddr) -> bool {
        let safe = self.compatibility == Compatibility::Safe;
        self.trusted.iter().any(|net| !(safe && net.prefix_len() == 0) && net.contains(&peer))
    }
}
