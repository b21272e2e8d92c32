//! Long work: a cancel token, one overwritten progress cell, and a runner whose workers cannot take the caller down; the
//! threads of kernels, and memory that is handed back.
//!
//! The core reports through [`Ticket`]; the front end (a terminal bar, a window) polls [`Progress`].

mod available;
mod memory;
mod pace;
mod progress;
mod runner;
mod workers;

pub use available::available_bytes;
pub use memory::{on_release, release_memory};
pub use pace::StageTime;
pub use progress::{CancelToken, Progress, Ticket};
pub use runner::{Runner, Task, TaskState, caught};
pub use workers::on_workers;
