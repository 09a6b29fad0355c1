//! The one thread that writes logs. Nobody waits for it: what does not fit into its queue, or comes faster than the rate
//! allows, is lost and counted. An orderly end loses nothing; a crash loses what waits: the lines of some milliseconds
//! as a rule, and what fits into the queue at most.

use crate::ring::Ring;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that may wait.
const MOST_WAITING: usize = 8 << 20;
/// How long lines gather before they are written together: a wake of the thread for each line would cost more than the
/// line.
const GATHER: Duration = Duration::from_millis(20);

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// The access log.
    Access,
    /// The flow log.
    Flow,
    /// Rules of the firewall that matched.
    Firewall,
    /// Audit records of the firewall.
    Audit,
    /// The ring of decisions.
    Decisions,
}

impl Log {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Flow => "flow",
            Self::Firewall => "firewall",
            Self::Audit => "audit",
            Self::Decisions => "decisions",
        }
    }
}

/// What the thread writes to.
pub struct Sinks {
    /// The access log.
    pub access: Box<dyn Write + Send>,
    /// The flow log.
    pub flow: Box<dyn Write + Send>,
    /// Rules of the firewall that matched.
    pub firewall: Box<dyn Write + Send>,
    /// Audit records of the firewall.
    pub audit: Box<dyn Write + Send>,
    /// The ring of decisions, when there is one.
    pub ring: Option<Ring>,
}

/// The queue's end that everybody has.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    rate: Rate,
}

/// At most so many in a second.
#[derive(Debug)]
pub struct Rate {
    /// The second in its high half, the count of that second in its low one.
    taken: AtomicU64,
    most: u64,
}

impl Rate {
    /// At most that many in a second.
    pub const fn new(most: u32) -> Self {
        Self { taken: AtomicU64::new(0), most: most as u64 }
    }

    /// Takes one in that second of the clock; whether there was room.
    pub fn has_room(&self, second: u64) -> bool {
        let second = second & 0xffff_ffff;
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rate| {
            let count = if rate >> 32 == second { rate & 0xffff_ffff } else { 0 };
            (count < self.most).then_some(second << 32 | (count + 1))
        });
        taken.is_ok()
    }
}

#[derive(Debug, Default)]
struct Queue {
    batch: Mutex<Batch>,
    /// Something waits, or the end has come.
    more: Condvar,
    /// Somebody waits for what is written.
    hurry: Condvar,
    /// Something was written.
    written: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What gathers between two writes.
#[derive(Debug, Default)]
struct Batch {
    lines: Lines,
    /// How often somebody asked that all be written, and how often it was.
    asked: u64,
    flushed: u64,
    ended: bool,
}

/// Lines by where they go, each with its end.
#[derive(Debug, Default)]
struct Lines {
    access: Vec<u8>,
    flow: Vec<u8>,
    firewall: Vec<u8>,
    audit: Vec<u8>,
    decisions: Vec<u8>,
}

impl Lines {
    fn len(&self) -> usize {
        [&self.access, &self.flow, &self.firewall, &self.audit, &self.decisions].into_iter().map(Vec::len).sum()
    }

    fn of(&mut self, log: Log) -> &mut Vec<u8> {
        match log {
            Log::Access => &mut self.access,
            Log::Flow => &mut self.flow,
            Log::Firewall => &mut self.firewall,
            Log::Audit => &mut self.audit,
            Log::Decisions => &mut self.decisions,
        }
    }
}

/// A line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl Writer {
    /// Starts the thread; `most` lines a second are taken.
    pub fn start(sinks: Sinks, most: u32) -> std::io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let its = queue.clone();
        let thread = std::thread::Builder::new().name("ringwall-log".into()).spawn(move || write(&its, sinks))?;
        Ok(Self { queue, thread: Some(thread), rate: Rate::new(most) })
    }

    /// Gives a line to the thread, at a second of the clock that the rate is for.
    ///
    /// # Errors
    /// [`Lost`] when it is not written.
    pub fn line(&self, log: Log, line: &[u8], second: u64) -> Result<(), Lost> {
        if !self.rate.has_room(second) {
            return Err(Lost);
        }
        let mut batch = self.queue.lock();
        let before = batch.lines.len();
        if before + line.len() > MOST_WAITING {
            return Err(Lost);
        }
        batch.lines.of(log).extend_from_slice(line);
        drop(batch);
        if before == 0 {
            self.queue.more.notify_one();
        }
        Ok(())
    }

    /// Waits until all that was given before is written. For tests and for `explain`, not for the data plane.
    pub fn flush(&self) {
        let mut batch = self.queue.lock();
        batch.asked += 1;
        let mine = batch.asked;
        self.queue.more.notify_one();
        self.queue.hurry.notify_one();
        while batch.flushed < mine && !batch.ended {
            batch = self.queue.written.wait(batch).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Writer {
    /// Everything that was taken is written.
    fn drop(&mut self) {
        self.queue.lock().ended = true;
        self.queue.more.notify_one();
        self.queue.hurry.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(queue: &Queue, mut sinks: Sinks) {
    let mut lines = Lines::default();
    loop {
        let (asked, ended) = gather(queue, &mut lines);
        // A sink that is broken (a closed pipe, a full disk) is no reason to stop serving.
        let _ = sinks.access.write_all(&lines.access).and_then(|()| sinks.access.flush());
        let _ = sinks.flow.write_all(&lines.flow).and_then(|()| sinks.flow.flush());
        let _ = sinks.firewall.write_all(&lines.firewall).and_then(|()| sinks.firewall.flush());
        let _ = sinks.audit.write_all(&lines.audit).and_then(|()| sinks.audit.flush());
        if let Some(ring) = &mut sinks.ring {
            let _ = lines.decisions.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| ring.push(line));
            let _ = ring.flush();
        }
        for log in [Log::Access, Log::Flow, Log::Firewall, Log::Audit, Log::Decisions] {
            lines.of(log).clear();
            lines.of(log).shrink_to(MOST_WAITING / 16);
        }
        queue.lock().flushed = asked;
        queue.written.notify_all();
        if ended {
            return;
        }
    }
}

/// Waits until there are lines, lets more of them gather, and takes them; says who is served by that, and whether the
/// end has come.
fn gather(queue: &Queue, lines: &mut Lines) -> (u64, bool) {
    let hurried = |batch: &Batch| batch.ended || batch.asked > batch.flushed;
    let idle = |batch: &mut Batch| batch.lines.len() == 0 && !hurried(batch);
    let batch = queue.more.wait_while(queue.lock(), idle).unwrap_or_else(PoisonError::into_inner);
    let gathered = queue.hurry.wait_timeout_while(batch, GATHER, |batch| !hurried(batch));
    let (mut batch, _) = gathered.unwrap_or_else(PoisonError::into_inner);
    std::mem::swap(&mut batch.lines, lines);
    (batch.asked, batch.ended)
}
