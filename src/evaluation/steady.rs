//! When a speed rests on enough to be told.

/// Runs that are enough to tell a speed, however short they are.
pub(super) const SEVERAL: usize = 7;
/// Seconds of runs that are enough to tell a speed, however few they are.
pub(super) const LONG: f64 = 1.0;

/// Whether so many runs that took `secs` together are enough to tell a speed: a single short one tells what else the machine
/// did.
pub(super) fn tells_speed(runs: u64, secs: f64) -> bool {
    secs >= LONG || runs >= SEVERAL as u64
}
