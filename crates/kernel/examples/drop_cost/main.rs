//! What one dropped packet costs: ways to drop, side by side, in namespaces that this makes itself. Prints one JSON
//! object. `cargo xtask bench packet` runs it; needs root, nft and ethtool.
//!
//! A sample is CPU time of one core (the sender and the work that its kernel put off) divided by the frames that
//! arrived, the making of the frames included; all ways take turns in each round.

mod flood;
mod generator;
mod ground;
mod list;
mod way;

use generator::{Generator, Path};
use ground::{Ground, LINK, Meter};
use serde_json::{Value, json};
use std::error::Error;
use way::WAYS;

/// Blocked addresses, and the sources of the frames.
const LISTED: u32 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, or: u32| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)).and_then(|word| word.parse().ok()).unwrap_or(or)
    };
    let (rounds, frames) = (number("--rounds", 5), number("--frames", 400_000));
    // Others on the machine must not starve the sender.
    rustix::process::setpriority_process(None, -10)?;
    let ground = Ground::create()?;
    let core = std::thread::available_parallelism()?.get() - 1;
    let drops = std::thread::scope(|scope| {
        scope.spawn(|| drops(&ground, core, rounds, frames).map_err(|error| error.to_string())).join()
    });
    let drops = drops.map_err(|_| "a round did not end")??;
    let flood =
        if words.iter().any(|word| word == "--no-flood") { Value::Null } else { flood::calls(&ground, core)?.into() };
    let lists = list::costs(&ground)?;
    println!("{}", json!({ "listed": LISTED, "frames": frames, "drops": drops, "flood": flood, "lists": lists }));
    Ok(())
}

/// All ways on both paths, in turns.
fn drops(ground: &Ground, core: usize, rounds: u32, frames: u32) -> Result<Vec<Value>, Box<dyn Error>> {
    let meter = Meter::on(core)?;
    ground.sender.join()?;
    let mut generator = Generator::load()?;
    let mut samples = Vec::new();
    for _ in 0..rounds {
        for path in [Path::Driver, Path::Neighbour] {
            for (name, make) in WAYS.iter().filter(|(name, _)| path == Path::Driver || !name.contains(", list")) {
                let way = make(ground)?;
                generator.aim(ground.link(), LISTED)?;
                generator.send(path, frames / 10)?;
                let (arrived, begun) = (ground.arrived()?, meter.read()?);
                generator.send(path, frames)?;
                let spent = meter.read()? - begun;
                let after = ground.arrived()?;
                way.end(ground)?;
                let count = after.frames - arrived.frames;
                if after.delivered != arrived.delivered || count < u64::from(frames) / 2 {
                    let delivered = after.delivered - arrived.delivered;
                    return Err(format!("{name}: {count} of {frames} arrived, {delivered} were not dropped").into());
                }
                samples.push(json!({ "path": path.name(), "way": name, "arrived": count, "cpu_ns": spent }));
            }
        }
    }
    Ok(samples)
}
