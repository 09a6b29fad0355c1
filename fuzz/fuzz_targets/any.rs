//! The one entry for libfuzzer: `RINGWALL_TARGET=head cargo +nightly fuzz run any fuzz/corpus/head`.
#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("RINGWALL_TARGET").expect("RINGWALL_TARGET names the target");
        let known = ringwall_fuzz::TARGETS.iter().find(|(known, _)| *known == name);
        known.unwrap_or_else(|| panic!("no target `{name}`")).1
    });
    target(bytes);
});
