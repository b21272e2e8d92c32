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

/// What is shown of a training.
#[derive(Default)]
pub struct ShownTraining {
    /// The one under way, or the last.
    pub watched: Option<(PathBuf, Watched)>,
    /// What the last one came to.
    pub summary: Option<TrainingSummary>,
    /// Whether what it left in its folder can be gone on with.
    pub is_resumable: bool,
    /// Fingerprint of the model that it was begun with.
    pub of: Option<String>,
    /// The folder of the last one that was begun with the model that is open.
    pub folder: Option<PathBuf>,
}

/// A training that ended.
pub(super) struct PastTraining {
    pub(super) watched: (PathBuf, Watched),
    pub(super) summary: Option<TrainingSummary>,
    pub(super) failure: Option<Error>,
    pub(super) is_resumable: bool,
}
