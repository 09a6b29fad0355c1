//! The variables of SecLang: which there are, what they are called, where their values are kept.
//!
//! Reference manual v3, "Variables". Start reading at [`Variable::named`].

/// A variable or collection. The order is the order of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[rustfmt::skip]
pub(crate) enum Variable {
    Args, ArgsCombinedSize, ArgsGet, ArgsGetNames, ArgsNames, ArgsPost, ArgsPostNames, AuthType, Duration, Env, Files,
    FilesCombinedSize, FilesNames, FilesSizes, FilesTmpContent, FilesTmpNames, FullRequest, FullRequestLength, Geo,
    Global, HighestSeverity, InboundDataError, Ip, MatchedVar, MatchedVarName, MatchedVars, MatchedVarsNames,
    ModsecBuild, MscPcreLimitsExceeded, MultipartBoundaryQuoted, MultipartBoundaryWhitespace, MultipartCrlfLfLines,
    MultipartDataAfter, MultipartDataBefore, MultipartFileLimitExceeded, MultipartFilename, MultipartHeaderFolding,
    MultipartInvalidHeaderFolding, MultipartInvalidPart, MultipartInvalidQuoting, MultipartLfLine,
    MultipartMissingSemicolon, MultipartName, MultipartPartHeaders, MultipartSemicolonMissing, MultipartStrictError,
    MultipartUnmatchedBoundary, OutboundDataError, PathInfo, QueryString, RemoteAddr, RemoteHost, RemotePort,
    RemoteUser, ReqbodyError, ReqbodyErrorMsg, ReqbodyProcessor, ReqbodyProcessorError, ReqbodyProcessorErrorMsg,
    RequestBasename, RequestBody, RequestBodyLength, RequestCookies, RequestCookiesNames, RequestFilename,
    RequestHeaders, RequestHeadersNames, RequestLine, RequestMethod, RequestProtocol, RequestUri, RequestUriRaw,
    Resource, ResponseBody, ResponseContentLength, ResponseContentType, ResponseHeaders, ResponseHeadersNames,
    ResponseProtocol, ResponseStatus, Rule, ServerAddr, ServerName, ServerPort, Session, SessionId, StatusLine, Time,
    TimeDay, TimeEpoch, TimeHour, TimeMin, TimeMon, TimeSec, TimeWday, TimeYear, Tx, UniqueId, UrlencodedError, User,
    UserId, WebappId, Xml,
}

/// How many variables there are.
pub(crate) const COUNT: usize = Variable::Xml as usize + 1;

