//! Compiled rules: what `lower` makes and `judge` reads. Data only.

use crate::alphabet::Mask;
use crate::bits::Bits;
use crate::operator::gate::Gate;
use crate::operator::{Operator, Order};
use crate::template::{Key, Template};
use crate::transform::Transformation;
use crate::variable::{Aspect, Part, Variable};
use std::ops::Range;
use std::sync::Arc;

/// A rule: its first link decides when it is asked, its last link whether it matched.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its `id`.
    pub id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// The rule itself and its chain, at least one.
    pub links: Vec<Link>,
    /// What a match does to the transaction.
    pub disruptive: Disruptive,
    /// Status of a refusal.
    pub status: u16,
    /// Whether a match is written to the error log, and to the audit log.
    pub log: bool,
    pub audit: bool,
    /// 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// `msg`, `logdata`.
    pub message: Option<Template>,
    pub data: Option<Template>,
    /// `tag`, as written.
    pub tags: Vec<Template>,
    /// `ver`, `rev`.
    pub version: Box<str>,
    pub revision: Box<str>,
    /// Position in its phase where evaluation goes on after a match (`skipAfter`, `skip`).
    pub skip_to: Option<u32>,
    /// Whether it asks for `MATCHED_VARS` or `MATCHED_VARS_NAMES`.
    pub asks_matched: bool,
    /// Where it stands.
    pub file: Box<str>,
    pub line: u32,
}

/// What a match does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disruptive {
    /// Nothing.
    Pass,
    /// The transaction is refused with the status.
    Deny,
    /// The connection is closed.
    Drop,
    /// The client is sent elsewhere.
    Redirect(Template),
    /// The rest of the phase, of the request or of everything is not judged.
    Allow(Reach),
}

/// How far an `allow` reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All phases but logging.
    All,
    /// This phase.
    Phase,
    /// The request phases.
    Request,
}

/// One link of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    /// What is looked at, in order. Empty for `SecAction`.
    pub targets: Vec<Target>,
    /// What is left out.
    pub exclusions: Vec<Exclusion>,
    /// Names the transformation node.
    pub node: u32,
    /// What is asked in passes for all targets: when none of it holds, the link does not match. `None`: some target is not
    /// asked so.
    pub asked: Option<Asked>,
    /// The operator, and whether a mismatch is the match.
    pub operator: Operator,
    pub negated: bool,
    /// The operator runs after each transformation that changes something.
    pub multi_match: bool,
    /// A match fills `TX:0` to `TX:9`.
    pub capture: bool,
    /// What a match changes, in order.
    pub effects: Vec<Effect>,
}

/// One target.
#[derive(Debug)]
pub(crate) struct Target {
    /// The variable as written, for `MATCHED_VAR_NAME`.
    pub variable: Variable,
    /// The list its values are kept in, what of an entry counts, and which entries.
    pub kept: (Variable, Aspect, Part),
    /// Which members.
    pub choice: Choice,
    /// The number of values is looked at, not the values.
    pub count: bool,
    /// What is asked of its values in passes, as a range of [`crate::Rules::asks`]; empty: each is looked at when its rule
    /// is judged.
    pub asks: Range<u32>,
}

/// What is asked for a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Number of the sources that it is asked of.
    pub sources: u16,
    /// The range of [`crate::Rules::asks`].
    pub asks: Range<u32>,
}

/// Sources that links ask together, and the conditions that guard the rules of those links.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceSet {
    pub sources: Box<[u16]>,
    pub guards: u64,
}

/// Values that go through a pass together, and what may be done to them.
#[derive(Debug)]
pub(crate) struct Source {
    /// The list its values are kept in, what of an entry counts, and which entries.
    pub kept: (Variable, Aspect, Part),
    /// Only members of this name, lower case.
    pub name: Option<Box<str>>,
    /// What becomes of a value: a tree, each stage before those that come of it. The first one is the value itself.
    pub stages: Vec<Stage>,
    /// What is asked: numbers of [`crate::Rules::asks`].
    pub asks: Vec<u32>,
}

/// A source has no more stages than these: sets of them are 64 bits.
pub(crate) const STAGES: usize = 64;

