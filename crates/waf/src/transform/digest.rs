//! Transformations that encode or digest: base64, hexadecimal, URL, MD5 (RFC 1321), SHA-1 (RFC 3174).
//!
//! The digests name things (persistent collections); they protect nothing.

pub(crate) fn base64(input: &[u8], out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in input.chunks(3) {
        let word = chunk.iter().chain([0, 0].iter()).take(3).fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = LETTERS.get((word >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if place <= chunk.len() { letter } else { b'=' });
        }
    }
}

pub(crate) fn hex(input: &[u8], out: &mut Vec<u8>) {
    for byte in input {
        out.push(hex_digit(byte >> 4));
        out.push(hex_digit(byte & 15));
    }
}

/// Lower-case hexadecimal digit.
pub(crate) const fn hex_digit(value: u8) -> u8 {
    match value & 15 {
        low @ 0..=9 => b'0' + low,
        high => b'a' + high - 10,
    }
}

pub(crate) fn url(input: &[u8], out: &mut Vec<u8>) {
    for byte in input {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(*byte),
            other => out.extend([b'%', hex_digit(other >> 4), hex_digit(*other)]),
        }
    }
}

pub(crate) fn sha1(input: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded(input, u64::to_be_bytes) {
        let mut words: Vec<u32> =
            block.chunks_exact(4).map(|four| four.iter().fold(0, |w, b| w << 8 | u32::from(*b))).collect();
        for at in 16..80 {
            let word = |back: usize| words.get(at - back).copied().unwrap_or_default();
            words.push((word(3) ^ word(8) ^ word(14) ^ word(16)).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (round, word) in words.iter().enumerate() {
            let (mixed, constant) = match round / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (kept, add) in state.iter_mut().zip([a, b, c, d, e]) {
            *kept = kept.wrapping_add(add);
        }
    }
    let mut out = [0; 20];
    for (place, byte) in out.iter_mut().zip(state.iter().flat_map(|word| word.to_be_bytes())) {
        *place = byte;
    }
    out
}

pub(crate) fn md5(input: &[u8]) -> [u8; 16] {
    const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded(input, u64::to_le_bytes) {
        let words: Vec<u32> =
            block.chunks_exact(4).map(|four| four.iter().rev().fold(0, |w, b| w << 8 | u32::from(*b))).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64_usize {
            let (mixed, at) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (d & b | !d & c, 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            let constant = ((step as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32;
            let turn = TURNS.get(step / 16).and_then(|row| row.get(step % 4)).copied().unwrap_or_default();
            let word = words.get(at % 16).copied().unwrap_or_default();
            let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(word);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(turn)));
        }
        for (kept, add) in state.iter_mut().zip([a, b, c, d]) {
            *kept = kept.wrapping_add(add);
        }
    }
    let mut out = [0; 16];
    for (place, byte) in out.iter_mut().zip(state.iter().flat_map(|word| word.to_le_bytes())) {
        *place = byte;
    }
    out
}

/// The message in blocks of 64 bytes with its padding and its length in bits.
fn padded(input: &[u8], length: fn(u64) -> [u8; 8]) -> Vec<[u8; 64]> {
    let mut bytes = input.to_vec();
    bytes.push(0x80);
    while bytes.len() % 64 != 56 {
        bytes.push(0);
    }
    bytes.extend(length((input.len() as u64).wrapping_mul(8)));
    bytes.chunks_exact(64).filter_map(|block| block.try_into().ok()).collect()
}
