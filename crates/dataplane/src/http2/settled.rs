//! A connection to an HTTP/2 server that notes what its first frame says of extended `CONNECT`: hyper knows it and does
//! not tell.
//!
//! In: a stream. Out: the same stream, and the note. Bounded: no more is kept than the first frame.

use crate::link::Io;
use ringwall_head::h2::settings::{ExtendedConnect, LONGEST, extended_connect};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// What is known by now.
pub(crate) type Note = watch::Receiver<Option<ExtendedConnect>>;

/// The stream.
pub(crate) struct Settled {
    io: Box<dyn Io>,
    first: Vec<u8>,
    /// None once it was told. Gone with the stream: then nobody waits any longer.
    told: Option<watch::Sender<Option<ExtendedConnect>>>,
}

impl Settled {
    /// A stream from which nothing was read yet.
    pub(crate) fn new(io: Box<dyn Io>) -> (Self, Note) {
        let (told, note) = watch::channel(None);
        (Self { io, first: Vec::new(), told: Some(told) }, note)
    }

    fn note(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.first.len());
        self.first.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if let Some(said) = extended_connect(&self.first)
            && let Some(told) = self.told.take()
        {
            told.send_replace(Some(said));
            self.first = Vec::new();
        }
    }
}

impl AsyncRead for Settled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if self.told.is_some() {
            self.note(buffer.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Settled {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
