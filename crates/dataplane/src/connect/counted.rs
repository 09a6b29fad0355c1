//! A stream to an upstream that tells when it was opened and when it ended, however it ended.

use crate::engine::Shared;
use ringwall_model::UpstreamChange;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream, and what is told at its end.
pub(super) struct Counted<T> {
    io: T,
    _open: Open,
}

/// An open connection of a cluster.
struct Open {
    events: Arc<dyn crate::engine::EventSink>,
    cluster: Arc<str>,
}

impl<T> Counted<T> {
    /// Tells that it was opened.
    pub(super) fn new(io: T, shared: &Shared, cluster: &Arc<str>) -> Self {
        shared.changed(cluster, UpstreamChange::Opened);
        Self { io, _open: Open { events: shared.events.clone(), cluster: cluster.clone() } }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let change = UpstreamChange::Closed;
        self.events.tell(ringwall_model::Event::Upstream { cluster: self.cluster.clone(), change });
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
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
