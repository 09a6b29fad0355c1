//! What a call or a connection offers to the clauses of a policy.
//!
//! In: the call, the verified token, what authentication will change in the head. Out: the values of each [`Field`].
//! Never: a value that nobody verified where a policy asks for a verified one. Nothing is allocated to look at a field.

use super::Field;
use crate::matching::bits;
use ringwall_model::{Call, Fields, Peer, SpiffeId, edit};
use ringwall_token::{Claims, claims};
use serde_json::Value;
use smallvec::SmallVec;
use std::net::IpAddr;

/// One call, or one connection, as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// The direct peer.
    pub peer: &'a Peer,
    /// The client's address.
    pub client: IpAddr,
    /// The local address.
    pub destination: IpAddr,
    /// The workload's port.
    pub port: u16,
    /// What only HTTP has.
    pub http: Option<Http<'a>>,
}

/// The HTTP part of [`Attributes`].
#[derive(Clone, Copy, Debug)]
pub struct Http<'a> {
    /// The call.
    pub call: &'a Call,
    /// The verified token's claims.
    pub claims: Option<&'a Claims>,
    /// Claims beside `scope` and `permission` that are lists with spaces between.
    pub spaced: &'a [Box<str>],
    /// Headers as authentication leaves them, in place of those of the call.
    pub overlay: &'a [Overlay],
}

/// A header as authentication leaves it: with this value, or taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Its name.
    pub name: Box<str>,
    /// Its only value.
    pub value: Option<bytes::Bytes>,
}

impl<'a> Attributes<'a> {
    /// A connection without HTTP. Its client is its peer.
    pub const fn of_connection(peer: &'a Peer, destination: IpAddr, port: u16) -> Self {
        Self { peer, client: peer.address.ip(), destination, port, http: None }
    }

    /// Calls `each` with every value of a field; not at all when it is absent.
    pub fn visit(&self, field: &Field, each: &mut impl FnMut(&[u8])) {
        match field {
            Field::Principal => self.identity().into_iter().for_each(|id| each(id.principal().as_bytes())),
            Field::Namespace => self.account().into_iter().for_each(|(namespace, _)| each(namespace.as_bytes())),
            Field::ServiceAccount => {
                self.account_path().into_iter().for_each(|path| each(path.as_bytes()));
            }
            Field::TrustDomain => self.identity().into_iter().for_each(|id| each(id.trust_domain().as_bytes())),
            Field::PeerAddress => each(&bits(self.peer.address.ip(), 128)),
            Field::ClientAddress => each(&bits(self.client, 128)),
            Field::DestinationAddress => each(&bits(self.destination, 128)),
            Field::Port => each(&self.port.to_be_bytes()),
            Field::ServerName => {
                let name = self.peer.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
                name.into_iter().for_each(|name| each(name.as_bytes()));
            }
            Field::Always => each(b""),
            Field::Nothing | Field::Never | Field::RequestPrincipal => {}
            _ => self.http.iter().for_each(|http| http.visit(field, each)),
        }
    }

    fn identity(&self) -> Option<&'a SpiffeId> {
        self.peer.identity()
    }

    fn account(&self) -> Option<(&'a str, &'a str)> {
        self.identity()?.service_account()
    }

    /// `<namespace>/sa/<account>` of an identity of exactly Istio's form.
    fn account_path(&self) -> Option<&'a str> {
        let identity = self.identity()?;
        identity.service_account()?;
        identity.principal().strip_prefix(identity.trust_domain())?.strip_prefix("/ns/")
    }
}

impl<'a> Http<'a> {
    fn visit(&self, field: &Field, each: &mut impl FnMut(&[u8])) {
        match field {
            Field::Method => each(&self.call.method),
            Field::Path => each(&self.call.views.istio),
            Field::Host => {
                let host: SmallVec<[u8; 256]> = self.call.authority.iter().map(u8::to_ascii_lowercase).collect();
                each(&host);
            }
            Field::Header(name) => self.header(name, each),
            Field::Audience => self.texts(self.claim("aud"), each),
            Field::Presenter => {
                self.claim("azp").and_then(Value::as_str).into_iter().for_each(|it| each(it.as_bytes()))
            }
            Field::Claim(path) => {
                let value = self.claims.and_then(|claims| claims.at(path));
                match path.as_ref() {
                    [name] if self.is_spaced(name) => self.words(value, each),
                    _ => self.texts(value, each),
                }
            }
            _ => {}
        }
    }

    fn header(&self, name: &str, each: &mut impl FnMut(&[u8])) {
        match self.changed(name.as_bytes()) {
            Some(overlay) => overlay.value.iter().for_each(|value| each(value)),
            None => self.fields().iter().filter(|field| field.is(name)).for_each(|field| each(&field.value)),
        }
    }

    /// The fields as sent.
    pub const fn fields(&self) -> &'a Fields {
        &self.call.fields
    }

    /// What authentication makes of a header, if it changes it. Names that an application server would take for the
    /// same count as the same.
    pub fn changed(&self, name: &[u8]) -> Option<&'a Overlay> {
        self.overlay.iter().find(|overlay| edit::same_when_folded(overlay.name.as_bytes(), name))
    }

    /// Issuer and subject of the verified token, when both are there and not empty.
    pub fn principal(&self) -> Option<(&'a str, &'a str)> {
        let claims = self.claims?;
        let part = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        Some((part(claims.issuer())?, part(claims.subject())?))
    }

    fn claim(&self, name: &str) -> Option<&'a Value> {
        self.claims.and_then(|claims| claims.get(name))
    }

    fn is_spaced(&self, name: &str) -> bool {
        matches!(name, "scope" | "permission") || self.spaced.iter().any(|spaced| &**spaced == name)
    }

    fn texts(&self, value: Option<&Value>, each: &mut impl FnMut(&[u8])) {
        claims::strings(value).for_each(|text| each(text.as_bytes()));
    }

    fn words(&self, value: Option<&Value>, each: &mut impl FnMut(&[u8])) {
        match value {
            Some(Value::String(text)) => {
                text.split(' ').filter(|word| !word.is_empty()).for_each(|word| each(word.as_bytes()));
            }
            other => self.texts(other, each),
        }
    }
}
