//! Netlink: one socket to one family of the kernel, requests with their answers, dumps, and events.
//!
//! In: messages as bytes. Out: what the kernel says, or which message it refused and why, in its own words.
//! Never: belief in a length, or in a message that did not come from the kernel.
//! Follows RFC 3549 and `linux/netlink.h`. Start reading at [`Socket::request`].

pub mod attribute;

use attribute::{array, attributes};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// `NLM_F_REQUEST`
pub const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`
pub const ACK: u16 = 0x4;
/// `NLM_F_DUMP`
pub const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`
pub const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`
pub const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`
pub const APPEND: u16 = 0x800;

/// `NLM_F_DUMP_INTR`: what is dumped changed meanwhile.
const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLM_F_CAPPED`: an error without the message that it is about.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: an error with words.
const WORDS: u16 = 0x200;
/// `NLMSG_ERROR`
const ERROR: u16 = 2;
/// `NLMSG_DONE`
const DONE: u16 = 3;
/// The longest answer that is read at once; the kernel makes dumps of at most 32 KiB a piece.
const LONGEST: usize = 1 << 17;
/// The head of a message.
const HEAD: usize = 16;
/// How long an answer may take before the kernel counts as silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a request did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket itself.
    #[error("netlink: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel refused a message; nothing of the batch that it was in is in force.
    #[error("the kernel refused {message}: {}{}", std::io::Error::from_raw_os_error(*.errno), words(.text))]
    Refused {
        /// What was asked for.
        message: Box<str>,
        /// The kernel's error number.
        errno: i32,
        /// The kernel's own words, when it has some.
        text: Option<Box<str>>,
    },
    /// A message is longer than netlink can say.
    #[error("{0} is longer than a netlink message can be")]
    TooLong(Box<str>),
    /// The kernel did not answer.
    #[error("the kernel did not answer {0}")]
    Silent(Box<str>),
    /// What was dumped changed each time.
    #[error("what was read changed each time it was read")]
    Restless,
    /// More was to be told than the socket holds: some of it is lost.
    #[error("events were lost")]
    Lost,
}

impl Error {
    /// Whether the kernel refused with this error number (`libc::E…`).
    pub fn is_refusal(&self, number: i32) -> bool {
        matches!(self, Self::Refused { errno, .. } if *errno == number)
    }
}

fn words(text: &Option<Box<str>>) -> String {
    text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOBUFS => Self::Lost,
            other => Self::Socket(other.into()),
        }
    }
}

/// One message from the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// The number of the request that it answers; 0 for events.
    pub sequence: u32,
    /// The port of who asked for it.
    pub port: u32,
    /// What follows the head.
    pub payload: &'a [u8],
}

/// The messages in some bytes; what does not fit ends the walk.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(array(rest)?) as usize;
        let message = Message {
            kind: u16::from_ne_bytes(array(rest.get(4..)?)?),
            flags: u16::from_ne_bytes(array(rest.get(6..)?)?),
            sequence: u32::from_ne_bytes(array(rest.get(8..)?)?),
            port: u32::from_ne_bytes(array(rest.get(12..)?)?),
            payload: rest.get(HEAD..len)?,
        };
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// A message: type, flags, number, what follows the head.
pub fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    append(&mut bytes, kind, flags, sequence, payload);
    bytes
}

/// The same behind other messages.
pub fn append(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, payload: &[u8]) {
    let len = u32::try_from(HEAD + payload.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&len.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// What the kernel says of a request: 0 is yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 0, or the error's number.
    pub errno: i32,
    /// Its own words.
    pub text: Option<Box<str>>,
}

/// Reads an answer; `None`: the message is none.
pub fn answer(message: &Message<'_>) -> Option<Answer> {
    if message.kind != ERROR {
        return None;
    }
    let errno = i32::from_ne_bytes(array(message.payload)?).checked_neg()?;
    let quoted = u32::from_ne_bytes(array(message.payload.get(4..)?)?) as usize;
    let skip = if message.flags & CAPPED == 0 && errno != 0 { quoted.max(HEAD) } else { HEAD };
    let text = (message.flags & WORDS != 0)
        .then(|| attributes(message.payload.get(4 + skip.next_multiple_of(4)..).unwrap_or_default()).text(1))
        .flatten();
    Some(Answer { errno, text: text.map(Into::into) })
}

/// A socket to one family of the kernel, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket that hears the groups in a mask (`1 << (group - 1)`); routes are family 0, which is `None`.
    pub fn open(protocol: impl Into<Option<Protocol>>, groups: u32) -> Result<Self, Error> {
        let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol.into())?;
        net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        let port = SocketAddrNetlink::try_from(net::getsockname(&socket)?)?.pid();
        // Short errors, with words.
        set(&socket, libc::NETLINK_CAP_ACK)?;
        set(&socket, libc::NETLINK_EXT_ACK)?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, port, sequence: 0, buffer: vec![0; LONGEST] })
    }

    /// The number by which the kernel knows this socket.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Makes room for messages of so many bytes to the kernel, and as many from it, as far as it is permitted.
    /// Returns the longest message that fits now.
    pub fn widen(&mut self, bytes: usize) -> usize {
        // What is forbidden here (in a user namespace) is still possible up to the machine's limit.
        let _ = sockopt::set_socket_send_buffer_size(&self.socket, bytes);
        let _ = force_send_buffer(&self.socket, bytes);
        let _ = sockopt::set_socket_recv_buffer_size(&self.socket, bytes);
        let _ = sockopt::set_socket_recv_buffer_size_force(&self.socket, bytes);
        sockopt::socket_send_buffer_size(&self.socket).unwrap_or_default().saturating_sub(64)
    }

    /// The first of so many numbers in a row for the next requests.
    pub fn sequences(&mut self, count: u32) -> u32 {
        let first = self.sequence.checked_add(1).filter(|first| first.checked_add(count).is_some()).unwrap_or(1);
        self.sequence = first + count - 1;
        first
    }

    /// Sends bytes as they are.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        net::send(&self.socket, bytes, SendFlags::empty())?;
        Ok(())
    }

    /// Receives what the kernel sends next; empty when nothing came in time, or when it was not from the kernel.
    pub fn receive(&mut self, wait: Wait) -> Result<&[u8], Error> {
        let flags = if wait == Wait::No { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
        loop {
            match net::recvfrom(&self.socket, &mut self.buffer, flags) {
                Ok((len, _, from)) => {
                    let sender = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                    let len = if sender.is_some_and(|sender| sender.pid() == 0) { len } else { 0 };
                    return Ok(self.buffer.get(..len).unwrap_or_default());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(&[]),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Asks for one thing and waits for the kernel's yes; what it says before goes to `each`.
    pub fn request(
        &mut self,
        label: &str,
        kind: u16,
        flags: u16,
        payload: &[u8],
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<(), Error> {
        let sequence = self.sequences(1);
        self.send(&message(kind, REQUEST | ACK | flags, sequence, payload))?;
        loop {
            let received = self.receive(Wait::Yes)?;
            if received.is_empty() {
                return Err(Error::Silent(label.into()));
            }
            for message in messages(received).filter(|message| message.sequence == sequence) {
                match answer(&message) {
                    Some(Answer { errno: 0, .. }) => return Ok(()),
                    Some(Answer { errno, text }) => return Err(Error::Refused { message: label.into(), errno, text }),
                    None => each(&message),
                }
            }
        }
    }

    /// Reads everything of a kind. `each` may be called again from the start when it changed meanwhile: `restart` comes
    /// before each walk.
    pub fn dump(
        &mut self,
        label: &str,
        kind: u16,
        payload: &[u8],
        mut walk: impl FnMut(Option<&Message<'_>>),
    ) -> Result<(), Error> {
        for _ in 0..16 {
            walk(None);
            if self.walk(label, kind, payload, &mut walk)? == Walk::Whole {
                return Ok(());
            }
        }
        Err(Error::Restless)
    }

    fn walk(
        &mut self,
        label: &str,
        kind: u16,
        payload: &[u8],
        walk: &mut impl FnMut(Option<&Message<'_>>),
    ) -> Result<Walk, Error> {
        let sequence = self.sequences(1);
        self.send(&message(kind, REQUEST | DUMP, sequence, payload))?;
        let mut state = Walk::Whole;
        loop {
            let received = self.receive(Wait::Yes)?;
            if received.is_empty() {
                return Err(Error::Silent(label.into()));
            }
            for message in messages(received).filter(|message| message.sequence == sequence) {
                if message.flags & DUMP_INTERRUPTED != 0 {
                    state = Walk::Interrupted;
                }
                match answer(&message) {
                    Some(Answer { errno: libc::EINTR, .. }) => return Ok(Walk::Interrupted),
                    Some(Answer { errno, text }) => return Err(Error::Refused { message: label.into(), errno, text }),
                    None if message.kind == DONE => return Ok(state),
                    None => walk(Some(&message)),
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether to wait for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As long as the socket's patience lasts.
    Yes,
    /// Only what is there already.
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    Whole,
    Interrupted,
}

/// Switches an option of netlink on.
fn set(socket: &OwnedFd, option: libc::c_int) -> Result<(), Error> {
    set_number(socket, libc::SOL_NETLINK, option, 1)
}

/// `SO_SNDBUFFORCE`: needs CAP_NET_ADMIN of the machine.
fn force_send_buffer(socket: &OwnedFd, bytes: usize) -> Result<(), Error> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_number(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes)
}

fn set_number(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> Result<(), Error> {
    let len = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    #[expect(unsafe_code, reason = "rustix has no door to these options")]
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel reads `len` bytes, the size of `value`,
    // which lives until the call returns.
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_walked_and_short_ones_end_the_walk() {
        let mut bytes = message(7, REQUEST, 3, &[1, 2, 3]);
        append(&mut bytes, 8, 0, 4, &[]);
        let kinds: Vec<_> = messages(&bytes).map(|m| (m.kind, m.sequence, m.payload.len())).collect();
        assert_eq!(kinds, [(7, 3, 3), (8, 4, 0)]);
        assert_eq!(messages(&bytes[..17]).count(), 0);
        assert_eq!(messages(&[0; 16]).count(), 0);
    }

    #[test]
    fn an_error_is_read_with_its_words() {
        let mut payload = (-libc::EEXIST).to_ne_bytes().to_vec();
        payload.extend_from_slice(&message(5, 0, 9, &[]));
        let mut words = attribute::Writer::default();
        words.text(1, "is there already");
        payload.extend_from_slice(&words.finish().unwrap());
        let bytes = message(ERROR, CAPPED | WORDS, 9, &payload);
        let read = messages(&bytes).find_map(|m| answer(&m)).unwrap();
        assert_eq!(read, Answer { errno: libc::EEXIST, text: Some("is there already".into()) });
    }
}
