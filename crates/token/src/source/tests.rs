use super::{KeySource, Verification};
use crate::{BadSignature, DevelopmentSigner, Discovery, DiscoveryAnswer, Facts, JwkSet, KeyAnswer, Known, Token};
use ringwall_model::{Question, Timestamp};
use serde_json::json;
use std::sync::Arc;

fn verify(source: &KeySource, token: &Token, facts: &Facts, asked: &[Question]) -> Verification {
    source.verify(token, &Known { facts, asked, now: Timestamp(0) })
}

fn signed(kid: &str) -> (Token, Arc<JwkSet>) {
    let signer = DevelopmentSigner::generate(kid).unwrap();
    let again = DevelopmentSigner::from_pkcs8(signer.pkcs8(), kid).unwrap();
    let text = again.sign(&json!({"sub": "u"})).unwrap();
    let keys = JwkSet::read(signer.key_set().to_string().as_bytes()).unwrap();
    (Token::read(text.as_bytes()).unwrap(), Arc::new(keys))
}

#[test]
fn keys_are_asked_for_once_and_again_for_a_new_name() {
    let (token, keys) = signed("new");
    let (_, old) = signed("old");
    let source = KeySource::Uri("u".into());
    let first = Question::Keys { uri: "u".into(), kid: None };
    let renewed = Question::Keys { uri: "u".into(), kid: Some("new".into()) };
    let mut facts = Facts::default();
    assert_eq!(verify(&source, &token, &facts, &[]), Verification::Ask(first.clone()));
    assert_eq!(verify(&source, &token, &facts, std::slice::from_ref(&first)), Verification::Unanswered);
    facts.keys.insert("u".into(), KeyAnswer::Set(old));
    assert_eq!(verify(&source, &token, &facts, &[first]), Verification::Ask(renewed.clone()));
    assert_eq!(verify(&source, &token, &facts, &[renewed]), Verification::Refused(BadSignature::NoKey));
    facts.keys.insert("u".into(), KeyAnswer::Set(Arc::clone(&keys)));
    assert_eq!(verify(&source, &token, &facts, &[]), Verification::Verified);
    facts.keys.insert("u".into(), KeyAnswer::Unanswered);
    assert_eq!(verify(&source, &token, &facts, &[]), Verification::Unanswered);
    assert_eq!(verify(&KeySource::Inline(keys), &token, &facts, &[]), Verification::Verified);
    assert_eq!(verify(&KeySource::Nowhere, &token, &facts, &[]), Verification::Unanswered);
}

#[test]
fn discovery_comes_before_keys() {
    let (token, keys) = signed("k");
    let source = KeySource::Discovery { issuer: "https://i".into(), at: None };
    let mut facts = Facts::default();
    let question = Question::Discovery { issuer: "https://i".into(), at: None };
    assert_eq!(verify(&source, &token, &facts, &[]), Verification::Ask(question));
    let document = Discovery::read(br#"{"issuer":"https://i","jwks_uri":"u"}"#, "https://i").unwrap();
    facts.discovery.insert("https://i".into(), DiscoveryAnswer::Document(Arc::new(document)));
    facts.keys.insert("u".into(), KeyAnswer::Set(keys));
    assert_eq!(verify(&source, &token, &facts, &[]), Verification::Verified);
    facts.discovery.insert("https://i".into(), DiscoveryAnswer::Unanswered);
    assert_eq!(verify(&source, &token, &facts, &[]), Verification::Unanswered);
}
