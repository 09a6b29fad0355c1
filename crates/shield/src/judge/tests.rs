use super::{Followed, Presented, State, call, caller, commit, connection, limited, presented};
use crate::facts::tests::{country, database, system};
use crate::rules::{
    AddressList, Applies, ConnectionLimit, ConnectionLimits, Geography, Limit, OnMissing, OnStoreFailure, Policy,
    Reputation, Scope, Shield, Systems, UnauthenticatedPart,
};
use crate::{
    Action, AddressSet, Block, BlockId, Blocks, Cause, Counters, Database, Exceeded, Facts, Origin, Subject, Until,
};
use ringwall_model::{
    BodyLength, Budget, Call, CallId, Caller, Client, ClientOrigin, Decision, Fields, Judgement, Millis, Peer, PeerTls,
    Raw, Reason, Reply, RuleId, Scheme, Spent, SpiffeId, Timestamp, Version, Views, Window, WorkloadId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_795_449_852_222);
const AT: WorkloadId = WorkloadId(3);

fn get(address: &str, fields: &[(&'static str, &'static str)]) -> Call {
    let mut all = Fields::default();
    fields.iter().for_each(|(name, value)| all.push(*name, *value));
    let address: std::net::IpAddr = address.parse().unwrap();
    Call {
        id: CallId(1),
        received: NOW,
        raw: Raw::default(),
        faults: Vec::new(),
        version: Version::Http11,
        method: "GET".into(),
        scheme: Scheme::Https,
        authority: "api".into(),
        target: "/".into(),
        views: Views::default(),
        fields: all,
        peer: Peer { address: (address, 4000).into(), tls: None },
        client: Client { address, origin: ClientOrigin::Peer },
        local: ([10, 0, 0, 1], 443).into(),
        body: BodyLength::Empty,
    }
}

fn shield(policy: Policy) -> Shield {
    Shield { policies: vec![policy] }
}

fn limit(number: u32, scope: Scope, calls: u64) -> Limit {
    let budget = |limit| Budget { limit, window: Window::Minute };
    let part = UnauthenticatedPart {
        because: RuleId(number + 100),
        stable: u64::from(number) + 100,
        budget: budget(calls / 2),
    };
    Limit {
        because: RuleId(number),
        stable: u64::from(number),
        scope,
        budget: budget(calls),
        unauthenticated: (scope == Scope::Global).then_some(part),
        on_store_failure: OnStoreFailure::Refuse,
    }
}

fn list(networks: &[(&str, u32)]) -> AddressSet<RuleId> {
    let mut set = AddressSet::default();
    networks.iter().for_each(|(text, rule)| _ = set.insert(crate::address::network(text).unwrap(), RuleId(*rule)));
    set
}

/// A wall of one shield with its state: one call walks through it as the page would let it.
struct Wall {
    shield: Shield,
    facts: Facts,
    blocks: Blocks,
    counters: Counters,
}

impl Wall {
    fn new(policy: Policy) -> Self {
        let (facts, blocks, counters) = (Facts::default(), Blocks::new(100), Counters::new(10_000));
        Self { shield: shield(policy), facts, blocks, counters }
    }

    fn state(&self) -> State<'_> {
        State { facts: &self.facts, blocks: &self.blocks, now: NOW }
    }

    fn settle(&self, judgement: Judgement) -> Result<(), Reason> {
        if let Decision::Refuse { because, .. } = judgement.decision {
            return Err(because);
        }
        self.counters.take(&judgement.takes, NOW).map_err(|exceeded| judgement.takes[exceeded.index].because)?;
        Ok(())
    }

    fn walk(&self, call_: &Call, who: &Caller) -> Result<(), Reason> {
        let presented = presented(&self.shield, AT, call_);
        self.settle(call(&self.shield, AT, call_, presented, self.state()))?;
        self.settle(caller(&self.shield, AT, who, presented, self.state()))
    }

    fn decide(&self, call_: &Call) -> Decision {
        call(&self.shield, AT, call_, Presented::Nothing, self.state()).decision
    }

    #[track_caller]
    fn check(&self, address: &str, want: Result<(), Reason>) {
        assert_eq!(self.walk(&get(address, &[]), &Caller::default()), want, "{address}");
    }

    fn block(&self, subject: Subject, action: Action, origin: Origin) {
        let until = Until::At(Timestamp(NOW.0 + 1000));
        let block = Block { id: BlockId(0), subject, action, created: NOW, until, origin, reason: "test".into() };
        self.blocks.add(block, NOW).unwrap();
    }
}

