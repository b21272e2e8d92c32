//! Workers under way: at most one of each kind, polled once per frame. An export goes on when another model is opened, as
//! work on the model that it was begun for: there may be one for each model.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::autosave::Work;
use super::purpose::PathPurpose;
use super::repairing::{FoundMoments, MadeRepair};
use crate::analysis::{Analysis, Grouping};
use crate::chart::SideBySide;
use crate::corpus::{Input, InputPreview};
use crate::error::Result;
use crate::evaluation::Measured;
use crate::evaluation::curve::Curves;
use crate::hub::{CachedModel, HubName};
use crate::network::{FeatureMap, Head, Site};
use crate::plan::Plan;
use crate::pruning::Report;
use crate::repair::Repair;
use crate::run::{AttentionInput, BatchChoices, Patterns, RunEstimate, Spec};
use crate::task::{Progress, Runner, Task, TaskState, Ticket};
use crate::tensor::DeviceChoice;
use crate::training::TrainingSummary;
use crate::words::{counted, duration_in_words};
use crate::workspace::{ComparedPlan, OpenedPath, Proposal};

/// Work that went on for less is begun again as soon as it was begun.
const MISSED_FROM: Duration = Duration::from_secs(5);

/// So long the buttons that end a work mind no click: the second one of a double-click on the button that began it lands on
/// them.
pub(super) const FIRST_MOMENT: Duration = Duration::from_secs(1);

/// What stops the work on the model that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Opening another model, or the same one anew.
    Open,
    Close,
    StartAfresh,
}

impl NextStep {
    /// As a verb behind *Stop and*.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::StartAfresh => "start afresh",
        }
    }
}

/// Heads whose patterns are computed at once.
pub(super) const MOST_PATTERNS: usize = 16;

/// What a worker is for. A new one of a kind replaces the old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Opening whatever lies at a path.
    Open,
    /// Running the model over its input.
    Analyze,
    /// How long a run will take.
    Estimate,
    /// The first rows of the input.
    Rows,
    /// Quality of one plan.
    Measure,
    /// The smallest plan within a budget of quality, with the repair that it was measured with.
    FindPlan,
    /// Quality against the share of heads kept.
    Curves,
    /// What every batch would keep if it chose by itself.
    AskBatches,
    /// New output projections for a plan.
    Repair,
    /// Choosing heads by reconstruction.
    Propose,
    /// What plans would leave and save.
    Cost,
    /// Another analysis or model beside what is open.
    Compare,
    /// Writing a pruned checkpoint.
    Export,
    /// Training with the group constraint.
    Train,
    Attention,
    /// Grouping a layer anew.
    Regroup,
    /// Looking for devices to compute on.
    Devices,
    /// Looking into the hub's cache.
    Cached,
    /// Downloading a model into it.
    Download,
    Tidy,
    /// A file dialog of the system.
    Dialog,
    /// Writing settings and the workspace by itself.
    Autosave,
    /// Writing a file that a person asked for.
    Save,
}

impl JobKind {
    /// Whether it is of no use once another model is open. Exports and training go on: what they write is something for
    /// another.
    pub fn is_of_one_model(self) -> bool {
        matches!(
            self,
            Self::Analyze
                | Self::Estimate
                | Self::Rows
                | Self::Measure
                | Self::FindPlan
                | Self::Compare
                | Self::Curves
                | Self::AskBatches
                | Self::Repair
                | Self::Propose
                | Self::Cost
                | Self::Attention
                | Self::Regroup
        )
    }

    /// False for work that is over before a person could want to watch it.
    pub fn is_shown(self) -> bool {
        !matches!(
            self,
            Self::Devices
                | Self::Rows
                | Self::Cached
                | Self::Tidy
                | Self::Dialog
                | Self::Autosave
                | Self::Regroup
                | Self::Attention
                | Self::Propose
                | Self::Cost
        )
    }
}

