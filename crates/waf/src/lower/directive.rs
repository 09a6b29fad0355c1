//! What each directive does. One line of the match is one directive; [`TABLE`] says so for people.

use super::Lowering;
use super::draft::{Draft, Gathered, intervals};
use crate::configuration::{Access, AuditEngine, Engine, Overflow};
use crate::operator::pattern::Pattern;
use crate::seclang::{Directive, LoadError};
use crate::variable::Variable;

/// How a directive is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It does what the manual says.
    Supported,
    /// It is read and has no effect, for this reason.
    Ignored(&'static str),
    /// It is an error, for this reason.
    Rejected(&'static str),
}

use Treatment::{Ignored, Rejected, Supported};

/// Every directive of the reference manual v3 and what becomes of it, sorted.
pub(crate) const TABLE: [(&str, Treatment); 89] = [
    ("Include", Supported),
    ("IncludeOptional", Supported),
    ("SecAction", Supported),
    ("SecArgumentSeparator", Supported),
    ("SecArgumentsLimit", Supported),
    ("SecAuditEngine", Supported),
    ("SecAuditLog", Ignored("audit records go to the telemetry sinks")),
    ("SecAuditLog2", Ignored("audit records go to the telemetry sinks")),
    ("SecAuditLogDir", Ignored("audit records go to the telemetry sinks")),
    ("SecAuditLogDirMode", Ignored("audit records go to the telemetry sinks")),
    ("SecAuditLogFileMode", Ignored("audit records go to the telemetry sinks")),
    ("SecAuditLogFormat", Ignored("each sink has its own format")),
    ("SecAuditLogParts", Supported),
    ("SecAuditLogPrefix", Ignored("audit records go to the telemetry sinks")),
    ("SecAuditLogRelevantStatus", Supported),
    ("SecAuditLogStorageDir", Ignored("audit records go to the telemetry sinks")),
    ("SecAuditLogType", Ignored("audit records go to the telemetry sinks")),
    ("SecCacheTransformations", Ignored("transformations are always remembered within a transaction")),
    ("SecChrootDir", Rejected("the process is confined by other means")),
    ("SecCollectionTimeout", Supported),
    ("SecComponentSignature", Supported),
    ("SecConnEngine", Rejected("connection limits are the shield's")),
    ("SecConnReadStateLimit", Rejected("connection limits are the shield's")),
    ("SecConnWriteStateLimit", Rejected("connection limits are the shield's")),
    ("SecContentInjection", Rejected("bodies are not rewritten")),
    ("SecCookieFormat", Ignored("cookies are read as version 0, as browsers send them")),
    ("SecCookieV0Separator", Ignored("cookies are separated by `;`")),
    ("SecDataDir", Ignored("persistent collections are kept by the process")),
    ("SecDataset", Rejected("put the words into a phrase file")),
    ("SecDebugLog", Ignored("use `explain`")),
    ("SecDebugLogLevel", Ignored("use `explain`")),
    ("SecDefaultAction", Supported),
    ("SecDisableBackendCompression", Ignored("bodies are decompressed where they are judged")),
    ("SecGeoLookupDb", Ignored("geography is the shield's")),
    ("SecGsbLookupDb", Rejected("the service behind it was closed")),
    ("SecGuardianLog", Rejected("it would run a program; Ringwall runs none")),
    ("SecHashEngine", Rejected("link signing is not part of Ringwall")),
    ("SecHashKey", Rejected("link signing is not part of Ringwall")),
    ("SecHashMethodPm", Rejected("link signing is not part of Ringwall")),
    ("SecHashMethodRx", Rejected("link signing is not part of Ringwall")),
    ("SecHashParam", Rejected("link signing is not part of Ringwall")),
    ("SecHttpBlKey", Ignored("reputation is the shield's")),
    ("SecIgnoreRuleCompilationErrors", Rejected("a rule file is taken whole or not at all")),
    ("SecInterceptOnError", Ignored("an error while judging is a refusal")),
    ("SecMarker", Supported),
    ("SecParseXmlIntoArgs", Ignored("XML is looked at as `XML`, not as arguments")),
    ("SecPcreMatchLimit", Ignored("matching takes linear time")),
    ("SecPcreMatchLimitRecursion", Ignored("matching takes linear time")),
    ("SecRemoteRules", Rejected("rules come from the bundle, with their hash")),
    ("SecRemoteRulesFailAction", Rejected("rules come from the bundle, with their hash")),
    ("SecRequestBodyAccess", Supported),
    ("SecRequestBodyInMemoryLimit", Ignored("bodies are kept in memory up to their limit")),
    ("SecRequestBodyJsonDepthLimit", Supported),
    ("SecRequestBodyLimit", Supported),
    ("SecRequestBodyLimitAction", Supported),
    ("SecRequestBodyNoFilesLimit", Supported),
    ("SecResponseBodyAccess", Supported),
    ("SecResponseBodyLimit", Supported),
    ("SecResponseBodyLimitAction", Supported),
    ("SecResponseBodyMimeType", Supported),
    ("SecResponseBodyMimeTypesClear", Supported),
    ("SecRule", Supported),
    ("SecRuleEngine", Supported),
    ("SecRuleInheritance", Ignored("a policy names its rule files")),
    ("SecRulePerfTime", Ignored("timings are metrics")),
    ("SecRuleRemoveById", Supported),
    ("SecRuleRemoveByMsg", Supported),
    ("SecRuleRemoveByTag", Supported),
    ("SecRuleScript", Rejected("scripts are not run")),
    ("SecRuleUpdateActionById", Supported),
    ("SecRuleUpdateTargetById", Supported),
    ("SecRuleUpdateTargetByMsg", Supported),
    ("SecRuleUpdateTargetByTag", Supported),
    ("SecRxPreFilter", Ignored("literals are always searched first")),
    ("SecSensorId", Ignored("records name the workload")),
    ("SecServerSignature", Ignored("the data plane writes the server field")),
    ("SecStatusEngine", Ignored("nothing is reported anywhere")),
    ("SecStreamInBodyInspection", Ignored("there is no STREAM_INPUT_BODY")),
    ("SecStreamOutBodyInspection", Ignored("there is no STREAM_OUTPUT_BODY")),
    ("SecTmpDir", Ignored("nothing is written to a file")),
    ("SecTmpSaveUploadedFiles", Ignored("nothing is written to a file")),
    ("SecUnicodeCodePage", Ignored("full-width forms are decoded without a table")),
    ("SecUnicodeMapFile", Ignored("full-width forms are decoded without a table")),
    ("SecUploadDir", Ignored("nothing is written to a file")),
    ("SecUploadFileLimit", Supported),
    ("SecUploadFileMode", Ignored("nothing is written to a file")),
    ("SecUploadKeepFiles", Ignored("nothing is written to a file")),
    ("SecWebAppId", Ignored("a policy names its application")),
    ("SecXmlExternalEntity", Ignored("entities are never resolved")),
];

/// Takes one directive.
pub(super) fn take(
    lowering: &mut Lowering<'_>,
    gathered: &mut Gathered,
    directive: &Directive,
) -> Result<(), LoadError> {
    let Some((name, treatment)) = TABLE.iter().find(|(name, _)| name.eq_ignore_ascii_case(&directive.name)) else {
        let message = format!("there is no directive `{}`", directive.name);
        return Err(LoadError::at(&directive.source, 0, message)
            .help("a long directive goes on after a `\\` at the line's end"));
    };
    match treatment {
        Ignored(_) => return Ok(()),
        Rejected(why) => {
            return Err(LoadError::at(&directive.source, 0, format!("`{name}` is not supported: {why}")));
        }
        Supported if directive.arguments.is_empty() && *name != "SecResponseBodyMimeTypesClear" => {
            return Err(LoadError::at(&directive.source, name.len(), format!("`{name}` needs an argument")));
        }
        Supported => {}
    }
    match *name {
        "SecRule" | "SecAction" => gathered.rule(directive),
        "SecDefaultAction" => gathered.default_action(directive),
        "SecMarker" => {
            gathered.entries.push(super::draft::Entry::Marker(directive.text(0).to_owned()));
            Ok(())
        }
        "SecRuleUpdateActionById" => gathered.change_actions(directive),
        removal if removal.starts_with("SecRuleRemove") || removal.starts_with("SecRuleUpdateTarget") => {
            select(gathered, directive, removal)
        }
        setting => configure(lowering, directive, setting),
    }
}

fn select(gathered: &mut Gathered, directive: &Directive, name: &str) -> Result<(), LoadError> {
    let wanted = directive.text(0);
    let removes = name.starts_with("SecRuleRemove");
    if name.ends_with("ById") {
        let all: Vec<&str> = directive.arguments.iter().map(|argument| argument.text.as_str()).collect();
        let ids = intervals(&if removes { all.join(" ") } else { wanted.to_owned() })
            .ok_or_else(|| directive.error(0, 0, "expected ids such as `942100` or `942100-942199`"))?;
        let fits = |draft: &Draft| ids.iter().any(|interval| interval.holds(draft.id));
        return edit(gathered, directive, removes, fits);
    }
    let pattern = Pattern::read(wanted).map_err(|what| directive.error(0, 0, what))?;
    let by_tag = name.ends_with("ByTag");
    let fits = |draft: &Draft| {
        let (_, tags, message) = draft.summary();
        if by_tag { tags.iter().any(|tag| pattern.finds(tag.as_bytes())) } else { pattern.finds(message.as_bytes()) }
    };
    edit(gathered, directive, removes, fits)
}

fn edit(
    gathered: &mut Gathered,
    directive: &Directive,
    removes: bool,
    fits: impl Fn(&Draft) -> bool,
) -> Result<(), LoadError> {
    if removes {
        gathered.remove(fits);
        return Ok(());
    }
    gathered.retarget(directive, fits)
}

fn configure(lowering: &mut Lowering<'_>, directive: &Directive, name: &str) -> Result<(), LoadError> {
    let text = directive.text(0);
    let wrong = |what: &str| directive.error(0, 0, format!("expected {what}"));
    let size = || text.parse::<usize>().map_err(|_| wrong("a number"));
    let configuration = &mut lowering.configuration;
    match name {
        "SecRuleEngine" => configuration.engine = engine(text).ok_or_else(|| wrong("On, Off or DetectionOnly"))?,
        "SecRequestBodyAccess" => configuration.request_body = access(text).ok_or_else(|| wrong("On or Off"))?,
        "SecResponseBodyAccess" => configuration.response_body = access(text).ok_or_else(|| wrong("On or Off"))?,
        "SecRequestBodyLimit" => configuration.request_limit = size()?,
        "SecRequestBodyNoFilesLimit" => configuration.request_no_files_limit = size()?,
        "SecResponseBodyLimit" => configuration.response_limit = size()?,
        "SecRequestBodyJsonDepthLimit" => configuration.json_depth = size()?.min(4096),
        "SecArgumentsLimit" => configuration.arguments = size()?,
        "SecUploadFileLimit" => configuration.files = size()?,
        "SecRequestBodyLimitAction" => {
            configuration.request_overflow = overflow(text).ok_or_else(|| wrong("Reject or ProcessPartial"))?;
        }
        "SecResponseBodyLimitAction" => {
            configuration.response_overflow = overflow(text).ok_or_else(|| wrong("Reject or ProcessPartial"))?;
        }
        "SecResponseBodyMimeType" => {
            let words = directive.arguments.iter().flat_map(|argument| argument.text.split_ascii_whitespace());
            configuration.response_types = words.map(str::to_ascii_lowercase).collect();
        }
        "SecResponseBodyMimeTypesClear" => configuration.response_types.clear(),
        "SecArgumentSeparator" => configuration.separator = *text.as_bytes().first().unwrap_or(&b'&'),
        "SecCollectionTimeout" => configuration.collection_timeout = size()? as u64,
        "SecComponentSignature" => configuration.signatures.push(text.to_owned()),
        "SecAuditLogParts" => text.clone_into(&mut configuration.audit_parts),
        "SecAuditEngine" => {
            configuration.audit = audit(text).ok_or_else(|| wrong("On, Off or RelevantOnly"))?;
            for variable in [Variable::RemoteAddr, Variable::RemotePort, Variable::ServerAddr, Variable::ServerPort] {
                lowering.note(variable);
            }
        }
        "SecAuditLogRelevantStatus" => {
            // ModSecurity's own recommended file writes "all 4xx but 404" with a look-ahead.
            let plain = text.replace("4(?!04)", "4(?:[^0]|0[^4])");
            configuration.audit_status = Some(Pattern::read(&plain).map_err(|what| directive.error(0, 0, what))?);
        }
        other => return Err(directive.error(0, 0, format!("`{other}` cannot stand here"))),
    }
    Ok(())
}

pub(super) fn engine(text: &str) -> Option<Engine> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Some(Engine::On),
        "off" => Some(Engine::Off),
        "detectiononly" => Some(Engine::DetectionOnly),
        _ => None,
    }
}

pub(super) fn access(text: &str) -> Option<Access> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Some(Access::On),
        "off" => Some(Access::Off),
        _ => None,
    }
}

pub(super) fn audit(text: &str) -> Option<AuditEngine> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Some(AuditEngine::On),
        "off" => Some(AuditEngine::Off),
        "relevantonly" => Some(AuditEngine::RelevantOnly),
        _ => None,
    }
}

fn overflow(text: &str) -> Option<Overflow> {
    match text.to_ascii_lowercase().as_str() {
        "reject" => Some(Overflow::Reject),
        "processpartial" => Some(Overflow::Partial),
        _ => None,
    }
}
