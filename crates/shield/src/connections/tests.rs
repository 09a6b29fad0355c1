use super::{Connections, Hold};
use ringwall_model::{Millis, Reason, TakeKey};
use std::sync::Arc;

fn hold(rule: u64, max: u64, delay: u64) -> Hold {
    Hold { because: Reason::Builtin("test"), key: TakeKey { rule, subject: 0 }, max, delay: Millis(delay) }
}

#[test]
fn a_connection_counts_until_it_is_dropped() {
    let connections = Arc::new(Connections::default());
    let one = connections.open(&[hold(1, 2, 10)]).unwrap();
    let two = connections.open(&[hold(1, 2, 10)]).unwrap();
    let over = connections.open(&[hold(1, 2, 10)]).unwrap_err();
    assert_eq!((over.because, over.delay), (Reason::Builtin("test"), Millis(10)));
    drop(one);
    assert_eq!(connections.count(hold(1, 2, 10).key), 1);
    let three = connections.open(&[hold(1, 2, 10)]).unwrap();
    drop((two, three, over));
    assert!(connections.lock().is_empty(), "nothing is kept without a connection");
}

#[test]
fn all_limits_or_none() {
    let connections = Arc::new(Connections::default());
    let _full = connections.open(&[hold(2, 1, 0)]).unwrap();
    assert!(connections.open(&[hold(1, 9, 0), hold(2, 1, 0)]).is_err());
    assert_eq!(connections.count(hold(1, 9, 0).key), 0);
}

#[test]
fn only_so_many_wait() {
    let connections = Arc::new(Connections::default());
    let _open = connections.open(&[hold(1, 1, 10)]).unwrap();
    let waiting = connections.open(&[hold(1, 1, 10)]).unwrap_err();
    let at_once = connections.open(&[hold(1, 1, 10)]).unwrap_err();
    assert_eq!((waiting.delay, at_once.delay), (Millis(10), Millis(0)));
    drop((waiting, at_once));
    assert_eq!(connections.open(&[hold(1, 1, 10)]).unwrap_err().delay, Millis(10));
}

#[test]
fn threads_never_hold_one_over() {
    let connections = Arc::new(Connections::default());
    let opened: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| (0..20).filter_map(|_| connections.open(&[hold(1, 100, 0)]).ok()).collect::<Vec<_>>())
            })
            .collect();
        // Kept until all threads are done, so that nothing is given back before.
        let held: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        held.iter().map(Vec::len).sum()
    });
    assert_eq!(opened, 100);
    assert_eq!(connections.count(hold(1, 100, 0).key), 0);
}