/// Names in the order of the enumeration.
#[rustfmt::skip]
const TABLE: [&str; COUNT] = [
    "ARGS", "ARGS_COMBINED_SIZE", "ARGS_GET", "ARGS_GET_NAMES", "ARGS_NAMES", "ARGS_POST", "ARGS_POST_NAMES",
    "AUTH_TYPE", "DURATION", "ENV", "FILES", "FILES_COMBINED_SIZE", "FILES_NAMES", "FILES_SIZES", "FILES_TMP_CONTENT",
    "FILES_TMPNAMES", "FULL_REQUEST", "FULL_REQUEST_LENGTH", "GEO", "GLOBAL", "HIGHEST_SEVERITY",
    "INBOUND_DATA_ERROR", "IP", "MATCHED_VAR", "MATCHED_VAR_NAME", "MATCHED_VARS", "MATCHED_VARS_NAMES",
    "MODSEC_BUILD", "MSC_PCRE_LIMITS_EXCEEDED", "MULTIPART_BOUNDARY_QUOTED", "MULTIPART_BOUNDARY_WHITESPACE",
    "MULTIPART_CRLF_LF_LINES", "MULTIPART_DATA_AFTER", "MULTIPART_DATA_BEFORE", "MULTIPART_FILE_LIMIT_EXCEEDED",
    "MULTIPART_FILENAME", "MULTIPART_HEADER_FOLDING", "MULTIPART_INVALID_HEADER_FOLDING", "MULTIPART_INVALID_PART",
    "MULTIPART_INVALID_QUOTING", "MULTIPART_LF_LINE", "MULTIPART_MISSING_SEMICOLON", "MULTIPART_NAME",
    "MULTIPART_PART_HEADERS", "MULTIPART_SEMICOLON_MISSING", "MULTIPART_STRICT_ERROR", "MULTIPART_UNMATCHED_BOUNDARY",
    "OUTBOUND_DATA_ERROR", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "REMOTE_USER",
    "REQBODY_ERROR", "REQBODY_ERROR_MSG", "REQBODY_PROCESSOR", "REQBODY_PROCESSOR_ERROR",
    "REQBODY_PROCESSOR_ERROR_MSG", "REQUEST_BASENAME", "REQUEST_BODY", "REQUEST_BODY_LENGTH", "REQUEST_COOKIES",
    "REQUEST_COOKIES_NAMES", "REQUEST_FILENAME", "REQUEST_HEADERS", "REQUEST_HEADERS_NAMES", "REQUEST_LINE",
    "REQUEST_METHOD", "REQUEST_PROTOCOL", "REQUEST_URI", "REQUEST_URI_RAW", "RESOURCE", "RESPONSE_BODY",
    "RESPONSE_CONTENT_LENGTH", "RESPONSE_CONTENT_TYPE", "RESPONSE_HEADERS", "RESPONSE_HEADERS_NAMES",
    "RESPONSE_PROTOCOL", "RESPONSE_STATUS", "RULE", "SERVER_ADDR", "SERVER_NAME", "SERVER_PORT", "SESSION",
    "SESSIONID", "STATUS_LINE", "TIME", "TIME_DAY", "TIME_EPOCH", "TIME_HOUR", "TIME_MIN", "TIME_MON", "TIME_SEC",
    "TIME_WDAY", "TIME_YEAR", "TX", "UNIQUE_ID", "URLENCODED_ERROR", "USER", "USERID", "WEBAPPID", "XML",
];

/// Variables that the manual describes and that are refused, with the reason.
pub(crate) const REJECTED: [(&str, &str); 8] = [
    ("PERF_ALL", "timings of the engine are metrics, not a variable"),
    ("PERF_COMBINED", "timings of the engine are metrics, not a variable"),
    ("SCRIPT_BASENAME", "there is no script behind a proxy"),
    ("SCRIPT_FILENAME", "there is no script behind a proxy"),
    ("SCRIPT_GID", "there is no script behind a proxy"),
    ("SCRIPT_UID", "there is no script behind a proxy"),
    ("WEBSERVER_ERROR_LOG", "there is no web server log to read"),
    ("SDBM_DELETE_ERROR", "there is no SDBM file"),
];

/// What of an entry is the value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// The value.
    Value,
    /// The name.
    Name,
}

/// Which entries of the shared list of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All.
    All,
    /// From the query string.
    Query,
    /// From the body.
    Body,
}

impl Variable {
    /// The variable of that name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        let index = TABLE.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        ALL.get(index).copied()
    }

    /// Its name as rules write it.
    pub fn name(self) -> &'static str {
        TABLE.get(self as usize).copied().unwrap_or_default()
    }

    /// All names, in order.
    pub fn names() -> &'static [&'static str] {
        &TABLE
    }

    /// The list that holds its values, what of an entry it means, and which entries.
    pub const fn kept(self) -> (Self, Aspect, Part) {
        match self {
            Self::ArgsGet => (Self::Args, Aspect::Value, Part::Query),
            Self::ArgsGetNames => (Self::Args, Aspect::Name, Part::Query),
            Self::ArgsNames => (Self::Args, Aspect::Name, Part::All),
            Self::ArgsPost => (Self::Args, Aspect::Value, Part::Body),
            Self::ArgsPostNames => (Self::Args, Aspect::Name, Part::Body),
            Self::FilesNames => (Self::Files, Aspect::Name, Part::All),
            Self::RequestCookiesNames => (Self::RequestCookies, Aspect::Name, Part::All),
            Self::RequestHeadersNames => (Self::RequestHeaders, Aspect::Name, Part::All),
            Self::ResponseHeadersNames => (Self::ResponseHeaders, Aspect::Name, Part::All),
            Self::MatchedVarsNames => (Self::MatchedVars, Aspect::Name, Part::All),
            other => (other, Aspect::Value, Part::All),
        }
    }

    /// Whether its members have names, so that a selector makes sense.
    pub const fn is_collection(self) -> bool {
        matches!(
            self.kept().0,
            Self::Args
                | Self::Env
                | Self::Files
                | Self::FilesSizes
                | Self::FilesTmpContent
                | Self::FilesTmpNames
                | Self::Geo
                | Self::Global
                | Self::Ip
                | Self::MatchedVars
                | Self::MultipartFilename
                | Self::MultipartName
                | Self::MultipartPartHeaders
                | Self::RequestCookies
                | Self::RequestHeaders
                | Self::Resource
                | Self::ResponseHeaders
                | Self::Rule
                | Self::Session
                | Self::Tx
                | Self::User
                | Self::Xml
        )
    }

    /// Whether its members outlive a transaction.
    pub const fn is_persistent(self) -> bool {
        matches!(self, Self::Global | Self::Ip | Self::Resource | Self::Session | Self::User)
    }
}

