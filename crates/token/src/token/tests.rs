use super::{BadToken, MAX_LENGTH, Token};
use crate::{Algorithm, encoding};
use proptest::prelude::{any, proptest};

fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.AA", encoding::encode(header.as_bytes()), encoding::encode(payload.as_bytes()))
}

#[track_caller]
fn refused(text: &str, want: BadToken) {
    assert_eq!(Token::read(text.as_bytes()).err(), Some(want), "{text}");
}

#[track_caller]
fn header(json: &str, want: BadToken) {
    refused(&token(json, "{}"), want);
}

#[track_caller]
fn payload(json: &str, want: BadToken) {
    refused(&token(r#"{"alg":"HS256"}"#, json), want);
}

#[test]
fn a_token_is_read() {
    let text = token(r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#, r#"{"sub":"u","aud":["a"]}"#);
    let read = Token::read(text.as_bytes()).unwrap();
    assert_eq!((read.algorithm(), read.kid()), (Algorithm::Es256, Some("k1")));
    assert_eq!(read.claims().subject(), Some("u"));
    assert_eq!(format!("{}.AA", std::str::from_utf8(read.signed()).unwrap()), text);
    assert_eq!(Some(read.payload()), text.split('.').nth(1));
    assert_eq!(read.signature(), [0]);
}

#[test]
fn forms_that_are_no_token_are_refused() {
    refused("", BadToken::Form);
    refused("a.b", BadToken::Form);
    refused("a.b.c.d", BadToken::Form);
    refused("a.b.c.d.e", BadToken::Form);
    refused(&"a".repeat(MAX_LENGTH + 1), BadToken::Form);
    assert_eq!(Token::read(&[0xff, b'.', b'.']).err(), Some(BadToken::Form));
    refused("a+.b.c", BadToken::HeaderEncoding);
    refused(&format!("{}=", token(r#"{"alg":"HS256"}"#, "{}")), BadToken::SignatureEncoding);
    refused(&format!("{} x", token(r#"{"alg":"HS256"}"#, "{}")), BadToken::SignatureEncoding);
    refused(&token(r#"{"alg":"HS256"}"#, "{}").replacen('.', "=.", 1), BadToken::HeaderEncoding);
}

#[test]
fn headers_are_strict() {
    header("{}", BadToken::AlgorithmMissing);
    header(r#"{"alg":1}"#, BadToken::AlgorithmMissing);
    header(r#"{"alg":"none"}"#, BadToken::Algorithm);
    header(r#"{"alg":"nOnE"}"#, BadToken::Algorithm);
    header(r#"{"alg":"HS256","alg":"none"}"#, BadToken::HeaderJson);
    header(r#"{"alg":"HS256","kid":1}"#, BadToken::Kid);
    header(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, BadToken::Critical);
    header(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, BadToken::Critical);
    header("[]", BadToken::HeaderJson);
}

#[test]
fn registered_claims_have_their_types() {
    payload("[]", BadToken::PayloadJson);
    payload(r#"{"sub":"a","sub":"b"}"#, BadToken::PayloadJson);
    payload(r#"{"iss":1}"#, BadToken::Issuer);
    payload(r#"{"sub":null}"#, BadToken::Subject);
    payload(r#"{"iat":"1"}"#, BadToken::IssuedAt);
    payload(r#"{"nbf":-1}"#, BadToken::NotBefore);
    payload(r#"{"exp":"never"}"#, BadToken::Expires);
    payload(r#"{"jti":7}"#, BadToken::Id);
    payload(r#"{"aud":["a",1]}"#, BadToken::Audience);
    payload(r#"{"aud":{}}"#, BadToken::Audience);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Token::read(&bytes);
    }

    #[test]
    fn no_sections_make_it_panic(header in ".{0,40}", payload in ".{0,60}") {
        let _ = Token::read(token(&header, &payload).as_bytes());
        let _ = Token::read(token(r#"{"alg":"HS256"}"#, &payload).as_bytes());
    }
}
