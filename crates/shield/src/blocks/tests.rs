use super::{Action, Automatic, BadBlock, Block, BlockId, Blocks, Known, Origin, Subject, Until};
use ringwall_model::{Millis, SpiffeId, Timestamp};

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Until = Until::At(Timestamp(2_000_000));

fn block(subject: Subject, action: Action, until: Until, origin: Origin) -> Block {
    Block { id: BlockId(0), subject, action, created: NOW, until, origin, reason: "test".into() }
}

fn network(text: &str) -> Subject {
    Subject::Address(crate::address::network(text).unwrap())
}

fn alert() -> Origin {
    Origin::Alert("flood".into())
}

fn person() -> Origin {
    Origin::Person("ana".into())
}

fn of_address(text: &str) -> Known<'static> {
    Known { address: Some(text.parse().unwrap()), ..Known::default() }
}

#[track_caller]
fn acting(blocks: &Blocks, address: &str, automatic: Automatic, want: Option<Action>) {
    assert_eq!(blocks.acting(&of_address(address), automatic, NOW).map(|block| block.action), want);
}

#[test]
fn the_strongest_block_acts_and_of_equal_ones_the_longest() {
    let blocks = Blocks::new(10);
    blocks.add(block(network("10.0.0.0/24"), Action::Refuse, LATER, alert()), NOW).unwrap();
    blocks.add(block(network("10.0.0.7"), Action::Delay(Millis(5)), LATER, alert()), NOW).unwrap();
    acting(&blocks, "10.0.0.7", Automatic::Count, Some(Action::Refuse));
    let longest = blocks.add(block(network("10.0.0.7"), Action::Refuse, LATER, alert()), NOW).unwrap();
    assert_eq!(blocks.acting(&of_address("10.0.0.7"), Automatic::Count, NOW).unwrap().id, longest);
    blocks.add(block(network("10.0.0.0/25"), Action::Drop, LATER, alert()), NOW).unwrap();
    acting(&blocks, "10.0.0.7", Automatic::Count, Some(Action::Drop));
    acting(&blocks, "10.0.0.200", Automatic::Count, Some(Action::Refuse));
    acting(&blocks, "10.0.1.1", Automatic::Count, None);
}

#[test]
fn an_allowlist_passes_machines_but_not_people() {
    let blocks = Blocks::new(10);
    blocks.add(block(network("10.0.0.7"), Action::Drop, LATER, alert()), NOW).unwrap();
    acting(&blocks, "10.0.0.7", Automatic::Ignore, None);
    blocks.add(block(network("10.0.0.7"), Action::Refuse, LATER, person()), NOW).unwrap();
    acting(&blocks, "10.0.0.7", Automatic::Ignore, Some(Action::Refuse));
    acting(&blocks, "10.0.0.7", Automatic::Count, Some(Action::Drop));
}

#[test]
fn a_block_ends() {
    let blocks = Blocks::new(10);
    blocks.add(block(network("10.0.0.7"), Action::Drop, Until::At(Timestamp(NOW.0 + 1)), alert()), NOW).unwrap();
    acting(&blocks, "10.0.0.7", Automatic::Count, Some(Action::Drop));
    let then = Timestamp(NOW.0 + 1);
    assert!(blocks.acting(&of_address("10.0.0.7"), Automatic::Count, then).is_none());
    let epoch = blocks.epoch();
    assert_eq!((blocks.list(then).len(), blocks.sweep(then).len(), blocks.sweep(then).len()), (0, 1, 0));
    assert_ne!(blocks.epoch(), epoch);
}

#[test]
fn machines_may_not_block_for_ever_nor_the_world() {
    #[track_caller]
    fn check(subject: Subject, until: Until, want: BadBlock) {
        let blocks = Blocks::new(10);
        assert_eq!(blocks.add(block(subject.clone(), Action::Drop, until, alert()), NOW), Err(want));
        if want != BadBlock::Ended {
            assert!(blocks.add(block(subject, Action::Drop, until, person()), NOW).is_ok(), "a person may");
        }
    }
    check(network("10.0.0.7"), Until::Lifted, BadBlock::Endless);
    check(network("10.0.0.0/23"), LATER, BadBlock::TooWide);
    check(network("2001:db8::/47"), LATER, BadBlock::TooWide);
    check(network("10.0.0.7"), Until::At(NOW), BadBlock::Ended);
}

#[test]
fn a_machine_blocks_the_64_of_an_ipv6_client() {
    let blocks = Blocks::new(10);
    blocks.add(block(network("2001:db8::7"), Action::Refuse, LATER, alert()), NOW).unwrap();
    acting(&blocks, "2001:db8::ffff", Automatic::Count, Some(Action::Refuse));
    acting(&blocks, "2001:db8:0:1::7", Automatic::Count, None);
}

#[test]
fn every_kind_of_subject_is_found() {
    let id = SpiffeId::parse("spiffe://cluster.local/ns/a/sa/b").unwrap();
    let known = Known { address: None, identity: Some(&id), user: Some("u"), tenant: Some("t"), token: Some("j") };
    let subjects = [
        Subject::Identity(id.as_str().into()),
        Subject::User("u".into()),
        Subject::Tenant("t".into()),
        Subject::Token("j".into()),
    ];
    for subject in subjects {
        let blocks = Blocks::new(10);
        let number = blocks.add(block(subject.clone(), Action::Refuse, LATER, alert()), NOW).unwrap();
        assert_eq!(blocks.acting(&known, Automatic::Count, NOW).map(|block| block.subject), Some(subject));
        assert!(blocks.lift(number).is_some() && blocks.lift(number).is_none());
        assert!(blocks.acting(&known, Automatic::Count, NOW).is_none());
    }
}

#[test]
fn blocks_survive_a_restart_as_text() {
    let blocks = Blocks::new(10);
    blocks.add(block(network("10.0.0.7"), Action::Drop, LATER, alert()), NOW).unwrap();
    blocks.add(block(Subject::User("u".into()), Action::Delay(Millis(9)), Until::Lifted, person()), NOW).unwrap();
    let text = serde_json::to_string(&blocks.list(NOW)).unwrap();
    let again = Blocks::new(10);
    again.restore(serde_json::from_str(&text).unwrap(), NOW);
    assert_eq!(again.list(NOW), blocks.list(NOW));
    let next = again.add(block(network("10.0.0.8"), Action::Drop, LATER, alert()), NOW).unwrap();
    assert_eq!(next, BlockId(3), "numbers are not used twice");
    let after = Blocks::new(10);
    after.restore(serde_json::from_str(&text).unwrap(), Timestamp(3_000_000));
    assert_eq!(after.list(NOW).len(), 1, "the ended one is left out");
}

#[test]
fn there_is_an_end_to_blocks() {
    let blocks = Blocks::new(2);
    let one = |n: u8, until| block(network(&format!("10.0.0.{n}")), Action::Drop, until, alert());
    blocks.add(one(1, Until::At(Timestamp(NOW.0 + 5))), NOW).unwrap();
    blocks.add(one(2, LATER), NOW).unwrap();
    assert_eq!(blocks.add(one(3, LATER), NOW), Err(BadBlock::Full));
    blocks.add(one(3, LATER), Timestamp(NOW.0 + 5)).unwrap();
}
