//! The repair that a plan was measured with, which lies beside the plan's file.

use std::path::{Path, PathBuf};

use crate::analysis::Document;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::pruning::{REPAIR, Report};
use crate::repair::{Repair, RepairMode};

/// The repair that a plan was measured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRepair {
    /// How it was made.
    pub mode: RepairMode,
    /// Where it lies.
    pub file: PathBuf,
}

impl OwnRepair {
    /// That of the plan at `path`: of the record of an export, of a plan that was searched for with repair, or of one that was
    /// saved with its repair beside it. `None` where there is none.
    pub fn of(path: &Path, plan: &Plan) -> Option<Self> {
        let (mode, file) = match Report::read(path) {
            // Where of all ways none did best, no file was written.
            Ok(report) => (report.repair?.mode, path.with_file_name(REPAIR)),
            Err(_) => {
                let file = Repair::path_beside(path);
                let saved = || Some(Repair::read(&file).ok()?.record.mode);
                (searched_with(plan).or_else(saved)?, file)
            }
        };
        mode.repairs().then_some(Self { mode, file })
    }

    /// The file.
    ///
    /// # Errors
    /// It is not there.
    pub fn found(&self) -> Result<&Path> {
        if self.file.is_file() {
            return Ok(&self.file);
        }
        let Self { mode, file } = self;
        let what = format!("the plan was measured with a repair by {mode} that is not there: {}", file.display());
        Err(Error::usage(what).hint("name another with --repair, or leave it out with --repair none"))
    }
}

/// How the plans of the search that found `plan` were repaired, where they were.
pub fn searched_with(plan: &Plan) -> Option<RepairMode> {
    let mode: RepairMode = plan.budget.as_ref()?.repair.parse().ok()?;
    mode.repairs().then_some(mode)
}
