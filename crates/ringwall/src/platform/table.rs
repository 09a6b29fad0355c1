//! The table of a running platform: listeners, layers in force and not, certificates, who could go around it.

use super::Platform;
use super::commands::NOT_IN_FORCE;
use super::force::Current;
use ringwall_control::facts::now;
use ringwall_model::{Listener, Role, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What isolation gives.
const ISOLATED: &str = "cannot be gone around: yes; each workload has a network namespace of its own, and its programs no capability (identity proved)";

impl Platform {
    /// The whole table.
    pub fn table(&self) -> String {
        let current = self.world();
        let mut text = format!("World {} in force\n", current.world.generation);
        text.push_str(&listeners(&current));
        if let Some(admin) = self.admin.get() {
            let _ = writeln!(text, "admin     http://{} /metrics /stats/prometheus /ready /healthz", admin.at);
        }
        text.push_str(&self.certificate_lines());
        text.push_str(&layers(&current));
        if let Some(links) = self.screen().map(super::screen::Screen::status) {
            text.push_str(links["text"].as_str().unwrap_or_default());
        }
        match &self.isolation {
            Some(isolation) => text.push_str(&isolation.filter.status()),
            None => {
                for (layer, why) in NOT_IN_FORCE {
                    let _ = writeln!(text, "not in force {layer}: {why}");
                }
            }
        }
        text
    }

    /// One line a certificate of the edge.
    pub fn certificate_lines(&self) -> String {
        let live = self.live();
        let mut text = String::new();
        for edge in &live.edge {
            let days = edge.validity.until.since(now()).0 / 86_400_000;
            let _ = writeln!(text, "certificate  {:<40} {days} days, signed by {}", edge.secret, edge.signed);
        }
        for missing in &live.missing {
            let _ = writeln!(text, "certificate  none: {missing}");
        }
        let renewal = in_hours(live.due);
        let _ = writeln!(text, "mesh         SVIDs by the embedded authority, next renewal in {renewal}");
        text
    }

    /// What is not as it would be in a cluster, for the first screen.
    pub fn assumptions(&self) -> Vec<&'static str> {
        let mut all = vec![match self.isolation {
            Some(_) => ISOLATED,
            None => {
                "cannot be gone around: no; without isolation any program of this machine may use a workload's listener (identity assumed)"
            }
        }];
        if self.reach() == ringwall_pki::Reach::StandIn {
            all.push(
                "issuers that cannot be reached are answered by a development issuer of this run (`ringwall token`)",
            );
        }
        all
    }
}

fn in_hours(due: Timestamp) -> String {
    let minutes = due.since(now()).0 / 60_000;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

/// One line a listener that faces the world or stands before a workload; outbound ones are counted.
pub fn listeners(current: &Current) -> String {
    let mut text = format!("{:<9} {:<46} {:<22} {:<22} LAYERS\n", "ROLE", "WORKLOAD", "ADDRESS", "BOUND TO");
    let mut outbound: BTreeMap<String, usize> = BTreeMap::new();
    for listener in ordered(current) {
        let owner = current.world.inventory.workload(listener.workload).map(|it| it.full_name()).unwrap_or_default();
        if listener.role == Role::Outbound {
            *outbound.entry(owner).or_default() += 1;
            continue;
        }
        let _ = writeln!(
            text,
            "{:<9} {:<46} {:<22} {:<22} {}",
            listener.role.as_str(),
            owner,
            listener.address.to_string(),
            listener.bind.to_string(),
            layers_of(listener)
        );
    }
    let total: usize = outbound.values().sum();
    let _ = writeln!(text, "outbound  {total} listeners of {} workloads", outbound.len());
    text
}

fn ordered(current: &Current) -> Vec<&Listener> {
    let mut all: Vec<_> = current.bound.values().map(|listener| &**listener).collect();
    all.sort_by_key(|listener| (listener.role, listener.workload, listener.address));
    all
}

/// The layers of a listener's role.
fn layers_of(listener: &Listener) -> &'static str {
    match listener.role {
        Role::Edge => "packet tls head shield route waf mesh gateway",
        Role::Gateway => "packet tls head waf mesh gateway route",
        Role::Inbound => "packet tls head mesh",
        Role::Outbound => "head route packet",
        Role::Egress => "packet tls mesh route",
    }
}

fn layers(current: &Current) -> String {
    let world = &current.world;
    let mut text = format!(
        "in force     packet {} policies, shield {}, gateway {}, mesh {} rules in all\n",
        world.ground.policies().list().len(),
        world.shield.policies.len(),
        world.gateways.len(),
        world.rules.len()
    );
    if let Some(firewall) = &world.firewall {
        let _ = writeln!(text, "waf          {}", firewall.title);
    }
    text
}

impl Platform {
    /// One line: how many findings the World in force has.
    pub fn findings_summary(&self) -> String {
        let live = self.live();
        let last = live.findings.lines().last().unwrap_or_default().to_owned();
        format!("{last}; `ringwall check` shows them")
    }

    /// Lines that can be pasted into a shell: a call to the edge, and a token.
    pub fn ready_lines(&self) -> Vec<String> {
        let current = self.world();
        let mut lines = Vec::new();
        let edge =
            current.bound.values().find(|it| it.role == Role::Edge && it.protocol == ringwall_model::Protocol::Https);
        let Some(edge) = edge else { return lines };
        let host = current
            .world
            .routes
            .servers(edge.workload)
            .filter(|(port, _)| *port == edge.address.port())
            .flat_map(|(_, servers)| servers)
            .flat_map(|server| &server.hosts)
            .map(|host| host.host.replace('*', "any"))
            .next()
            .unwrap_or_else(|| "localhost".into());
        let (ip, port) = (edge.bind.ip(), edge.bind.port());
        let roots = self.write_roots();
        lines.push(format!(
            "curl --cacert {roots} --resolve {host}:{port}:{ip} -H \"Authorization: Bearer $(ringwall token{})\" https://{host}:{port}/api/v1/orders",
            self.state_flag()
        ));
        lines
    }

    /// Writes the roots that a client must trust where it can read them, and says where.
    fn write_roots(&self) -> String {
        let path = match &self.options.state {
            Some(state) => state.file("edge-root.pem"),
            None => self.traces.join("edge-root.pem"),
        };
        match std::fs::write(&path, self.edge_root_pem()) {
            Ok(()) => path.display().to_string(),
            Err(error) => format!("(cannot write {}: {error})", path.display()),
        }
    }

    fn state_flag(&self) -> String {
        self.options
            .state
            .as_ref()
            .map(|state| format!(" --state-dir {}", state.file("").display()))
            .unwrap_or_default()
    }

    /// What the clock brings: renewals, ended blocks.
    pub fn tick(&self) {
        let due = self.live().due;
        if now() >= due
            && let Err(error) = self.rotate_certificates()
        {
            eprintln!("ringwall: certificates were not renewed: {error}; the ones in force stay");
        }
        self.force.blocks.sweep(now());
        self.mend_packets();
    }
}
