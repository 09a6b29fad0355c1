//! Bytes both ways: TCP, TLS that is passed on unopened, and what was upgraded to another protocol.

use crate::link::Io;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// How many bytes went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// From the client.
    pub received: u64,
    /// To the client.
    pub sent: u64,
}

/// Copies until both sides have ended, one has failed, or nothing has moved for `idle`.
pub(crate) async fn tunnel(client: Box<dyn Io>, upstream: Box<dyn Io>, idle: Duration) -> Moved {
    let progress = Rc::new(Cell::new(Instant::now()));
    let mut client = Metered { io: client, read: 0, written: 0, progress: progress.clone() };
    let mut upstream = upstream;
    {
        let mut copy = pin!(tokio::io::copy_bidirectional(&mut client, &mut upstream));
        let mut deadline = pin!(sleep_until(Instant::now() + idle));
        poll_fn(|context| {
            if copy.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            loop {
                ready!(deadline.as_mut().poll(context));
                let next = progress.get() + idle;
                if next <= Instant::now() {
                    return Poll::Ready(());
                }
                deadline.as_mut().reset(next);
            }
        })
        .await;
    }
    Moved { received: client.read, sent: client.written }
}

/// Counts what goes through, and notes when.
struct Metered {
    io: Box<dyn Io>,
    read: u64,
    written: u64,
    progress: Rc<Cell<Instant>>,
}

impl Metered {
    fn note(&self) {
        self.progress.set(Instant::now());
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        self.read = self.read.saturating_add((buffer.filled().len() - before) as u64);
        self.note();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes))?;
        self.written = self.written.saturating_add(written as u64);
        self.note();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
