//! Numbers as text in base 16, lower case: names of calls, traces and spans.

/// The 16 digits of a number, all made at once: names are random, so that a branch for each digit would guess wrong.
pub const fn digits(number: u64) -> [u8; 16] {
    let both = (eight(number >> 32) as u128) << 64 | eight(number & 0xffff_ffff) as u128;
    both.to_be_bytes()
}

/// The 32 digits of a number.
pub fn long(number: u128) -> [u8; 32] {
    let bytes = number.to_be_bytes();
    let half = |bytes: [u8; 8]| digits(u64::from_be_bytes(bytes));
    let mut text = [b'0'; 32];
    for (half_of_text, half_of_number) in text.as_chunks_mut::<16>().0.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *half_of_text = half(*half_of_number);
    }
    text
}

/// The eight digits of 32 bits, the first one in the highest byte.
const fn eight(bits: u64) -> u64 {
    // Every half byte gets a byte of its own.
    let spread = (bits << 16 | bits) & 0x0000_ffff_0000_ffff;
    let spread = (spread << 8 | spread) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread << 4 | spread) & 0x0f0f_0f0f_0f0f_0f0f;
    // One in each byte that is ten or more: letters do not follow digits in ASCII.
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    spread + 0x3030_3030_3030_3030 + letters * 0x27
}

#[cfg(test)]
mod tests {
    use super::{digits, long};

    #[test]
    fn digits_are_those_of_the_standard_library() {
        let mut number = 1_u128;
        for _ in 0..1000 {
            // Any sequence that comes by all digits will do.
            number = number.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(0x5851_f42d_4c95_7f2d);
            let low = number as u64;
            assert_eq!(str::from_utf8(&long(number)).unwrap(), format!("{number:032x}"));
            assert_eq!(str::from_utf8(&digits(low)).unwrap(), format!("{low:016x}"));
        }
        assert_eq!((&digits(0), &long(u128::MAX)), (b"0000000000000000", &[b'f'; 32]));
    }
}
