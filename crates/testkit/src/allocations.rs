//! Counts the heap allocations of the current thread.
//!
//! In: a closure. Out: its result, and how often it allocated. A test binary installs it once:
//! `#[global_allocator] static ALLOCATOR: ringwall_testkit::Counting = ringwall_testkit::Counting;`

#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; each call goes to the system's unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// Runs a closure, and says how often it allocated on this thread. Zero when [`Counting`] is not installed.
pub fn during<T>(run: impl FnOnce() -> T) -> (T, u64) {
    let before = COUNT.get();
    let out = run();
    (out, COUNT.get() - before)
}

fn count() {
    // A thread that ends has no counter any more; what it allocates then is nobody's test.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every method hands its arguments unchanged to the system's allocator, whose contract is the same; counting
// touches a thread-local integer without a destructor and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`; the caller's promise about `size` is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
