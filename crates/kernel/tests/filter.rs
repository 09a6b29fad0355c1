//! The packet filter against the real kernel: what it lets through, and what happens when things go wrong. Without a
//! harness, because a process that is not root goes into a user namespace before it has threads.

#[path = "filter/change.rs"]
mod change;
#[path = "filter/killed.rs"]
mod killed;
#[path = "filter/lab.rs"]
mod lab;
#[path = "filter/names.rs"]
mod names;
#[path = "filter/traffic.rs"]
mod traffic;

use ringwall_kernel::namespace::{self, IsolationError};

fn main() {
    if std::env::var_os(killed::VARIABLE).is_some() {
        return killed::apply_and_wait();
    }
    let standing = match namespace::enter() {
        Ok(standing) => standing,
        Err(error @ IsolationError::Permission(_)) => {
            assert!(std::env::var_os("RINGWALL_REQUIRE").is_none(), "{error}");
            return println!("not run: filter: {error}");
        }
        Err(error) => panic!("{error}"),
    };
    // Switches of the usual harness are not names.
    let only = std::env::args().skip(1).find(|it| !it.starts_with('-')).unwrap_or_default();
    let mut held = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&only)) {
        println!("test {name}");
        case();
        held += 1;
    }
    println!("filter: {held} held as {standing:?}");
    println!("test result: ok. {held} passed; 0 failed; 0 ignored; 0 measured; {} filtered out", CASES.len() - held);
    assert!(held > 0, "no case is named `{only}`");
}

const CASES: &[(&str, fn())] = &[
    ("a_group_admits_whom_it_names", traffic::a_group_admits_whom_it_names),
    ("an_address_that_nobody_has_is_dropped", traffic::an_address_that_nobody_has_is_dropped),
    ("a_source_address_belongs_to_its_interface", traffic::a_source_address_belongs_to_its_interface),
    ("a_blocked_address_is_dropped_before_all_else", traffic::a_blocked_address_is_dropped_before_all_else),
    ("blocked_networks_lie_over_each_other", traffic::blocked_networks_lie_over_each_other),
    ("a_link_drops_what_is_blocked_before_the_stack", traffic::a_link_drops_what_is_blocked_before_the_stack),
    ("links_come_and_go_with_the_rules_for_them", traffic::links_come_and_go_with_the_rules_for_them),
    ("a_machine_may_have_the_lists_alone", traffic::a_machine_may_have_the_lists_alone),
    ("what_is_dropped_is_told_with_its_rule", traffic::what_is_dropped_is_told_with_its_rule),
    ("one_source_sends_only_so_much", traffic::one_source_sends_only_so_much),
    ("nothing_forbidden_passes_while_rules_are_replaced", change::nothing_forbidden_passes_while_rules_are_replaced),
    ("one_address_more_is_one_element_more", change::one_address_more_is_one_element_more),
    ("a_forbidden_connection_is_cut_when_that_is_wanted", change::a_forbidden_connection_is_cut_when_that_is_wanted),
    ("a_cut_connection_is_not_taken_up_by_its_other_end", change::a_cut_connection_is_not_taken_up_by_its_other_end),
    ("the_kernel_has_the_end_of_each_address", names::the_kernel_has_the_end_of_each_address),
    ("an_address_ends_without_a_wall_and_its_flows_go_on", names::an_address_ends_without_a_wall_and_its_flows_go_on),
    ("a_refused_change_leaves_the_old_rules", change::a_refused_change_leaves_the_old_rules),
    ("what_others_change_is_noticed_and_put_back", change::what_others_change_is_noticed_and_put_back),
    ("only_who_asks_takes_the_rules_away", change::only_who_asks_takes_the_rules_away),
    ("the_rules_of_a_killed_process_are_taken_over", killed::the_rules_of_a_killed_process_are_taken_over),
];
