//! The server's end of a WebSocket, behind a judge: what the client writes to it is cut into frames, and a text message
//! goes on when it was judged. So does a binary message that is text (UTF-8, as JSON is); from the byte on that is none, a
//! binary message goes on unread, and so do control frames.

use super::Refusal;
use crate::link::Io;
use crate::page::{Messages, Verdict};
use bytes::{Buf, BytesMut};
use ringwall_head::messages::{FrameHead, frame_head};
use ringwall_model::{Layer, Reason};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is taken from the client at a time.
const PART: usize = 16 * 1024;
/// `Policy Violation`, RFC 6455 section 7.4.1.
const VIOLATION: u16 = 1008;
/// `Protocol error`.
const PROTOCOL: u16 = 1002;
/// `Message Too Big`.
const TOO_BIG: u16 = 1009;

/// The guarded end.
pub(super) struct Guarded {
    io: Box<dyn Io>,
    messages: Rc<dyn Messages>,
    refusal: Refusal,
    /// From the client, not cut yet.
    input: BytesMut,
    /// Frames of a message that is not whole or not judged yet, as they came.
    held: BytesMut,
    /// Its text.
    text: Vec<u8>,
    /// The message that has begun and not ended.
    inside: Inside,
    /// What is known of the payload of a binary frame that is not whole.
    looked: Looked,
    /// Bytes of a frame that go on as they come.
    passing: u64,
    judging: Option<Verdict>,
    /// For the server.
    output: BytesMut,
    /// What the server says: bytes of its frame that are still to come, and its head as far as it came.
    from_server: Walk,
    /// The last frame for the client, once something was refused.
    last: Option<BytesMut>,
    /// Whether the client has it, or cannot have it.
    told: bool,
}

impl Guarded {
    pub(super) fn new(io: Box<dyn Io>, messages: Rc<dyn Messages>, refusal: Refusal) -> Self {
        Self {
            io,
            messages,
            refusal,
            input: BytesMut::new(),
            held: BytesMut::new(),
            text: Vec::new(),
            inside: Inside::Nothing,
            looked: Looked::default(),
            passing: 0,
            judging: None,
            output: BytesMut::new(),
            from_server: Walk::default(),
            last: None,
            told: false,
        }
    }

    /// Cuts, judges and writes all that can be.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.output.is_empty() {
                let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.output))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.output.advance(written);
            }
            if let Some(judging) = &mut self.judging {
                let verdict = ready!(judging.as_mut().poll(context));
                self.judging = None;
                match verdict {
                    Ok(()) => self.output.unsplit(std::mem::take(&mut self.held)),
                    Err(by) => self.refuse(by, VIOLATION),
                }
                continue;
            }
            if self.last.is_some() || !self.cut() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes one frame, or a part of one that goes on unread, from the input; whether there was one.
    fn cut(&mut self) -> bool {
        if self.passing > 0 {
            let now = usize::try_from(self.passing).unwrap_or(usize::MAX).min(self.input.len());
            self.output.extend_from_slice(&self.input.split_to(now));
            self.passing -= now as u64;
            return now > 0;
        }
        let Some(head) = frame_head(&self.input) else { return false };
        let violation = (Layer::Waf, Reason::Builtin("waf/websocket-framing"));
        let is_control = head.opcode >= 8;
        // No extension was negotiated, so no bit is reserved for one; a message does not begin inside of another.
        let begins_inside = self.inside != Inside::Nothing && !is_control && head.opcode != 0;
        if head.reserved || begins_inside || (is_control && head.length > 125) {
            self.refuse(violation, PROTOCOL);
            return true;
        }
        let message = match head.opcode {
            0 => self.inside,
            1 => Inside::Text,
            2 => Inside::Binary,
            _ => Inside::Nothing,
        };
        // Control frames may come between the frames of a message; they keep their place.
        let keeps_place = is_control && matches!(self.inside, Inside::Text | Inside::Binary);
        if !(matches!(message, Inside::Text | Inside::Binary) || keeps_place) {
            if !is_control {
                self.inside = if head.fin { Inside::Nothing } else { message };
            }
            self.passing = head.length.saturating_add(head.head as u64);
            return true;
        }
        if message == Inside::Binary && !is_control && !self.may_be_text(&head) {
            // The rest of the message goes on with what was held of it.
            self.text = Vec::new();
            self.output.unsplit(std::mem::take(&mut self.held));
            self.inside = if head.fin { Inside::Nothing } else { Inside::Unread };
            self.passing = head.length.saturating_add(head.head as u64);
            return true;
        }
        let longest = self.messages.longest();
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        // Of a binary frame so much must have come that it could be told from text.
        let is_told = message != Inside::Binary || is_control || self.looked.at >= length.min(longest);
        if is_told
            && (self.text.len().saturating_add(length) > longest || self.held.len() > longest.saturating_mul(2) + PART)
        {
            self.refuse(self.messages.too_long(), TOO_BIG);
            return true;
        }
        if self.input.len() < head.head.saturating_add(length) {
            return false;
        }
        let frame = self.input.split_to(head.head + length);
        self.held.extend_from_slice(&frame);
        if !is_control {
            self.text.extend(unmasked(&frame, &head, 0));
            self.looked.at = 0;
            self.inside = if head.fin { Inside::Nothing } else { message };
            if head.fin {
                self.looked = Looked::default();
                let message = std::mem::take(&mut self.text).into();
                self.judging = Some(self.messages.judge(message));
            }
        }
        true
    }

    /// Looks at what has come of the payload of a binary frame, each byte once: whether it can be text.
    fn may_be_text(&mut self, head: &FrameHead) -> bool {
        let from = self.looked.at;
        let end = usize::try_from(head.length).unwrap_or(usize::MAX).saturating_add(head.head).min(self.input.len());
        let come: Vec<u8> = unmasked(self.input.get(..end).unwrap_or_default(), head, from).collect();
        let is_whole = (end - head.head.min(end)) as u64 == head.length;
        let text = self.looked.take(&come) && !(head.fin && is_whole && !self.looked.rest.is_empty());
        if !text {
            self.looked = Looked::default();
        }
        text
    }

    /// Both sides are told why it ends.
    fn refuse(&mut self, by: (Layer, Reason), code: u16) {
        self.refusal.set(Some(by));
        (self.input, self.held, self.text) = (BytesMut::new(), BytesMut::new(), Vec::new());
        let code = code.to_be_bytes();
        // A client masks its frames; a mask of zeros is one.
        self.output.extend_from_slice(&[0x88, 0x82, 0, 0, 0, 0]);
        self.output.extend_from_slice(&code);
        let mut last = BytesMut::from(&[0x88, 0x02][..]);
        last.extend_from_slice(&code);
        self.last = Some(last);
    }
}

