//! Commands that ask the running wall through its control socket, and what they print.
//!
//! In: a command. Out: text or JSON. Never: a change that the running process does not make itself.

use crate::cli::{Block, Format, Kernel, Token};
use crate::exit::Exit;
use ringwall_control::socket::{SocketError, ask};
use ringwall_kernel::apply;
use ringwall_kernel::namespace::keep::{Keeper, PATIENCE};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::Path;

/// Where commands go and how answers are printed.
pub struct Remote<'a> {
    /// The state folder of the running wall.
    pub folder: &'a Path,
    /// Form of the output.
    pub format: Format,
}

impl Remote<'_> {
    /// `ringwall status`
    pub fn status(&self) -> Exit {
        self.show("status", json!({}), |answer| {
            println!("{}", answer.get("text").and_then(Value::as_str).unwrap_or_default().trim_end());
        })
    }

    /// `ringwall history`
    pub fn history(&self) -> Exit {
        self.show("history", json!({}), |answer| {
            println!("{:>6}  {:<24}  {:<12}  {:<10}  CHANGES", "WORLD", "TIME", "BY", "REVISION");
            for entry in list(answer) {
                let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or("-");
                let revision: String = text("revision").chars().take(10).collect();
                let changes: Vec<_> =
                    list(entry.get("difference").unwrap_or(&Value::Null)).filter_map(Value::as_str).collect();
                let generation = entry.get("generation").and_then(Value::as_u64).unwrap_or_default();
                println!(
                    "{generation:>6}  {:<24}  {:<12}  {revision:<10}  {}",
                    text("time"),
                    text("author"),
                    changes.join(" ")
                );
            }
        })
    }

    /// `ringwall rollback N`
    pub fn rollback(&self, generation: u64) -> Exit {
        self.show("rollback", json!({ "generation": generation, "author": author() }), |answer| {
            println!("World {} is in force, made of the manifests of World {generation}", answer["generation"]);
        })
    }

    /// `ringwall reload`
    pub fn reload(&self) -> Exit {
        self.show("reload", json!({ "author": author() }), |answer| {
            println!("World {} is in force", answer["generation"])
        })
    }

    /// `ringwall block`
    pub fn block(&self, block: &Block) -> Exit {
        let arguments = json!({ "subject": block.subject, "for": block.span, "reason": block.reason, "by": author() });
        self.show("block", arguments, |answer| {
            println!(
                "{} is blocked until {} (block {}); {} live connections were cut",
                answer["subject"].as_str().unwrap_or_default(),
                answer["until"].as_str().unwrap_or_default(),
                answer["id"],
                answer["cut"]
            );
            if answer["passes_links"] == true {
                println!(
                    "at the machine's links it passes: it is among `never_block` or is an address of this machine"
                );
            }
        })
    }

    /// `ringwall kernel status|detach`
    pub fn kernel(&self, what: Kernel) -> Exit {
        let command = match what {
            Kernel::Status => "kernel status",
            Kernel::Detach => "kernel detach",
        };
        if matches!(ask(self.folder, "status", json!({})), Err(SocketError::Nobody { .. }))
            && let Some(exit) = left_in_force(what, self.format, self.folder)
        {
            return exit;
        }
        self.show(command, json!({}), |answer| {
            println!("{}", answer.get("text").and_then(Value::as_str).unwrap_or_default().trim_end());
        })
    }

    /// `ringwall unblock`
    pub fn unblock(&self, subject: &str) -> Exit {
        self.show("unblock", json!({ "subject": subject }), |answer| match answer["lifted"].as_u64() {
            Some(1) => println!("1 block was lifted"),
            _ => println!("{} blocks were lifted", answer["lifted"]),
        })
    }

    /// `ringwall blocks`
    pub fn blocks(&self) -> Exit {
        self.show("blocks", json!({}), |answer| {
            println!("{:>6}  {:<34}  {:<24}  {:<10}  REASON", "BLOCK", "SUBJECT", "UNTIL", "BY");
            for block in list(answer) {
                let text = |name| block.get(name).and_then(Value::as_str).unwrap_or("-");
                println!(
                    "{:>6}  {:<34}  {:<24}  {:<10}  {}",
                    block["id"].to_string(),
                    text("subject"),
                    text("until"),
                    text("by"),
                    text("reason")
                );
            }
        })
    }

    /// `ringwall token`
    pub fn token(&self, token: &Token) -> Exit {
        let arguments = json!({
            "sub": token.sub, "tenant": token.tenant, "roles": token.roles, "aud": token.aud, "for": token.span,
        });
        self.show("token", arguments, |answer| println!("{}", answer["token"].as_str().unwrap_or_default()))
    }

    /// `ringwall explain ID`
    pub fn explain(&self, id: &str) -> Exit {
        self.show("explain", json!({ "id": id }), |answer| {
            println!("{}", answer.get("text").and_then(Value::as_str).unwrap_or_default().trim_end());
        })
    }

    /// `ringwall probe`
    pub fn probe(&self, probe: &crate::cli::Probe) -> Exit {
        let arguments = json!({
            "as": probe.workload, "url": probe.url, "method": probe.method, "headers": probe.headers,
        });
        self.show("probe", arguments, |answer| {
            println!("{}", answer.get("text").and_then(Value::as_str).unwrap_or_default().trim_end());
        })
    }

    fn show(&self, command: &str, arguments: Value, print: impl Fn(&Value)) -> Exit {
        match ask(self.folder, command, arguments) {
            Ok(answer) => {
                match self.format {
                    Format::Human => print(&answer),
                    Format::Json | Format::Sarif | Format::Junit => println!("{answer:#}"),
                }
                let failed = answer.get("failed").and_then(Value::as_bool).unwrap_or_default();
                if failed { Exit::FAILED } else { Exit::HELD }
            }
            Err(error @ SocketError::Nobody { .. }) => Exit::nobody(error),
            Err(error @ SocketError::Refused(_)) => Exit { code: 1, says: Some(error.to_string()) },
            Err(error) => Exit::broken(error),
        }
    }
}

