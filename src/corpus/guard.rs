//! Readers that others wrote and that may panic on a file that contradicts itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Does what may panic on such a file; a panic becomes the error that `unreadable` makes of a reason.
pub(super) fn guarded<T>(unreadable: impl FnOnce(&str) -> Error, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(unreadable("it contradicts itself")))
}
