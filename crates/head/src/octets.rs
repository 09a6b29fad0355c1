//! Which octets may stand where, and white space (RFC 9110 sections 5.5 and 5.6).

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const VISIBLE: u8 = 4;

/// The classes of each octet, as bits.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut rest: &mut [u8] = &mut table;
    let mut octet = 0_u8;
    while let [class, tail @ ..] = rest {
        *class = class_of(octet);
        octet = octet.wrapping_add(1);
        rest = tail;
    }
    table
}

const fn class_of(octet: u8) -> u8 {
    let token = octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
    let value = matches!(octet, b'\t' | 0x20..=0x7e | 0x80..=0xff);
    (if token { TOKEN } else { 0 })
        | (if value { VALUE } else { 0 })
        | (if matches!(octet, 0x21..=0x7e) { VISIBLE } else { 0 })
}

fn all(octets: &[u8], class: u8) -> bool {
    octets.iter().all(|octet| CLASSES.get(usize::from(*octet)).is_some_and(|classes| classes & class != 0))
}

/// Whether this is a token: at least one `tchar`.
pub fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && all(octets, TOKEN)
}

/// Whether these may stand in a field value.
pub fn is_value(octets: &[u8]) -> bool {
    all(octets, VALUE)
}

/// Whether all are visible ASCII.
pub fn is_visible(octets: &[u8]) -> bool {
    all(octets, VISIBLE)
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
