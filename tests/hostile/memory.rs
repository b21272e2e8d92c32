//! How much memory is asked for in one piece, and how much is held.
#![expect(unsafe_code, reason = "an allocator that counts is made of one that does not")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Remembers the largest block of memory that a thread asked for, and the most that it held.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread asked for less those that it gave back, whoever asked for them.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST_HELD: Cell<isize> = const { Cell::new(0) };
}

/// The same over all threads, for blocks that are worth a look.
static LARGEST_ANYWHERE: AtomicUsize = AtomicUsize::new(0);
const WORTH_A_LOOK: usize = 1 << 20;

fn note(size: usize) {
    if size > WORTH_A_LOOK {
        LARGEST_ANYWHERE.fetch_max(size, Ordering::Relaxed);
    }
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

fn hold(bytes: isize) {
    let now = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        held.get()
    });
    if let Ok(now) = now {
        let _ = MOST_HELD.try_with(|most| most.set(most.get().max(now)));
    }
}

/// What `work` gives, and the most that this thread held at a time for it.
pub(crate) fn held_for<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST_HELD.set(before);
    let done = work();
    (done, usize::try_from(MOST_HELD.get() - before).unwrap_or(0))
}

/// The largest block since the last call.
pub(crate) fn largest() -> usize {
    LARGEST.replace(0)
}

/// The largest block of any thread since the last call, 0 where none was large.
pub(crate) fn largest_anywhere() -> usize {
    LARGEST_ANYWHERE.swap(0, Ordering::Relaxed)
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        hold(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-layout.size().cast_signed());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        hold(layout.size().cast_signed());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        hold(size.cast_signed() - layout.size().cast_signed());
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;
