//! One body, one reading: whole and part by part; what could be read in two ways is not read.

use super::{BROKEN, Beyond, Decoder, TOO_LONG, UNKNOWN, decode, is_read};
use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

const BROTLI: &[u8] = b"\x0b\x02\x80hello\x03";

fn gzip(plain: &[u8]) -> Vec<u8> {
    [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], b"name\0", &compress_to_vec(plain, 6), &[0; 8]].concat()
}

fn check(coding: &str, body: &[u8], want: Option<Result<Vec<u8>, &str>>) {
    assert_eq!(decode(coding.as_bytes(), body, 1000, Beyond::Refuse), want, "{coding}");
}

#[test]
fn codings() {
    let plain = b"hello hello hello hello".to_vec();
    let gzip = gzip(&plain);
    check("", &plain, None);
    check("identity", &plain, None);
    check("gzip", &gzip, Some(Ok(plain.clone())));
    check("x-gzip, identity", &gzip, Some(Ok(plain.clone())));
    check("deflate", &compress_to_vec_zlib(&plain, 6), Some(Ok(plain.clone())));
    check("deflate", &compress_to_vec(&plain, 6), Some(Ok(plain.clone())));
    check("br", BROTLI, Some(Ok(b"hello".to_vec())));
    check("gzip", b"not gzip", Some(Err(BROKEN)));
    check("gzip", &gzip[..20], Some(Err(BROKEN)));
    check("zstd", &plain, Some(Err(UNKNOWN)));
    for (value, read) in [("", true), ("GZIP, br", true), ("zstd", false), ("gzip, dcb", false)] {
        assert_eq!(is_read(value.as_bytes()), read, "{value}");
    }
}

#[test]
fn a_bomb_is_cut_at_its_limit() {
    let bomb = compress_to_vec_zlib(&vec![0; 10 << 20], 9);
    assert!(bomb.len() < 20_000);
    assert_eq!(decode(b"deflate", &bomb, 1 << 20, Beyond::Refuse), Some(Err(TOO_LONG)));
    assert_eq!(decode(b"deflate", &bomb, 1 << 20, Beyond::Cut), Some(Ok(vec![0; 1 << 20])));
    let start = decode(b"deflate", &bomb[..5000], 1 << 20, Beyond::Cut);
    assert!(start.is_some_and(|start| start.is_ok_and(|start| start.len() > 1000)));
}

#[test]
fn nothing_hides_behind_the_end_of_a_coding() {
    let (first, second) = (gzip(b"harmless "), gzip(b"attack"));
    check("gzip", &[&first[..], &second].concat(), Some(Ok(b"harmless attack".to_vec())));
    let zlib = compress_to_vec_zlib(b"harmless", 6);
    for (coding, body) in [("gzip", &first[..]), ("deflate", &zlib), ("br", BROTLI)] {
        check(coding, &[body, b"attack"].concat(), Some(Err(BROKEN)));
    }
    // One more than anybody sends: the innermost would be judged as it is.
    let five = (0..5).fold(b"attack".to_vec(), |body, _| gzip(&body));
    check("gzip, gzip, gzip, gzip, gzip", &five, Some(Err(UNKNOWN)));
}

/// Stored blocks that are whole as zlib and, with another content, without its head.
#[test]
fn what_two_readers_undo_to_two_bodies_is_not_read() {
    let attack = b"' OR '1'='1";
    let length = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    // To those who want no head: a block of one byte, then one of the attack, then one of all that is left.
    let mut content = [&length(attack.len())[..], &(!11_u16).to_le_bytes(), attack].concat();
    let rest = 0xfffe - content.len() - 5 + 9;
    content.extend([&[1][..], &length(rest), &(!u16::try_from(rest).unwrap()).to_le_bytes()].concat());
    content.resize(0xfffe, b'h');
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &content {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    // To those who want one: a block of 0xfffe bytes, and the empty last one.
    let start = [0x78, 0x01, 0x00, 0xfe, 0xff, 0x01, 0x00];
    let body = [&start[..], &content, &[1, 0, 0, 0xff, 0xff], &(b << 16 | a).to_be_bytes()].concat();
    let read = |decoder| super::whole(decoder, &body, 1 << 20, Beyond::Refuse);
    assert_eq!(read(Decoder::new(super::Coding::Deflate)), Ok(content.clone()));
    assert!(read(Decoder::bare()).is_ok_and(|bare| bare[1..].starts_with(attack)));
    assert_eq!(decode(b"deflate", &body, 1 << 20, Beyond::Refuse), Some(Err(BROKEN)));
    assert_eq!(decode(b"deflate", &body, 1 << 20, Beyond::Cut), Some(Ok(content)));
}

#[test]
fn streams_are_undone_part_by_part() {
    let plain: Vec<u8> = (0..60_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    let members = [gzip(&plain[..100]), gzip(&plain[100..])].concat();
    let (zlib, bare) = (compress_to_vec_zlib(&plain, 6), compress_to_vec(&plain, 6));
    for (coding, body, want) in [
        ("gzip", &members[..], &plain[..]),
        ("deflate", &zlib, &plain),
        ("Deflate", &bare, &plain),
        ("br", BROTLI, b"hello"),
    ] {
        for size in [1, 7, 5000, body.len()] {
            let mut decoder = Decoder::of(coding.as_bytes()).unwrap().unwrap();
            let (mut out, mut waiting) = (Vec::new(), Vec::new());
            for part in body.chunks(size) {
                waiting.extend_from_slice(part);
                loop {
                    let before = out.len();
                    let used = decoder.read(&waiting, &mut out, 10_000).unwrap();
                    assert!(out.len() - before <= 10_000 + super::PIECE);
                    waiting.drain(..used);
                    if used == 0 && out.len() == before {
                        break;
                    }
                }
            }
            assert!(out == want && decoder.is_whole() && waiting.is_empty(), "{coding} {size}");
            assert!(decoder.read(b"more", &mut out, 10).is_err());
        }
    }
}

#[test]
fn what_was_flushed_is_there_at_once() {
    use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
    use miniz_oxide::deflate::stream::deflate;
    use miniz_oxide::{DataFormat, MZFlush};
    let flags = create_comp_flags_from_zip_params(6, DataFormat::Zlib.to_window_bits(), 0);
    let mut compressor = CompressorOxide::new(flags);
    let mut decoder = Decoder::of(b"deflate").unwrap().unwrap();
    for event in [&b"data: one\n\n"[..], b"data: two\n\n"] {
        let mut coded = vec![0; 200];
        let made = deflate(&mut compressor, event, &mut coded, MZFlush::Sync).bytes_written;
        let mut out = Vec::new();
        assert_eq!(decoder.read(&coded[..made], &mut out, 1000), Ok(made));
        assert_eq!(out, event);
    }
    assert!(!decoder.is_whole());
}

#[test]
fn what_cannot_be_undone_part_by_part_is_said() {
    assert!(Decoder::of(b"").unwrap().is_none() && Decoder::of(b"identity").unwrap().is_none());
    for value in [&b"zstd"[..], b"gzip, br", b"gzip, gzip"] {
        assert_eq!(Decoder::of(value).err(), Some(UNKNOWN));
    }
    let long = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], &[b'n'; 70_000]].concat();
    assert_eq!(Decoder::of(b"gzip").unwrap().unwrap().read(&long, &mut Vec::new(), 10), Err(BROKEN));
}
