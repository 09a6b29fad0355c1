//! Authorization policies as data: what a manifest says, before it is laid out for one workload.
//!
//! In: what lowering read. Out: [`AuthorizationPolicy`], read twice: by [`layout`] for `judge`, and by analyses.
//! Never: a closure; a bool. Follows Istio's AuthorizationPolicy (security.istio.io/v1).
//! A rule matches when any of `from`, any of `to` and all of `when` do; a clause matches when any (or none) of its
//! values does.
// waypoint: policy/4 — rules as data, in the form the judge reads

pub mod attributes;
pub mod index;
pub mod layout;
pub mod trust_domain;

use crate::matching::Form;
use crate::matching::template::Template;
use ipnet::IpNet;
use ringwall_model::{RuleId, Selector};

/// One policy.
#[derive(Clone, Debug)]
pub struct AuthorizationPolicy {
    /// The policy as a rule: named when it has no rules of its own.
    pub id: RuleId,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Which workloads it is for.
    pub applies: Applies,
    /// What it does with a call that matches.
    pub action: Action,
    /// Whether it decides.
    pub force: Force,
    /// Its rules; with none of them it matches nothing.
    pub rules: Vec<Rule>,
}

/// Which workloads a policy is for.
#[derive(Clone, Debug)]
pub enum Applies {
    /// Those of its namespace (all namespaces for the root namespace) with these labels.
    To(Selector),
    /// None: it targets something that is not a workload here.
    Nowhere,
}

/// What a policy does with a call that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Lets it pass; and what no such policy lets pass is refused.
    Allow,
    /// Refuses it.
    Deny,
    /// Notes it.
    Audit,
    /// Asks an external authorizer. There is none, so it is refused.
    Custom,
}

/// Whether a policy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Force {
    /// It does.
    #[default]
    Enforced,
    /// It only says what it would have decided (`istio.io/dry-run: "true"`).
    DryRun,
}

/// One rule of a policy.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its number in the rule book.
    pub id: RuleId,
    /// Its position in the policy, from 0.
    pub index: u32,
    /// Sources: one of them must match; with none, any source does.
    pub from: Vec<Vec<Clause>>,
    /// Operations: one of them must match; with none, any operation does.
    pub to: Vec<Vec<Clause>>,
    /// Conditions: all of them must match.
    pub when: Vec<Clause>,
}

/// One field with its values.
#[derive(Clone, Debug)]
pub struct Clause {
    /// What is looked at.
    pub field: Field,
    /// With what it is compared.
    pub values: Values,
    /// Which way round.
    pub sense: Sense,
}

/// Which way round a clause is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sense {
    /// One of the values matches.
    Any,
    /// None of the values matches; so also when the field is absent.
    None,
}

/// What a clause looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The peer's identity without `spiffe://`.
    Principal,
    /// The namespace of the peer's identity, read strictly: only `/ns/<namespace>/sa/<account>` has one.
    Namespace,
    /// The service account of the peer's identity, with its namespace.
    ServiceAccount,
    /// The trust domain of the peer's identity.
    TrustDomain,
    /// Issuer and subject of the verified token.
    RequestPrincipal,
    /// The direct peer's address.
    PeerAddress,
    /// The client's address, derived from trusted hops.
    ClientAddress,
    /// The local address of the connection.
    DestinationAddress,
    /// The workload's port.
    Port,
    /// Host with its port as sent, whatever the case.
    Host,
    /// Method.
    Method,
    /// Normalized path without query.
    Path,
    /// A header, each of its lines for itself; the name is in lower case.
    Header(Box<str>),
    /// Audiences of the verified token.
    Audience,
    /// `azp` of the verified token.
    Presenter,
    /// A claim of the verified token, by its path.
    Claim(Box<[Box<str>]>),
    /// Server name of the TLS connection.
    ServerName,
    /// Something that never has a value here, such as another filter's metadata.
    Nothing,
    /// Always matches: what became of a clause that could not be read, in a rule that refuses.
    Always,
    /// Never matches: what became of a clause that could not be read, in a rule that allows.
    Never,
}

