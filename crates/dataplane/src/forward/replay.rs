//! A request body that can be sent again, as long as what was sent of it is small.
//!
//! Nothing is read ahead: what goes out is remembered as it goes, up to a limit. A stream that is longer than that, or
//! that a peer answers while it still flows, is simply not repeatable any more.

use crate::message::{Body, BodyError, Frame, Source};
use ringwall_model::BodyLength;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A body and what was already sent of it.
pub(super) struct Replay {
    kept: Rc<RefCell<Kept>>,
    length: BodyLength,
    used: Used,
}

#[derive(PartialEq, Eq)]
enum Used {
    Never,
    Once,
}

struct Kept {
    /// Sent so far; `None` once that was too much.
    sent: Option<Vec<Frame>>,
    size: usize,
    limit: usize,
    rest: Body,
}

impl Replay {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(body: Body, limit: usize) -> Self {
        let length = body.length();
        let kept = Kept { sent: Some(Vec::new()), size: 0, limit, rest: body };
        Self { kept: Rc::new(RefCell::new(kept)), length, used: Used::Never }
    }

    /// Whether the body can be sent once more.
    pub(super) fn can_repeat(&self) -> bool {
        self.kept.borrow().sent.is_some()
    }

    /// The body for the next try. The one before must be gone.
    pub(super) fn next(&mut self) -> Body {
        if self.used == Used::Never && self.kept.borrow().rest.is_over() {
            return Body::empty();
        }
        self.used = Used::Once;
        Body::stream(Again { kept: self.kept.clone(), at: 0 }, self.length)
    }
}

struct Again {
    kept: Rc<RefCell<Kept>>,
    at: usize,
}

impl Source for Again {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut kept = self.kept.borrow_mut();
        if let Some(frame) = kept.sent.as_ref().and_then(|sent| sent.get(self.at)) {
            self.at += 1;
            return Poll::Ready(Some(Ok(frame.clone())));
        }
        let next = ready!(kept.rest.poll_next(context));
        if let Some(Ok(frame)) = &next {
            let length = if let Frame::Bytes(bytes) = frame { bytes.len() } else { 0 };
            kept.size = kept.size.saturating_add(length);
            if kept.size > kept.limit {
                kept.sent = None;
            }
            if let Some(sent) = &mut kept.sent {
                sent.push(frame.clone());
                self.at += 1;
            }
        }
        Poll::Ready(next)
    }
}
