//! Cancel tokens and progress cells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pace::{Pace, StageTime};
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
    /// Seconds that a unit of this stage takes now, where that is known better than by their mean: without the first ones.
    pub pace_secs: Option<f64>,
    /// The shares of the whole work at which this stage begins and ends, where it is one of several.
    pub part: Option<[f64; 2]>,
    /// The share of the whole that was done before this stage, and the seconds that it took; an earlier attempt's is none.
    pub before: (f64, f64),
}

impl Progress {
    /// Share done in `0..=1` of the whole work, or of this stage where it is all that is known of.
    pub fn fraction(&self) -> Option<f64> {
        match self.part {
            Some([from, to]) => Some(from + (to - from) * self.of_stage().unwrap_or(0.0)),
            None => self.of_stage(),
        }
    }

    /// Share done of this stage, where its total is known.
    fn of_stage(&self) -> Option<f64> {
        self.total.filter(|t| *t > 0).map(|t| ((self.done as f64 + self.underway) / t as f64).min(1.0))
    }

    /// Expected seconds to the end of the whole work, or of this stage where it is all that is known of; `None` where
    /// nothing is done yet by which they could be told. What comes after this stage is foretold by the pace of all that was
    /// done, so that a stage that takes longer than was thought moves it little.
    pub fn remaining_secs(&self) -> Option<f64> {
        let of_stage = self.stage_secs();
        let Some([from, to]) = self.part else { return of_stage.map(|(left, _)| left) };
        let (share, secs) = self.before;
        match of_stage {
            // All of the stage takes its whole part.
            Some((left, whole)) if to > from => Some(left + (secs + whole) * (1.0 - to).max(0.0) / (share + to - from)),
            // Of a stage that does not count, or has counted nothing yet, what went before tells.
            // Once it took longer than all of the rest was to take, nothing does.
            None if share > 0.0 => {
                Some(secs * (1.0 - from).max(0.0) / share - self.elapsed_secs).filter(|left| *left > 0.0)
            }
            _ => None,
        }
    }

    /// Seconds to the end of this stage, and those of all of it.
    fn stage_secs(&self) -> Option<(f64, f64)> {
        let total = self.total?;
        let done = self.done.saturating_sub(self.begun_at) as f64 + self.underway;
        let left = (total.saturating_sub(self.done) as f64 - self.underway).max(0.0);
        let pace = self.pace_secs.or((done > 0.0).then(|| self.elapsed_secs / done))?;
        Some((pace * left, pace * total as f64))
    }
}

type Waker = Arc<dyn Fn() + Send + Sync>;

struct ProgressCell {
    progress: Progress,
    stage_began: Instant,
    /// When the last unit was finished, or the stage began.
    last_step: Instant,
    pace: Pace,
    last_wake: Option<Instant>,
    /// When the first stage began that is a part of a whole, and the share at which it did.
    whole_began: Option<(Instant, f64)>,
    /// The stages that ended, where they are recorded.
    record: Option<Vec<StageTime>>,
}

impl ProgressCell {
    /// Keeps what the stage under way took.
    fn end_stage(&mut self) {
        let Some(record) = &mut self.record else { return };
        let Progress { stage, unit, done, begun_at, .. } = &self.progress;
        record.push(StageTime {
            stage: stage.clone(),
            unit,
            done: done.saturating_sub(*begun_at),
            secs: self.stage_began.elapsed().as_secs_f64(),
            tail_secs: self.last_step.elapsed().as_secs_f64(),
            each_secs: self.pace.each(),
        });
    }

    /// What was done of the whole before a stage that fills `part` of it. A stage of no part begins anew.
    fn before(&mut self, part: Option<[f64; 2]>) -> (f64, f64) {
        let Some([from, _]) = part else {
            self.whole_began = None;
            return (0.0, 0.0);
        };
        let (began, share) = *self.whole_began.get_or_insert_with(|| (Instant::now(), from));
        (from - share, began.elapsed().as_secs_f64())
    }

    fn begin(&mut self, progress: Progress) {
        self.progress = progress;
        (self.stage_began, self.last_step) = (Instant::now(), Instant::now());
        (self.pace, self.last_wake) = (Pace::default(), None);
    }
}

