//! What was admitted and still goes on: answers that are waited for, streams, tunnels, connections without HTTP.
//!
//! In: each of them as it is admitted. Out: an end, when the page would not admit it any more: asked again after a new
//! World, a block or a revocation, and each second after its token has expired. Never: a change of State; a second look at
//! content that has gone by. One thread's own; nothing here is shared.

use crate::link::Io;
use crate::worker::{Conversation, Thread};
use bytes::Bytes;
use ringwall_head::call::{Context as Reading, call as read_call};
use ringwall_model::{Call, CallId, Layer, Reason, Timestamp};
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The layer and the rule that ended it.
pub(crate) type Ended = (Layer, Reason);

/// All that goes on in one thread.
#[derive(Default)]
pub(crate) struct Standing {
    places: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
}

/// What is judged again.
pub(crate) enum Said {
    /// A head of HTTP/1, as it came.
    Head(CallId, Bytes),
    /// A call of HTTP/2, as it came.
    Call(Box<Call>),
    /// A connection without HTTP.
    Connection,
}

/// One thing that goes on.
pub(crate) struct Entry {
    conversation: Rc<Conversation>,
    said: Said,
    expires: Option<Timestamp>,
    ended: Cell<Option<Ended>>,
    waker: RefCell<Option<Waker>>,
}

/// Holds a place; gives it back when dropped.
pub(crate) struct Hold {
    thread: Rc<Thread>,
    place: usize,
    entry: Rc<Entry>,
}

impl Standing {
    /// Those whose token has expired by then; all of them without a time.
    pub(crate) fn expired(&self, by: Option<Timestamp>) -> Vec<Rc<Entry>> {
        let due = |entry: &&Rc<Entry>| by.is_none_or(|by| entry.expires.is_some_and(|expires| expires <= by));
        self.places.borrow().iter().flatten().filter(due).cloned().collect()
    }

    fn enter(&self, entry: &Rc<Entry>) -> usize {
        let mut places = self.places.borrow_mut();
        if let Some(free) = self.free.borrow_mut().pop()
            && let Some(place) = places.get_mut(free)
        {
            *place = Some(entry.clone());
            return free;
        }
        places.push(Some(entry.clone()));
        places.len() - 1
    }

    fn leave(&self, place: usize) {
        if let Some(left) = self.places.borrow_mut().get_mut(place) {
            *left = None;
            self.free.borrow_mut().push(place);
        }
    }
}

impl Entry {
    /// Asks the page again; whether it ended by that.
    pub(crate) async fn judge(&self) -> bool {
        let Conversation { shared, listener, peer, cut, .. } = &*self.conversation;
        if cut.by().is_some() || self.ended.get().is_some() {
            return false;
        }
        let verdict = match &self.said {
            Said::Connection => shared.page.standing_connection(listener, peer).await.err(),
            Said::Call(call) => shared.page.standing(listener, &mut Call::clone(call)).await.err(),
            Said::Head(id, head) => {
                let reading = shared.page.reading(listener);
                let context = Reading { id: *id, ..self.conversation.context(&reading.settings) };
                let mut call = read_call(head.clone(), context);
                shared.page.standing(listener, &mut call).await.err()
            }
        };
        let Some(ended) = verdict else { return false };
        self.ended.set(Some(ended));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
        true
    }
}

impl Hold {
    /// From now on it is judged again.
    pub(crate) fn new(conversation: &Rc<Conversation>, said: Said, expires: Option<Timestamp>) -> Self {
        let (ended, waker) = Default::default();
        let entry = Rc::new(Entry { conversation: conversation.clone(), said, expires, ended, waker });
        let thread = conversation.thread.clone();
        Self { place: thread.standing.enter(&entry), thread, entry }
    }

    /// Ready once it is not admitted any more.
    pub(crate) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<Ended> {
        if let Some(ended) = self.entry.ended.get() {
            return Poll::Ready(ended);
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// The layer and rule that ended it.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.entry.ended.get()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.thread.standing.leave(self.place);
    }
}

/// A stream that breaks off when it is not admitted any more.
pub(crate) struct Held {
    io: Box<dyn Io>,
    hold: Rc<Hold>,
}

impl Held {
    /// Held by `hold`.
    pub(crate) const fn new(io: Box<dyn Io>, hold: Rc<Hold>) -> Self {
        Self { io, hold }
    }

    fn broken(&self, context: &mut Context<'_>) -> Option<io::Error> {
        self.hold.poll_ended(context).is_ready().then(|| io::ErrorKind::ConnectionAborted.into())
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(broken) = self.broken(context) {
            return Poll::Ready(Err(broken));
        }
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(broken) = self.broken(context) {
            return Poll::Ready(Err(broken));
        }
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
