//! What the folder of a run holds, told without going on with it.

use std::path::{Path, PathBuf};

use super::folder::RunFolder;
use super::summary::{TrainingEnd, TrainingSummary};
use crate::checkpoint::read_file;
use crate::training::{MetricsLog, Record};

/// A run as its folder shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundRun {
    /// The folder.
    pub out: PathBuf,
    /// What was recorded, oldest first.
    pub records: Vec<Record>,
    /// What it came to; `None` where it was not carried to its end.
    pub summary: Option<TrainingSummary>,
    /// Whether it can be gone on with.
    pub is_resumable: bool,
}

impl FoundRun {
    /// The run in `out`; `None` where there is none that ended, or that could be gone on with.
    pub fn at(out: &Path) -> Option<Self> {
        let folder = RunFolder::at(out);
        let bytes = read_file(folder.inside("summary.json")).ok();
        let summary: Option<TrainingSummary> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // What is known of the quality is written at every stage; the parameters of the result at the last one.
        let is_done = |s: &TrainingSummary| s.outcome == TrainingEnd::Done && s.parameters_after > 0;
        let summary = summary.filter(|summary| is_done(summary) && out.join("config.json").is_file());
        let is_resumable = summary.is_none() && folder.has_state();
        let records = MetricsLog::readable(&folder.metrics());
        (summary.is_some() || is_resumable).then(|| Self { out: out.to_path_buf(), records, summary, is_resumable })
    }
}