/// What a worker hands back.
pub enum JobOutcome {
    /// What lay at a path, and what could not be brought back with it.
    Opened(OpenedPath, Vec<String>),
    /// What a run found out, and the seconds that the network took for what it read.
    Analyzed(Arc<Analysis>, Option<FoundMoments>, f64),
    /// The first rows of an input, where it has some.
    Previewed(Input, Result<Option<InputPreview>>),
    /// What a run with these settings will read, and how long it takes.
    Estimated(Box<Spec>, RunEstimate),
    /// Quality of one plan, masked and as it is repaired, with the repair.
    Measured(Vec<Measured>, Option<Box<MadeRepair>>),
    /// A repair of a plan.
    Repaired(Box<MadeRepair>),
    /// What reconstruction chose from the results of this revision, proposal by proposal.
    Proposed(u64, Vec<(Proposal, Result<Plan>)>),
    /// What batches would keep, each by itself, of the results of this revision and as this proposal asks.
    BatchChoices(u64, Box<Proposal>, BatchChoices),
    /// What the plans of this revision would do, in their order.
    Compared(u64, Vec<ComparedPlan>),
    /// The smallest plan within a budget of quality, with the repair that it was measured with.
    FoundPlan(Box<Plan>, Option<Box<Repair>>),
    /// Another analysis or model beside what is open.
    SideBySide(Box<SideBySide>),
    /// Quality against the share of heads kept, and whether all of it was measured.
    Curves(Box<Curves>, bool),
    /// A pruned checkpoint with its proof, and the repair that is in it.
    Exported(PathBuf, Box<Report>, Option<Box<MadeRepair>>),
    /// A trained model in this folder.
    Trained(PathBuf, Box<TrainingSummary>),
    /// Attention patterns of these heads on this input.
    Patterns(AttentionKey, Box<Patterns>),
    /// Another grouping of a layer.
    Regrouped(RegroupKey, Grouping),
    /// Where this machine can compute.
    Devices(Vec<DeviceChoice>),
    /// A model lies in the hub's cache now.
    Downloaded(HubName),
    /// What lies in the hub's cache.
    Cached(Result<Vec<CachedModel>>),
    /// What was chosen in a dialog, and whether it closed too soon for a person to have seen it.
    Chosen(PathPurpose, Option<PathBuf>, bool),
    /// A file that a person asked for was written.
    Written(PathBuf),
    /// A workspace was written, with the work as it stood then.
    Saved(PathBuf, Option<Box<Work>>),
    /// Settings and workspace were written; where the work of another window on the same model is kept.
    Autosaved(Option<PathBuf>),
    /// Old autosaves were removed.
    Tidied(Vec<PathBuf>),
}

/// Which attention patterns: the input and the heads.
pub(super) type AttentionKey = (AttentionInput, Vec<Head>);

/// Which grouping: of which result, layer, map, into how many groups.
pub(super) type RegroupKey = (u64, Site, FeatureMap, usize);

/// A worker as the task list shows it.
pub struct Job {
    /// A number that no other has.
    pub id: u64,
    /// What it is for.
    pub kind: JobKind,
    /// Fingerprint of the model that was open when it began.
    model: Option<String>,
    /// What it does, for a person.
    pub title: String,
    /// How far it is.
    pub progress: Progress,
    began: Instant,
    task: Task<JobOutcome>,
}

impl Job {
    /// How far it is, in words.
    pub fn words(&self) -> String {
        if self.is_cancelling() { "Stopping at the next safe point".to_owned() } else { words(&self.progress) }
    }

    /// Whether it began a moment ago, so that a click may still be one on what began it.
    pub fn has_just_begun(&self) -> bool {
        self.began.elapsed() < FIRST_MOMENT
    }

    /// True once a stop was asked for.
    pub fn is_cancelling(&self) -> bool {
        self.task.is_cancelling()
    }
}

/// A worker that ended.
pub struct Ended {
    /// What it was for.
    pub kind: JobKind,
    pub title: String,
    /// Whether the model that it began with is open still.
    pub is_here: bool,
    pub result: Result<JobOutcome>,
}

/// All workers under way.
pub struct Jobs {
    runner: Runner,
    running: Vec<Job>,
    /// Fingerprint of the model that is open.
    model: Option<String>,
    begun: u64,
}

impl Jobs {
    /// No workers; later ones wake the window through `waker`.
    pub fn new(waker: impl Fn() + Send + Sync + 'static) -> Self {
        Self { runner: Runner::new(waker), running: Vec::new(), model: None, begun: 0 }
    }

    /// Another model is open from now on, or none.
    pub fn set_model(&mut self, fingerprint: Option<String>) {
        self.model = fingerprint;
    }

    /// Whether a worker has to do with what is open.
    fn is_here(&self, job: &Job) -> bool {
        job.kind != JobKind::Export || job.model == self.model
    }