fn verified(user: &str, tenant: &str) -> Caller {
    Caller {
        user: Some(user.into()),
        tenant: Some(tenant.into()),
        claims: Some(Arc::new(serde_json::json!({ "jti": "token-1" }))),
        ..Caller::default()
    }
}

const BEARER: &[(&str, &str)] = &[("Authorization", "Bearer x")];

#[test]
fn a_flood_without_credentials_leaves_the_rest_to_others() {
    let wall = Wall::new(Policy { limits: vec![limit(1, Scope::Global, 10)], ..Policy::default() });
    let flood = get("192.0.2.1", &[]);
    let passed = (0..100).filter(|_| wall.walk(&flood, &Caller::default()).is_ok()).count();
    assert_eq!(passed, 5, "half of ten");
    assert_eq!(wall.walk(&flood, &Caller::default()), Err(Reason::Rule(RuleId(101))), "the part's own rule is named");
    let honest = get("192.0.2.2", BEARER);
    let passed = (0..100).filter(|_| wall.walk(&honest, &verified("ana", "a")).is_ok()).count();
    assert_eq!(passed, 5, "the other half");
    assert_eq!(wall.walk(&honest, &verified("ana", "a")), Err(Reason::Rule(RuleId(1))));
}

#[test]
fn a_flood_of_false_credentials_leaves_the_rest_to_others() {
    let wall = Wall::new(Policy { limits: vec![limit(1, Scope::Global, 10)], ..Policy::default() });
    let passed = (0..100).filter(|_| wall.walk(&get("192.0.2.1", BEARER), &Caller::default()).is_ok()).count();
    assert_eq!(passed, 5);
    let passed = (0..100).filter(|_| wall.walk(&get("192.0.2.2", BEARER), &verified("ana", "a")).is_ok()).count();
    assert_eq!(passed, 5);
}

#[test]
fn verified_calls_may_use_the_whole_budget() {
    let wall = Wall::new(Policy { limits: vec![limit(1, Scope::Global, 10)], ..Policy::default() });
    let passed = (0..100).filter(|_| wall.walk(&get("192.0.2.2", BEARER), &verified("ana", "a")).is_ok()).count();
    assert_eq!(passed, 10);
}

#[test]
fn budgets_are_of_addresses_users_and_tenants() {
    let limits = vec![limit(1, Scope::Address, 3), limit(2, Scope::User, 2), limit(3, Scope::Tenant, 4)];
    let wall = Wall::new(Policy { limits, ..Policy::default() });
    let go = |address: &str, user: &str, tenant: &str| wall.walk(&get(address, BEARER), &verified(user, tenant));
    assert_eq!((go("192.0.2.1", "ana", "a"), go("192.0.2.1", "ana", "a")), (Ok(()), Ok(())));
    assert_eq!(go("192.0.2.1", "ana", "a"), Err(Reason::Rule(RuleId(2))), "the user's");
    assert_eq!(go("192.0.2.1", "bo", "a"), Err(Reason::Rule(RuleId(1))), "the address's: it was taken from before");
    assert_eq!((go("192.0.2.2", "bo", "a"), go("192.0.2.2", "cy", "a")), (Ok(()), Ok(())));
    assert_eq!(go("192.0.2.3", "di", "a"), Err(Reason::Rule(RuleId(3))), "the tenant's");
    assert_eq!(go("192.0.2.3", "di", "b"), Ok(()));
    let v6 = Wall::new(Policy { limits: vec![limit(1, Scope::Address, 1)], ..Policy::default() });
    v6.check("2001:db8::1", Ok(()));
    v6.check("2001:db8::2", Err(Reason::Rule(RuleId(1))));
    v6.check("2001:db8:0:1::2", Ok(()));
}

#[test]
fn a_user_and_a_tenant_of_one_name_do_not_share() {
    let limits = vec![limit(2, Scope::User, 1), limit(2, Scope::Tenant, 1)];
    let wall = Wall::new(Policy { limits, ..Policy::default() });
    assert_eq!(wall.walk(&get("192.0.2.1", BEARER), &verified("x", "x")), Ok(()));
}

