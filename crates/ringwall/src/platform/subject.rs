//! Subjects of blocks as people write them: an address, a CIDR, `user:NAME`, `tenant:NAME`, `identity:SPIFFE-ID`,
//! `token:JTI`.

use ringwall_model::SpiffeId;
use ringwall_shield::{Origin, Subject};
use std::net::IpAddr;

/// Reads a subject.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse(text: &str) -> Result<Subject, String> {
    match text.split_once(':') {
        Some(("user", name)) if !name.is_empty() => Ok(Subject::User(name.into())),
        Some(("tenant", name)) if !name.is_empty() => Ok(Subject::Tenant(name.into())),
        Some(("token", jti)) if !jti.is_empty() => Ok(Subject::Token(jti.into())),
        // A SPIFFE ID says itself what it is.
        Some(("spiffe", _)) => parse(&format!("identity:{text}")),
        Some(("identity", id)) => match SpiffeId::parse(id) {
            Ok(id) => Ok(Subject::Identity(id.as_str().into())),
            Err(error) => Err(format!("`{id}` is no SPIFFE ID: {error}")),
        },
        _ => {
            let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(ipnet::IpNet::from));
            let wants = "an address, a CIDR, `user:NAME`, `tenant:NAME`, `identity:SPIFFE-ID` or `token:JTI`";
            network.map(Subject::Address).ok_or_else(|| format!("`{text}` is no subject: give {wants}"))
        }
    }
}

/// Writes a subject as [`parse`] reads it.
pub fn render(subject: &Subject) -> String {
    match subject {
        Subject::Address(network) if network.prefix_len() == network.max_prefix_len() => network.addr().to_string(),
        Subject::Address(network) => network.to_string(),
        Subject::Identity(id) => format!("identity:{id}"),
        Subject::User(name) => format!("user:{name}"),
        Subject::Tenant(name) => format!("tenant:{name}"),
        Subject::Token(jti) => format!("token:{jti}"),
    }
}

/// Who set a block.
pub fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Person(name) => name.to_string(),
        Origin::Alert(name) => format!("alert {name}"),
        Origin::Feed(name) => format!("feed {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, render};

    #[test]
    fn subjects_are_read_as_they_are_written() {
        let check = |text: &str| assert_eq!(parse(text).map(|it| render(&it)).as_deref(), Ok(text));
        for text in
            ["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/48", "user:alice", "tenant:acme", "token:a1"]
        {
            check(text);
        }
        check("identity:spiffe://cluster.local/ns/a/sa/b");
        assert_eq!(parse("spiffe://cluster.local/ns/a/sa/b"), parse("identity:spiffe://cluster.local/ns/a/sa/b"));
        for bad in ["", "user:", "192.0.2.300", "identity:https://x", "spiffe:x", "alice"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
