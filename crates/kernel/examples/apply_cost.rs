//! What applying costs: one node's share, 110 pods, of 10,000 pods with 10,000 policies in 200 namespaces. Compiles it,
//! applies it to an empty kernel in a namespace of its own, applies it changed by one peer, and changed everywhere; prints
//! milliseconds with the reading back.

use ringwall_kernel::apply::{Applied, Firewall};
use ringwall_kernel::namespace::{self, Namespace};
use ringwall_kernel::nft::layout::Settings;
use ringwall_model::{Labels, RuleBook, RuleId};
use ringwall_packet::policy::{Action, Force, Namespaces, Peer, Pods, Policy, Port, Rule, Tier};
use ringwall_packet::ruleset::{Exact, Ruleset};
use ringwall_packet::{
    Endpoint, EndpointId, Endpoints, Ground, Local, Names, Network, Policies, Requirement, Selector, Share, compile,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NAMESPACES: u32 = 200;
const EACH: u32 = 50;
const APPS: u32 = 10;
const ON_NODE: u32 = 110;

fn main() {
    namespace::enter().expect("root, or user namespaces");
    let ground = ground();
    let total = u32::try_from(ground.endpoints().len()).expect("few");
    let local =
        |n: u32| Local { endpoint: EndpointId(n * (total / ON_NODE)), interface: Some(format!("veth{n}").into()) };
    let networks = vec!["10.200.0.0/16".parse().expect("a network")];
    let share = Share { networks, node: Vec::new(), locals: (0..ON_NODE).map(local).collect() };
    let (ruleset, compiled) = timed(|| compile(&ground, &Names::default(), &share));
    let entries: usize = steps(&ruleset).map(|step| step.exact.len() + step.peers.len() + step.ranges.len()).sum();
    println!("{} policies, {total} pods; on the node {ON_NODE}", ground.policies().list().len());
    println!("compile       {compiled}: {} groups, {entries} entries", ruleset.groups.len());
    for _ in 0..3 {
        Namespace::create().and_then(|own| own.join()).expect("a network namespace");
        measure(&ruleset);
    }
}

fn measure(ruleset: &Ruleset) {
    let book = RuleBook::default();
    let mut firewall = Firewall::open(Settings::default()).expect("netlink");
    let mut apply = |what: &str, ruleset: &Ruleset| {
        let (applied, took) = timed(|| firewall.apply(ruleset, &book).expect("a ruleset"));
        let Applied { transactions, bytes, elements, in_force, read_back } = applied;
        let in_force = in_force.as_secs_f64() * 1000.0;
        println!(
            "{what} {took}, in force after {in_force:.1} ms: {transactions} transactions, {bytes} bytes, {elements} elements, {read_back:?}"
        );
    };
    apply("first        ", ruleset);
    let mut changed = ruleset.clone();
    let exact = Exact { peer: IpAddr::from([10, 9, 9, 9]), protocol: 6, port: 80 };
    let step = changed.groups.iter_mut().find_map(|group| group.enforced.tiers.first_mut()?.steps.first_mut());
    let step = step.expect("a step");
    step.exact.push(exact);
    step.exact.sort_unstable();
    apply("one peer more", &changed);
    for group in &mut changed.groups {
        group.enforced.otherwise = ringwall_packet::ruleset::Verdict::Drop(ringwall_model::Reason::NoRuleApplies);
    }
    apply("all changed  ", &changed);
    apply("nothing      ", &changed);
    let (_, took) = timed(|| firewall.read_back().expect("a table"));
    println!("read it all   {took}");
}

fn steps(ruleset: &Ruleset) -> impl Iterator<Item = &ringwall_packet::ruleset::Step> {
    ruleset.groups.iter().flat_map(|group| &group.enforced.tiers).flat_map(|tier| &tier.steps)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (start, spent) = (Instant::now(), spent());
    let done = work();
    (done, Took { passed: start.elapsed(), spent: self::spent() - spent })
}

/// Time that passed, and time that this thread had a processor, the kernel's work for it among it: what would pass on a
/// machine that does nothing else.
struct Took {
    passed: Duration,
    spent: Duration,
}

impl std::fmt::Display for Took {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(out, "{:7.1} ms passed, {:6.1} ms spent", milliseconds(self.passed), milliseconds(self.spent))
    }
}

fn spent() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn labels<const N: usize>(pairs: [(&str, String); N]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn ground() -> Ground {
    let mut pods = Vec::new();
    let mut policies = Vec::new();
    let mut names = BTreeMap::new();
    for n in 0..NAMESPACES {
        let namespace: Box<str> = format!("ns-{n}").into();
        names.insert(namespace.clone(), labels([("team", format!("t{}", n % 40))]));
        for index in 0..EACH {
            let [_, _, high, low] = (n * EACH + index + 1).to_be_bytes();
            pods.push(Endpoint {
                namespace: namespace.clone(),
                name: format!("pod-{index}").into(),
                labels: labels([("app", format!("app-{}", index % APPS))]),
                addresses: vec![IpAddr::from([10, 200, high, low])],
                ports: Vec::new(),
                network: Network::Own,
                node: "".into(),
            });
            policies.push(policy(&namespace, n, index));
        }
    }
    Ground::of(Policies::of(policies), Endpoints::of(pods, names, BTreeMap::new()))
}

/// Callers of the same namespace and of a team's, by label; DNS and the outside to be called.
fn policy(namespace: &str, n: u32, index: u32) -> Policy {
    let one = |key: &str, value: String| Selector::of([Requirement::In(key.into(), vec![value.into()])]);
    let here = || Namespaces::Named(namespace.into());
    let app = |number: u32| one("app", format!("app-{}", number % APPS));
    let near = |number: u32| Peer::Pods(Pods { namespaces: here(), pods: app(number) });
    let team = || {
        let namespaces = Namespaces::Selected(one("team", format!("t{}", (n + index) % 40)));
        Peer::Pods(Pods { namespaces, pods: app(index + 1) })
    };
    let outside = Peer::Block {
        within: "0.0.0.0/0".parse().expect("a network"),
        except: vec!["10.0.0.0/8".parse().expect("a network")],
    };
    let rule = |peers: Vec<Peer>, port: u16| {
        let ports = vec![Port::Range { protocol: 6, first: port, last: port }];
        Rule { id: RuleId(n * EACH + index), action: Action::Accept, peers: Some(peers), ports: Some(ports) }
    };
    Policy {
        id: RuleId(n * EACH + index),
        namespace: namespace.into(),
        name: format!("policy-{index}").into(),
        tier: Tier::Network,
        priority: 0,
        subject: Pods { namespaces: here(), pods: app(index) },
        force: Force::Enforced,
        ingress: Some(vec![
            rule(vec![near(index + 3), near(index + 7), team()], 8080),
            rule(vec![near(index + 5)], 9090),
        ]),
        egress: Some(vec![rule(vec![near(index + 2), team()], 8080), rule(vec![outside], 443)]),
    }
}
