//! The codes of findings about certificates (layer 4). One line a code, sorted; never reused.

use ringwall_model::Code;

/// The issuer that a Certificate names is declared nowhere.
pub const NO_ISSUER: Code = Code(4001);
/// The issuer is not asked in this run: the embedded authority signs in its stead.
pub const STAND_IN: Code = Code(4002);
/// The issuer is outside this process, and the Certificate is pending until it answers.
pub const PENDING: Code = Code(4003);
/// The HTTP-01 challenge is redirected to HTTPS before any certificate is there.
pub const CHALLENGE_REDIRECTED: Code = Code(4010);
/// A public ACME server signs no such name.
pub const NOT_PUBLIC: Code = Code(4011);
/// A public ACME server takes no such contact address.
pub const CONTACT: Code = Code(4012);
/// Which solver is taken depends on their order.
pub const SOLVER_ORDER: Code = Code(4013);
/// No solver can prove a name.
pub const NO_SOLVER: Code = Code(4014);
/// The ACME server is not asked for the duration.
pub const DURATION_IGNORED: Code = Code(4015);
/// `renewBefore` is fixed while the server decides on the lifetime.
pub const FIXED_RENEW_BEFORE: Code = Code(4016);
/// A certificate for TLS clients from a public CA that signs none.
pub const PUBLIC_CLIENT: Code = Code(4017);
/// The ACME server's own certificate is not checked.
pub const SKIP_VERIFY: Code = Code(4018);
/// A certificate for mTLS that the mesh does not use.
pub const NOT_AN_IDENTITY: Code = Code(4020);
/// `key encipherment` says nothing for this key.
pub const KEY_ENCIPHERMENT: Code = Code(4021);
/// No key algorithm is named: RSA with 2048 bits.
pub const RSA_BY_DEFAULT: Code = Code(4022);
/// Whether a renewal has a new key hangs on cert-manager's version.
pub const ROTATION: Code = Code(4023);
/// Two Certificates write one Secret.
pub const ONE_SECRET: Code = Code(4024);
/// A Gateway names a Secret that nothing makes.
pub const NO_SECRET: Code = Code(4025);
/// Something that cert-manager's validation refuses.
pub const INVALID: Code = Code(4030);
/// An issuer without exactly one type.
pub const ISSUER_TYPE: Code = Code(4031);
/// A `ca` issuer whose Secret nothing makes.
pub const NO_CA_SECRET: Code = Code(4032);