/// A step of a chain of transformations within a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    /// Its node.
    pub node: u32,
    /// The stage before it; the first one is its own.
    pub before: u8,
    /// The stages from the next one to this come of it.
    pub end: u8,
    /// What is done; `None` for the first one.
    pub step: Option<Transformation>,
    /// Kinds of bytes without which that changes nothing; `None`: it always does.
    pub touches: Option<Mask>,
}

/// An operator that is asked of every text that a source has at a stage.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Number of the source, and the stage.
    pub source: u16,
    pub stage: u8,
    /// The literal slot that a text must have, or [`crate::prefilter::NONE`].
    pub slot: u16,
    /// Whose operator it is: the rule, and the link in it.
    pub rule: u32,
    pub link: u16,
    /// The conditions by which a match skips the rule, as bits.
    pub guards: u64,
    /// What a text must have beside.
    pub gate: Gate,
}

/// When a rule that skips others matches: a known name of `TX` against a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub slot: u16,
    pub order: Order,
    pub number: i64,
    pub negated: bool,
}

/// Which members of a collection are meant.
#[derive(Debug)]
pub(crate) enum Choice {
    /// All of them.
    All,
    /// Those of this name, lower case; members of `TX` by their slot.
    Name(Key),
    /// Those whose name this pattern finds; members of `TX` among the known ones by their slots.
    Pattern {
        /// Number in [`crate::Rules::patterns`].
        pattern: u32,
        /// Known `TX` names that it finds.
        slots: Vec<u16>,
    },
}

/// What is left out of a rule's targets.
#[derive(Debug)]
pub(crate) struct Exclusion {
    /// The variable.
    pub variable: Variable,
    /// Which members.
    pub choice: Choice,
}

/// A chain of transformations as a node of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// The node before it; the root is its own.
    pub parent: u32,
    /// What is done on the way from there; `None` for the root.
    pub step: Option<Transformation>,
    /// Kinds of bytes without which that changes nothing; `None`: it always does.
    pub touches: Option<Mask>,
}

/// A change that a match makes.
#[derive(Debug)]
pub(crate) enum Effect {
    /// `setvar`.
    Set {
        /// `TX` or a persistent collection.
        collection: Variable,
        /// Its member.
        name: Name,
        /// The change.
        change: Change,
    },
    /// `initcol`, `setsid`, `setuid`.
    Open(Variable, Template),
    /// `expirevar`.
    Expire(Variable, Name, Template),
    /// `deprecatevar`: amount and seconds.
    Deprecate(Variable, Name, i64, u64),
    /// `setenv`.
    Environment(Template, Template),
    /// `sanitiseArg`, `sanitiseRequestHeader`, `sanitiseResponseHeader`: hidden in the audit log.
    Hide(Variable, Box<str>),
    /// `sanitiseMatched`.
    HideMatched,
    /// A `ctl` that nothing here depends on.
    Nothing,
    /// `ctl`.
    Control(Control),
}

/// The name of a member that is set.
#[derive(Debug)]
pub(crate) enum Name {
    /// A known `TX` name.
    Slot(u16),
    /// Any other.
    Made(Template),
}

/// What `setvar` does.
#[derive(Debug)]
pub(crate) enum Change {
    /// `=`
    Assign(Amount),
    /// `=+`
    Add(Amount),
    /// `=-`
    Subtract(Amount),
    /// `!`
    Remove,
}

/// The right side of `setvar`.
#[derive(Debug)]
pub(crate) enum Amount {
    /// A number.
    Number(i64),
    /// The value of a known `TX` name.
    Slot(u16),
    /// Anything else.
    Made(Template),
}

/// `ctl`: changes of the transaction's own configuration.
#[derive(Debug)]
pub(crate) enum Control {
    Engine(crate::Engine),
    RequestBodyAccess(crate::Access),
    ResponseBodyAccess(crate::Access),
    ForceRequestBody(crate::Access),
    Processor(crate::body::Processor),
    Audit(crate::configuration::AuditEngine),
    /// Rules that are not asked any more.
    RemoveRules(Bits),
    /// A target that is left out of these rules.
    RemoveTarget(Arc<(Bits, Exclusion)>),
}
