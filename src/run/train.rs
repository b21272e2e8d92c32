//! Training a model with the group constraint, and watching it as it goes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checked::no_input;
use super::{BATCH_SIZE, Opened, Spec};
use crate::corpus::{self, Input};
use crate::error::Result;
use crate::task::Ticket;
use crate::tensor::DeviceChoice;
use crate::training::{
    self, Beginning, Control, Record, RunOptions, Stage, TrainSettings, TrainingEvent, TrainingRun, TrainingSummary,
};

/// What to train, on what, how, and where to put it. The model need not be open: a fresh one has no weights yet.
#[derive(Clone, Debug)]
pub struct TrainSpec {
    /// What is read, where, in which type and with which seed.
    pub spec: Spec,
    /// A model folder, or for training from scratch a folder or file with the configuration.
    pub model: PathBuf,
    /// Where the first weights come from.
    pub beginning: Beginning,
    /// Held-out data; a part of the input where absent.
    pub held_out: Option<Input>,
    /// How. Seed, type and held-out part are those of `spec`, where it has one.
    pub settings: TrainSettings,
    /// The folder to write.
    pub out: PathBuf,
    /// Go on with the run that is in the folder.
    pub resume: bool,
    /// Replace a folder that this program wrote.
    pub force: bool,
}

impl TrainSpec {
    /// Training of an open model's weights into a new folder, with the usual settings.
    pub fn new(spec: Spec, opened: &Opened, out: PathBuf) -> Self {
        Self {
            spec,
            model: opened.facts.folder.clone(),
            beginning: Beginning::Weights,
            held_out: None,
            settings: TrainSettings::default(),
            out,
            resume: false,
            force: false,
        }
    }

    /// Finds out whether the run may begin in its folder, or go on there, before anything is computed for it. What is made to
    /// find out is gone again.
    ///
    /// # Errors
    /// Those of [`train`] that the settings and the folder give.
    pub fn check(&self) -> Result<()> {
        let options = RunOptions { resume: self.resume, force: self.force, ..RunOptions::default() };
        training::check_begin(&self.request()?, &options)
    }

    /// The whole run, as its folder records it.
    ///
    /// # Errors
    /// Where no input is named.
    pub fn request(&self) -> Result<TrainingRun> {
        let spec = &self.spec;
        let input = spec.input.clone().ok_or_else(no_input)?;
        Ok(TrainingRun {
            model: self.model.clone(),
            beginning: self.beginning.clone(),
            input,
            held_out: self.held_out.clone(),
            reading: corpus::CorpusSettings {
                batch_size: spec.batch_size.unwrap_or(BATCH_SIZE),
                seq_len: spec.seq_len,
                batches: spec.batches,
                pack: spec.pack,
                preset: spec.preset,
                seed: spec.seed,
                ..corpus::CorpusSettings::default()
            },
            out: self.out.clone(),
            settings: TrainSettings {
                seed: spec.seed,
                precision: spec.precision,
                translation: spec.translation.or(self.settings.translation),
                // What is measured later may not be learned now.
                held_out_every: spec.held_out_every.unwrap_or(self.settings.held_out_every),
                ..self.settings.clone()
            },
        })
    }
}

/// Trains; `observe` is called for every stage, record and note.
///
/// # Errors
/// As [`training::train`].
pub fn train(
    wanted: &TrainSpec,
    control: &Control,
    observe: &mut dyn FnMut(TrainingEvent<'_>),
    ticket: &Ticket,
) -> Result<TrainingSummary> {
    let (resume, force) = (wanted.resume, wanted.force);
    carry_out(&wanted.request()?, (wanted.spec.device, resume, force), control, observe, ticket)
}

/// Goes on with the run in `out` as it was begun, on this device.
///
/// # Errors
/// Where there is no run in the folder; as [`training::train`].
pub fn resume_training(
    out: &Path,
    device: DeviceChoice,
    control: &Control,
    observe: &mut dyn FnMut(TrainingEvent<'_>),
    ticket: &Ticket,
) -> Result<TrainingSummary> {
    // The folder may have been moved since.
    let request = TrainingRun { out: out.to_path_buf(), ..training::request_of(out)? };
    carry_out(&request, (device, true, false), control, observe, ticket)
}

fn carry_out(
    request: &TrainingRun,
    (device, resume, force): (DeviceChoice, bool, bool),
    control: &Control,
    observe: &mut dyn FnMut(TrainingEvent<'_>),
    ticket: &Ticket,
) -> Result<TrainingSummary> {
    let (device, fallback) = device.open()?;
    if let Some(why) = &fallback {
        observe(TrainingEvent::Note(why));
    }
    let options = RunOptions { device, resume, force };
    training::train(request, &options, control, observe, ticket)
}

/// What a run has reported so far.
#[derive(Clone, Debug, Default)]
pub struct TrainingProgress {
    /// The stage under way.
    pub stage: Stage,
    /// One record every few steps.
    pub records: Vec<Record>,
    /// Steps of all stages together at which a stage began.
    pub stages: Vec<(u64, Stage)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl TrainingProgress {
    /// Whether a stage of it began, or one did before it was resumed.
    pub fn has_begun(&self) -> bool {
        !self.stages.is_empty() || !self.records.is_empty()
    }
}

/// A run under way: what it has reported, and how to control it.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    progress: Arc<Mutex<TrainingProgress>>,
    /// Pause, stop, vote now.
    pub control: Control,
}

impl Watched {
    /// What it has reported so far.
    pub fn progress(&self) -> MutexGuard<'_, TrainingProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run of before with these records.
    pub fn of_earlier(records: &[Record]) -> Self {
        let watched = Self::default();
        watched.record(TrainingEvent::Earlier(records));
        watched
    }

    /// Keeps what a run reports.
    pub fn record(&self, event: TrainingEvent<'_>) {
        let mut progress = self.progress();
        match event {
            TrainingEvent::Stage(stage) => {
                let last = progress.records.last();
                let (at, goes_on) = last.map_or((0, false), |record| (record.total_steps, record.stage == stage));
                progress.stage = stage;
                // A resumed stage began where its first record says.
                if !goes_on {
                    progress.stages.push((at, stage));
                }
            }
            TrainingEvent::Record(record) => progress.records.push(record.clone()),
            TrainingEvent::Earlier(records) => {
                let changes = records.windows(2).filter(|pair| pair[0].stage != pair[1].stage);
                progress.stages = changes.map(|pair| (pair[0].total_steps, pair[1].stage)).collect();
                progress.stage = records.last().map_or(progress.stage, |record| record.stage);
                progress.records = records.to_vec();
            }
            TrainingEvent::Note(note) => progress.notes.push(note.to_owned()),
        }
    }
}