impl Field {
    /// Whether only HTTP has it.
    pub const fn is_http(&self) -> bool {
        matches!(
            self,
            Self::RequestPrincipal
                | Self::Host
                | Self::Method
                | Self::Path
                | Self::Header(_)
                | Self::Audience
                | Self::Presenter
                | Self::Claim(_)
        )
    }

    /// The name policies know it by.
    pub fn name(&self) -> String {
        match self {
            Self::Principal => "source.principal".into(),
            Self::Namespace => "source.namespace".into(),
            Self::ServiceAccount => "source.serviceAccount".into(),
            Self::TrustDomain => "source.trustDomain".into(),
            Self::RequestPrincipal => "request.auth.principal".into(),
            Self::PeerAddress => "source.ip".into(),
            Self::ClientAddress => "remote.ip".into(),
            Self::DestinationAddress => "destination.ip".into(),
            Self::Port => "destination.port".into(),
            Self::Host => "host".into(),
            Self::Method => "method".into(),
            Self::Path => "path".into(),
            Self::Header(name) => format!("request.headers[{name}]"),
            Self::Audience => "request.auth.audiences".into(),
            Self::Presenter => "request.auth.presenter".into(),
            Self::Claim(path) => format!("request.auth.claims[{}]", path.join("][")),
            Self::ServerName => "connection.sni".into(),
            Self::Nothing => "metadata".into(),
            Self::Always | Self::Never => "unreadable field".into(),
        }
    }
}

/// Values of a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Patterns over text.
    Text(Vec<Form>),
    /// Paths, some of which may be templates.
    Paths(Vec<PathForm>),
    /// Blocks of addresses.
    Blocks(Vec<IpNet>),
    /// Ports.
    Ports(Vec<u16>),
    /// Service accounts: namespace and name.
    Accounts(Vec<(Box<str>, Box<str>)>),
    /// Issuers and subjects.
    RequestPrincipals(Vec<RequestPrincipal>),
    /// None: the field itself says all.
    Nothing,
}

/// One value of `paths`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathForm {
    /// A pattern.
    Text(Form),
    /// A template.
    Template(Template),
}

/// One value of `requestPrincipals`: both parts must be there and match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPrincipal {
    /// Of the token's `iss`.
    pub issuer: Form,
    /// Of the token's `sub`.
    pub subject: Form,
}

impl RequestPrincipal {
    /// Reads `<issuer>/<subject>`, parted at the last `/`; `None` when it can match no token.
    pub fn read(value: &str) -> Option<Self> {
        let (issuer, subject) = match value.rsplit_once('/') {
            _ if value == "*" => (Form::Any, Form::Any),
            Some((issuer, subject)) => match (issuer.strip_prefix('*'), subject.strip_suffix('*')) {
                (Some(""), _) => (Form::Any, Form::Exact(subject.into())),
                (Some(end), _) => (Form::Suffix(end.into()), Form::Exact(subject.into())),
                (None, Some("")) => (Form::Exact(issuer.into()), Form::Any),
                (None, Some(start)) => (Form::Exact(issuer.into()), Form::Prefix(start.into())),
                (None, None) => (Form::Exact(issuer.into()), Form::Exact(subject.into())),
            },
            None if value.starts_with('*') => (Form::Any, Form::read(value)),
            None => (Form::Prefix(value.strip_suffix('*')?.into()), Form::Any),
        };
        Some(Self { issuer, subject })
    }
}

impl PathForm {
    /// Reads one value of `paths`; `None` when it is a broken template.
    pub fn read(value: &str) -> Option<Self> {
        if Template::is_template(value) {
            Template::read(value).map(Self::Template)
        } else {
            Some(Self::Text(Form::read(value)))
        }
    }

    /// The pattern, when it is one.
    pub const fn text(&self) -> Option<&Form> {
        match self {
            Self::Text(form) => Some(form),
            Self::Template(_) => None,
        }
    }

    /// The template, when it is one.
    pub const fn template(&self) -> Option<&Template> {
        match self {
            Self::Text(_) => None,
            Self::Template(template) => Some(template),
        }
    }
}
