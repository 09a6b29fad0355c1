//! Connections that are open at one time: counted by listener and by client address.
//!
//! In: [`Hold`]s that `judge::connection` asks for. Out: [`Open`], which counts until it is dropped, or [`Over`], which
//! says how long to wait before the connection is closed. Never: sockets, timers.
//! Follows Envoy's `connection_limit` network filter: over the limit, the connection is closed after a delay. Waiting
//! connections are themselves limited to as many as may be open; beyond that they are closed at once, so that the delay
//! does not become a way to hold sockets.

use ringwall_model::{Millis, Reason, TakeKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One limit that a connection must be counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The rule of the limit.
    pub because: Reason,
    /// Whose limit.
    pub key: TakeKey,
    /// How many may be open.
    pub max: u64,
    /// How long a connection over the limit is held before it is closed.
    pub delay: Millis,
}

/// The connections of one process. They outlive a World.
#[derive(Debug, Default)]
pub struct Connections {
    table: Mutex<HashMap<TakeKey, Count>>,
}

#[derive(Debug, Default)]
struct Count {
    open: u64,
    waiting: u64,
}

/// A counted connection. It stops counting when this is dropped.
#[derive(Debug)]
pub struct Open {
    connections: Arc<Connections>,
    keys: Vec<TakeKey>,
}

/// A connection over a limit. Keep it while waiting, then drop it and close the connection.
#[derive(Debug)]
pub struct Over {
    /// The rule of the limit that is reached.
    pub because: Reason,
    /// How long to wait before closing; zero when enough connections are waiting already.
    pub delay: Millis,
    connections: Arc<Connections>,
    waiting: Option<TakeKey>,
}

impl Connections {
    /// Counts a connection in every limit, or in none of them.
    ///
    /// # Errors
    /// [`Over`] names the first limit that is reached.
    pub fn open(self: &Arc<Self>, holds: &[Hold]) -> Result<Open, Over> {
        let mut table = self.lock();
        let reached = holds.iter().find(|hold| table.get(&hold.key).map_or(0, |count| count.open) >= hold.max);
        if let Some(hold) = reached {
            let count = table.entry(hold.key).or_default();
            let may_wait = hold.delay > Millis(0) && count.waiting < hold.max;
            let waiting = may_wait.then(|| {
                count.waiting += 1;
                hold.key
            });
            let delay = if may_wait { hold.delay } else { Millis(0) };
            drop_when_empty(&mut table, hold.key);
            return Err(Over { because: hold.because, delay, connections: self.clone(), waiting });
        }
        let keys: Vec<TakeKey> = holds.iter().map(|hold| hold.key).collect();
        keys.iter().for_each(|key| table.entry(*key).or_default().open += 1);
        Ok(Open { connections: self.clone(), keys })
    }

    /// How many connections count in a limit now.
    pub fn count(&self, key: TakeKey) -> u64 {
        self.lock().get(&key).map_or(0, |count| count.open)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TakeKey, Count>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// INVARIANT: no entry is kept without a connection that counts in it, so the table is as bounded as the sockets are.
fn drop_when_empty(table: &mut HashMap<TakeKey, Count>, key: TakeKey) {
    if table.get(&key).is_some_and(|count| count.open == 0 && count.waiting == 0) {
        table.remove(&key);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut table = self.connections.lock();
        for key in &self.keys {
            if let Some(count) = table.get_mut(key) {
                count.open = count.open.saturating_sub(1);
            }
            drop_when_empty(&mut table, *key);
        }
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        let Some(key) = self.waiting else { return };
        let mut table = self.connections.lock();
        if let Some(count) = table.get_mut(&key) {
            count.waiting = count.waiting.saturating_sub(1);
        }
        drop_when_empty(&mut table, key);
    }
}

#[cfg(test)]
mod tests;
