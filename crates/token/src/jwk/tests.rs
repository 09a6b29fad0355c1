//! Vectors: RFC 7515 appendix A.1 to A.4, RFC 8037 appendix A.4; round trips with keys made here for the rest.

use super::{BadKeySet, JwkSet, MAX_KEYS};
use crate::{Algorithm, BadSignature, Key, Token, encoding};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, KeyPair as _};
use base64::Engine as _;

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const A1: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const A2: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn set(key: &str) -> JwkSet {
    JwkSet::read(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).unwrap()
}

fn rfc_keys() -> [(JwkSet, String); 3] {
    [
        (
            set(&format!(r#"{{"kty":"oct","k":"{A1}"}}"#)),
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ),
        (
            set(&format!(r#"{{"kty":"RSA","n":"{A2}","e":"AQAB"}}"#)),
            format!(
                "eyJhbGciOiJSUzI1NiJ9.{JOE}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
            ),
        ),
        (
            set(
                r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
            ),
            format!(
                "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
            ),
        ),
    ]
}

#[test]
fn rfc_7515_tokens_verify() {
    for (keys, text) in rfc_keys() {
        let token = Token::read(text.as_bytes()).unwrap();
        assert_eq!(keys.verify(&token), Ok(()), "{text}");
        assert_eq!(token.claims().issuer(), Some("joe"));
        let mut forged = text.clone().into_bytes();
        let at = text.rfind('.').unwrap() + 5;
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(keys.verify(&Token::read(&forged).unwrap()), Err(BadSignature::Mismatch), "{text}");
    }
}

/// The two appendices whose payloads are no claims sets: the check below [`Token`].
#[test]
fn rfc_vectors_without_claims_verify() {
    let es512 = set(
        r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#,
    );
    let signature = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let made = |keys: &JwkSet, algorithm, signed: &str, signature: &str| {
        keys.keys()[0].made(algorithm, signed.as_bytes(), &encoding::decode(signature.as_bytes()).unwrap())
    };
    assert!(made(&es512, Algorithm::Es512, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA", signature));
    assert!(!made(&es512, Algorithm::Es512, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZB", signature));
    let ed = set(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#);
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(made(&ed, Algorithm::EdDsa, signed, signature));
    assert!(!made(&ed, Algorithm::EdDsa, &signed.replace('Z', "Y"), signature));
}

fn pem(der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

fn signed(algorithm: Algorithm, sign: impl Fn(&[u8]) -> Vec<u8>) -> Token {
    let header = format!(r#"{{"alg":"{}"}}"#, algorithm.name());
    let input = format!("{}.{}", encoding::encode(header.as_bytes()), encoding::encode(br#"{"sub":"u"}"#));
    let signature = sign(input.as_bytes());
    Token::read(format!("{input}.{}", encoding::encode(&signature)).as_bytes()).unwrap()
}

fn rsa_tokens() -> (String, Vec<Token>) {
    let pair = signature::RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let schemes: [(Algorithm, &'static dyn signature::RsaEncoding); 6] = [
        (Algorithm::Rs256, &signature::RSA_PKCS1_SHA256),
        (Algorithm::Rs384, &signature::RSA_PKCS1_SHA384),
        (Algorithm::Rs512, &signature::RSA_PKCS1_SHA512),
        (Algorithm::Ps256, &signature::RSA_PSS_SHA256),
        (Algorithm::Ps384, &signature::RSA_PSS_SHA384),
        (Algorithm::Ps512, &signature::RSA_PSS_SHA512),
    ];
    let sign = |scheme, input: &[u8]| {
        let mut out = vec![0; pair.public_modulus_len()];
        pair.sign(scheme, &SystemRandom::new(), input, &mut out).unwrap();
        out
    };
    (pem(der.as_ref()), schemes.iter().map(|(alg, scheme)| signed(*alg, |input| sign(*scheme, input))).collect())
}

fn ec_token(algorithm: Algorithm, scheme: &'static signature::EcdsaSigningAlgorithm) -> (String, Vec<Token>) {
    let pair = signature::EcdsaKeyPair::generate(scheme).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let token = signed(algorithm, |input| pair.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec());
    (pem(der.as_ref()), vec![token])
}

fn ed_token() -> (String, Vec<Token>) {
    let pair = signature::Ed25519KeyPair::generate().unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (pem(der.as_ref()), vec![signed(Algorithm::EdDsa, |input| pair.sign(input).as_ref().to_vec())])
}

/// Every public algorithm with its own key, and no algorithm with another's: not even with the public key's text as
/// an HMAC secret.
#[test]
fn an_algorithm_is_tied_to_the_type_of_the_key() {
    let parties = [
        rsa_tokens(),
        ec_token(Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        ec_token(Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        ec_token(Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        ed_token(),
    ];
    for (mine, (text, _)) in parties.iter().enumerate() {
        let key = Key::public_pem(text).unwrap();
        for (theirs, (_, tokens)) in parties.iter().enumerate() {
            for token in tokens {
                let want = if mine == theirs { Ok(()) } else { Err(BadSignature::NoKey) };
                assert_eq!(key.verify(token), want, "{key:?} {:?}", token.algorithm());
            }
        }
        let confused = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, text.as_bytes());
        let forged = signed(Algorithm::Hs256, |input| aws_lc_rs::hmac::sign(&confused, input).as_ref().to_vec());
        assert_eq!(key.verify(&forged), Err(BadSignature::NoKey));
        assert_eq!(Key::secret(text.as_bytes()).verify(&forged), Ok(()));
    }
    let (text, tokens) = &parties[0];
    let only = JwkSet::of(vec![Key::public_pem(text).unwrap().only_for(Algorithm::Ps384)]);
    for token in tokens {
        let want = if token.algorithm() == Algorithm::Ps384 { Ok(()) } else { Err(BadSignature::NoKey) };
        assert_eq!(only.verify(token), want);
    }
}

#[test]
fn hmac_tokens_verify() {
    let kinds = [
        (Algorithm::Hs256, aws_lc_rs::hmac::HMAC_SHA256),
        (Algorithm::Hs384, aws_lc_rs::hmac::HMAC_SHA384),
        (Algorithm::Hs512, aws_lc_rs::hmac::HMAC_SHA512),
    ];
    for (algorithm, hash) in kinds {
        let key = aws_lc_rs::hmac::Key::new(hash, b"secret");
        let token = signed(algorithm, |input| aws_lc_rs::hmac::sign(&key, input).as_ref().to_vec());
        assert_eq!(Key::secret(b"secret").verify(&token), Ok(()));
        assert_eq!(Key::secret(b"Secret").verify(&token), Err(BadSignature::Mismatch));
        let short = signed(algorithm, |input| aws_lc_rs::hmac::sign(&key, input).as_ref()[..8].to_vec());
        assert_eq!(Key::secret(b"secret").verify(&short), Err(BadSignature::Mismatch));
        assert_eq!(Key::secret(b"secret").verify(&signed(algorithm, |_| vec![])), Err(BadSignature::Mismatch));
    }
}

#[test]
fn the_key_is_chosen_by_its_name() {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"right");
    let token = |kid: &str| {
        let header = format!(r#"{{"alg":"HS256"{kid}}}"#);
        let input = format!("{}.{}", encoding::encode(header.as_bytes()), encoding::encode(b"{}"));
        let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
        Token::read(format!("{input}.{}", encoding::encode(tag.as_ref())).as_bytes()).unwrap()
    };
    let (right, wrong) = (encoding::encode(b"right"), encoding::encode(b"wrong"));
    let keys = format!(
        r#"{{"kid":"a","kty":"oct","k":"{wrong}"}},{{"kid":"b","kty":"oct","k":"{right}","use":"sig","key_ops":["verify"]}}"#
    );
    let check = |kid: &str, want| assert_eq!(set(&keys).verify(&token(kid)), want, "{kid}");
    check(r#","kid":"b""#, Ok(()));
    check(r#","kid":"a""#, Err(BadSignature::Mismatch));
    check(r#","kid":"c""#, Err(BadSignature::NoKey));
    check("", Ok(()));
    assert!(set(&keys).holds("a") && !set(&keys).holds("c"));
}

#[track_caller]
fn unfit(key: &str) {
    assert_eq!(JwkSet::read(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).err(), Some(BadKeySet::NoValidKeys), "{key}");
}

#[test]
fn keys_that_cannot_verify_are_left_out() {
    unfit(r#"{"kty":"oct","k":"AQID","use":"enc"}"#);
    unfit(r#"{"kty":"oct","k":"AQID","key_ops":["sign"]}"#);
    unfit(r#"{"kty":"oct","k":"AQID","alg":"RS256"}"#);
    unfit(r#"{"kty":"oct","k":"AQID","alg":"none"}"#);
    unfit(r#"{"kty":"oct","k":"AQID","kid":5}"#);
    unfit(r#"{"kty":"oct","k":""}"#);
    unfit(r#"{"kty":"EC","crv":"P-256","x":"AQID","y":"AQID"}"#);
    unfit(r#"{"kty":"EC","crv":"secp256k1","x":"AQID","y":"AQID"}"#);
    unfit(r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#);
    unfit(r#"{"kty":"RSA","n":"","e":"AQAB"}"#);
    unfit(r#"{"kty":"future"}"#);
    unfit(r#""text""#);
}

#[test]
fn sets_are_bounded() {
    let read = |text: &str| JwkSet::read(text.as_bytes()).err();
    let one = r#"{"kty":"oct","k":"AQID"}"#;
    assert_eq!(read(r#"{"keys":[],"keys":[]}"#), Some(BadKeySet::Json));
    assert_eq!(read("[]"), Some(BadKeySet::Json));
    assert_eq!(read(&format!(r#"{{"keys":[{}]}}"#, vec![one; MAX_KEYS + 1].join(","))), Some(BadKeySet::TooMany));
    assert_eq!(read(&" ".repeat(super::MAX_LENGTH + 1)), Some(BadKeySet::Length));
    assert_eq!(read(&format!(r#"{{"keys":[{}]}}"#, vec![one; MAX_KEYS].join(","))), None);
}

#[test]
fn pem_is_read_strictly() {
    for text in ["", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----"] {
        assert!(Key::public_pem(text).is_err(), "{text}");
    }
    let (text, _) = ed_token();
    let der = base64::engine::general_purpose::STANDARD.decode(text.split('\n').nth(1).unwrap()).unwrap();
    assert!(Key::public_pem(&pem(&der)).is_ok());
    for cut in 0..der.len() {
        assert!(Key::public_pem(&pem(&der[..cut])).is_err(), "{cut}");
    }
    assert!(Key::public_pem(&pem(&[&*der, &[0]].concat())).is_err());
}
