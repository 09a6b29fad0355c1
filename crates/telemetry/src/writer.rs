//! The one thread that writes logs. Nobody waits for it: what does not fit into its queue, or comes faster than the rate
//! allows, is lost and counted.

use crate::ring::Ring;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines that may wait.
const QUEUE: usize = 8192;

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// The access log.
    Access,
    /// The flow log.
    Flow,
    /// The ring of decisions.
    Decisions,
}

impl Log {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Flow => "flow",
            Self::Decisions => "decisions",
        }
    }
}

enum Message {
    Line(Log, String),
    Flush(SyncSender<()>),
}

/// What the thread writes to.
pub struct Sinks {
    /// The access log.
    pub access: Box<dyn Write + Send>,
    /// The flow log.
    pub flow: Box<dyn Write + Send>,
    /// The ring of decisions, when there is one.
    pub ring: Option<Ring>,
}

/// The queue's end that everybody has.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    /// The second in its high half, the lines of that second in its low one.
    rate: AtomicU64,
    most: u64,
}

/// A line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl Writer {
    /// Starts the thread; `most` lines a second are taken.
    pub fn start(sinks: Sinks, most: u32) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("ringwall-log".into()).spawn(move || write(&lines, sinks))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), rate: AtomicU64::new(0), most: most.into() })
    }

    /// Gives a line to the thread, at a second of the clock that the rate is for.
    ///
    /// # Errors
    /// [`Lost`] when it is not written.
    pub fn line(&self, log: Log, line: String, second: u64) -> Result<(), Lost> {
        if !self.has_room(second) {
            return Err(Lost);
        }
        let queue = self.queue.as_ref().ok_or(Lost)?;
        queue.try_send(Message::Line(log, line)).map_err(|_| Lost)
    }

    /// Waits until all that was given before is written. For tests and for `explain`, not for the data plane.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.as_ref().is_some_and(|queue| queue.send(Message::Flush(done)).is_ok()) {
            let _ = wait.recv();
        }
    }

    fn has_room(&self, second: u64) -> bool {
        let second = second & 0xffff_ffff;
        let taken = self.rate.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rate| {
            let count = if rate >> 32 == second { rate & 0xffff_ffff } else { 0 };
            (count < self.most).then_some(second << 32 | (count + 1))
        });
        taken.is_ok()
    }
}

impl Drop for Writer {
    /// Everything that was taken is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(lines: &Receiver<Message>, mut sinks: Sinks) {
    let mut waiting = false;
    loop {
        // Sinks are flushed as soon as nothing waits, not with every line.
        let message = if waiting {
            lines.recv_timeout(Duration::from_millis(50))
        } else {
            lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match message {
            Ok(Message::Line(log, line)) => {
                waiting = true;
                let line = line.as_bytes();
                // A sink that is broken (a closed pipe, a full disk) is no reason to stop serving.
                let _ = match (log, &mut sinks.ring) {
                    (Log::Access, _) => sinks.access.write_all(line),
                    (Log::Flow, _) => sinks.flow.write_all(line),
                    (Log::Decisions, Some(ring)) => ring.push(line),
                    (Log::Decisions, None) => Ok(()),
                };
            }
            Ok(Message::Flush(done)) => {
                flush(&mut sinks);
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                waiting = false;
                flush(&mut sinks);
            }
            Err(RecvTimeoutError::Disconnected) => return flush(&mut sinks),
        }
    }
}

fn flush(sinks: &mut Sinks) {
    let _ = sinks.access.flush();
    let _ = sinks.flow.flush();
}
