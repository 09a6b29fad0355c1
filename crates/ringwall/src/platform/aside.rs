//! Threads beside the data plane's: what is large in the firewall is judged there, slice by slice, each in its turn.
//!
//! In: transactions with work left. Out: the same, done. Bounded: what does not fit waits in nobody's memory; it is given
//! back at once, and its call is refused; one client has a quarter of the room at most. Never: a slice longer than about half a millisecond before the next has its turn.

use ringwall_waf::Progress;
use ringwall_wall::{Aside, Busy, Work};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// So many transactions may wait or be worked on, over all threads.
const ROOM: usize = 256;
/// So many bytes of bodies may be in them.
const BYTES: usize = 128 << 20;
/// This part of both is the most for one client.
const SHARE: usize = 4;

/// The priority of the threads (setpriority(2)): where there are fewer cores than work, a small call does not wait until a
/// slice of theirs is over.
const NICE: i32 = 10;

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
    /// The same two of each client that has any.
    clients: HashMap<IpAddr, (usize, usize)>,
    ended: bool,
}

impl Queue {
    /// Takes room for a client's work; `false`: there is none.
    fn enter(&mut self, client: IpAddr, bytes: usize) -> bool {
        let (open, held) = self.clients.get(&client).copied().unwrap_or_default();
        let is_free = |most: usize, open: usize| open < ROOM / most;
        let is_small = |most: usize, held: usize| held.saturating_add(bytes) <= BYTES / most;
        let fits = is_free(1, self.open) && is_small(1, self.bytes) && is_free(SHARE, open) && is_small(SHARE, held);
        if fits && !self.ended {
            (self.open, self.bytes) = (self.open + 1, self.bytes + bytes);
            self.clients.insert(client, (open + 1, held + bytes));
        }
        fits && !self.ended
    }

    /// Gives the room back.
    fn leave(&mut self, client: IpAddr, bytes: usize) {
        (self.open, self.bytes) = (self.open.saturating_sub(1), self.bytes.saturating_sub(bytes));
        if let Some((open, held)) = self.clients.get_mut(&client) {
            (*open, *held) = (open.saturating_sub(1), held.saturating_sub(bytes));
            if *open == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

/// Whom room is counted for: of IPv6 a network, since a client has a whole /64 to choose from.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
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
            if !queue.enter(client(work.client), bytes) {
                return Err(Busy(Some(Box::new(work))));
            }
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
    // Refused where the whole process stands lower already: then nothing is to be done.
    let _ = rustix::process::setpriority_process(None, NICE);
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
        shared.queue.lock().unwrap_or_else(PoisonError::into_inner).leave(client(job.work.client), job.bytes);
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

#[cfg(test)]
mod tests {
    use super::{BYTES, Queue, ROOM, SHARE, client};

    #[test]
    fn one_client_leaves_room_for_others() {
        let at = |text: &str| client(text.parse().unwrap());
        let mut queue = Queue::default();
        let taken = (0..ROOM).filter(|_| queue.enter(at("2001:db8::1"), 1)).count();
        assert_eq!(taken, ROOM / SHARE);
        assert!(!queue.enter(at("2001:db8::2"), 1), "the same network");
        assert!(queue.enter(at("192.0.2.1"), BYTES / SHARE));
        assert!(!queue.enter(at("::ffff:192.0.2.1"), 1), "the same address");
        queue.leave(at("192.0.2.1"), BYTES / SHARE);
        (0..taken).for_each(|_| queue.leave(at("2001:db8::1"), 1));
        assert_eq!((queue.open, queue.bytes, queue.clients.len()), (0, 0, 0));
        let others = (0..2 * ROOM).filter(|n| queue.enter(at(&format!("198.51.{}.{}", n / 256, n % 256)), 1)).count();
        assert_eq!(others, ROOM);
    }
}
