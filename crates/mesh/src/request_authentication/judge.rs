//! Judging the tokens of one call.
//!
//! In: the issuers in force, the call, what is known of keys. Out: [`Outcome`]. Never: a claim of a token that was not
//! verified. Each token at an issuer's locations must be good for that issuer; one issuer that is satisfied is enough;
//! when none is, the call passes only if there was no token at all.

use super::extract::{Found, tokens};
use super::{CLOCK_SKEW, JwtRule, RequestRules};
use ringwall_model::{Call, Question, RuleId};
use ringwall_token::{BadSignature, BadTime, BadToken, Known, Token, Verification};
use smallvec::SmallVec;

/// What became of a call's tokens.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// There is none, or nobody looks for one.
    Anonymous,
    /// They are good.
    Verified(Box<Verified<'a>>),
    /// One is not, and this rule says so.
    Refused(RuleId, Refusal),
    /// This must be known first.
    Ask(Question),
}

/// A verified token.
#[derive(Clone, Debug)]
pub struct Verified<'a> {
    /// The issuer that it is good for.
    pub rule: &'a JwtRule,
    /// The token: the first one at the issuer's locations.
    pub token: Token,
    /// Where the issuer's tokens were.
    pub found: SmallVec<[Found<'a>; 2]>,
}

/// Why a token is refused; the words are Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not a token.
    #[error("{0}")]
    Token(BadToken),
    /// Its time has not come or has passed.
    #[error("{0}")]
    Time(BadTime),
    /// It is from an issuer that is not configured there.
    #[error("Jwt issuer is not configured")]
    Issuer,
    /// It is for somebody else.
    #[error("Audiences in Jwt are not allowed")]
    Audience,
    /// Its signature is not good.
    #[error("{0}")]
    Signature(BadSignature),
    /// The issuer's keys could not be had.
    #[error("Jwks remote fetch is failed")]
    NoKeys,
}

enum ForIssuer<'a> {
    Missing,
    Good(Box<Verified<'a>>),
    Bad(Refusal),
    Ask(Question),
}

/// Judges the tokens of a call.
pub fn judge<'a>(rules: &'a RequestRules, call: &'a Call, known: &Known<'_>) -> Outcome<'a> {
    let mut worst: Option<(RuleId, Refusal)> = None;
    for rule in rules.issuers() {
        match for_issuer(rule, call, known) {
            ForIssuer::Missing => {}
            ForIssuer::Good(verified) => return Outcome::Verified(verified),
            ForIssuer::Ask(question) => return Outcome::Ask(question),
            // A token of another issuer says the least about why none is satisfied.
            ForIssuer::Bad(refusal) => match &worst {
                Some((_, known)) if *known != Refusal::Issuer => {}
                _ => worst = Some((rule.id, refusal)),
            },
        }
    }
    worst.map_or(Outcome::Anonymous, |(rule, refusal)| Outcome::Refused(rule, refusal))
}

/// Every token at an issuer's locations must be good: else the application might take the bad one.
fn for_issuer<'a>(rule: &'a JwtRule, call: &'a Call, known: &Known<'_>) -> ForIssuer<'a> {
    let found = tokens(call, &rule.locations);
    let mut first = None;
    for one in &found {
        match check(rule, &one.text, known) {
            Ok(token) => first = first.or(Some(token)),
            Err(Check::Refused(refusal)) => return ForIssuer::Bad(refusal),
            Err(Check::Ask(question)) => return ForIssuer::Ask(question),
        }
    }
    first.map_or(ForIssuer::Missing, |token| ForIssuer::Good(Box::new(Verified { rule, token, found })))
}

enum Check {
    Refused(Refusal),
    Ask(Question),
}

/// ORDER: form, issuer, time, audience, signature, as Envoy has it: which fault is named depends on it.
fn check(rule: &JwtRule, text: &[u8], known: &Known<'_>) -> Result<Token, Check> {
    let refuse = |refusal| Err(Check::Refused(refusal));
    let token = Token::read(text).map_err(|fault| Check::Refused(Refusal::Token(fault)))?;
    if token.claims().issuer() != Some(&*rule.issuer) {
        return refuse(Refusal::Issuer);
    }
    if let Err(fault) = token.claims().judge_times(known.now, CLOCK_SKEW) {
        return refuse(Refusal::Time(fault));
    }
    if !token.claims().is_for(&rule.audiences) {
        return refuse(Refusal::Audience);
    }
    match rule.keys.verify(&token, known) {
        Verification::Verified => Ok(token),
        Verification::Refused(fault) => refuse(Refusal::Signature(fault)),
        Verification::Ask(question) => Err(Check::Ask(question)),
        Verification::Unanswered => refuse(Refusal::NoKeys),
    }
}
