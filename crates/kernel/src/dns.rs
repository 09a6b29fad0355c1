//! Names for workloads: questions read strictly, answers rendered. Bytes in, bytes out; the sockets are elsewhere.
//!
//! In: one DNS message. Out: a [`Question`], or what to say to bytes that are none. Never: recursion, compression in a
//! question, a second question, a byte that is not accounted for. Follows RFC 1035 section 4, RFC 6891 (the OPT record is
//! read and not answered to, which section 7 allows).

pub mod answer;

use std::net::IpAddr;

/// The most bytes of a message that is read.
pub const MOST: usize = 512;
/// How long an answer may be kept at most, in seconds: addresses of names are the same for the whole run, but names come
/// and go.
pub const KEEP: u32 = 30;

const HEADER: usize = 12;
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const INTERNET: u16 = 1;
const A: u16 = 1;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const ANY: u16 = 255;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    id: u16,
    flags: u16,
    /// The name in lower case, labels joined with dots, without the final one; empty for the root.
    pub name: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// The question as it came, to be said back.
    raw: Vec<u8>,
}

/// What is wanted of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// IPv4 addresses.
    V4,
    /// IPv6 addresses.
    V6,
    /// Something that there never is here.
    Other,
}

/// What is said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has these addresses; those of the family that is wanted are told.
    Addresses(Vec<IpAddr>),
    /// There is no such name where this resolver is the authority.
    Nothing,
    /// It is no name of the mesh, and this resolver asks nobody.
    Refused,
}

/// What is no question that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Nothing is said: it is an answer, or too short to know whom to answer.
    Silence,
    /// It is malformed; the id to say so with.
    Malformed(u16),
    /// An operation that is not done here.
    NotImplemented(u16),
}

/// Reads a question.
///
/// # Errors
/// [`Bad`] says what to answer, if anything.
pub fn read(bytes: &[u8]) -> Result<Question, Bad> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (Some(id), Some(flags)) = (word(0), word(2)) else { return Err(Bad::Silence) };
    if bytes.len() < HEADER || flags & RESPONSE != 0 {
        return Err(Bad::Silence);
    }
    if flags & OPCODE != 0 {
        return Err(Bad::NotImplemented(id));
    }
    let malformed = Bad::Malformed(id);
    let counts = [word(4), word(6), word(8), word(10)];
    let [Some(1), Some(0), Some(0), Some(additional @ (0 | 1))] = counts else { return Err(malformed) };
    if bytes.len() > MOST || flags & TRUNCATED != 0 {
        return Err(malformed);
    }
    let (name, end) = read_name(bytes, HEADER).ok_or(malformed)?;
    let (kind, class) = word(end).zip(word(end + 2)).ok_or(malformed)?;
    let raw = bytes.get(HEADER..end + 4).ok_or(malformed)?.to_vec();
    let rest = bytes.get(end + 4..).unwrap_or_default();
    if !(if additional == 0 { rest.is_empty() } else { is_options(rest) }) {
        return Err(malformed);
    }
    let wanted = match (class, kind) {
        (INTERNET, A | ANY) => Wanted::V4,
        (INTERNET, AAAA) => Wanted::V6,
        _ => Wanted::Other,
    };
    Ok(Question { id, flags, name, wanted, raw })
}

/// A name at a place, without compression, and the place behind it.
fn read_name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), start);
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        // The two upper bits mark a pointer, or something newer than RFC 1035.
        if length > 63 || at + length - start > 254 {
            return None;
        }
        let label = bytes.get(at..at + length)?;
        // A label of other bytes names nothing in a mesh, and a dot in one would look like two.
        if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        at += length;
    }
}

/// Whether these bytes are one OPT record and nothing else.
fn is_options(bytes: &[u8]) -> bool {
    let word = |at: usize| Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    bytes.first() == Some(&0)
        && word(1) == Some(usize::from(OPT))
        && word(9).is_some_and(|length| bytes.len() == 11 + length)
}