    /// Whether a worker of a kind is at work on another model than the one that is open.
    pub fn is_elsewhere(&self, kind: JobKind) -> bool {
        self.running.iter().any(|job| job.kind == kind && job.model != self.model)
    }

    /// Starts a worker. One of the same kind is canceled and its result is dropped.
    pub fn start(
        &mut self,
        kind: JobKind,
        title: impl Into<String>,
        work: impl FnOnce(&Ticket) -> Result<JobOutcome> + Send + 'static,
    ) {
        self.cancel(kind);
        let running = std::mem::take(&mut self.running);
        self.running = running.into_iter().filter(|job| job.kind != kind || !self.is_here(job)).collect();
        let title = title.into();
        let task = self.runner.spawn(title.clone(), work);
        self.begun += 1;
        let model = self.model.clone();
        let (progress, began) = (Progress::default(), Instant::now());
        self.running.push(Job { id: self.begun, kind, model, title, progress, began, task });
    }

    /// Asks the worker of a kind to stop.
    pub fn cancel(&self, kind: JobKind) {
        self.running.iter().filter(|job| job.kind == kind && self.is_here(job)).for_each(|job| job.task.cancel());
    }

    /// Asks the worker with this number to stop.
    pub fn cancel_one(&self, id: u64) {
        self.running.iter().filter(|job| job.id == id).for_each(|job| job.task.cancel());
    }

    /// Asks the workers on one model to stop and drops what they would bring; names those that a person could see.
    pub fn abandon_model(&mut self) -> Vec<String> {
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(|job| job.kind.is_of_one_model());
        self.running = stay;
        gone.iter().for_each(|job| job.task.cancel());
        gone.into_iter().filter(|job| job.kind.is_shown()).map(|job| job.title).collect()
    }

    /// Asks every worker that a person can see to stop.
    pub fn cancel_all(&self) {
        self.running.iter().filter(|job| job.kind.is_shown()).for_each(|job| job.task.cancel());
    }

    pub fn running(&self) -> &[Job] {
        &self.running
    }

    /// The worker of a kind.
    pub fn get(&self, kind: JobKind) -> Option<&Job> {
        self.running.iter().find(|job| job.kind == kind && self.is_here(job))
    }

    /// Workers that a person can see.
    pub fn shown(&self) -> impl Iterator<Item = &Job> {
        self.running.iter().filter(|job| job.kind.is_shown())
    }

    /// Work that would be missed if `step` were taken: it stops what has gone on for a while.
    pub fn missed_by(&self, step: NextStep) -> impl Iterator<Item = &Job> {
        let is_stopped = move |job: &&Job| step == NextStep::Close || job.kind.is_of_one_model();
        self.shown()
            .filter(|job| job.kind != JobKind::Open && !job.is_cancelling() && job.began.elapsed() >= MISSED_FROM)
            .filter(is_stopped)
    }

    /// Looks at every worker without waiting and takes out those that ended.
    pub fn poll(&mut self) -> Vec<Ended> {
        let (mut ended, model) = (Vec::new(), &self.model);
        self.running.retain_mut(|job| match job.task.poll() {
            TaskState::Running(progress) => {
                job.progress = progress;
                true
            }
            TaskState::Ended(result) => {
                let (title, is_here) = (std::mem::take(&mut job.title), job.model == *model);
                ended.push(Ended { kind: job.kind, title, is_here, result });
                false
            }
        });
        ended
    }
}

/// Progress in words: stage, counts, time left.
fn words(progress: &Progress) -> String {
    let mut text = progress.stage.clone();
    match progress.total {
        Some(total) => text.push_str(&format!("  {} of {}", progress.done, counted(total, progress.unit))),
        None if progress.done > 0 => text.push_str(&format!("  {}", counted(progress.done, progress.unit))),
        None => {}
    }
    if let Some(left) = progress.remaining_secs().filter(|_| progress.elapsed_secs > 1.0) {
        text.push_str(&format!("  {} left", duration_in_words(left)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_as_a_sentence() {
        let progress = Progress {
            stage: "analyzing".to_owned(),
            done: 30,
            total: Some(40),
            unit: "batches",
            elapsed_secs: 90.0,
            ..Progress::default()
        };
        assert_eq!(words(&progress), "analyzing  30 of 40 batches  30 s left");
        assert_eq!(words(&Progress { total: None, ..progress }), "analyzing  30 batches");
    }
}
