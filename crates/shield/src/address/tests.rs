use super::{AddressSet, client_network, network, subject};
use proptest::prelude::*;
use std::net::IpAddr;

fn set(networks: &[&str]) -> AddressSet<String> {
    let mut set = AddressSet::default();
    networks.iter().for_each(|text| _ = set.insert(network(text).unwrap(), (*text).to_owned()));
    set
}

#[track_caller]
fn check(networks: &[&str], address: &str, want: Option<&str>) {
    assert_eq!(set(networks).longest(address.parse().unwrap()).map(String::as_str), want);
}

#[test]
fn the_longest_network_speaks() {
    check(&["10.0.0.0/8", "10.1.0.0/16"], "10.1.2.3", Some("10.1.0.0/16"));
    check(&["10.0.0.0/8", "10.1.0.0/16"], "10.2.2.3", Some("10.0.0.0/8"));
    check(&["10.0.0.0/8"], "11.0.0.1", None);
    check(&["0.0.0.0/0"], "8.8.8.8", Some("0.0.0.0/0"));
    check(&["0.0.0.0/0"], "2001:db8::1", None);
    check(&["::/0"], "2001:db8::1", Some("::/0"));
    check(&["2001:db8::/32", "2001:db8:1::/48"], "2001:db8:1::9", Some("2001:db8:1::/48"));
    check(&["192.0.2.1"], "::ffff:192.0.2.1", Some("192.0.2.1"));
    check(&["192.0.2.1"], "192.0.2.2", None);
    check(&["10.1.2.3/8"], "10.9.9.9", Some("10.1.2.3/8"));
}

#[test]
fn one_customer_of_a_provider_is_one_subject() {
    let subject_of = |text: &str| subject(text.parse().unwrap());
    assert_eq!(subject_of("2001:db8::1"), subject_of("2001:db8::ffff:1"));
    assert_ne!(subject_of("2001:db8::1"), subject_of("2001:db8:0:1::1"));
    assert_ne!(subject_of("192.0.2.1"), subject_of("192.0.2.2"));
    assert_eq!(subject_of("::ffff:192.0.2.1"), subject_of("192.0.2.1"));
    assert_eq!(client_network("2001:db8::7".parse().unwrap()).to_string(), "2001:db8::/64");
    assert_eq!(client_network("192.0.2.7".parse().unwrap()).to_string(), "192.0.2.7/32");
}

#[test]
fn a_feed_keeps_what_is_right_and_names_what_is_not() {
    let text = "# drop list\n192.0.2.0/24 ; SBL1\n\nnot-an-address\n2001:db8::/32 comment\n10.0.0.300\n";
    let (set, faults) = AddressSet::read(text, 100);
    assert_eq!((set.len(), faults), (2, vec![4, 6]));
    let (set, faults) = AddressSet::read("1.1.1.1\n2.2.2.2\n3.3.3.3\n", 2);
    assert_eq!((set.len(), faults), (2, vec![3]));
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_walk_over_the_list(
        networks in prop::collection::vec((any::<u8>(), any::<u8>(), 0_u8..=32), 0..20),
        address in any::<(u8, u8)>(),
    ) {
        let address = IpAddr::from([10, address.0 & 3, address.1 & 3, 1]);
        let mut set = AddressSet::default();
        let mut best: Option<u8> = None;
        for (a, b, length) in networks {
            let net = network(&format!("10.{}.{}.0/{length}", a & 3, b & 3)).unwrap();
            set.insert(net, length);
            if net.contains(&address) {
                best = best.max(Some(length));
            }
        }
        prop_assert_eq!(set.longest(address).copied(), best);
    }

    #[test]
    fn no_feed_is_too_strange(text in "[ -~\n\u{e9}]{0,400}") {
        let (set, faults) = AddressSet::read(&text, 10);
        prop_assert!(set.len() <= 10 && faults.len() <= 100);
    }
}
