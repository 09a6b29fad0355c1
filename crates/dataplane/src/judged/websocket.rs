//! The server's end of a WebSocket, behind a judge: what either side writes is cut into frames, and a message goes on when
//! it was judged, whole. Control frames go on as they are. A side that nobody judges is only followed.
//!
//! In: the bytes of both sides. Out: the same, up to the first message that is refused; then both sides are told why.
//! Bounded: of each side one message, and a part. Start reading at [`Way::cut`].

use super::Noted;
use crate::link::Io;
use crate::page::{Binary, Form, Messages, Verdict};
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
/// So much of what the server says.
const SAID: usize = 8 * 1024;

/// Why a WebSocket is closed, RFC 6455 section 7.4.1.
mod code {
    /// `Protocol error`.
    pub const PROTOCOL: u16 = 1002;
    /// `Unsupported Data`.
    pub const UNSUPPORTED: u16 = 1003;
    /// `Invalid frame payload data`: a text that is not UTF-8.
    pub const INVALID: u16 = 1007;
    /// `Policy Violation`.
    pub const VIOLATION: u16 = 1008;
    /// `Message Too Big`.
    pub const TOO_BIG: u16 = 1009;
}

/// The guarded end.
pub(super) struct Guarded {
    io: Box<dyn Io>,
    /// From the client.
    asked: Way,
    /// From the server.
    said: Way,
    noted: Noted,
    /// The last frame for the client, once something was refused.
    last: Option<BytesMut>,
    /// Whether the client has it, or cannot have it.
    told: bool,
}

impl Guarded {
    /// Each side with who judges it.
    pub(super) fn new(
        io: Box<dyn Io>,
        asked: Option<Rc<dyn Messages>>,
        said: Option<Rc<dyn Messages>>,
        noted: Noted,
    ) -> Self {
        let (asked, said) = (Way::new(asked, noted.clone()), Way::new(said, noted.clone()));
        Self { io, asked, said, noted, last: None, told: false }
    }

    /// Cuts, judges and writes all of the client's that can be.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.asked.output.is_empty() {
                let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.asked.output))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.asked.output.advance(written);
            }
            if self.last.is_some() {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.asked.poll(context)) {
                Step::Output => {}
                Step::Needs => return Poll::Ready(Ok(())),
                Step::Refuse(by, code) => self.refuse(by, code),
            }
        }
    }

    /// Both sides are told why it ends, where they are between frames; inside of one nothing can be said.
    fn refuse(&mut self, by: (Layer, Reason), code: u16) {
        self.noted.refused.set(Some(by));
        let code = code.to_be_bytes();
        if self.asked.end() {
            // A client masks its frames; a mask of zeros is one.
            self.asked.output.extend_from_slice(&[0x88, 0x82, 0, 0, 0, 0]);
            self.asked.output.extend_from_slice(&code);
        }
        let mut last = BytesMut::new();
        if self.said.end() {
            last.extend_from_slice(&[0x88, 0x02]);
            last.extend_from_slice(&code);
        }
        self.last = Some(last);
    }
}

/// One side's frames, on their way to the other.
struct Way {
    /// `None`: nobody judges them.
    messages: Option<Rc<dyn Messages>>,
    noted: Noted,
    /// Not cut yet.
    input: BytesMut,
    /// Frames of a message that is not whole or not judged yet, as they came.
    held: BytesMut,
    /// Its content.
    message: Vec<u8>,
    /// The message that has begun and not ended.
    inside: Inside,
    /// Bytes of a frame that go on as they come.
    passing: u64,
    judging: Option<Verdict>,
    /// For the other side.
    output: BytesMut,
}

/// How far a way came.
enum Step {
    /// There is something for the other side.
    Output,
    /// It needs more bytes.
    Needs,
    /// It ends here, by this rule and with this code.
    Refuse((Layer, Reason), u16),
}

/// What was cut off.
enum Cut {
    /// A frame, or a part of one.
    Some,
    /// Nothing: more must come.
    Needs,
    /// What must not go on.
    Refuse((Layer, Reason), u16),
}

/// A message that goes on over several frames.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// There is none.
    Nothing,
    /// One that is judged.
    Judged(Form),
    /// One that passes unread.
    Unread,
}

const FRAMING: (Layer, Reason) = (Layer::Waf, Reason::Builtin("waf/websocket-framing"));

impl Way {
    fn new(messages: Option<Rc<dyn Messages>>, noted: Noted) -> Self {
        Self {
            messages,
            noted,
            input: BytesMut::new(),
            held: BytesMut::new(),
            message: Vec::new(),
            inside: Inside::Nothing,
            passing: 0,
            judging: None,
            output: BytesMut::new(),
        }
    }