#[test]
fn an_allowed_address_passes_lists_and_its_own_limit_but_not_the_global_one() {
    let reputation = Reputation {
        deny: AddressList { entries: list(&[("10.0.0.0/8", 20)]), ..AddressList::default() },
        feeds: Vec::new(),
    };
    let limits = vec![limit(1, Scope::Address, 1), limit(2, Scope::Global, 6)];
    let wall = Wall::new(Policy { allow: list(&[("10.1.0.0/16", 10)]), reputation, limits, ..Policy::default() });
    wall.block(Subject::Address("10.1.0.1/32".parse().unwrap()), Action::Drop, Origin::Alert("flood".into()));
    assert_eq!(wall.decide(&get("10.1.0.1", &[])), Decision::Pass { because: Reason::Rule(RuleId(10)) });
    wall.check("10.2.0.1", Err(Reason::Rule(RuleId(20))));
    (0..3).for_each(|_| wall.check("10.1.0.1", Ok(())));
    wall.check("10.1.0.1", Err(Reason::Rule(RuleId(102))));
    wall.block(Subject::Address("10.1.0.1/32".parse().unwrap()), Action::Refuse, Origin::Person("ana".into()));
    wall.check("10.1.0.1", Err(Reason::Builtin("shield/blocked-address")));
}

#[test]
fn every_refusal_is_proved_both_ways() {
    let entries = list(&[("192.0.2.0/24", 20)]);
    let with = Wall::new(Policy {
        reputation: Reputation { deny: AddressList { entries, ..AddressList::default() }, feeds: Vec::new() },
        ..Policy::default()
    });
    with.check("192.0.2.9", Err(Reason::Rule(RuleId(20))));
    Wall::new(Policy::default()).check("192.0.2.9", Ok(()));
}

#[test]
fn feeds_refuse_and_a_feed_never_read_refuses_nobody() {
    let feeds = vec![(Arc::from("drop"), RuleId(30))];
    let mut wall = Wall::new(Policy { reputation: Reputation { feeds, ..Reputation::default() }, ..Policy::default() });
    wall.check("192.0.2.9", Ok(()));
    let (set, _) = AddressSet::read("192.0.2.0/24\n", 10);
    wall.facts.feeds = BTreeMap::from([(Arc::from("drop"), Arc::new(set))]);
    wall.check("192.0.2.9", Err(Reason::Rule(RuleId(30))));
    wall.check("192.0.3.9", Ok(()));
    assert_eq!(wall.shield.feeds(), BTreeSet::from([Arc::from("drop")]));
}

fn countries(deny: &[&[u8; 2]], allow: Option<&[&[u8; 2]]>, on_unknown: OnMissing, on_missing: OnMissing) -> Wall {
    let rules = |codes: &[&[u8; 2]], first: u32| (first..).zip(codes).map(|(n, code)| (**code, RuleId(n))).collect();
    let geography = Geography {
        because: RuleId(40),
        database: "geo".into(),
        deny: rules(deny, 50),
        allow: allow.map(|codes| rules(codes, 60)),
        on_unknown,
        on_missing,
    };
    let mut wall = Wall::new(Policy { geography: Some(geography), ..Policy::default() });
    let bytes = database(&[("192.0.2.0/24", country("DE")), ("198.51.100.0/24", country("KP"))]);
    wall.facts.databases = BTreeMap::from([(Arc::from("geo"), Arc::new(Database::read(bytes).unwrap()))]);
    wall
}

#[test]
fn countries_are_denied_or_allowed() {
    let wall = countries(&[b"KP"], None, OnMissing::Pass, OnMissing::Refuse);
    wall.check("192.0.2.1", Ok(()));
    wall.check("198.51.100.1", Err(Reason::Rule(RuleId(50))));
    wall.check("203.0.113.1", Ok(()));
    let wall = countries(&[], Some(&[b"DE"]), OnMissing::Refuse, OnMissing::Refuse);
    assert_eq!(wall.decide(&get("192.0.2.1", &[])), Decision::Pass { because: Reason::Rule(RuleId(60)) });
    wall.check("198.51.100.1", Err(Reason::Rule(RuleId(40))));
    wall.check("203.0.113.1", Err(Reason::Rule(RuleId(40))));
    // Empty is not absent: an allow list without entries allows nobody.
    countries(&[], Some(&[]), OnMissing::Refuse, OnMissing::Refuse).check("192.0.2.1", Err(Reason::Rule(RuleId(40))));
    let mut wall = countries(&[], Some(&[b"DE"]), OnMissing::Refuse, OnMissing::Refuse);
    wall.facts.databases.clear();
    wall.check("192.0.2.1", Err(Reason::Builtin("shield/database-missing")));
    let mut wall = countries(&[], Some(&[b"DE"]), OnMissing::Refuse, OnMissing::Pass);
    wall.facts.databases.clear();
    wall.check("192.0.2.1", Ok(()));
}

