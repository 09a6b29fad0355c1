//! `ringwall export nft`: the network policies of manifests as the text that the `nft` program reads, for people.
//!
//! In: manifests; whose share. Out: what `up --isolate` sends to the kernel, but for interfaces, which only a running
//! wall has. Nothing is applied.

use crate::check;
use crate::cli::Nft;
use crate::exit::Exit;
use ringwall_kernel::blocklist::{Lists, Screen};
use ringwall_kernel::nft::layout::{Plan, Settings};
use ringwall_kernel::nft::table::Table;
use ringwall_kernel::nft::text;
use ringwall_manifest::world::StandIn;
use ringwall_packet::compile::{Local, Share, compile};
use ringwall_packet::{Endpoint, Names};

/// Prints the text.
pub fn nft(wanted: &Nft) -> Exit {
    let inputs = match check::read(&wanted.manifests) {
        Ok(inputs) => inputs,
        Err(exit) => return exit,
    };
    let stand_in = if wanted.stand_in { StandIn::Workloads } else { StandIn::Nothing };
    let (world, findings) = crate::platform::lower(&inputs, &crate::platform::options(stand_in));
    if !ringwall_manifest::world::may_be_taken(&findings) {
        return Exit::input("these manifests have errors; `ringwall check` shows them");
    }
    let full_name = |endpoint: &Endpoint| format!("{}/{}", endpoint.namespace, endpoint.name);
    let chosen = |endpoint: &Endpoint| {
        wanted.workload.as_ref().is_none_or(|name| *name == full_name(endpoint))
            && wanted.node.as_ref().is_none_or(|node| **node == *endpoint.node)
    };
    let own = world.ground.endpoints().iter().filter(|(_, endpoint)| chosen(endpoint));
    let own: Vec<_> = own.collect();
    if own.is_empty() {
        return Exit::input("no such workload is in these manifests");
    }
    let names = own
        .iter()
        .flat_map(|(_, endpoint)| endpoint.addresses.iter().map(|address| (*address, full_name(endpoint).into())));
    let names = names.collect();
    let locals = own.iter().map(|(endpoint, _)| Local { endpoint: *endpoint, interface: None }).collect();
    let share = Share { networks: Vec::new(), node: Vec::new(), locals };
    let ruleset = compile(&world.ground, &Names::default(), &share);
    let (lists, screen, settings) = (Lists::default(), Screen::default(), Settings::default());
    let plan = Plan { ruleset: &ruleset, book: &world.rules, lists: &lists, screen: &screen, settings };
    let told = plan.lay_out(&Table::default()).map_err(|error| error.to_string());
    match told.and_then(|table| text::render(&table, &names).map_err(|error| error.to_string())) {
        Ok(text) => {
            print!("{text}");
            Exit::HELD
        }
        Err(error) => Exit::broken(error),
    }
}
