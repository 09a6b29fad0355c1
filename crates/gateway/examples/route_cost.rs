//! What selecting a route costs with 10 and with 1,000 routes, and how often it allocates.
//!
//! Prints a line for each number of routes, and the ratio. `cargo run --release -p ringwall-gateway --example route_cost`

#![expect(clippy::disallowed_methods, reason = "an example that measures must read a clock")]

use ringwall_gateway::router::{Probe, Router};
use ringwall_gateway::{Compatibility, Route, Service, ServiceIndex};
use ringwall_model::{Fields, RuleId, Scheme};
use std::hint::black_box;
use std::time::Instant;

/// Selections of one measurement.
const ROUNDS: u32 = 400_000;

fn main() {
    let costs: Vec<f64> = [10, 1000, 10_000].into_iter().map(|count| (count, cost(count))).map(print).collect();
    if let [ten, thousand, _] = costs.as_slice() {
        println!("1000 routes cost {:.2} times what 10 cost", thousand / ten);
    }
}

fn print((count, nanoseconds): (u32, f64)) -> f64 {
    println!("{count:>6} routes {nanoseconds:>8.1} ns a selection");
    nanoseconds
}

/// Nanoseconds a selection, the best of five measurements. A third of the routes are prefixes under one host, a third
/// prefixes for any host, a third regular expressions.
fn cost(count: u32) -> f64 {
    let routes: Vec<Route> = (0..count).map(route).collect();
    let services = [Service::new(RuleId(0), "s", "h")];
    let router = Router::compile(&routes, &services, Compatibility::Safe);
    let paths: Vec<String> = (0..64_u32).map(|n| path(n * 7919 % count)).collect();
    let fields = Fields::default();
    let measure = || {
        let start = Instant::now();
        for (path, _) in paths.iter().cycle().zip(0..ROUNDS) {
            let probe = Probe {
                method: b"GET",
                authority: b"api.example.com",
                path: path.as_bytes(),
                scheme: Scheme::Https,
                server_name: None,
                fields: &fields,
                source: ([192, 0, 2, 1], 4000).into(),
                destination: ([192, 0, 2, 2], 443).into(),
            };
            let found = router.select(black_box(&probe));
            assert!(black_box(found).is_some());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    (0..5).map(|_| measure()).fold(f64::MAX, f64::min)
}

fn route(number: u32) -> Route {
    let id = uuid::Uuid::from_u128(u128::from(number));
    let mut route = Route::new(RuleId(0), id, number.to_string(), Some(ServiceIndex(0)));
    match number % 3 {
        0 => {
            route.hosts = vec!["api.example.com".into()];
            route.paths = vec![format!("/v1/resource-{number}").into()];
        }
        1 => route.paths = vec![format!("/v1/resource-{number}").into()],
        _ => route.paths = vec![format!("~/v1/resource-{number}/\\d+$").into()],
    }
    route
}

fn path(number: u32) -> String {
    if number % 3 == 2 { format!("/v1/resource-{number}/42") } else { format!("/v1/resource-{number}/items") }
}
