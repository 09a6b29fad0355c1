//! NetworkPolicy in a real kernel: `conformance_kernel netpol --corpus DIR [STEP]`. Nine namespaces x/a … z/c and one outside,
//! the policies of each step of the authors' truth tables compiled and applied, every flow sent for real: TCP
//! connections, UDP datagrams, SCTP INIT packets. Prints each flow that the kernel decided otherwise than the authors'
//! matcher or than `packet`'s judge, and closes with `N passed, N failed`; a step counts once.
//!
//! A pod's flows to itself are not sent: they never leave its namespace, so no packet filter sees them.

mod probe;
mod table;

use probe::{Flow, Place, Probes};
use ringwall_kernel::apply::{Firewall, ReadBack};
use ringwall_kernel::namespace::{self, node::Node};
use ringwall_kernel::nft::layout::Settings;
use ringwall_model::RuleBook;
use ringwall_packet::{Ground, Local, Names, Share, compile};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::ExitCode;
use table::Step;

/// Who is outside: an address that no policy of the tables names.
const OUTSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (corpus, only) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["netpol", "--corpus", corpus] => (corpus.to_owned(), None),
        ["netpol", "--corpus", corpus, step] => (corpus.to_owned(), Some(step.to_owned())),
        _ => {
            eprintln!("usage: conformance_kernel netpol --corpus DIR [STEP]");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = namespace::enter() {
        println!("not run: netpol in the kernel: {error}");
        return ExitCode::FAILURE;
    }
    let file = format!("{corpus}/netpol/truth-tables.jsonl");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("not run: netpol in the kernel: no {file}");
        return ExitCode::FAILURE;
    };
    let steps = table::read(&text).into_iter().filter(|step| match (step, &only) {
        (Ok(step), Some(only)) => step.id == *only,
        _ => true,
    });
    let (mut passed, mut failed, mut flows, mut lab) = (0, 0, 0, None);
    for step in steps {
        let differing = step.and_then(|step| {
            let lab = lab.get_or_insert_with(|| Lab::of(&step.ground));
            flows += lab.wanted(&step).len();
            lab.run(&step).map(|differing| (format!("{} ({})", step.id, step.title), differing))
        });
        match differing {
            Ok((_, differing)) if differing.is_empty() => passed += 1,
            Ok((title, differing)) => {
                failed += 1;
                println!("{title}\n  {}", differing.join("\n  "));
            }
            Err(error) => {
                failed += 1;
                println!("{error}");
            }
        }
    }
    println!("{flows} flows sent");
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The nine pods and the outside, wired.
struct Lab {
    node: Node,
    firewall: Firewall,
    probes: Probes,
    number: u16,
}

impl Lab {
    fn of(ground: &Ground) -> Self {
        let mut node = Node::create().expect("a node");
        node.add_outside(OUTSIDE).expect("the outside");
        let mut places = vec![Place { address: OUTSIDE, namespace: node.outside.clone() }];
        for (_, endpoint) in ground.endpoints().iter() {
            let address = endpoint.addresses[0];
            let home = node.add(address).expect("a namespace");
            node.open(address).expect("a link");
            places.push(Place { address, namespace: home.namespace });
        }
        let router = node.router.clone();
        let firewall = router.run(|| Firewall::open(Settings::default()).map_err(std::io::Error::other));
        let mut lab = Self { probes: Probes::of(places), firewall: firewall.expect("netlink"), node, number: 0 };
        lab.warm(ground);
        lab
    }

    /// Links that have just come up lose packets: before there are rules, every flow must arrive.
    fn warm(&mut self, ground: &Ground) {
        let all = self.flows(ground).into_iter().map(|flow| (flow, true)).collect();
        let arrived = self.probes.send(self.number, &all);
        assert!(all.keys().all(|flow| arrived.contains(flow)), "without rules, not every flow arrived");
    }

    /// All flows between two of the places.
    fn flows(&self, ground: &Ground) -> Vec<Flow> {
        let pods = ground.endpoints().iter().map(|(_, endpoint)| endpoint.addresses[0]);
        let places: Vec<IpAddr> = pods.chain([OUTSIDE]).collect();
        let mut flows = Vec::new();
        for source in &places {
            for destination in places.iter().filter(|destination| *destination != source) {
                for protocol in [6, 17, 132] {
                    flows.extend([80, 81].map(|port| Flow {
                        source: *source,
                        destination: *destination,
                        protocol,
                        port,
                    }));
                }
            }
        }
        flows
    }

    /// What is wanted of every flow: the authors' word where they have one, the judge's for the outside.
    fn wanted(&self, step: &Step) -> BTreeMap<Flow, bool> {
        let (ground, names) = (&step.ground, Names::default());
        let mut wanted: BTreeMap<Flow, bool> =
            self.flows(ground).into_iter().map(|flow| (flow, ground.judge(&names, &flow.judged()).passes())).collect();
        for (flow, passes) in &step.cells {
            if let Some(wanted) = wanted.get_mut(flow) {
                *wanted = *passes;
            }
        }
        wanted
    }

    /// Applies the policies of a step and sends every flow; the flows that went otherwise than they should.
    fn run(&mut self, step: &Step) -> Result<Vec<String>, String> {
        let (ground, names) = (&step.ground, Names::default());
        let interface = |address| self.node.home(address).map(|home| home.interface.as_str().into());
        let local = |(endpoint, pod): (_, &ringwall_packet::Endpoint)| Local {
            endpoint,
            interface: interface(pod.addresses[0]),
        };
        let share = Share {
            networks: vec!["192.168.1.0/24".parse().expect("a network")],
            node: Vec::new(),
            locals: ground.endpoints().iter().map(local).collect(),
        };
        let ruleset = compile(ground, &names, &share);
        let applied = self.firewall.apply(&ruleset, &RuleBook::default()).map_err(|e| format!("{}: {e}", step.id))?;
        if applied.read_back != ReadBack::Equal {
            return Err(format!("{}: {:?}", step.id, applied.read_back));
        }
        self.number += 1;
        let wanted = self.wanted(step);
        let arrived = self.probes.send(self.number, &wanted);
        let differing = wanted.iter().filter_map(|(flow, passes)| {
            let judged = ground.judge(&names, &flow.judged()).passes();
            let got = arrived.contains(flow);
            (got != *passes || got != judged).then(|| format!("{flow}: kernel {got}, wanted {passes}, judged {judged}"))
        });
        Ok(differing.collect())
    }
}