/// Renders what is said of a question; an address may be kept for so many seconds.
pub fn render(question: &Question, said: &Said, keep: u32) -> Vec<u8> {
    let addresses: &[IpAddr] = match said {
        Said::Addresses(addresses) => addresses,
        Said::Nothing | Said::Refused => &[],
    };
    let told = addresses.iter().filter(|address| match question.wanted {
        Wanted::V4 => address.is_ipv4(),
        Wanted::V6 => address.is_ipv6(),
        Wanted::Other => false,
    });
    // With eight addresses, even of 16 bytes, the longest question stays below 512 bytes.
    let told: Vec<&IpAddr> = told.take(8).collect();
    let code = match said {
        Said::Addresses(_) => 0,
        Said::Nothing => 3,
        Said::Refused => 5,
    };
    let mut bytes =
        header(question.id, question.flags & RECURSION_DESIRED | AUTHORITATIVE | RECURSION_AVAILABLE | code);
    bytes[4..8].copy_from_slice(&[0, 1, 0, u8::try_from(told.len()).unwrap_or(0)]);
    bytes.extend(&question.raw);
    for address in told {
        let (kind, octets) = match address {
            IpAddr::V4(address) => (A, address.octets().to_vec()),
            IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
        };
        // The name is a pointer to the question's.
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(INTERNET.to_be_bytes());
        bytes.extend(keep.min(KEEP).to_be_bytes());
        bytes.extend(u16::try_from(octets.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(octets);
    }
    bytes
}

/// Renders what is said to bytes that are no question; `None`: nothing.
pub fn render_bad(bad: Bad) -> Option<Vec<u8>> {
    match bad {
        Bad::Silence => None,
        Bad::Malformed(id) => Some(header(id, 1)),
        Bad::NotImplemented(id) => Some(header(id, 4)),
    }
}

fn header(id: u16, flags: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend((RESPONSE | flags).to_be_bytes());
    bytes.resize(HEADER, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let question = read(&ask("LLM-Agent.application.svc.cluster.local", A)).unwrap();
        assert_eq!((question.name.as_str(), question.wanted), ("llm-agent.application.svc.cluster.local", Wanted::V4));
        let both = Said::Addresses(vec!["10.96.1.2".parse().unwrap(), "fd00::1".parse().unwrap()]);
        let answer = render(&question, &both, KEEP);
        assert_eq!(answer[..8], [0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 1]);
        assert_eq!(answer[answer.len() - 4..], [10, 96, 1, 2]);
        let six = read(&ask("llm-agent", AAAA)).unwrap();
        assert_eq!(render(&six, &both, KEEP)[6..8], [0, 1]);
        // Of a kind that there is not: no error, and no answer.
        let other = read(&ask("llm-agent", 15)).unwrap();
        assert_eq!((render(&other, &both, KEEP)[3] & 15, &render(&other, &both, KEEP)[6..8]), (0, &[0_u8, 0][..]));
        assert_eq!(render(&question, &Said::Nothing, KEEP)[3] & 15, 3);
        assert_eq!(render(&question, &Said::Refused, KEEP)[3] & 15, 5);
    }

    #[test]
    fn an_options_record_is_borne_and_nothing_else() {
        let mut options = ask("a.b", A);
        options[11] = 1;
        options.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        assert!(read(&options).is_ok());
        options.push(0);
        assert_eq!(read(&options), Err(Bad::Malformed(0xabcd)));
        let mut trailing = ask("a.b", A);
        trailing.push(7);
        assert_eq!(read(&trailing), Err(Bad::Malformed(0xabcd)));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let plain = ask("a.b", A);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = plain.clone();
            change(&mut bytes);
            read(&bytes)
        };
        assert_eq!(with(&|it| it[2] |= 0x80), Err(Bad::Silence));
        assert_eq!(with(&|it| it[2] |= 0x08), Err(Bad::NotImplemented(0xabcd)));
        assert_eq!(with(&|it| it[5] = 2), Err(Bad::Malformed(0xabcd)));
        // A pointer, a label with a dot in it, a label that goes over the end.
        assert_eq!(with(&|it| it[12] = 0xc0), Err(Bad::Malformed(0xabcd)));
        assert_eq!(with(&|it| it[13] = b'.'), Err(Bad::Malformed(0xabcd)));
        assert_eq!(with(&|it| it[14] = 63), Err(Bad::Malformed(0xabcd)));
        assert_eq!(read(&plain[..11]), Err(Bad::Silence));
        assert_eq!(read(&ask(&"a.".repeat(128), A)), Err(Bad::Malformed(0xabcd)));
        assert_eq!(render_bad(Bad::Silence), None);
        assert_eq!(render_bad(Bad::Malformed(1)).unwrap()[3], 1);
    }
}