/// The enumeration in its order.
#[rustfmt::skip]
const ALL: [Variable; COUNT] = {
    use Variable::*;
    [
        Args, ArgsCombinedSize, ArgsGet, ArgsGetNames, ArgsNames, ArgsPost, ArgsPostNames, AuthType, Duration, Env,
        Files, FilesCombinedSize, FilesNames, FilesSizes, FilesTmpContent, FilesTmpNames, FullRequest,
        FullRequestLength, Geo, Global, HighestSeverity, InboundDataError, Ip, MatchedVar, MatchedVarName, MatchedVars,
        MatchedVarsNames, ModsecBuild, MscPcreLimitsExceeded, MultipartBoundaryQuoted, MultipartBoundaryWhitespace,
        MultipartCrlfLfLines, MultipartDataAfter, MultipartDataBefore, MultipartFileLimitExceeded, MultipartFilename,
        MultipartHeaderFolding, MultipartInvalidHeaderFolding, MultipartInvalidPart, MultipartInvalidQuoting,
        MultipartLfLine, MultipartMissingSemicolon, MultipartName, MultipartPartHeaders, MultipartSemicolonMissing,
        MultipartStrictError, MultipartUnmatchedBoundary, OutboundDataError, PathInfo, QueryString, RemoteAddr,
        RemoteHost, RemotePort, RemoteUser, ReqbodyError, ReqbodyErrorMsg, ReqbodyProcessor, ReqbodyProcessorError,
        ReqbodyProcessorErrorMsg, RequestBasename, RequestBody, RequestBodyLength, RequestCookies,
        RequestCookiesNames, RequestFilename, RequestHeaders, RequestHeadersNames, RequestLine, RequestMethod,
        RequestProtocol, RequestUri, RequestUriRaw, Resource, ResponseBody, ResponseContentLength,
        ResponseContentType, ResponseHeaders, ResponseHeadersNames, ResponseProtocol, ResponseStatus, Rule,
        ServerAddr, ServerName, ServerPort, Session, SessionId, StatusLine, Time, TimeDay, TimeEpoch, TimeHour,
        TimeMin, TimeMon, TimeSec, TimeWday, TimeYear, Tx, UniqueId, UrlencodedError, User, UserId, WebappId, Xml,
    ]
};

#[cfg(test)]
mod tests {
    use super::{ALL, Variable};

    #[test]
    fn table_and_enumeration_agree() {
        for (index, variable) in ALL.into_iter().enumerate() {
            assert_eq!(variable as usize, index);
            assert_eq!(Variable::named(variable.name()), Some(variable));
        }
        assert_eq!(Variable::ArgsGetNames.name(), "ARGS_GET_NAMES");
        assert_eq!(Variable::MultipartStrictError.name(), "MULTIPART_STRICT_ERROR");
        assert_eq!(Variable::UrlencodedError.name(), "URLENCODED_ERROR");
    }
}
