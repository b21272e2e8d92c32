//! The folder of an experiment.
//!
//! | path | what |
//! | --- | --- |
//! | `experiment.json`, `architecture.json` | the request; the architecture of every model |
//! | `origin/` | configuration and tokenizer of every model |
//! | `seed-S/plain`, `seed-S/constrained` | the models with every head |
//! | `seed-S/STEM-votes.json` | analysis of a stem: votes and importance |
//! | `seed-S/ARM/` | the result of an arm, with its records in `training/` |
//! | `seed-S/ARM-repaired/` | the same, repaired before fine-tuning, where that was asked for |
//! | `seed-S/ARM.json` | its figures; an arm that has them is finished |
//! | `table.md`, `table.csv`, `runs.csv`, `results.json` | what came out |
//! | `curves.svg`, `curves.csv` | losses and group measures over the steps |

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Arm, ExperimentPlan, Stem};
use crate::checkpoint::{Taking, WorkFolder, read_file, real_path, write_atomically};
use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::words::first_difference;

const REQUEST: &str = "experiment.json";

/// Paths inside the folder.
#[derive(Debug)]
pub struct ExperimentPaths {
    out: PathBuf,
    work: WorkFolder,
}

impl ExperimentPaths {
    /// Makes the folder of `request`, or finds the experiment in it that is to go on. An occupied folder is refused
    /// unless it is to be resumed, or replaced and holds an experiment.
    pub(super) fn open(request: &ExperimentPlan, resume: bool, force: bool) -> Result<Self> {
        let out = request.out.clone();
        let taking = Taking { noun: "experiment", begun: REQUEST, owns, record: None, resume, force };
        let place = Self { work: WorkFolder::take(&out, taking)?, out: out.clone() };
        let known = out.join(REQUEST);
        if place.work.goes_on() {
            let before: ExperimentPlan = read(&known)?;
            // Both through JSON, which may round the last digit of a number.
            let asked: ExperimentPlan = serde_json::from_str(&serde_json::to_string(request)?)?;
            // However the same file is spelled.
            let of = |plan: ExperimentPlan| {
                serde_json::to_value(ExperimentPlan {
                    out: PathBuf::new(),
                    input: plan.input.real(),
                    held_out: plan.held_out.as_ref().map(Input::real),
                    architecture: plan
                        .architecture
                        .as_deref()
                        .map(|path| real_path(path).unwrap_or_else(|| path.to_path_buf())),
                    ..plan
                })
            };
            if let Some(difference) = first_difference(&of(before)?, &of(asked)?) {
                let what = format!("the experiment in this folder was begun with other settings ({difference})");
                return Err(Error::usage(what)
                    .at(&out)
                    .hint("repeat the command it was begun with, or choose another folder"));
            }
            return Ok(place);
        }
        if let Err(error) = write(&known, request) {
            place.work.undo();
            return Err(error);
        }
        Ok(place)
    }

    /// Whether there is something to go on with. Where there is not, what this call made is removed and what it was to
    /// replace is put back.
    pub(super) fn settle(&self) -> bool {
        let has_begun = fs::read_dir(&self.out).is_ok_and(|mut entries| {
            // A run that fails at once removes its own folder, but not the one around it.
            let holds_work = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut inside| inside.next().is_some());
            entries
                .any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("seed-") && holds_work(&e.path())))
        });
        let is_kept = has_begun || self.work.goes_on();
        if is_kept {
            self.work.settle()
        } else {
            self.work.undo()
        }
        is_kept
    }

    /// A file at the top.
    pub fn file(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    /// Configuration and tokenizer of every model.
    pub fn origin(&self) -> PathBuf {
        self.out.join("origin")
    }

    fn seed(&self, seed: u64) -> PathBuf {
        self.out.join(format!("seed-{seed}"))
    }

    /// A model with every head.
    pub fn stem(&self, seed: u64, stem: Stem) -> PathBuf {
        self.seed(seed).join(stem.name())
    }

    pub fn votes(&self, seed: u64, stem: Stem) -> PathBuf {
        self.seed(seed).join(format!("{}-votes.json", stem.name()))
    }

    /// The result of an arm.
    pub fn arm(&self, seed: u64, arm: Arm) -> PathBuf {
        self.seed(seed).join(arm.name())
    }

    /// The result of an arm that was repaired before it was fine-tuned.
    pub fn repaired_arm(&self, seed: u64, arm: Arm) -> PathBuf {
        self.seed(seed).join(format!("{}-repaired", arm.name()))
    }

    /// The figures of an arm that is finished.
    pub fn figures(&self, seed: u64, arm: Arm) -> PathBuf {
        self.seed(seed).join(format!("{}.json", arm.name()))
    }
}

/// Whether a file or folder, named by its path from the folder of an experiment, is one of those above.
fn owns(file: &Path) -> bool {
    const FILES: [&str; 8] =
        [REQUEST, "architecture.json", "table.md", "table.csv", "runs.csv", "results.json", "curves.svg", "curves.csv"];
    let top = file.iter().next().map(|name| name.to_string_lossy()).unwrap_or_default();
    FILES.iter().any(|name| file == Path::new(name)) || top == "origin" || top.starts_with("seed-")
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_file(path).map_err(|e| Error::from(e).at(path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::from(e).at(path))
}

pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomically(path, format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes())
}
