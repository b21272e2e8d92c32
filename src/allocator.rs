//! The allocator of the program and of its benches.

use std::ffi::c_int;

/// Passes take and return the same large buffers again and again. This allocator keeps them at hand, where the system's asks
/// for fresh pages each time, which cost a tenth of an analysis.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Place of `purge_delay` in mimalloc's list of options, and its default in milliseconds.
const PURGE_DELAY: (c_int, i64) = (15, 10);
/// Longer than a layer of any model takes over a batch, and nothing beside what a window stands idle. Within 10 ms every layer
/// took its pages anew, a seventh of the processor's time of an analysis.
const DELAY_MS: i64 = 1000;

/// Keeps what was freed at hand for long enough that the next layer finds it, unless the user's environment says otherwise
/// (`MIMALLOC_PURGE_DELAY`).
#[expect(unsafe_code, reason = "the allocator has no safe interface to this")]
pub fn keep_freed() {
    let (option, default) = PURGE_DELAY;
    // SAFETY: the calls take no pointers; an option that is not there reads as 0 and is left alone.
    unsafe {
        if i64::from(libmimalloc_sys::mi_option_get(option)) == default {
            libmimalloc_sys::mi_option_set(option, DELAY_MS as _);
        }
    }
}
