//! Presets: rule files of our own for kinds of applications that stock rules refuse. Ordinary SecLang, to be read and
//! changed; loaded before the Core Rule Set.

/// A kind of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Prompts for language models: free text that may hold code.
    Prompts,
    /// GraphQL over JSON.
    GraphQl,
    /// JSON interfaces: methods and media types beyond those of forms.
    JsonApi,
    /// What the rule files of ModSecurity recommend: a body that cannot be read is refused.
    Strict,
}

impl Preset {
    /// The preset of that name: `prompts`, `graphql`, `json-api`, `strict`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "prompts" => Some(Self::Prompts),
            "graphql" => Some(Self::GraphQl),
            "json-api" => Some(Self::JsonApi),
            "strict" => Some(Self::Strict),
            _ => None,
        }
    }

    /// Its rules.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Prompts => PROMPTS,
            Self::GraphQl => GRAPHQL,
            Self::JsonApi => JSON_API,
            Self::Strict => STRICT,
        }
    }
}

/// The fields that hold a prompt in the usual interfaces, and no others, are not searched for code: a prompt is not run.
const PROMPTS: &str = r#"
SecAction "id:9990100,phase:1,pass,nolog,t:none,\
  ctl:ruleRemoveTargetByTag=attack-rce;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/,\
  ctl:ruleRemoveTargetByTag=attack-xss;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/,\
  ctl:ruleRemoveTargetByTag=attack-sqli;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/,\
  ctl:ruleRemoveTargetByTag=attack-lfi;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/,\
  ctl:ruleRemoveTargetByTag=attack-rfi;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/,\
  ctl:ruleRemoveTargetByTag=attack-injection-php;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/,\
  ctl:ruleRemoveTargetByTag=attack-injection-generic;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/,\
  ctl:ruleRemoveTargetByTag=attack-ssrf;ARGS:/^json\.(?:prompt|input|system|instructions|(?:messages|input|contents)\.(?:array_)?\d+\.(?:content|text|parts)(?:\.(?:array_)?\d+(?:\.(?:text|content))?)?)$/"
"#;

/// The document is read as GraphQL: its strings and the variables are searched, its syntax is not; deep ones are refused.
const GRAPHQL: &str = r#"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:graphql(?:-response)?\+)?json" \
  "id:9990200,phase:1,pass,nolog,t:none,t:lowercase,ctl:requestBodyProcessor=GRAPHQL,\
  ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS:/^json(?:\.(?:array_)?\d+)?\.query$/"
SecRule ARGS:graphql.depth "@gt 15" \
  "id:9990201,phase:2,deny,status:400,log,t:none,msg:'GraphQL document is nested too deep',logdata:'%{MATCHED_VAR} levels',tag:'ringwall/graphql'"
SecRule ARGS:graphql.names "@gt 1000" \
  "id:9990202,phase:2,deny,status:400,log,t:none,msg:'GraphQL document is too large',logdata:'%{MATCHED_VAR} names',tag:'ringwall/graphql'"
"#;

const JSON_API: &str = r#"
SecAction "id:9990300,phase:1,pass,nolog,t:none,\
  setvar:'tx.allowed_methods=GET HEAD POST PUT PATCH DELETE OPTIONS',\
  setvar:'tx.allowed_request_content_type=|application/json| |application/merge-patch+json| |application/json-patch+json| |application/vnd.api+json|'"
"#;

const STRICT: &str = r#"
SecRule REQBODY_ERROR "!@eq 0" \
  "id:9990400,phase:2,deny,status:400,log,t:none,msg:'The request body cannot be read',logdata:'%{REQBODY_ERROR_MSG}',tag:'ringwall/body'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
  "id:9990401,phase:2,deny,status:400,log,t:none,msg:'The multipart body is not strictly well-formed',tag:'ringwall/body'"
"#;