#[test]
fn autonomous_systems_are_denied() {
    let systems = Systems {
        because: RuleId(70),
        database: "asn".into(),
        deny: BTreeMap::from([(64_500, RuleId(71))]),
        allow: None,
        on_unknown: OnMissing::Pass,
        on_missing: OnMissing::Refuse,
    };
    let mut wall = Wall::new(Policy { systems: Some(systems), ..Policy::default() });
    let bytes = database(&[("192.0.2.0/24", system(64_500)), ("198.51.100.0/24", system(64_501))]);
    wall.facts.databases = BTreeMap::from([(Arc::from("asn"), Arc::new(Database::read(bytes).unwrap()))]);
    wall.check("192.0.2.1", Err(Reason::Rule(RuleId(71))));
    wall.check("198.51.100.1", Ok(()));
}

#[test]
fn callers_are_blocked_by_user_tenant_token_and_identity() {
    #[track_caller]
    fn check(subject: Subject, want: &'static str) {
        let wall = Wall::new(Policy::default());
        let mut call = get("192.0.2.1", BEARER);
        let identity = SpiffeId::parse("spiffe://cluster.local/ns/a/sa/b").ok();
        call.peer.tls = Some(PeerTls { identity, server_name: None, version: "TLSv1.3" });
        assert_eq!(wall.walk(&call, &verified("ana", "a")), Ok(()));
        wall.block(subject, Action::Refuse, Origin::Alert("x".into()));
        assert_eq!(wall.walk(&call, &verified("ana", "a")), Err(Reason::Builtin(want)));
    }
    check(Subject::User("ana".into()), "shield/blocked-user");
    check(Subject::Tenant("a".into()), "shield/blocked-tenant");
    check(Subject::Token("token-1".into()), "shield/blocked-token");
    check(Subject::Identity("spiffe://cluster.local/ns/a/sa/b".into()), "shield/blocked-identity");
}

#[test]
fn a_weak_block_delays() {
    let wall = Wall::new(Policy::default());
    wall.block(Subject::Address("192.0.2.1/32".parse().unwrap()), Action::Delay(Millis(70)), Origin::Alert("x".into()));
    let judgement = call(&wall.shield, AT, &get("192.0.2.1", &[]), Presented::Nothing, wall.state());
    assert_eq!((judgement.delay, judgement.decision.because()), (Some(Millis(70)), Reason::NoRuleApplies));
}

#[test]
fn connections_are_held_by_listener_and_address() {
    let one = |n: u32, max| Some(ConnectionLimit { because: RuleId(n), stable: u64::from(n), max });
    let limits = ConnectionLimits { listener: one(1, 10_000), address: one(2, 50), delay: Millis(1000) };
    let policy = Policy { connections: Some(limits), allow: list(&[("10.0.0.0/8", 9)]), ..Policy::default() };
    let wall = Wall::new(policy);
    let holds = |address: &str, port: u16| {
        let peer = get(address, &[]).peer;
        let local = ([10, 0, 0, 1], port).into();
        connection(&wall.shield, AT, local, &peer, Followed::ByCalls, wall.state()).holds
    };
    let (a, b, other) = (holds("192.0.2.1", 443), holds("192.0.2.2", 443), holds("192.0.2.1", 80));
    assert_eq!(a.iter().map(|hold| hold.max).collect::<Vec<_>>(), [50, 10_000]);
    assert!(a[0].key != b[0].key && a[1].key == b[1].key);
    assert!(a[0].key == other[0].key && a[1].key != other[1].key);
    assert_eq!(holds("10.0.0.1", 443).len(), 1, "an allowed address has no limit of its own");
}

#[test]
fn a_refused_connection_is_dropped_and_a_balancer_s_country_says_nothing() {
    let wall = countries(&[b"KP"], None, OnMissing::Refuse, OnMissing::Refuse);
    let judged = |address: &str, followed| {
        let local = ([10, 0, 0, 1], 443).into();
        connection(&wall.shield, AT, local, &get(address, &[]).peer, followed, wall.state()).judgement.decision
    };
    assert_eq!(judged("198.51.100.1", Followed::ByCalls), Decision::Pass { because: Reason::NoRuleApplies });
    let refused = Decision::Refuse { because: Reason::Rule(RuleId(50)), reply: Reply::Drop };
    assert_eq!(judged("198.51.100.1", Followed::ByBytes), refused);
}

#[test]
fn policies_apply_where_they_say() {
    let deny = AddressList { entries: list(&[("192.0.2.1", 1)]), ..AddressList::default() };
    let applies = Applies::To(BTreeSet::from([WorkloadId(4)]));
    let reputation = Reputation { deny, feeds: Vec::new() };
    Wall::new(Policy { applies, reputation, ..Policy::default() }).check("192.0.2.1", Ok(()));
}

