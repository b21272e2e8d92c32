//! The threads that kernels share.

/// Runs `work` on one of the threads that kernels deal their parts to, and waits for it. A kernel that is called there
/// begins at once and is helped by the others; called from elsewhere, it would have to wake them and wait, each time.
///
/// `work` must not wait for anything that these threads have to do, other than by what it splits itself.
pub fn on_workers<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_on_a_worker_and_its_result_comes_back() {
        assert!(rayon::current_thread_index().is_none());
        let mut seen = None;
        let result = on_workers(|| {
            seen = rayon::current_thread_index();
            // Within, it goes on where it is.
            on_workers(rayon::current_thread_index)
        });
        assert!(seen.is_some());
        assert_eq!(result, seen);
    }
}
