//! Events of calls, told one behind the other once everything else that is ready on their thread had its turn: as the
//! stages of a call in [`crate::worker::turn`], so that the code that tells is fetched once for many. A call that is alone
//! is told of at once. What waits when the thread ends is told then.

use crate::engine::Shared;
use ringwall_model::Event;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;

/// So many wait at most: they stay in the core's own cache.
const MOST: usize = 32;

/// Events of one thread that are not told yet.
pub(crate) struct Telling {
    shared: Arc<Shared>,
    waiting: RefCell<VecDeque<Event>>,
    more: Notify,
}

impl Telling {
    /// With nothing to tell. Call it in the thread's `LocalSet`.
    pub(crate) fn start(shared: Arc<Shared>) -> Rc<Self> {
        let telling = Rc::new(Self { shared, waiting: RefCell::default(), more: Notify::new() });
        tokio::task::spawn_local(go_on(telling.clone()));
        telling
    }

    /// Tells it soon.
    pub(crate) fn tell(&self, event: Event) {
        let waiting = {
            let mut waiting = self.waiting.borrow_mut();
            waiting.push_back(event);
            waiting.len()
        };
        match waiting {
            1 => self.more.notify_one(),
            MOST.. => self.all(),
            _ => {}
        }
    }

    fn all(&self) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(event) = next else { return };
            self.shared.events.tell(event);
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.all();
    }
}

async fn go_on(telling: Rc<Telling>) {
    loop {
        telling.more.notified().await;
        telling.all();
    }
}
