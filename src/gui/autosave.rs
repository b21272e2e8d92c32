//! What the window wrote by itself, and what changed since.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::analysis::Analysis;
use crate::workspace::{ModelRef, ProgramSettings, Workspace};

/// What was written last, and when something changed since.
#[derive(Default)]
pub(super) struct Autosave {
    pub written: Option<(ProgramSettings, Workspace)>,
    pub changed_at: Option<Instant>,
    pub seen: Option<Fingerprint>,
    /// The work as it stands in the file that a person named.
    pub in_file: Option<Work>,
    /// Take the work of this frame for what stands in that file.
    pub is_fresh: bool,
    /// Snapshots that were taken.
    pub taken: u64,
    pub disk: Arc<Mutex<OnDisk>>,
    /// Files with the work of other windows that a person knows of.
    pub told: HashSet<PathBuf>,
}

impl Autosave {
    /// The work as it is now stands in its file.
    pub(super) fn mark_written(&mut self) {
        self.is_fresh = true;
    }

    /// Whether there is work that the file does not hold.
    pub(super) fn is_edited(&self) -> bool {
        self.seen.as_ref().zip(self.in_file.as_ref()).is_some_and(|(seen, file)| seen.work != *file)
    }
}

/// What lies on the disk; workers hold it while they write.
#[derive(Default)]
pub(super) struct OnDisk {
    /// Its snapshot, so that a slow write of an older one never replaces a newer one.
    pub number: u64,
    /// Its model and analysis, which is large and written only when it is another.
    pub analysis: Option<(Option<ModelRef>, Option<Arc<Analysis>>)>,
}

/// What is compared to notice a change without looking at everything.
#[derive(PartialEq)]
pub(super) struct Fingerprint {
    pub settings: ProgramSettings,
    pub work: Work,
    pub site: Option<crate::network::Site>,
    pub feature: Option<crate::network::FeatureMap>,
    pub layout: u64,
}

/// What would be missed.
#[derive(Clone, PartialEq)]
pub struct Work {
    pub run: crate::run::Spec,
    pub training: crate::training::TrainSettings,
    pub repair: crate::repair::RepairMode,
    pub repairs: u64,
    pub quality_measure: Option<String>,
    pub notes: String,
    pub plan_revision: u64,
    pub results: u64,
    pub measured: u64,
}
