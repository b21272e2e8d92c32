//! What was made of models that are not open, kept until they are again.

use std::path::PathBuf;

use crate::error::Error;
use crate::pruning::Report;
use crate::run::Watched;
use crate::training::TrainingSummary;

/// What was made of a model in this session.
#[derive(Default)]
pub(super) struct PastWork {
    /// The last export.
    pub(super) exported: Option<(PathBuf, Report)>,
    pub(super) training: Option<PastTraining>,
}

/// What was shown of trainings before another one began: it comes back where that one is refused.
pub(super) struct ShownTraining {
    pub(super) watched: Option<(PathBuf, Watched)>,
    pub(super) summary: Option<TrainingSummary>,
    pub(super) is_resumable: bool,
    pub(super) of: Option<String>,
    pub(super) folder: Option<PathBuf>,
}

/// A training that ended.
pub(super) struct PastTraining {
    pub(super) watched: (PathBuf, Watched),
    pub(super) summary: Option<TrainingSummary>,
    pub(super) failure: Option<Error>,
    pub(super) is_resumable: bool,
}
