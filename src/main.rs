//! The `pillars` program: a thin door to the library.

use std::process::ExitCode;

/// Passes take and return the same large buffers again and again. This allocator keeps them at hand for a moment, where
/// the system's asks for fresh pages each time, which cost a tenth of an analysis.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pillars::cli::run()
}
