//! The nouns shared by every room of Ringwall.
//!
//! In: nothing. Out: the types that cross the doors between rooms. Never: sockets, files, clock, randomness, threads.
//! One word for one thing: a term used in code, logs, metrics and documents is the name of a public item here.
//! Start reading at [`Call`] (one request) and [`Decision`] (what a layer says of it).
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod ask;
pub mod call;
pub mod caller;
pub mod decision;
pub mod edit;
pub mod event;
pub mod finding;
pub mod hex;
pub mod identity;
pub mod inventory;
pub mod listener;
pub mod take;
pub mod time;
pub mod trace;

pub use ask::{Question, Step};
pub use call::{
    BodyLength, Call, CallId, Client, ClientOrigin, Fault, Field, Fields, Peer, PeerTls, Raw, Scheme, Version, Views,
};
pub use caller::Caller;
pub use decision::{Builtin, Decision, Judgement, Layer, Reason, Reply, RuleBook, RuleId, RuleName};
pub use edit::{Edit, FieldEdit};
pub use event::{
    Connection, Event, Exchange, Inspected, Packet, PacketFate, RefusedCopy, RuleMatch, Span, UpstreamChange,
};
pub use finding::{Code, DocumentId, Finding, Part, Place, Severity};
pub use identity::{BadSpiffeId, SpiffeId};
pub use inventory::{
    DatagramPort, Endpoint, Host, Inventory, Labels, Namespace, Selector, Service, ServiceId, ServicePort, Workload,
    WorkloadId,
};
pub use listener::{Listener, Protocol, Role};
pub use take::{Budget, Spent, Take, TakeKey, Window};
pub use time::{Millis, Timestamp};
pub use trace::{Entry, Trace};