    /// Cuts and judges until there is something for the other side.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(judging) = &mut self.judging {
                let verdict = ready!(judging.as_mut().poll(context));
                self.judging = None;
                match verdict {
                    Ok(()) => self.output.unsplit(std::mem::take(&mut self.held)),
                    Err(by) => return Poll::Ready(Step::Refuse(by, code::VIOLATION)),
                }
            }
            if !self.output.is_empty() {
                return Poll::Ready(Step::Output);
            }
            match self.cut() {
                Cut::Some => {}
                Cut::Needs => return Poll::Ready(Step::Needs),
                Cut::Refuse(by, code) => return Poll::Ready(Step::Refuse(by, code)),
            }
        }
    }

    /// Takes one frame, or a part of one that goes on unread, from the input.
    fn cut(&mut self) -> Cut {
        if self.passing > 0 {
            return self.pass();
        }
        let Some(head) = frame_head(&self.input) else { return Cut::Needs };
        let Some(messages) = self.messages.clone() else {
            self.passing = head.length.saturating_add(head.head as u64);
            return self.pass();
        };
        let message = match self.message_of(&head, &*messages) {
            Ok(message) => message,
            Err((by, code)) => return Cut::Refuse(by, code),
        };
        let is_control = head.opcode >= 8;
        // Control frames may come between the frames of a message; they keep their place.
        let keeps_place = is_control && matches!(self.inside, Inside::Judged(_));
        let Some(form) = message.form().or_else(|| if keeps_place { self.inside.form() } else { None }) else {
            if !is_control {
                self.inside = if head.fin { Inside::Nothing } else { message };
            }
            self.passing = head.length.saturating_add(head.head as u64);
            return self.pass();
        };
        let longest = messages.longest();
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        let held = self.held.len() > longest.saturating_mul(2).saturating_add(PART);
        if self.message.len().saturating_add(length) > longest || held {
            return Cut::Refuse(messages.too_long(), code::TOO_BIG);
        }
        if self.input.len() < head.head.saturating_add(length) {
            return Cut::Needs;
        }
        let frame = self.input.split_to(head.head + length);
        self.held.extend_from_slice(&frame);
        if is_control {
            return Cut::Some;
        }
        self.message.extend(unmasked(&frame, &head));
        self.inside = if head.fin { Inside::Nothing } else { message };
        if head.fin {
            let message = std::mem::take(&mut self.message);
            if form == Form::Text && std::str::from_utf8(&message).is_err() {
                return Cut::Refuse(FRAMING, code::INVALID);
            }
            self.judging = Some(messages.judge(message.into(), form));
        }
        Cut::Some
    }

    /// To which message a frame belongs, and whether it may come here (RFC 6455 section 5). No extension was negotiated,
    /// so no bit is reserved for one.
    fn message_of(&self, head: &FrameHead, messages: &dyn Messages) -> Result<Inside, ((Layer, Reason), u16)> {
        let broken = Err((FRAMING, code::PROTOCOL));
        if head.reserved {
            return broken;
        }
        match head.opcode {
            // A message does not begin inside of another, and none goes on that has not begun.
            0 if self.inside != Inside::Nothing => Ok(self.inside),
            1 if self.inside == Inside::Nothing => Ok(Inside::Judged(Form::Text)),
            2 if self.inside == Inside::Nothing => match messages.binary() {
                Binary::Judge => Ok(Inside::Judged(Form::Binary)),
                Binary::Refuse(by) => Err((by, code::UNSUPPORTED)),
                Binary::Pass => {
                    self.noted.unread.set(Some(Reason::Builtin("waf/binary-not-read")));
                    Ok(Inside::Unread)
                }
            },
            8..=10 if head.fin && head.length <= 125 => Ok(Inside::Nothing),
            _ => broken,
        }
    }

    /// Lets of a frame go on what came.
    fn pass(&mut self) -> Cut {
        let now = usize::try_from(self.passing).unwrap_or(usize::MAX).min(self.input.len());
        self.output.extend_from_slice(&self.input.split_to(now));
        self.passing -= now as u64;
        if now > 0 { Cut::Some } else { Cut::Needs }
    }

    /// Nothing more comes this way; whether the other side is between frames then.
    fn end(&mut self) -> bool {
        (self.input, self.held, self.message) = (BytesMut::new(), BytesMut::new(), Vec::new());
        self.judging = None;
        self.passing == 0
    }
}

impl Inside {
    const fn form(self) -> Option<Form> {
        match self {
            Self::Judged(form) => Some(form),
            Self::Nothing | Self::Unread => None,
        }
    }
}

/// The payload of a whole frame.
fn unmasked(frame: &[u8], head: &FrameHead) -> impl Iterator<Item = u8> {
    let masks = head.mask.unwrap_or_default().into_iter().cycle();
    frame.iter().skip(head.head).copied().zip(masks).map(|(byte, mask)| byte ^ mask)
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.said.output.is_empty() {
                let now = this.said.output.len().min(buffer.remaining());
                buffer.put_slice(&this.said.output.split_to(now));
                return Poll::Ready(Ok(()));
            }
            if this.last.is_some() {
                // The server is told if it can be at once; the client's last frame does not wait for that.
                if this.poll_drain(context).is_ready() {
                    let _ = Pin::new(&mut this.io).poll_flush(context);
                }
            }
            if let Some(last) = &mut this.last {
                let now = last.len().min(buffer.remaining());
                this.told |= now == 0;
                buffer.put_slice(&last.split_to(now));
                return Poll::Ready(Ok(()));
            }
            match ready!(this.said.poll(context)) {
                Step::Output => {}
                Step::Refuse(by, code) => this.refuse(by, code),
                Step::Needs => {
                    let mut space = [0; SAID];
                    let mut part = ReadBuf::new(&mut space);
                    ready!(Pin::new(&mut this.io).poll_read(context, &mut part))?;
                    if part.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    this.said.input.extend_from_slice(part.filled());
                }
            }
        }
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
        self.asked.input.extend_from_slice(bytes.get(..length).unwrap_or_default());
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
