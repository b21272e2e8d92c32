//! Memory that was freed.

/// Hands memory that was freed back to the system at once. The program's allocator keeps it at hand for a while
/// otherwise, which is faster where no bound is kept.
pub fn hand_back() {
    // SAFETY: the call takes no pointer and may come at any time, from any thread, whoever allocates.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
