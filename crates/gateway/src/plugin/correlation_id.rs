//! `correlation-id`: a name for the call that every service sees.

use super::Outcome;
use crate::Compatibility;
use crate::template::uuid;
use crate::walk::Walk;
use bytes::Bytes;
use ringwall_model::FieldEdit;

/// Configuration of `correlation-id`.
#[derive(Clone, Debug)]
pub struct CorrelationId {
    /// The field.
    pub header_name: Box<str>,
    /// How names are made.
    pub generator: Generator,
    /// Whether the response carries it too.
    pub echo_downstream: bool,
}

/// How names are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generator {
    /// A UUID.
    Uuid,
    /// A UUID and a number. Kong keeps one UUID a worker and counts; here each call has its own, numbered 1.
    #[default]
    UuidCounter,
    /// Address, port, connection and time.
    Tracker,
}

/// Longest name that is taken over from a client.
const LONGEST: usize = 256;

/// Kong keeps what any client sends; [`Compatibility::Safe`] keeps it only from trusted peers, since logs are joined on
/// this name.
pub fn judge(config: &CorrelationId, walk: &mut Walk<'_>) -> Outcome {
    let is_trusted =
        walk.compatibility() == Compatibility::Kong || walk.gateway.settings.trusts(walk.call.peer.address.ip());
    let sent = walk.call.fields.first(&config.header_name).filter(|value| !value.trim_ascii().is_empty());
    let kept = sent.filter(|value| is_trusted && value.len() <= LONGEST).cloned();
    let name = kept.unwrap_or_else(|| make(config.generator, walk));
    walk.set(&config.header_name, name.clone());
    if config.echo_downstream {
        walk.response.push(FieldEdit::Set(config.header_name.as_bytes().to_vec().into(), name));
    }
    Outcome::Pass
}

fn make(generator: Generator, walk: &Walk<'_>) -> Bytes {
    let id = uuid(walk.random);
    let text = match generator {
        Generator::Uuid => id.to_string(),
        Generator::UuidCounter => format!("{id}#1"),
        Generator::Tracker => {
            let (local, now) = (walk.call.local, walk.known.now);
            let (seconds, millis) = (now.seconds(), now.0 % 1000);
            let connection = walk.random as u32;
            format!(
                "{}-{}-{connection}-{}-1-{seconds}.{millis:03}",
                local.ip(),
                local.port(),
                walk.call.peer.address.port()
            )
        }
    };
    text.into()
}
