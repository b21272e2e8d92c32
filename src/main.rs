//! The `pillars` program: a thin door to the library.

use std::process::ExitCode;

/// Passes take and return the same large buffers again and again. This allocator keeps them at hand for a moment, where
/// the system's asks for fresh pages each time, which cost a tenth of an analysis.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pillars::task::on_release(collect);
    pillars::cli::run()
}

/// Gives what the allocator keeps at hand back to the system.
#[expect(unsafe_code, reason = "the allocator has no safe interface to this")]
fn collect() {
    // SAFETY: the call takes no pointer and may come at any time, from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
