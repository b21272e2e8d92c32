//! The repair that a plan was measured with, which lies beside the plan's file.

use std::path::{Path, PathBuf};

use crate::analysis::Document;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::pruning::{REPAIR, Report};
use crate::repair::{Repair, RepairMode};

const LEFT_OUT: &str = "put it elsewhere, or leave it out with --repair none";

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
    /// saved with its repair beside it. `None` where there is none. Of the file only the record is read.
    ///
    /// # Errors
    /// Something lies where the repair of the plan would, and it cannot be read.
    pub fn of(path: &Path, plan: &Plan) -> Result<Option<Self>> {
        let found = match Report::read(path) {
            // Where of all ways none did best, no file was written.
            Ok(report) => report.repair.map(|repair| (repair.mode, path.with_file_name(REPAIR))),
            Err(_) => {
                let file = Repair::path_beside(path);
                match searched_with(plan) {
                    Some(mode) => Some((mode, file)),
                    None if file.exists() => {
                        let unread = |error| Error::new(format!("the repair beside the plan cannot be read: {error}"));
                        let record = Repair::record_at(&file).map_err(|error| unread(error).hint(LEFT_OUT))?;
                        Some((record.mode, file))
                    }
                    None => None,
                }
            }
        };
        Ok(found.filter(|(mode, _)| mode.repairs()).map(|(mode, file)| Self { mode, file }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::ModelInfo;
    use crate::repair::RepairRecord;

    #[test]
    fn the_record_beside_a_plan_says_how_it_was_repaired_and_what_is_no_repair_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, plan) = (scratch.path().join("p.json"), Plan::default());
        assert_eq!(OwnRepair::of(&path, &plan).unwrap(), None);
        let file = Repair::path_beside(&path);
        let record = RepairRecord {
            mode: RepairMode::Scale,
            model: ModelInfo::default(),
            input: String::new(),
            readings: Vec::new(),
            tokens: 0,
            kept: Default::default(),
            method: String::new(),
            // A layer whose tensors are not in the file: they are not asked for.
            sites: [("encoder.0".parse().unwrap(), SITE)].into_iter().collect(),
            measured: Vec::new(),
            notes: Vec::new(),
        };
        Repair::new(record).write(&file).unwrap();
        assert!(Repair::read(&file).is_err());
        assert_eq!(
            OwnRepair::of(&path, &plan).unwrap(),
            Some(OwnRepair { mode: RepairMode::Scale, file: file.clone() })
        );
        std::fs::write(&file, "torn").unwrap();
        let error = OwnRepair::of(&path, &plan).unwrap_err().to_string();
        assert!(error.contains("p.repair.safetensors") && error.contains("--repair none"), "{error}");
    }

    const SITE: crate::repair::SiteRepair =
        crate::repair::SiteRepair { tokens: 1, ridge: 0.0, masked: 1.0, fitted: 0.5, held_out: None };
}
