//! What one judgement costs on a workload with a thousand distinct rules: nanoseconds for the first rule, the last one
//! and none, and heap allocations of a pass. `cargo run --release -p ringwall-mesh --example judge_cost`

mod scene;

use ringwall_mesh::judge::inbound;
use ringwall_model::Timestamp;
use ringwall_testkit::{Counting, allocations};
use ringwall_token::{Facts, Known};
use std::hint::black_box;
use std::time::{Duration, SystemTime};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: u32 = 20_000;

fn main() {
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>12}",
        "1,000 rules that differ in", "first ns", "last ns", "none ns", "allocations"
    );
    for kind in scene::KINDS {
        let mesh = scene::mesh(kind);
        let facts = Facts::default();
        let known = Known { facts: &facts, asked: &[], now: Timestamp(0) };
        let [first, last, none] = [0, scene::RULES - 1, scene::RULES].map(|number| scene::call(kind, number));
        let cost = |call| {
            // The best of several runs: what the code costs, not what the neighbours on this machine do.
            let runs = (0..9).map(|_| {
                let start = now();
                (0..ROUNDS).for_each(|_| drop(black_box(inbound(&mesh, scene::HERE, 8080, black_box(call), &known))));
                now().saturating_sub(start)
            });
            runs.min().unwrap_or_default().as_nanos() / u128::from(ROUNDS)
        };
        let (_, count) = allocations::during(|| inbound(&mesh, scene::HERE, 8080, &last, &known));
        println!("{kind:<28} {:>9} {:>9} {:>9} {count:>12}", cost(&first), cost(&last), cost(&none));
    }
}

#[expect(clippy::disallowed_methods, reason = "an example that measures reads the clock; the room does not")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
