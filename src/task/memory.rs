//! Memory that was freed.

use std::sync::OnceLock;

static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Registers what gives freed memory back to the system. The library knows no allocator: the program that chose one
/// does. The first registration counts.
pub fn on_release(give_back: fn()) {
    // Whoever comes second has the same allocator to speak of.
    let _ = GIVE_BACK.set(give_back);
}

/// Gives memory that was freed back to the system at once, where the program says how. Its allocator may keep it at hand
/// for a while otherwise, which is faster where no bound is kept.
pub fn release_memory() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back();
    }
}
