//! Which octets may stand where, and white space (RFC 9110 sections 5.5 and 5.6).

/// Which octets are a `tchar`.
static TOKEN: [bool; 256] = tokens();

const fn tokens() -> [bool; 256] {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut octet = 0_u8;
    while let [entry, tail @ ..] = rest {
        *entry = octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        octet = octet.wrapping_add(1);
        rest = tail;
    }
    table
}

/// Whether this is a token: at least one `tchar`.
pub fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| TOKEN.get(usize::from(*octet)) == Some(&true))
}

/// Whether these may stand in a field value. Looks at all of them, so that the compiler can look at many at once.
pub fn is_value(octets: &[u8]) -> bool {
    octets.iter().fold(true, |all, octet| all & (((*octet >= 0x20) & (*octet != 0x7f)) | (*octet == b'\t')))
}

/// Whether all are visible ASCII.
pub fn is_visible(octets: &[u8]) -> bool {
    octets.iter().fold(true, |all, octet| all & (*octet > 0x20) & (*octet < 0x7f))
}

/// Without the optional white space (SP, HTAB) around.
pub fn trim(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = octets {
        octets = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}

/// The elements of a comma-separated list, without the white space around them; empty ones are left out.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b',').map(trim).filter(|element| !element.is_empty())
}

/// A decimal number of digits only, as `Content-Length` and ports are; `None` when it is none or too large.
pub fn decimal(octets: &[u8]) -> Option<u64> {
    if octets.is_empty() || octets.len() > 19 {
        return None;
    }
    octets.iter().try_fold(0_u64, |number, octet| {
        octet.is_ascii_digit().then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(octet - b'0'))
    })
}

/// The value of a hexadecimal digit.
pub const fn hex(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}
