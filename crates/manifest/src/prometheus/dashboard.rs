//! Grafana dashboards: which expressions people look at.

use crate::code;
use crate::node::{Cursor, Ledger, Node};
use ringwall_model::{Finding, Place, Severity};

/// A dashboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Dashboard {
    /// Its title.
    pub title: Box<str>,
    /// Its panels, rows unrolled.
    pub panels: Vec<Panel>,
    /// Where it stands.
    pub place: Place,
}

/// One panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its title.
    pub title: Box<str>,
    /// Its expressions, PromQL, each with its place.
    pub expressions: Vec<(Box<str>, Place)>,
}

/// Whether a tree is a dashboard: bare, or as Grafana's API wraps it.
pub fn is_dashboard(root: &Node) -> bool {
    let bare = root.get("dashboard").unwrap_or(root);
    bare.get("panels").is_some() || bare.get("rows").is_some()
}

/// Lowers a dashboard.
pub fn lower(ledger: &Ledger<'_>) -> Dashboard {
    let root = ledger.root();
    let wrapped = root.get("dashboard");
    let board = if wrapped.is_present() { wrapped } else { root };
    let mut panels = Vec::new();
    gather(board.get("panels"), &mut panels);
    for row in board.get("rows").items() {
        gather(row.get("panels"), &mut panels);
        row.set_rest_aside();
    }
    let place = board.place();
    let title = "dashboard is read; its expressions are not evaluated in this build";
    board.report(Finding::new(code::NOT_ENFORCED, Severity::Note, place.clone(), title));
    let title = board.get("title").string().unwrap_or_default().into();
    board.set_rest_aside();
    root.set_rest_aside();
    Dashboard { title, panels, place }
}

/// Panels, and those within rows; as deep as the document itself may be.
fn gather(at: Cursor<'_>, panels: &mut Vec<Panel>) {
    for panel in at.items() {
        let mut expressions = Vec::new();
        for target in panel.get("targets").items() {
            let expr = target.get("expr");
            if let Some(text) = expr.string() {
                expressions.push((text.into(), expr.place()));
            }
            target.set_rest_aside();
        }
        panels.push(Panel { title: panel.get("title").string().unwrap_or_default().into(), expressions });
        gather(panel.get("panels"), panels);
        panel.set_rest_aside();
    }
}
