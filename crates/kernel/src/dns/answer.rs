//! Questions to a resolver of the outside, and its answers: rendered and read strictly, bytes in, bytes out.
//!
//! In: a name; the bytes that came back. Out: a question; the addresses that the name has, each with how long it is good.
//! Never: an answer to what was not asked, a record of another name, a pointer forwards. Follows RFC 1035 section 4.1,
//! RFC 2308 (no address is no error here). Whoever answers chose these bytes.

use super::{A, AAAA, HEADER, INTERNET, RECURSION_DESIRED, RESPONSE, TRUNCATED, Wanted};
use std::net::IpAddr;

/// The most bytes of an answer that is read.
pub const MOST_OF_ANSWER: usize = 1232;
/// The most records of one that are looked at.
const RECORDS: usize = 64;
/// The most aliases that are followed.
const ALIASES: usize = 8;
const CNAME: u16 = 5;

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// To another question, or none at all: the right one may still come.
    Foreign,
    /// There is no such name.
    NoName,
    /// The resolver could not say, or said what cannot be read.
    Failed,
}

/// Renders a question; `None` for what is no name or wants no address.
pub fn ask(id: u16, name: &str, wanted: Wanted) -> Option<Vec<u8>> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend(RECURSION_DESIRED.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(question(name, wanted)?);
    Some(bytes)
}

fn question(name: &str, wanted: Wanted) -> Option<Vec<u8>> {
    let kind = kind(wanted)?;
    let mut bytes = Vec::new();
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    (bytes.len() <= 255 + 4).then_some(bytes)
}

const fn kind(wanted: Wanted) -> Option<u16> {
    match wanted {
        Wanted::V4 => Some(A),
        Wanted::V6 => Some(AAAA),
        Wanted::Other => None,
    }
}

struct Record {
    owner: String,
    seconds: u32,
    says: Says,
}

enum Says {
    Address(IpAddr),
    Alias(String),
}

/// Reads the answer to [`ask`] with the same arguments: addresses, and for how many seconds each is good.
///
/// # Errors
/// [`NoAnswer`]
pub fn read_answer(bytes: &[u8], id: u16, name: &str, wanted: Wanted) -> Result<Vec<(IpAddr, u32)>, NoAnswer> {
    let flags = word(bytes, 2).filter(|flags| word(bytes, 0) == Some(id) && flags & RESPONSE != 0);
    let flags = flags.ok_or(NoAnswer::Foreign)?;
    let asked = question(name, wanted).ok_or(NoAnswer::Failed)?;
    let end = HEADER + asked.len();
    let said_back = bytes.get(HEADER..end).is_some_and(|said| said.eq_ignore_ascii_case(&asked));
    if word(bytes, 4) != Some(1) || !said_back {
        return Err(NoAnswer::Foreign);
    }
    match flags & 15 {
        0 if flags & TRUNCATED == 0 && bytes.len() <= MOST_OF_ANSWER => {}
        3 => return Err(NoAnswer::NoName),
        _ => return Err(NoAnswer::Failed),
    }
    let count = usize::from(word(bytes, 6).unwrap_or(0)).min(RECORDS);
    let records = records(bytes, end, count, wanted).ok_or(NoAnswer::Failed)?;
    Ok(follow(&records, name))
}

/// Addresses of a name and of what it is an alias of.
fn follow(records: &[Record], name: &str) -> Vec<(IpAddr, u32)> {
    let (mut current, mut good) = (name.to_ascii_lowercase(), u32::MAX);
    for _ in 0..ALIASES {
        let own = || records.iter().filter(|record| record.owner == current);
        let addresses = own().filter_map(|record| match record.says {
            Says::Address(address) => Some((address, record.seconds.min(good))),
            Says::Alias(_) => None,
        });
        let addresses: Vec<_> = addresses.collect();
        if !addresses.is_empty() {
            return addresses;
        }
        let alias = own().find_map(|record| match &record.says {
            Says::Alias(target) => Some((target.clone(), record.seconds)),
            Says::Address(_) => None,
        });
        let Some((target, seconds)) = alias else { break };
        (current, good) = (target, good.min(seconds));
    }
    Vec::new()
}