/// What a wall that runs no more left in force: at the machine's links, the node of its state folder, control groups;
/// `None` when that cannot be seen, or is nothing.
fn left_in_force(what: Kernel, format: Format, folder: &Path) -> Option<Exit> {
    let status = apply::status().ok().flatten();
    let node = match what {
        Kernel::Status => Keeper::find(folder),
        Kernel::Detach => Keeper::take(folder, PATIENCE),
    };
    let node = match node {
        Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::TimedOut) => {
            return Some(Exit::broken(error));
        }
        found => found.ok().flatten(),
    };
    match what {
        Kernel::Status if status.is_none() && node.is_none() => return None,
        Kernel::Status if format != Format::Human => {
            let count = |count: &apply::Count| json!({ "reason": count.reason, "packets": count.packets });
            let links = status.map(|status| (status.blocks, status.counts.iter().map(count).collect::<Vec<_>>()));
            let (blocks, counts) = links.unwrap_or_default();
            let node = node.map(|keeper| keeper.process);
            println!("{:#}", json!({ "running": false, "blocks": blocks, "counts": counts, "node": node }));
        }
        Kernel::Status => {
            if let Some(keeper) = node {
                println!("no wall runs; process {} keeps its node: {STAYS}", keeper.process);
            }
            if let Some(status) = status {
                println!("no wall runs; nftables `inet ringwall` stays in force: {} blocked", status.blocks);
                for count in status.counts {
                    println!("{:>12} packets  {}", count.packets, count.reason);
                }
            }
        }
        Kernel::Detach => return detach_left(folder, status.is_some(), node),
    }
    Some(Exit::HELD)
}

/// What holds of a kept node.
const STAYS: &str = "its namespaces, links and packet filter are as they were, and nothing answers at its doors";

/// Takes away what a wall left.
fn detach_left(folder: &Path, filter: bool, node: Option<Keeper>) -> Option<Exit> {
    let swept = crate::platform::plain::sweep(folder);
    if !filter && node.is_none() && swept == 0 {
        return None;
    }
    if let Some(keeper) = node {
        if let Err(error) = keeper.end() {
            return Some(Exit::broken(error));
        }
        println!("the node that a wall had left is gone; what runs in it has no link");
    }
    if filter {
        match apply::detach() {
            Ok(_) => println!("nftables `inet ringwall`, which a wall had left in force, is gone"),
            Err(error) => return Some(Exit::broken(error)),
        }
    }
    if swept > 0 {
        println!("{swept} empty control groups, which a wall had left, are gone");
    }
    Some(Exit::HELD)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Who gives a command: the login name.
pub fn author() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "operator".into())
}
