//! Operators that check a form: byte ranges, URL encoding, UTF-8, numbers with check digits.

/// `@validateByteRange 9,10,32-126`: which bytes are allowed; the error is the part at fault.
pub(crate) fn byte_range(text: &str) -> Result<Box<[bool; 256]>, String> {
    let mut allowed = Box::new([false; 256]);
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u8>().map_err(|_| part.to_owned());
        for byte in number(from)?..=number(to)? {
            if let Some(place) = allowed.get_mut(usize::from(byte)) {
                *place = true;
            }
        }
    }
    Ok(allowed)
}

/// Whether a `%` is followed by something else than two hexadecimal digits.
pub(crate) fn bad_url_encoding(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = rest.get(at + 3..).unwrap_or_default(),
            _ => return true,
        }
    }
    false
}

/// Whether the text is not UTF-8 (RFC 3629: no overlong form, no surrogate).
pub(crate) fn bad_utf8(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_err()
}

/// Which check digits a number must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckDigits {
    /// Credit card (Luhn).
    Card,
    /// Brazilian CPF.
    Cpf,
    /// US social security number.
    Ssn,
    /// Austrian social security number.
    Svnr,
}

impl CheckDigits {
    /// Whether the digits of the text are such a number.
    pub fn hold(self, text: &[u8]) -> bool {
        let digits: Vec<u32> = text.iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0')).collect();
        match self {
            Self::Card => luhn(&digits),
            Self::Cpf => cpf(&digits),
            Self::Ssn => ssn(&digits),
            Self::Svnr => svnr(&digits),
        }
    }
}

fn luhn(digits: &[u32]) -> bool {
    let double = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(at, digit)| if at % 2 == 1 { double(*digit) } else { *digit }).sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

fn cpf(digits: &[u32]) -> bool {
    let check = |count: usize| {
        let weights = (2..=count as u32 + 1).rev();
        let sum: u32 = digits.iter().take(count).zip(weights).map(|(digit, weight)| digit * weight).sum();
        digits.get(count) == Some(&(sum * 10 % 11 % 10))
    };
    let same = digits.windows(2).all(|pair| pair.first() == pair.last());
    digits.len() == 11 && !same && check(9) && check(10)
}

fn ssn(digits: &[u32]) -> bool {
    let part = |from: usize, to: usize| digits.iter().take(to).skip(from).fold(0, |sum, digit| sum * 10 + digit);
    let (area, group, serial) = (part(0, 3), part(3, 5), part(5, 9));
    digits.len() == 9 && area != 0 && area != 666 && area < 740 && group != 0 && serial != 0
}

fn svnr(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    digits.len() == 10 && digits.get(3) == Some(&(sum % 11))
}

#[cfg(test)]
mod tests {
    use super::{CheckDigits, bad_url_encoding, bad_utf8, byte_range};

    #[test]
    fn forms() {
        let range = byte_range("9, 32-126").unwrap();
        assert!(range[9] && range[32] && range[126] && !range[10] && !range[127]);
        assert!(byte_range("1-300").is_err());
        assert!(bad_url_encoding(b"a%2") && bad_url_encoding(b"%zz") && !bad_url_encoding(b"%41%ff"));
        assert!(bad_utf8(b"\xc0\x80") && !bad_utf8("é".as_bytes()));
    }

    #[test]
    fn check_digits() {
        assert!(CheckDigits::Card.hold(b"4111 1111 1111 1111") && !CheckDigits::Card.hold(b"4111 1111 1111 1112"));
        assert!(CheckDigits::Cpf.hold(b"529.982.247-25") && !CheckDigits::Cpf.hold(b"529.982.247-26"));
        assert!(CheckDigits::Ssn.hold(b"123-45-6789") && !CheckDigits::Ssn.hold(b"666-45-6789"));
        assert!(CheckDigits::Svnr.hold(b"1237010180") && !CheckDigits::Svnr.hold(b"1238010180"));
    }
}
