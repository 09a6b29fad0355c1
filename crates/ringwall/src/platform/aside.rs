//! Threads beside the data plane's: what is large in the firewall is judged there, slice by slice, each in its turn.
//!
//! In: transactions with work left. Out: the same, done. Bounded: what does not fit waits in nobody's memory; it is given
//! back at once, and its call is refused. Never: a slice longer than about half a millisecond before the next has its turn.

use ringwall_waf::Progress;
use ringwall_wall::{Aside, Busy, Work};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// So many transactions may wait or be worked on, over all threads.
const ROOM: usize = 256;
/// So many bytes of bodies may be in them.
const BYTES: usize = 128 << 20;

/// The threads and their queue.
pub struct Bench {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// Waiting, or in the hands of a thread.
    open: usize,
    /// Bytes of their bodies.
    bytes: usize,
    ended: bool,
}

struct Job {
    work: Work,
    bytes: usize,
    done: oneshot::Sender<Work>,
}

impl Bench {
    /// Starts so many threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let start = |number: usize| {
            let shared = shared.clone();
            std::thread::Builder::new().name(format!("aside-{number}")).spawn(move || serve(&shared))
        };
        let threads = (0..threads.max(1)).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { shared, threads })
    }
}

impl Aside for Bench {
    /// Works until the phase is done; the calling thread is free meanwhile.
    async fn aside(&self, work: Work) -> Result<Work, Busy> {
        let (done, answer) = oneshot::channel();
        let bytes = work.transaction.memory();
        {
            let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.open >= ROOM || queue.bytes.saturating_add(bytes) > BYTES || queue.ended {
                return Err(Busy(Some(Box::new(work))));
            }
            queue.open += 1;
            queue.bytes += bytes;
            queue.waiting.push_back(Job { work, bytes, done });
        }
        self.shared.more.notify_one();
        answer.await.map_err(|_| Busy(None))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.shared.more.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared) {
    loop {
        let next = {
            let queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.ended;
            let mut queue = shared.more.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
            if queue.ended {
                return;
            }
            queue.waiting.pop_front()
        };
        let Some(mut job) = next else { continue };
        // Its client went away: the answer is of no use to anybody.
        let wanted = !job.done.is_closed();
        if wanted && job.work.slice() == Progress::Yield {
            shared.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(job);
            shared.more.notify_one();
            continue;
        }
        {
            let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.open -= 1;
            queue.bytes -= job.bytes;
        }
        if wanted {
            // Nobody waits any more when its client went away in this very moment.
            let _ = job.done.send(job.work);
        }
    }
}

/// Half of the cores, so that small calls always find a thread.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2)
}
