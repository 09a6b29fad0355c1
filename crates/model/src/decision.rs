//! What a layer says of a call, and the rule that made it say so.

use crate::{Edit, Millis, Place, Take};
use bytes::Bytes;
use serde::Serialize;
use std::fmt;

/// The verdict of one layer. A refusal always names its rule; a pass names a rule or says that none applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call may go on to the next layer.
    Pass {
        /// The rule that allows it, or that none applies.
        because: Reason,
    },
    /// The call ends here.
    Refuse {
        /// The rule that refuses it.
        because: Reason,
        /// What the client gets.
        reply: Reply,
    },
}

impl Decision {
    /// The reason, whichever way it went.
    pub const fn because(&self) -> Reason {
        match self {
            Self::Pass { because } | Self::Refuse { because, .. } => *because,
        }
    }
}

/// Why a decision fell: small, `Copy`, rendered later with the [`RuleBook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A rule of the manifests.
    Rule(RuleId),
    /// A rule of Ringwall itself that no manifest can switch off, such as `head/conflicting-length`.
    Builtin(Builtin),
    /// No rule speaks of this call.
    NoRuleApplies,
    /// Rules exist and none of them allows the call.
    DefaultDeny {
        /// How many rules were considered.
        considered: u32,
    },
}

/// The name of a built-in rule: `layer/name`, kebab case.
pub type Builtin = &'static str;

/// A rule of the manifests: an index into the [`RuleBook`] of the World that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// The name of a rule, as people know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RuleName {
    /// Kind of the resource, such as `AuthorizationPolicy`.
    pub kind: Box<str>,
    /// Namespace; empty for what has none.
    pub namespace: Box<str>,
    /// Name of the resource.
    pub name: Box<str>,
    /// JSON pointer into the resource, such as `/spec/rules/0`; empty for the whole resource.
    pub pointer: Box<str>,
    /// Where it stands in the manifests, when it came from text.
    #[serde(skip)]
    pub place: Option<Place>,
    /// A stable identity across Worlds, for State that survives a reload: a hash of kind, namespace, name, pointer.
    pub stable: u64,
}

impl fmt::Display for RuleName {
    /// `kind/namespace/name#pointer`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/", self.kind)?;
        if !self.namespace.is_empty() {
            write!(out, "{}/", self.namespace)?;
        }
        write!(out, "{}", self.name)?;
        if !self.pointer.is_empty() {
            write!(out, "#{}", self.pointer)?;
        }
        Ok(())
    }
}

/// The rules of one World by number. Lowering enters them, rendering looks them up.
#[derive(Clone, Debug, Default)]
pub struct RuleBook {
    names: Vec<RuleName>,
}

impl RuleBook {
    /// Enters a rule and returns its number.
    pub fn enter(&mut self, kind: &str, namespace: &str, name: &str, pointer: &str, place: Option<Place>) -> RuleId {
        let id = RuleId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        // FNV-1a, so that the number is the same in every process and every release.
        let stable = [kind, namespace, name, pointer]
            .into_iter()
            .flat_map(|part| part.bytes().chain([0xff]))
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        self.names.push(RuleName {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            pointer: pointer.into(),
            place,
            stable,
        });
        id
    }

    /// The name of a rule; `None` for a number of another book.
    pub fn name(&self, id: RuleId) -> Option<&RuleName> {
        self.names.get(id.0 as usize)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A reason as text: the rule's name, the built-in rule, or words for the absence of a rule.
    pub fn render(&self, reason: Reason) -> String {
        let mut text = String::new();
        // Writing to memory does not fail.
        let _written = self.write(reason, &mut text);
        text
    }

    /// The same, written.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, reason: Reason, out: &mut impl fmt::Write) -> fmt::Result {
        match reason {
            Reason::Rule(id) => match self.name(id) {
                Some(name) => write!(out, "{name}"),
                None => write!(out, "rule {}", id.0),
            },
            Reason::Builtin(name) => write!(out, "builtin/{name}"),
            Reason::NoRuleApplies => out.write_str("no rule applies"),
            Reason::DefaultDeny { considered } => {
                write!(out, "default deny: none of {considered} rules allows it")
            }
        }
    }
}

/// What a refused client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection is closed without a word.
    Drop,
    /// The connection is reset.
    Reset,
    /// An HTTP response.
    Http {
        /// Status code.
        status: u16,
        /// Fields beside `content-length`, `date` and `x-request-id`.
        fields: Vec<(&'static str, Bytes)>,
        /// Body.
        body: Bytes,
    },
}

impl Reply {
    /// A response with a short text body.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Http { status, fields: vec![("content-type", Bytes::from_static(b"text/plain"))], body: body.into() }
    }

    /// A response with a JSON body.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        let json = Bytes::from_static(b"application/json; charset=utf-8");
        Self::Http { status, fields: vec![("content-type", json)], body: body.into() }
    }

    /// A redirect.
    pub fn redirect(status: u16, location: impl Into<Bytes>) -> Self {
        Self::Http { status, fields: vec![("location", location.into())], body: Bytes::new() }
    }

    /// The status, when it is an HTTP response.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Http { status, .. } => Some(*status),
            Self::Drop | Self::Reset => None,
        }
    }
}

/// All that one layer says of one call.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub decision: Decision,
    /// Changes to the request, for the page to apply when the verdict is a pass.
    pub edits: Vec<Edit>,
    /// Budgets that the shell must take from, all or none, before the call goes on.
    pub takes: Vec<Take>,
    /// Hold the call back so long before it goes on.
    pub delay: Option<Millis>,
}

impl Judgement {
    /// A pass without edits.
    pub const fn pass(because: Reason) -> Self {
        Self { decision: Decision::Pass { because }, edits: Vec::new(), takes: Vec::new(), delay: None }
    }

    /// A refusal.
    pub const fn refuse(because: Reason, reply: Reply) -> Self {
        Self { decision: Decision::Refuse { because, reply }, edits: Vec::new(), takes: Vec::new(), delay: None }
    }
}

/// The layers, in the words of logs, metrics and traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// NetworkPolicy and kernel blocklist.
    Packet,
    /// TLS and mutual TLS.
    Tls,
    /// The strict reading of the head.
    Head,
    /// Limits, reputation, geography, blocks.
    Shield,
    /// Ingress, mesh and egress routing.
    Route,
    /// Web application firewall.
    Waf,
    /// API gateway: router and plugins.
    Gateway,
    /// Peer authentication, request authentication, authorization.
    Mesh,
    /// The upstream: connection, timeout, retry, breaker.
    Upstream,
}

impl Layer {
    /// Lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Tls => "tls",
            Self::Head => "head",
            Self::Shield => "shield",
            Self::Route => "route",
            Self::Waf => "waf",
            Self::Gateway => "gateway",
            Self::Mesh => "mesh",
            Self::Upstream => "upstream",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
