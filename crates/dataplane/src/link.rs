//! A byte stream with its buffers. A buffer exists only while something is in it: an idle connection has none.
//!
//! In: sockets and TLS streams. Out: buffered bytes. Never: HTTP.

use bytes::{Buf, Bytes, BytesMut};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Anything bytes go in and out of.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// How much one read takes at most.
const READ: usize = 16 * 1024;

thread_local! {
    /// What reads go into first. One for the whole thread, so that a connection that waits for bytes holds no buffer.
    static SCRATCH: RefCell<Box<[u8; READ]>> = RefCell::new(Box::new([0; READ]));
}

/// A stream with what was read and not yet used, and what is to be written.
pub struct Wire {
    io: Box<dyn Io>,
    /// Read and not yet used.
    pub input: BytesMut,
    /// To be written.
    pub output: BytesMut,
    closed: bool,
}

impl Wire {
    /// A stream from which `input` was already read.
    pub fn new(io: Box<dyn Io>, input: BytesMut) -> Self {
        Self { io, input, output: BytesMut::new(), closed: false }
    }

    /// Reads once and adds to `input`. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Ok(0));
        }
        let read = SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch[..]);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            self.input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok::<_, io::Error>(buffer.filled().len()))
        });
        let read = ready!(read)?;
        self.closed = read == 0;
        Poll::Ready(Ok(read))
    }

    /// Writes all of `output` and flushes.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        // An empty `BytesMut` keeps its memory; a new one has none.
        self.output = BytesMut::new();
        Pin::new(&mut self.io).poll_flush(context)
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    /// Gives the buffers' memory back when they are empty.
    pub fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// Takes up to `most` bytes of what was read.
    pub fn take(&mut self, most: u64) -> Bytes {
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.input.len());
        let taken = self.input.split_to(length).freeze();
        self.rest();
        taken
    }

    /// The stream, with what was read and not used in front of it.
    pub fn into_io(self) -> Box<dyn Io> {
        if self.input.is_empty() {
            return self.io;
        }
        Box::new(Rewound::new(self.input.freeze(), self.io))
    }
}

/// A stream from which some bytes were read already and are read again first.
pub struct Rewound<T> {
    head: Bytes,
    io: T,
}

impl<T> Rewound<T> {
    /// Puts `head` before what `io` gives.
    pub const fn new(head: Bytes, io: T) -> Self {
        Self { head, io }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewound<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let length = self.head.len().min(buffer.remaining());
        let part = self.head.split_to(length);
        buffer.put_slice(&part);
        if self.head.is_empty() {
            self.head = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewound<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// An error as a short word, the same on every system.
pub fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::BrokenPipe => "broken pipe",
        io::ErrorKind::UnexpectedEof => "closed unexpectedly",
        io::ErrorKind::TimedOut => "timed out",
        io::ErrorKind::PermissionDenied => "refused by a network policy",
        io::ErrorKind::InvalidData => "invalid data",
        _ => "input or output failed",
    }
}
