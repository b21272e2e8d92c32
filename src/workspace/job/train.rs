//! Training a model with the group constraint, watched as it goes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::corpus::Purpose;
use crate::error::Result;
use crate::model::Model;
use crate::task::Ticket;
use crate::training::{
    self, Beginning, Control, Record, RunOptions, Stage, TrainSettings, TrainingEvent, TrainingRun, TrainingSummary,
};
use crate::workspace::CheckedRun;

/// What a run has told so far.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The stage under way.
    pub stage: Stage,
    /// One record every few steps.
    pub records: Vec<Record>,
    /// Steps of all stages together at which a stage began.
    pub stages: Vec<(u64, Stage)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A run under way: what it told, and how to talk to it.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    told: Arc<Mutex<Told>>,
    /// Pause, stop, vote now.
    pub control: Control,
}

impl Watched {
    /// What it told so far.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: TrainingEvent<'_>) {
        let mut told = self.told();
        match event {
            TrainingEvent::Stage(stage) => {
                let at = told.records.last().map_or(0, |r| r.total_steps);
                told.stage = stage;
                told.stages.push((at, stage));
            }
            TrainingEvent::Record(record) => told.records.push(record.clone()),
            TrainingEvent::Note(note) => told.notes.push(note.to_owned()),
        }
    }
}

/// What to train and where to put it.
#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// How.
    pub settings: TrainSettings,
    /// The folder to write.
    pub out: PathBuf,
    /// From fresh weights instead of the model's.
    pub from_scratch: bool,
    /// Go on with the run that is in the folder.
    pub resume: bool,
}

/// Trains `model` on the run's input; `watched` hears of everything.
pub fn train(
    model: &Model,
    run: &CheckedRun,
    wanted: &TrainRequest,
    watched: &Watched,
    ticket: &Ticket,
) -> Result<TrainingSummary> {
    let mut reading = run.corpus.clone();
    reading.purpose = Purpose::Score;
    let request = TrainingRun {
        model: model.checkpoint().folder().to_path_buf(),
        beginning: if wanted.from_scratch { Beginning::Scratch { vocabulary: None } } else { Beginning::Weights },
        input: run.input.clone(),
        held_out: None,
        reading,
        out: wanted.out.clone(),
        settings: TrainSettings { seed: run.analysis.seed, precision: run.precision, ..wanted.settings.clone() },
    };
    let (device, fallback) = run.device.open()?;
    if let Some(why) = &fallback {
        watched.hear(TrainingEvent::Note(why));
    }
    let options = RunOptions { device, resume: wanted.resume, force: false };
    training::train(&request, &options, &watched.control, &mut |event| watched.hear(event), ticket)
}
