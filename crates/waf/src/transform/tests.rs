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
fn letters_and_bits() {
    check("lowercase", b"A\xc4b", b"a\xc4b");
    check("uppercase", b"a\xe4B", b"A\xe4B");
    check("removeNulls", b"\0a\0b\0", b"ab");
    check("replaceNulls", b"a\0b", b"a b");
    check("trimLeft", b"\t a ", b"a ");
    check("trimRight", b" a \n", b" a");
    check("parityZero7bit", b"\xc1a", b"Aa");
    check("parityEven7bit", b"AC", b"A\xc3");
    check("parityOdd7bit", b"AC", b"\xc1C");
    check("removeWhitespace", b"a\xc2\xa0b", b"ab");
}

#[test]
fn digests() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&super::digest::md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(hex(&super::digest::md5(&[b'a'; 60])), "cc7ed669cf88f201c3297c6a91e1d18d");
    assert_eq!(hex(&super::digest::sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(hex(&super::digest::sha1(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(hex(&super::digest::md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
    check("base64Encode", b"AB", b"QUI=");
    check("base64Encode", b"", b"");
    check("hexEncode", b"A\xff", b"41ff");
    check("urlEncode", b"a b/", b"a+b%2f");
}

proptest! {
    /// A text that holds none of the bytes a transformation touches comes out as it went in.
    #[test]
    fn untouched_is_unchanged(input in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(proptest::sample::select(b"./\\*-#<!>&%+0xX;,(^\"' \ta".to_vec()), 0..8),
        proptest::sample::subsequence(b"./*-#<!>&%+x;,(a".to_vec(), 1..4),
    ]) {
        for (name, transformation) in super::TABLE {
            let mut out = Vec::new();
            let change = transformation.apply(&input, &mut out);
            if transformation.touches().is_some_and(|mask| mask & alphabet::of(&input) == 0) {
                prop_assert_eq!(change, Change::Same, "{}", name);
            }
        }
    }

    /// What decodes, normalizes or removes does not lengthen a text, whatever its bytes.
    #[test]
    fn nothing_grows_without_bound(input in proptest::collection::vec(any::<u8>(), 0..60)) {
        for (name, transformation) in super::TABLE {
            let mut out = Vec::new();
            transformation.apply(&input, &mut out);
            // `%uHHHH` for a byte that is no UTF-8 is the longest that any makes of one, digests the longest of none.
            prop_assert!(out.len() <= input.len() * 6 + 20, "{}: {} of {}", name, out.len(), input.len());
        }
    }

    /// Doing these a second time changes nothing.
    #[test]
    fn some_need_only_be_done_once(input in proptest::collection::vec(any::<u8>(), 0..60)) {
        let once = [
            "lowercase", "uppercase", "removeNulls", "replaceNulls", "removeWhitespace", "compressWhitespace", "trim",
            "trimLeft", "trimRight", "normalizePath", "normalizePathWin", "cmdLine", "parityZero7bit", "replaceComments",
        ];
        for name in once {
            let transformation = Transformation::named(name).unwrap();
            let (mut first, mut second) = (Vec::new(), Vec::new());
            transformation.apply(&input, &mut first);
            transformation.apply(&first, &mut second);
            prop_assert_eq!(&first, &second, "{}", name);
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
