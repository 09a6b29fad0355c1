//! The codes of findings about Kong (layer 3, RW3000 to RW3399). One line a code, sorted; never reused.

use ringwall_model::Code;

/// Kong's schema refuses it.
pub const SCHEMA: Code = Code(3000);
/// `_format_version` is missing or not one that Kong reads.
pub const FORMAT_VERSION: Code = Code(3001);
/// A name that no entity has.
pub const REFERENCE: Code = Code(3002);
/// Two entities of one name.
pub const DUPLICATE: Code = Code(3003);
/// An entity that Ringwall does not read.
pub const ENTITY: Code = Code(3004);
/// A plugin that Kong does not have.
pub const PLUGIN_UNKNOWN: Code = Code(3010);
/// A plugin of Kong that Ringwall does not have.
pub const PLUGIN_UNSUPPORTED: Code = Code(3011);
/// A plugin of Kong's commercial edition.
pub const PLUGIN_ENTERPRISE: Code = Code(3012);
/// A plugin that only writes logs elsewhere.
pub const PLUGIN_LOGS: Code = Code(3013);
/// A plugin that is not among those the gateway enables.
pub const PLUGIN_DISABLED: Code = Code(3014);
/// A plugin that never runs where a more specific one of its name stands.
pub const PLUGIN_SHADOWED: Code = Code(3015);
/// A setting of a plugin that Ringwall does not enforce, though it guards.
pub const PLUGIN_SETTING: Code = Code(3016);
/// A regular expression that cannot be compiled.
pub const PATTERN: Code = Code(3020);
/// A path prefix that in Kong ends within a segment.
pub const PREFIX: Code = Code(3021);
/// `strip_path` is not set, so the path is cut.
pub const STRIP_PATH: Code = Code(3022);
/// A route that takes calls out of another route's plugins.
pub const ESCAPES: Code = Code(3023);
/// A service whose certificate is not verified.
pub const TLS_VERIFY: Code = Code(3024);
/// `oidc` without a field that Kong's plugin wants, or with one it does not have.
pub const OIDC_FIELDS: Code = Code(3030);
/// `oidc` with a truth value where the plugin wants a word.
pub const OIDC_WORD: Code = Code(3031);
/// `oidc` in a form that needs the login flow.
pub const OIDC_LOGIN: Code = Code(3032);
/// `oidc` that takes tokens for anyone.
pub const OIDC_AUDIENCE: Code = Code(3033);
/// `oidc` that does not verify the provider's certificate.
pub const OIDC_TLS: Code = Code(3034);
/// `jwt` that takes tokens without an end.
pub const JWT_EXPIRY: Code = Code(3040);
/// `jwt` that takes tokens from the address of a call.
pub const JWT_QUERY: Code = Code(3041);
/// `jwt` for which no consumer has a credential.
pub const JWT_CREDENTIALS: Code = Code(3042);
/// A credential that cannot be read.
pub const CREDENTIAL: Code = Code(3043);
/// A limit that Kong counts in a store, and approximately.
pub const LIMIT_POLICY: Code = Code(3050);
/// A limit for everybody that is counted for each caller.
pub const LIMIT_SCOPE: Code = Code(3051);
/// A plugin for a consumer that no call is ever known to be.
pub const CONSUMER_SCOPE: Code = Code(3052);
/// A limit that lets calls pass when they cannot be counted.
pub const LIMIT_TOLERANT: Code = Code(3053);
/// A variable that Kong sends as an empty field.
pub const TEMPLATE_VARIABLE: Code = Code(3060);
/// A template that cannot be read.
pub const TEMPLATE: Code = Code(3061);
/// A list written as one text with commas.
pub const COMMA: Code = Code(3062);
/// A transformation of bodies.
pub const BODY: Code = Code(3063);
/// A request id that any client may choose.
pub const CORRELATION: Code = Code(3064);
/// An address list that is no geography.
pub const ADDRESSES: Code = Code(3070);
/// CORS for any origin with credentials.
pub const CORS_ANY: Code = Code(3071);
/// An image that does not exist.
pub const IMAGE: Code = Code(3100);
/// A setting that Kong does not have.
pub const SETTING_UNKNOWN: Code = Code(3101);
/// `ssl_protocols` without the cipher suite that makes it count.
pub const SSL_PROTOCOLS: Code = Code(3102);
/// Every peer is a trusted proxy.
pub const TRUST_ALL: Code = Code(3103);
/// An Admin API that others can reach.
pub const ADMIN_LISTEN: Code = Code(3104);
/// A status API that others can reach.
pub const STATUS_LISTEN: Code = Code(3105);
/// A database in clear text.
pub const DATABASE_TLS: Code = Code(3106);
/// A plugin that is not in the image.
pub const PLUGIN_NOT_INSTALLED: Code = Code(3107);
/// A readiness probe that does not say that the gateway is configured.
pub const READINESS: Code = Code(3108);
/// Bodies of any length.
pub const BODY_LIMIT: Code = Code(3109);
/// The client's address is the last hop's.
pub const REAL_IP: Code = Code(3110);
/// A setting whose value cannot be read.
pub const SETTING_VALUE: Code = Code(3111);
/// A command that is no call to an Admin API.
pub const COMMAND: Code = Code(3200);
/// An argument that Kong reads as one text though it is a list.
pub const ARGUMENT_COMMA: Code = Code(3201);
/// An index that begins at 0.
pub const ARGUMENT_INDEX: Code = Code(3202);
/// A change that replaces a whole list.
pub const PATCH_REPLACES: Code = Code(3203);
/// `{id}` or the like where the name of an entity should stand.
pub const TARGET_PLACEHOLDER: Code = Code(3204);
/// A call without authentication over clear text.
pub const ADMIN_CALL: Code = Code(3205);
/// A variable that is put into an argument unchecked.
pub const ARGUMENT_VARIABLE: Code = Code(3206);
/// A schedule that no command carries out.
pub const SCHEDULE: Code = Code(3207);