#[test]
fn the_words_of_envoy_filters_become_rules() {
    let policy = Policy::of_connection_limit(Applies::Everywhere, RuleId(1), 11, 10_000, Millis::seconds(1));
    let limits = policy.connections.unwrap();
    assert_eq!((limits.listener.unwrap().max, limits.delay, limits.address), (10_000, Millis(1000), None));
    let addresses = [("192.0.2.1/32".parse().unwrap(), RuleId(2)), ("198.51.100.1/32".parse().unwrap(), RuleId(3))];
    let body = "Forbidden - IP blocked";
    let wall = Wall::new(Policy::of_address_list(Applies::Everywhere, &addresses, 403, body.into()));
    wall.check("192.0.2.1", Err(Reason::Rule(RuleId(2))));
    wall.check("192.0.2.2", Ok(()));
    let refused = Decision::Refuse { because: Reason::Rule(RuleId(3)), reply: Reply::text(403, body) };
    assert_eq!(wall.decide(&get("198.51.100.1", &[])), refused);
}

#[test]
fn over_the_limit_is_told_as_kong_tells_it() {
    let mut open = limit(1, Scope::Address, 5);
    let budget = open.budget;
    let shield_of = |limit: Limit| shield(Policy { limits: vec![limit], ..Policy::default() });
    let takes = call(
        &shield_of(open.clone()),
        AT,
        &get("192.0.2.1", &[]),
        Presented::Nothing,
        State { facts: &Facts::default(), blocks: &Blocks::new(1), now: NOW },
    )
    .takes;
    let exceeded = |cause| Exceeded { index: 0, spent: Spent { budget, remaining: 0, reset: 48 }, cause };
    let judgement = limited(&shield_of(open.clone()), &takes, &exceeded(Cause::UsedUp));
    let Decision::Refuse { because, reply: Reply::Http { status, fields, body } } = judgement.decision else {
        panic!("refused")
    };
    assert_eq!(
        (because, status, &body[..]),
        (Reason::Rule(RuleId(1)), 429, &b"{\"message\":\"API rate limit exceeded\"}"[..])
    );
    assert!(fields.contains(&("retry-after", "48".into())) && fields.contains(&("ratelimit-limit", "5".into())));
    // A store that fails: closed unless the limit says open.
    let status_of = |shield: &Shield, cause| match limited(shield, &takes, &exceeded(cause)).decision {
        Decision::Refuse { reply, .. } => reply.status(),
        Decision::Pass { .. } => None,
    };
    assert_eq!(status_of(&shield_of(open.clone()), Cause::StoreFull), Some(429));
    open.on_store_failure = OnStoreFailure::Pass;
    assert_eq!(status_of(&shield_of(open.clone()), Cause::StoreFull), None);
    assert_eq!(status_of(&shield_of(open), Cause::UsedUp), Some(429));
}

#[test]
fn credentials_are_seen_where_the_policy_says() {
    let shield = shield(Policy::default());
    let check = |call: &Call, want| assert_eq!(presented(&shield, AT, call), want);
    check(&get("192.0.2.1", &[]), Presented::Nothing);
    check(&get("192.0.2.1", BEARER), Presented::Credential);
    check(&get("192.0.2.1", &[("X-API-Key", "k")]), Presented::Credential);
    let mut call = get("192.0.2.1", &[]);
    call.views.query = Some("a=1&jwt=x".into());
    check(&call, Presented::Credential);
    call.views.query = Some("a=jwt&xjwt=1".into());
    check(&call, Presented::Nothing);
}

#[test]
fn a_full_store_is_passed_only_by_the_limits_that_say_so() {
    let walk = |on_store_failure| {
        let own = Limit { on_store_failure, ..limit(1, Scope::Address, 1) };
        let shield = shield(Policy { limits: vec![own, limit(2, Scope::Global, 1_000_000)], ..Policy::default() });
        let (facts, blocks, counters) = (Facts::default(), Blocks::new(1), Counters::new(64));
        let state = State { facts: &facts, blocks: &blocks, now: NOW };
        let passed = (0..5000_u32).filter(|n| {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
            let takes = call(&shield, AT, &get(&address, &[]), Presented::Nothing, state).takes;
            commit(&shield, &counters, &takes, NOW).is_ok()
        });
        (passed.count(), counters.len() <= 514)
    };
    assert_eq!(walk(OnStoreFailure::Pass), (5000, true));
    let (passed, bounded) = walk(OnStoreFailure::Refuse);
    assert!(passed <= 514 && passed > 0 && bounded, "{passed} passed");
}
