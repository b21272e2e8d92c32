//! Cancel tokens and progress cells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A cloneable wish to stop, polled by the work at every batch.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the work to stop at its next safe point.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once a stop was requested.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a piece of work has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// What is being done now, e.g. `analyze`.
    pub stage: String,
    /// Units finished in this stage.
    pub done: u64,
    /// Units' worth of work that is done on units not yet finished.
    pub underway: f64,
    /// Units in this stage, where known.
    pub total: Option<u64>,
    /// What is counted: `batches`, `tokens`, `tensors`.
    pub unit: &'static str,
    /// Units that were finished before this stage's clock began: an earlier attempt did them.
    pub begun_at: u64,
    /// Seconds since the stage began.
    pub elapsed_secs: f64,
}

impl Progress {
    /// Share done in `0..=1`, where the total is known.
    pub fn fraction(&self) -> Option<f64> {
        self.total.filter(|t| *t > 0).map(|t| ((self.done as f64 + self.underway) / t as f64).min(1.0))
    }

    /// Expected seconds to the end of this stage, where they can be told.
    pub fn remaining_secs(&self) -> Option<f64> {
        let total = self.total?;
        let done = self.done.saturating_sub(self.begun_at) as f64 + self.underway;
        let left = (total.saturating_sub(self.done) as f64 - self.underway).max(0.0);
        (done > 0.0).then(|| self.elapsed_secs * left / done)
    }
}

type Waker = Arc<dyn Fn() + Send + Sync>;

struct ProgressCell {
    progress: Progress,
    stage_began: Instant,
    last_wake: Option<Instant>,
}

/// What work holds while it runs: it says how far it is and asks whether to go on.
#[derive(Clone)]
pub struct Ticket {
    cancel: CancelToken,
    cell: Arc<Mutex<ProgressCell>>,
    waker: Waker,
}

/// Wakes are throttled to this distance so that a fast loop cannot flood the window.
const WAKE_EVERY: Duration = Duration::from_millis(50);

impl Default for Ticket {
    fn default() -> Self {
        Self::new(CancelToken::default(), || {})
    }
}

impl Ticket {
    /// A ticket that calls `waker` (at most 20 times a second) when progress moves.
    pub fn new(cancel: CancelToken, waker: impl Fn() + Send + Sync + 'static) -> Self {
        let cell = ProgressCell { progress: Progress::default(), stage_began: Instant::now(), last_wake: None };
        Self { cancel, cell: Arc::new(Mutex::new(cell)), waker: Arc::new(waker) }
    }

    /// A ticket for a part whose progress is not shown, but which stops with the whole.
    #[must_use]
    pub fn silent(&self) -> Self {
        Self::new(self.cancel.clone(), || {})
    }

    /// The token that stops this work.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// `Err` once a stop was asked for; call it at every batch.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Begins a stage of `total` units, counted in `unit`.
    pub fn stage(&self, stage: impl Into<String>, total: Option<u64>, unit: &'static str) {
        self.stage_from(stage, 0, total, unit);
    }

    /// Goes on with a stage of which `done` units were finished earlier.
    pub fn stage_from(&self, stage: impl Into<String>, done: u64, total: Option<u64>, unit: &'static str) {
        let mut cell = self.lock();
        cell.progress = Progress { stage: stage.into(), done, total, unit, begun_at: done, ..Progress::default() };
        cell.stage_began = Instant::now();
        cell.last_wake = None;
        drop(cell);
        self.wake();
    }

    /// Says what is done now within the stage under way, whose count and clock go on.
    pub fn rename(&self, stage: impl Into<String>) {
        self.lock().progress.stage = stage.into();
        self.wake();
    }

    /// Adds finished units and polls the cancel token.
    pub fn advance(&self, units: u64) -> Result<()> {
        {
            let mut cell = self.lock();
            cell.progress.done += units;
            cell.progress.underway = 0.0;
        }
        self.wake();
        self.check()
    }

    /// Says how many units' worth of work is done on those not yet finished; [`Ticket::advance`] takes it back.
    pub fn underway(&self, units: f64) {
        self.lock().progress.underway = units;
        self.wake();
    }

    /// A copy of the state now.
    pub fn progress(&self) -> Progress {
        let cell = self.lock();
        Progress { elapsed_secs: cell.stage_began.elapsed().as_secs_f64(), ..cell.progress.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, ProgressCell> {
        // A panic in another holder leaves plain numbers behind, which are still fine to show.
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let mut cell = self.lock();
        if cell.last_wake.is_none_or(|at| at.elapsed() >= WAKE_EVERY) {
            cell.last_wake = Some(Instant::now());
            drop(cell);
            (self.waker)();
        }
    }
}
