//! The judge allocates nothing for a call that passes, however many rules there are.

#[path = "../examples/judge_cost/scene.rs"]
mod scene;

use ringwall_mesh::judge::inbound;
use ringwall_model::{Decision, Reason, RuleId, Step, Timestamp};
use ringwall_testkit::{Counting, allocations};
use ringwall_token::{Facts, Known};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_pass_allocates_nothing_and_names_its_rule() {
    let facts = Facts::default();
    let known = Known { facts: &facts, asked: &[], now: Timestamp(0) };
    for kind in scene::KINDS {
        let mesh = scene::mesh(kind);
        for number in [0, scene::RULES / 2, scene::RULES - 1] {
            let call = scene::call(kind, number);
            let (step, count) = allocations::during(|| inbound(&mesh, scene::HERE, 8080, &call, &known));
            let Step::Done(verdict) = step else { panic!("{kind} asks") };
            let want = Decision::Pass { because: Reason::Rule(RuleId(number)) };
            assert_eq!((verdict.judgement.decision, count), (want, 0), "{kind} {number}");
        }
        let Step::Done(none) = inbound(&mesh, scene::HERE, 8080, &scene::call(kind, scene::RULES), &known) else {
            panic!("{kind} asks")
        };
        assert_eq!(none.judgement.decision.because(), Reason::DefaultDeny { considered: scene::RULES }, "{kind}");
    }
    let (_, counted) = allocations::during(|| std::hint::black_box(Box::new(1)));
    assert_eq!(counted, 1, "the allocator counts");
}
