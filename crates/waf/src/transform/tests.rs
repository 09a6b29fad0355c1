//! Vectors written from the reference manual, and laws.

use super::{Change, Transformation};
use crate::alphabet;
use proptest::prelude::*;

#[track_caller]
fn check(name: &str, input: &[u8], want: &[u8]) {
    let mut out = Vec::new();
    let change = Transformation::named(name).unwrap().apply(input, &mut out);
    let got = if change == Change::Same { input } else { out.as_slice() };
    assert_eq!(String::from_utf8_lossy(got), String::from_utf8_lossy(want), "{name}({})", input.escape_ascii());
}

#[test]
fn decoders() {
    check("urlDecodeUni", b"a%20b+c%u0041%uff1cx%zz%u12%", b"a b cA<x%zz%u12%");
    check("urlDecode", b"%u0041%41", b"%u0041A");
    check("htmlEntityDecode", b"&lt;&GT&#x3c;&#60&amp;quot;&foo;&#;&", b"<><<&quot;&foo;&#;&");
    check("jsDecode", b"\\u0041\\uff1c\\x42\\103\\n\\q\\777\\", b"A<BC\nq\x3f7\\");
    check("cssDecode", b"\\41 \\0042x\\\nz\\q\\00ff1c", b"ABxzq<");
    check("escapeSeqDecode", b"\\x41\\102\\n\\q\\", b"AB\nq\\");
    check("base64Decode", b"QUJD*REVG", b"ABC");
    check("base64DecodeExt", b"QUJD*REVG", b"ABCDEF");
    check("hexDecode", b"414243", b"ABC");
    check("sqlHexDecode", b"a0x414g0x", b"aA4g0x");
    check("utf8toUnicode", "aé€".as_bytes(), b"a%u00e9%u20ac");
}

#[test]
fn shapes() {
    check("cmdLine", b"C^md.EXE, ;  /c \"di'r\"", b"cmd.exe/c dir");
    check("compressWhitespace", b"a \t\n b  ", b"a b ");
    check("removeWhitespace", b" a b\t", b"ab");
    check("replaceComments", b"a/*x*/b/*y", b"a b ");
    check("removeComments", b"a/*x*/b<!--c-->d--e", b"abd");
    check("removeCommentsChar", b"a/*b*/c--d#", b"abcd");
    check("trim", b" a ", b"a");
    check("length", b"", b"0");
    check("normalizePath", b"/a/./b//../c/", b"/a/c/");
    check("normalizePath", b"../../a/../b", b"../../b");
    check("normalizePath", b"/../../etc", b"/etc");
    check("normalizePath", b"./", b"");
    check("normalizePathWin", b"..\\a\\..\\b", b"../b");
}

#[test]
fn digests() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&super::digest::md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(hex(&super::digest::md5(&[b'a'; 60])), "cc7ed669cf88f201c3297c6a91e1d18d");
    assert_eq!(hex(&super::digest::sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    check("base64Encode", b"AB", b"QUI=");
    check("hexEncode", b"A\xff", b"41ff");
    check("urlEncode", b"a b/", b"a+b%2f");
}

proptest! {
    /// A text that holds none of the bytes a transformation touches comes out as it went in.
    #[test]
    fn untouched_is_unchanged(input in proptest::collection::vec(any::<u8>(), 0..60)) {
        for (name, transformation) in super::TABLE {
            let mut out = Vec::new();
            let change = transformation.apply(&input, &mut out);
            if transformation.touches().is_some_and(|mask| mask & alphabet::of(&input) == 0) {
                prop_assert_eq!(change, Change::Same, "{}", name);
            }
        }
    }

    /// base64 and hexadecimal are undone by their inverses.
    #[test]
    fn inverses(input in proptest::collection::vec(any::<u8>(), 0..60)) {
        for (there, back) in [("base64Encode", "base64Decode"), ("hexEncode", "hexDecode"), ("urlEncode", "urlDecode")] {
            let (mut middle, mut out) = (Vec::new(), Vec::new());
            Transformation::named(there).unwrap().apply(&input, &mut middle);
            Transformation::named(back).unwrap().apply(&middle, &mut out);
            prop_assert_eq!(&out, &input, "{}", there);
        }
    }
}
