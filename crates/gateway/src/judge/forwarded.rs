//! The fields by which the gateway tells a service how the call came: `X-Forwarded-*`, `X-Real-IP`.
//!
//! A trusted peer's own values are kept. From anyone else Kong drops all of them but `X-Forwarded-For`, which it only
//! lengthens; [`Compatibility::Safe`] drops that too, since the service cannot tell which part of it is made up.

use crate::Compatibility;
use crate::entity::Route;
use crate::walk::Walk;
use ringwall_model::{FieldEdit, Scheme};

/// Adds the edits.
pub fn tell(walk: &mut Walk<'_>, route: &Route) {
    let call = walk.call;
    let peer = call.peer.address.ip();
    let trusts = walk.gateway.settings.trusts(peer);
    let keeps_chain = trusts || walk.compatibility() == Compatibility::Kong;
    let chain: Vec<&[u8]> = call.fields.all("x-forwarded-for").map(|value| &**value).filter(|_| keeps_chain).collect();
    let peer = peer.to_string();
    let chain = [chain.as_slice(), &[peer.as_bytes()]].concat().join(b", ".as_slice());
    let (host, port) = crate::router::split_port(&call.authority);
    let default_port = if call.scheme == Scheme::Https { 443 } else { 80 };
    let port = port.unwrap_or(default_port).to_string();
    let path = crate::route::without_query(&call.target);
    walk.set("X-Forwarded-For", chain);
    walk.set("X-Real-IP", call.client.address.to_string());
    let own: [(&str, &[u8]); 4] = [
        ("X-Forwarded-Proto", call.scheme.as_str().as_bytes()),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Port", port.as_bytes()),
        ("X-Forwarded-Path", path),
    ];
    for (name, value) in own {
        if trusts {
            walk.edit(FieldEdit::AddIfAbsent(name.to_owned().into(), value.to_vec().into()));
        } else {
            walk.set(name, value.to_vec());
        }
    }
    if !trusts {
        walk.take_out("X-Forwarded-Prefix");
    }
    let cut = walk.selected.matched.filter(|matched| route.strip_path && matched.length > 1);
    if let Some(prefix) = cut.and_then(|matched| call.views.kong.get(..matched.length as usize)) {
        let prefix = prefix.to_vec();
        walk.edit(FieldEdit::AddIfAbsent("X-Forwarded-Prefix".into(), prefix.into()));
    }
    // RFC 3875 section 4.1.18: a `Proxy` field becomes HTTP_PROXY in CGI programs ("httpoxy").
    if call.fields.first("proxy").is_some() {
        walk.take_out("Proxy");
    }
}
