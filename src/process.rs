//! What the program, and every bench of it, settles before it begins.

use std::ffi::{c_int, c_long};

/// Passes take and return the same large buffers again and again. This allocator keeps them at hand, where the system's asks
/// for fresh pages each time, which cost a tenth of an analysis.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Place of `purge_delay` in mimalloc's list of options, and its default in milliseconds.
const PURGE_DELAY: (c_int, c_long) = (15, 10);
/// Longer than a layer takes over a batch, also where other work shares the processor: within 10 ms layers then took their
/// pages anew, a seventh of the processor's time. Nothing beside what a window stands idle.
const DELAY_MS: c_long = 1000;

/// How often a thread of candle looks for work before it sleeps. Its default is made for machines where nothing else runs;
/// here the threads of our own kernels are what it keeps from running (a training step takes a tenth more of the processor).
const SPINS: (&str, &str) = ("CANDLE_BARRIER_POOL_SPIN_LIMIT", "50");

/// To be called before any other thread is started. What the environment says of either counts.
#[expect(unsafe_code, reason = "neither the allocator nor candle has a safe interface to this")]
pub fn settle() {
    let (option, default) = PURGE_DELAY;
    // SAFETY: the calls take no pointers; an option that is not there reads as 0 and is left alone.
    unsafe {
        if libmimalloc_sys::mi_option_get(option) == default {
            libmimalloc_sys::mi_option_set(option, DELAY_MS);
        }
    }
    let (name, spins) = SPINS;
    if std::env::var_os(name).is_none() {
        // SAFETY: no other thread is there yet that could read the environment.
        unsafe { std::env::set_var(name, spins) };
    }
}