/// What work holds while it runs: it says how far it is and asks whether to go on.
#[derive(Clone)]
pub struct Ticket {
    cancel: CancelToken,
    cell: Arc<Mutex<ProgressCell>>,
    waker: Waker,
    /// The share of the whole that stages of this ticket fill, where it is for a part.
    part: Option<[f64; 2]>,
    /// Units' worth of work that earlier rounds over those under way did, and the share that this one does.
    lap: (f64, f64),
    /// What its stages are for, where they say so.
    purpose: Option<&'static str>,
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
        let (progress, stage_began) = (Progress::default(), Instant::now());
        let (last_step, pace) = (stage_began, Pace::default());
        let (last_wake, whole_began, record) = (None, None, None);
        let cell = ProgressCell { progress, stage_began, last_step, pace, last_wake, whole_began, record };
        Self {
            cancel,
            cell: Arc::new(Mutex::new(cell)),
            waker: Arc::new(waker),
            part: None,
            lap: (0.0, 1.0),
            purpose: None,
        }
    }

    /// Tickets for parts of this work that follow each other and take such shares of its time: one bar for all of them.
    #[must_use]
    pub fn parts<const N: usize>(&self, weights: [f64; N]) -> [Self; N] {
        let mut parts = self.parts_of(&weights).into_iter();
        weights.map(|_| parts.next().unwrap_or_else(|| self.clone()))
    }

    /// [`Ticket::parts`] of as many as there are weights.
    #[must_use]
    pub fn parts_of(&self, weights: &[f64]) -> Vec<Self> {
        let whole: f64 = weights.iter().sum();
        let [from, to] = self.part.unwrap_or([0.0, 1.0]);
        let at = |share: f64| if whole > 0.0 { from + (to - from) * (share / whole).min(1.0) } else { to };
        let mut before = 0.0;
        let part = |weight: &f64| {
            let part = [at(before), at(before + weight)];
            before += weight;
            Self { part: Some(part), ..self.clone() }
        };
        weights.iter().map(part).collect()
    }

    /// A ticket whose stages say what they are for: `random heads: score`.
    #[must_use]
    pub fn named(&self, purpose: &'static str) -> Self {
        Self { purpose: Some(purpose), ..self.clone() }
    }

    /// A stage with what it is for.
    fn told(&self, stage: impl Into<String>) -> String {
        let stage = stage.into();
        match self.purpose {
            Some(purpose) => format!("{purpose}: {stage}"),
            None => stage,
        }
    }

    /// Everything of this part is done, however many units it took: what ends before its last unit leaves no gap.
    pub fn over(&self) {
        let to = self.part.map_or(1.0, |[_, to]| to);
        let mut cell = self.lock();
        if cell.progress.part.is_none() {
            return;
        }
        let reached = cell.progress.fraction().unwrap_or(0.0);
        cell.progress.part = Some([to.max(reached); 2]);
        drop(cell);
        self.wake();
    }

    /// A ticket for the `lap`-th of `laps` rounds over the same `units`, which are finished together: each does its share.
    #[must_use]
    pub fn lap(&self, lap: usize, laps: usize, units: usize) -> Self {
        let share = 1.0 / laps.max(1) as f64;
        Self { lap: (share * (lap * units) as f64, share), ..self.clone() }
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
        // A part may have several stages, of which nobody knows the lengths: each fills what is left of it.
        let reached = cell.progress.fraction().filter(|_| cell.progress.part.is_some()).unwrap_or(0.0);
        let part = self.part.map(|[from, to]| [from.max(reached), to.max(reached)]);
        let (stage, begun_at) = (self.told(stage), done);
        cell.end_stage();
        let before = cell.before(part);
        cell.begin(Progress { stage, done, total, unit, begun_at, part, before, ..Progress::default() });
        drop(cell);
        self.wake();
    }

    /// Says what is done now within the stage under way, whose count and clock go on.
    pub fn rename(&self, stage: impl Into<String>) {
        self.lock().progress.stage = self.told(stage);
        self.wake();
    }

    /// Says how many units the stage under way has in all, by what is known now; never fewer than are done.
    pub fn expect(&self, total: u64) {
        {
            let mut cell = self.lock();
            cell.progress.total = Some(total.max(cell.progress.done));
        }
        self.wake();
    }

    /// Adds finished units and polls the cancel token.
    pub fn advance(&self, units: u64) -> Result<()> {
        {
            let mut cell = self.lock();
            // Where no unit was finished, the time goes on to the one under way: of a download, pieces of a megabyte.
            if units > 0 {
                let secs = cell.last_step.elapsed().as_secs_f64();
                cell.pace.step(units, secs);
                cell.last_step = Instant::now();
                cell.progress.done += units;
            }
            cell.progress.underway = 0.0;
        }
        self.wake();
        self.check()
    }

    /// Says how many units' worth of work is done on those not yet finished; [`Ticket::advance`] takes it back.
    pub fn underway(&self, units: f64) {
        let (before, share) = self.lap;
        self.lock().progress.underway = before + share * units;
        self.wake();
    }

    /// A copy of the state now.
    pub fn progress(&self) -> Progress {
        let cell = self.lock();
        let pace_secs = cell.pace.now(cell.last_step.elapsed().as_secs_f64());
        Progress { elapsed_secs: cell.stage_began.elapsed().as_secs_f64(), pace_secs, ..cell.progress.clone() }
    }

    /// Runs `work` and tells what each of its stages took; what comes before the first is none.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn record<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<(T, Vec<StageTime>)> {
        self.lock().record = Some(Vec::new());
        let done = work(self);
        let mut cell = self.lock();
        cell.end_stage();
        let stages = cell.record.take().unwrap_or_default();
        // The stage that was under way before is none of them.
        Ok((done?, stages.into_iter().skip(1).collect()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_one_bar_that_never_goes_back() {
        let ticket = Ticket::default();
        let [first, second] = ticket.parts([2.0, 1.0]);
        first.stage("compare", Some(4), "batches");
        first.advance(2).unwrap();
        let near = |share: f64| {
            let found = ticket.progress().fraction().unwrap();
            assert!((found - share).abs() < 1e-12, "{found}, not {share}");
        };
        near(1.0 / 3.0);
        first.advance(2).unwrap();
        // Parts of a part.
        let [a, b] = second.parts([1.0, 1.0]);
        a.stage("read", None, "lines");
        near(2.0 / 3.0);
        a.stage("sum", Some(10), "batches");
        a.advance(10).unwrap();
        near(5.0 / 6.0);
        // Of another stage of the same part only what is left of it is filled.
        a.stage("refit", Some(10), "layers");
        a.advance(5).unwrap();
        near(5.0 / 6.0);
        b.stage("evaluate", Some(2), "batches");
        b.advance(1).unwrap();
        near(11.0 / 12.0);
        b.advance(1).unwrap();
        near(1.0);
        // Stages of no part are told by themselves.
        ticket.stage("write", Some(2), "tensors");
        near(0.0);
    }

    #[test]
    fn what_ends_early_leaves_no_gap_and_what_comes_late_does_not_go_back() {
        let ticket = Ticket::default();
        let shown = || ticket.progress().fraction().unwrap();
        let [search, rest] = ticket.parts([3.0, 1.0]);
        let all = search.parts_of(&[1.0; 6]);
        all[5].stage("search", Some(8), "batches");
        all[5].advance(8).unwrap();
        // A part before it.
        all[1].stage("refit", Some(2), "layers");
        assert!((shown() - 0.75).abs() < 1e-12);
        rest.stage("fit", Some(4), "layers");
        rest.advance(1).unwrap();
        rest.over();
        assert_eq!((shown(), ticket.progress().remaining_secs()), (1.0, None));
        // Where parts were told of, all of them are over with the whole.
        let [first, _] = ticket.parts([1.0, 1.0]);
        first.stage("read", None, "lines");
        ticket.over();
        assert_eq!(shown(), 1.0);
        // Of no part there is nothing to end.
        ticket.stage("write", Some(2), "tensors");
        ticket.over();
        assert_eq!(shown(), 0.0);
    }

    #[test]
    fn rounds_over_the_same_units_each_do_a_share_of_them() {
        let ticket = Ticket::default();
        ticket.stage("compare", Some(8), "batches");
        let mut seen = Vec::new();
        for lap in 0..2 {
            let round = ticket.lap(lap, 2, 4);
            for batches in [0.0, 2.0, 4.0] {
                round.underway(batches);
                seen.push(ticket.progress().fraction().unwrap());
            }
        }
        ticket.advance(4).unwrap();
        seen.push(ticket.progress().fraction().unwrap());
        assert_eq!(seen, [0.0, 0.125, 0.25, 0.25, 0.375, 0.5, 0.5]);
    }

    #[test]
    fn the_time_to_the_end_follows_the_speed_of_now() {
        // The first of four took 17 of 20 seconds, the second 3: six seconds are left, not twenty.
        let warm = Progress { done: 2, total: Some(4), elapsed_secs: 20.0, ..Progress::default() };
        assert_eq!(warm.remaining_secs(), Some(20.0));
        assert_eq!(Progress { pace_secs: Some(3.0), ..warm }.remaining_secs(), Some(6.0));
    }

    #[test]
    fn what_is_left_follows_what_is_known_of_the_whole() {
        let ticket = Ticket::default();
        ticket.stage("search", Some(40), "batches");
        ticket.advance(10).unwrap();
        ticket.expect(20);
        assert_eq!(ticket.progress().fraction(), Some(0.5));
        ticket.expect(5);
        assert_eq!(ticket.progress().fraction(), Some(1.0));
    }

    #[test]
    fn a_unit_that_comes_in_pieces_takes_the_time_of_all_of_them() {
        let ticket = Ticket::default();
        ticket.stage("download", Some(9), "MB");
        for _ in 0..2 {
            for units in [0, 0, 0, 1] {
                std::thread::sleep(Duration::from_millis(10));
                ticket.advance(units).unwrap();
            }
        }
        let left = ticket.progress().remaining_secs().unwrap();
        assert!(left >= 7.0 * 0.040, "{left}");
    }

    #[test]
    fn stages_are_recorded_with_what_a_unit_took() {
        let ticket = Ticket::default();
        ticket.stage("before", None, "lines");
        let work = |ticket: &Ticket| {
            ticket.stage("load", None, "tensors");
            ticket.stage("sum", Some(3), "batches");
            for wait in [30, 5, 5] {
                std::thread::sleep(Duration::from_millis(wait));
                ticket.advance(1)?;
            }
            Ok(7)
        };
        let (found, stages) = ticket.record(work).unwrap();
        assert_eq!((found, stages.iter().map(|s| s.stage.as_str()).collect::<Vec<_>>()), (7, vec!["load", "sum"]));
        assert_eq!((stages[0].done, stages[0].each_secs), (0, None));
        let each = stages[1].each_secs.unwrap();
        assert!(each >= 0.005 && stages[1].secs >= 0.030 + 2.0 * each && stages[1].done == 3, "{stages:?}");
    }

    #[test]
    fn the_time_to_the_end_covers_the_parts_that_follow() {
        let progress = |part| Progress { done: 1, total: Some(4), elapsed_secs: 2.0, part, ..Progress::default() };
        assert_eq!(progress(None).remaining_secs(), Some(6.0));
        // A stage of 8 seconds is half of the whole, so that another 8 follow.
        assert_eq!(progress(Some([0.0, 0.5])).remaining_secs(), Some(14.0));
        assert_eq!(progress(Some([0.5, 1.0])).remaining_secs(), Some(6.0));
        assert_eq!(progress(Some([1.0, 1.0])).remaining_secs(), None);
        // Half of the whole took 40 seconds; this quarter takes 8, so that the last one is taken to be 16.
        let later = Progress { before: (0.5, 40.0), ..progress(Some([0.5, 0.75])) };
        assert_eq!(later.remaining_secs(), Some(6.0 + 16.0));
        // A stage that does not count goes by what was: 40 seconds are left, of which 2 are over.
        let uncounted = Progress { total: None, done: 0, ..later };
        assert_eq!(uncounted.remaining_secs(), Some(38.0));
        // One that takes longer than all of that tells nothing any more.
        assert_eq!(Progress { elapsed_secs: 41.0, ..uncounted }.remaining_secs(), None);
    }
}
