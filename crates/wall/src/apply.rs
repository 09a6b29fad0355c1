//! Applies edits to a call: the one place where a request changes.
//!
//! In: a call, edits as data. Out: the call with its views made anew, so that the next router selects by what is there.

use bytes::Bytes;
use ringwall_model::{Call, Edit};

/// Applies edits in order.
pub fn apply(call: &mut Call, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Field(edit) => edit.apply(&mut call.fields),
            Edit::Method(method) => call.method = method.clone(),
            Edit::Path(path) => {
                call.views.kong = ringwall_head::path::kong(path);
                call.views.istio = path.clone();
                retarget(call);
            }
            Edit::Query(query) => {
                call.views.query = query.clone();
                retarget(call);
            }
            Edit::Authority(authority) => call.authority = authority.clone(),
        }
    }
}

/// Makes the target of what was judged: the normalized path and the query. Called last, so that nothing goes upstream
/// that no layer has seen in that form.
pub fn retarget(call: &mut Call) {
    call.target = match &call.views.query {
        None => call.views.istio.clone(),
        Some(query) => {
            let mut target = Vec::with_capacity(call.views.istio.len() + 1 + query.len());
            target.extend_from_slice(&call.views.istio);
            target.push(b'?');
            target.extend_from_slice(query);
            Bytes::from(target)
        }
    };
}