/// Records of the kinds that are looked for; `None` when one cannot be read.
fn records(bytes: &[u8], mut at: usize, count: usize, wanted: Wanted) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for _ in 0..count {
        let (owner, behind) = name_at(bytes, at)?;
        let (kind_is, class) = (word(bytes, behind)?, word(bytes, behind + 2)?);
        let seconds = u32::from(word(bytes, behind + 4)?) << 16 | u32::from(word(bytes, behind + 6)?);
        let length = usize::from(word(bytes, behind + 8)?);
        let start = behind + 10;
        let held = bytes.get(start..start + length)?;
        let says = match kind_is {
            _ if class != INTERNET => None,
            CNAME => {
                let (target, end) = name_at(bytes, start)?;
                // A name that goes over its record is none.
                (end <= start + length).then_some(Says::Alias(target))
            }
            _ if Some(kind_is) == kind(wanted) => {
                let v4 = <[u8; 4]>::try_from(held).ok().filter(|_| kind_is == A).map(IpAddr::from);
                let v6 = || <[u8; 16]>::try_from(held).ok().filter(|_| kind_is == AAAA).map(IpAddr::from);
                Some(Says::Address(v4.or_else(v6)?))
            }
            _ => None,
        };
        records.extend(says.map(|says| Record { owner, seconds, says }));
        at = start + length;
    }
    Some(records)
}

/// A name in lower case, and the place behind it. Pointers lead backwards only, so that reading ends.
fn name_at(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut name, mut at, mut least, mut behind) = (String::new(), start, start, None);
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return Some((name, behind.unwrap_or(at + 1))),
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                if name.len() + label.len() > 253 || !label.iter().all(plain) {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                at += 1 + usize::from(length);
            }
            0xc0.. => {
                let to = usize::from(word(bytes, at)? & 0x3fff);
                behind = behind.or(Some(at + 2));
                if to >= least {
                    return None;
                }
                (at, least) = (to, to);
            }
            _ => return None,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "api.example.com";

    /// An answer with these records: owner, kind, seconds, what it holds.
    fn answer(records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = ask(7, NAME, Wanted::V4).unwrap();
        bytes[2] |= 0x80;
        bytes[7] = u8::try_from(records.len()).unwrap();
        for (owner, kind, seconds, held) in records {
            bytes.extend(*owner);
            bytes.extend(kind.to_be_bytes());
            bytes.extend(INTERNET.to_be_bytes());
            bytes.extend(seconds.to_be_bytes());
            bytes.extend(u16::try_from(held.len()).unwrap().to_be_bytes());
            bytes.extend(*held);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<(IpAddr, u32)>, NoAnswer> {
        read_answer(bytes, 7, "API.example.com", Wanted::V4)
    }

    const OWN: &[u8] = &[0xc0, 12];
    const OTHER: &[u8] = &[3, b'c', b'd', b'n', 0];

    #[test]
    fn addresses_of_the_name_and_of_its_aliases_are_read() {
        let address = [198, 51, 100, 7];
        let want = |seconds| Ok(vec![(IpAddr::from(address), seconds)]);
        assert_eq!(read(&answer(&[(OWN, A, 300, &address)])), want(300));
        // The shorter of the two lives counts, in whatever order they come.
        assert_eq!(read(&answer(&[(OTHER, A, 300, &address), (OWN, CNAME, 20, OTHER)])), want(20));
        assert_eq!(read(&answer(&[(OTHER, A, 300, &address)])), Ok(vec![]), "of another name");
        assert_eq!(read(&answer(&[(OWN, CNAME, 20, OWN)])), Ok(vec![]), "an alias of itself");
    }

    #[test]
    fn what_was_not_asked_is_not_an_answer() {
        let good = answer(&[(OWN, A, 300, &[198, 51, 100, 7])]);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            read(&bytes)
        };
        assert_eq!(with(&|it| it[1] = 8), Err(NoAnswer::Foreign));
        assert_eq!(with(&|it| it[2] &= 0x7f), Err(NoAnswer::Foreign));
        assert_eq!(with(&|it| it[14] = b'x'), Err(NoAnswer::Foreign));
        assert_eq!(with(&|it| it[3] |= 3), Err(NoAnswer::NoName));
        assert_eq!(with(&|it| it[3] |= 2), Err(NoAnswer::Failed));
        assert_eq!(with(&|it| it[2] |= 2), Err(NoAnswer::Failed), "cut short");
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "{length}");
        }
        // A pointer to itself, and one forwards.
        let at = u8::try_from(good.len() - 16).unwrap();
        assert_eq!(with(&|it| it[usize::from(at) + 1] = at), Err(NoAnswer::Failed));
        assert_eq!(with(&|it| it[usize::from(at) + 1] = at + 4), Err(NoAnswer::Failed));
    }
}
