//! The `pillars` program: a thin door to the library.

mod process;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::settle();
    pillars::task::on_release(give_back);
    pillars::cli::run()
}

/// Gives what the allocator keeps at hand back to the system.
#[expect(unsafe_code, reason = "the allocator has no safe interface to this")]
fn give_back() {
    // SAFETY: the call takes no pointer and may come at any time, from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
