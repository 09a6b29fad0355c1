//! What a rule file says of the engine itself, and what one route says beside it.

use crate::Interval;

/// Whether rules are asked, and whether they may refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Rules are asked and may refuse.
    #[default]
    On,
    /// Rules are asked; a refusal is only written down.
    DetectionOnly,
    /// No rule is asked.
    Off,
}

/// Whether a body is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// It is.
    #[default]
    On,
    /// It is not.
    Off,
}

/// What happens when a body is longer than its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The transaction is refused with 413 (request) or 500 (response).
    #[default]
    Reject,
    /// Only the first part is judged.
    Partial,
}

/// Which transactions an audit log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AuditEngine {
    On,
    #[default]
    Off,
    RelevantOnly,
}

/// Whether literals are searched first, to skip regular expressions that cannot match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefilter {
    /// They are.
    #[default]
    On,
    /// Every operator runs; the same rules match. For tests.
    Off,
}

/// The engine's configuration as the rule files say it.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub engine: Engine,
    pub request_body: Access,
    pub response_body: Access,
    pub request_limit: usize,
    pub request_no_files_limit: usize,
    pub request_overflow: Overflow,
    pub response_limit: usize,
    pub response_overflow: Overflow,
    pub response_types: Vec<String>,
    pub json_depth: usize,
    pub arguments: usize,
    pub files: usize,
    pub separator: u8,
    pub audit: AuditEngine,
    pub audit_parts: String,
    pub audit_status: Option<crate::operator::pattern::Pattern>,
    pub collection_timeout: u64,
    pub signatures: Vec<String>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            engine: Engine::On,
            request_body: Access::On,
            response_body: Access::On,
            request_limit: 13_107_200,
            request_no_files_limit: 1_048_576,
            request_overflow: Overflow::Reject,
            response_limit: 524_288,
            response_overflow: Overflow::Partial,
            response_types: ["text/plain", "text/html", "text/xml", "application/json"].map(String::from).to_vec(),
            json_depth: 512,
            arguments: 16_384,
            files: 100,
            separator: b'&',
            audit: AuditEngine::Off,
            audit_parts: "ABCFHZ".into(),
            audit_status: None,
            collection_timeout: 3600,
            signatures: Vec::new(),
        }
    }
}

/// What one route says beside the rule files. Everything absent is as the files say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// On, detection only, off.
    pub engine: Option<Engine>,
    /// Members of `TX` that rules cannot change, such as `blocking_paranoia_level` and `inbound_anomaly_score_threshold`.
    pub variables: Vec<(Box<str>, i64)>,
    /// Rules and targets that are left out.
    pub exclusions: Vec<Exclude>,
    /// Whether the request's body is looked at.
    pub request_body: Option<Access>,
    /// Whether the response's body is looked at.
    pub response_body: Option<Access>,
    /// Longest request body in bytes.
    pub request_limit: Option<usize>,
    /// Longest part of a response's body that is judged, in bytes.
    pub response_limit: Option<usize>,
    /// Media types of responses whose bodies are looked at.
    pub response_types: Option<Vec<String>>,
    /// What happens when a request's body is longer than its limit.
    pub request_overflow: Option<Overflow>,
    /// What happens when a response's body is longer than its limit.
    pub response_overflow: Option<Overflow>,
    /// Whether the prefilter is used.
    pub prefilter: Prefilter,
    /// So many bytes a transaction may hold beside what it must hold, before it looks for what it can forget.
    /// Absent: 60 KiB, or four times its bodies, in all.
    pub room: Option<usize>,
}

impl Settings {
    /// The paranoia level that blocks (and, unless set apart, detects), 1 to 4.
    #[must_use]
    pub fn paranoia(mut self, level: u8) -> Self {
        self.variables.push(("blocking_paranoia_level".into(), level.into()));
        self
    }

    /// The anomaly score from which a request is refused.
    #[must_use]
    pub fn inbound_threshold(mut self, score: i64) -> Self {
        self.variables.push(("inbound_anomaly_score_threshold".into(), score));
        self
    }
}

/// Something that is left out for one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclude {
    /// Rules by id.
    Ids(Interval),
    /// Rules by tag.
    Tag(Box<str>),
    /// A target, such as `ARGS:password` or `REQUEST_COOKIES:/^_ga/`, of the rules with these ids.
    TargetOfIds(Interval, Box<str>),
    /// A target of the rules with this tag.
    TargetOfTag(Box<str>, Box<str>),
}
