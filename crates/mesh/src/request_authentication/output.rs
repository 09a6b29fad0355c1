//! What a call carries on after authentication: claims in headers, the token itself or not.
//!
//! In: the issuers in force, a verified token or none. Out: edits for the page, and the same as an overlay for
//! authorization, which judges the head as it will be. Follows Envoy's `claim_to_headers`: text as it is, numbers and
//! booleans as text, lists and objects as base64 of their JSON. Every client's copy of a written header is removed,
//! also when there is no token or no such claim.

use super::extract::query_without;
use super::judge::Verified;
use super::{Location, OriginalToken, RequestRules};
use crate::authorization::attributes::Overlay;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringwall_model::{Call, Edit, FieldEdit};
use serde_json::Value;

/// A claim holds a character that no header value may hold (RFC 9110 section 5.5), such as a line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFieldValue;

/// What authentication changes in the head, for authorization to see.
///
/// # Errors
/// [`NotAFieldValue`]: the call must not go on.
pub fn overlay(rules: &RequestRules, verified: Option<&Verified<'_>>) -> Result<Vec<Overlay>, NotAFieldValue> {
    let mut overlay: Vec<Overlay> =
        rules.written().iter().map(|name| Overlay { name: name.clone(), value: None }).collect();
    let Some(verified) = verified else { return Ok(overlay) };
    let claims = verified.token.claims();
    for output in &verified.rule.output_claims {
        let path: Vec<&str> = output.claim.split('.').collect();
        // A claim whose own name has dots, such as a URL, is meant before a nested one.
        let value = claims.get(&output.claim).or_else(|| claims.at(&path));
        if let Some(text) = value.and_then(text) {
            set(&mut overlay, &output.header, text)?;
        }
    }
    if let Some(header) = &verified.rule.output_payload_to_header {
        set(&mut overlay, header, verified.token.payload().to_owned())?;
    }
    if verified.rule.original == OriginalToken::Strip {
        for found in &verified.found {
            if let Location::Header { name, .. } = found.location
                && !overlay.iter().any(|known| known.name == *name)
            {
                overlay.push(Overlay { name: name.clone(), value: None });
            }
        }
    }
    Ok(overlay)
}

/// The same as edits for the page.
pub fn edits(overlay: &[Overlay], verified: Option<&Verified<'_>>, call: &Call) -> Vec<Edit> {
    let mut edits = Vec::with_capacity(overlay.len() * 2);
    for change in overlay {
        let name = Bytes::copy_from_slice(change.name.as_bytes());
        edits.push(Edit::Field(FieldEdit::RemoveFolded(name.clone())));
        edits.extend(change.value.clone().map(|value| Edit::Field(FieldEdit::Set(name, value))));
    }
    let stripped = verified.filter(|verified| verified.rule.original == OriginalToken::Strip);
    let parameters =
        stripped.into_iter().flat_map(|verified| &verified.found).filter_map(|found| match found.location {
            Location::Parameter(name) => Some(name),
            _ => None,
        });
    let query = call.views.query.clone();
    let left =
        parameters.fold(query.clone(), |query, name| query.and_then(|it| query_without(&it, name)).map(Bytes::from));
    if left != query {
        edits.push(Edit::Query(left));
    }
    edits
}

fn set(overlay: &mut [Overlay], header: &str, text: String) -> Result<(), NotAFieldValue> {
    if text.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
        return Err(NotAFieldValue);
    }
    if let Some(known) = overlay.iter_mut().find(|known| &*known.name == header) {
        known.value = Some(text.into());
    }
    Ok(())
}

/// A claim as the value of a header; `None` when there is nothing to write.
fn text(claim: &Value) -> Option<String> {
    let text = match claim {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => claim.to_string(),
        Value::Array(_) | Value::Object(_) => STANDARD.encode(claim.to_string()),
    };
    (!text.is_empty()).then_some(text)
}