/// The payload of a frame from its byte `from` on, as far as it came.
fn unmasked(frame: &[u8], head: &FrameHead, from: usize) -> impl Iterator<Item = u8> {
    let mask = head.mask.unwrap_or_default();
    let masks = mask.into_iter().cycle().skip(from % 4);
    frame.iter().skip(head.head.saturating_add(from)).copied().zip(masks).map(|(byte, mask)| byte ^ mask)
}

/// A message that goes on over several frames.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// There is none.
    Nothing,
    /// Of text.
    Text,
    /// A binary one that has been text by now.
    Binary,
    /// A binary one that is no text.
    Unread,
}

/// What is known of a binary message: that it is text as far as it was looked at.
#[derive(Default)]
struct Looked {
    /// Bytes of the frame's payload.
    at: usize,
    /// The first bytes of a character that is not whole.
    rest: Vec<u8>,
}

impl Looked {
    /// Takes more of it; whether it still can be text.
    fn take(&mut self, more: &[u8]) -> bool {
        self.at = self.at.saturating_add(more.len());
        self.rest.extend_from_slice(more);
        match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.clear(),
            Err(error) if error.error_len().is_none() => drop(self.rest.drain(..error.valid_up_to())),
            Err(_) => return false,
        }
        true
    }
}

/// Follows the frames that a side sends, to know where one ends.
#[derive(Default)]
struct Walk {
    left: u64,
    head: Vec<u8>,
}

impl Walk {
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= now as u64;
                bytes = bytes.get(now..).unwrap_or_default();
                continue;
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            self.head.push(*byte);
            bytes = rest;
            if let Some(found) = frame_head(&self.head) {
                self.left = found.length;
                self.head.clear();
            }
        }
    }

    fn is_between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(last) = &mut this.last {
            // Inside of a frame nothing can be said; then the connection just ends.
            let now = if this.from_server.is_between() { last.len().min(buffer.remaining()) } else { 0 };
            this.told |= now == 0;
            buffer.put_slice(&last.split_to(now));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        this.from_server.follow(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        if self.last.is_some() {
            // What comes now is for nobody; an error would end the other way, too, before its last frame went.
            return Poll::Ready(if self.told { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) });
        }
        let length = bytes.len().min(PART);
        self.input.extend_from_slice(bytes.get(..length).unwrap_or_default());
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
