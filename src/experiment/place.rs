//! The folder of an experiment.
//!
//! | path | what |
//! | --- | --- |
//! | `experiment.json` | the request |
//! | `origin/` | configuration and tokenizer of every model |
//! | `seed-S/plain`, `seed-S/constrained` | the models with every head |
//! | `seed-S/STEM-votes.json` | analysis of a stem: votes and importance |
//! | `seed-S/ARM/` | the result of an arm, with its records in `training/` |
//! | `seed-S/ARM.json` | its figures; an arm that has them is finished |
//! | `table.md`, `table.csv`, `runs.csv`, `results.json` | what came out |
//! | `curves.svg`, `curves.csv` | losses and group measures over the steps |

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Arm, ExperimentPlan, Stem};
use crate::checkpoint::write_atomically;
use crate::error::{Error, Result};

const REQUEST: &str = "experiment.json";

/// Paths inside the folder.
#[derive(Clone, Debug)]
pub struct ExperimentPaths {
    out: PathBuf,
    /// Whether this call made what is inside, so that a failure may remove it.
    is_new: bool,
    /// Whether it made the folder itself.
    made: bool,
}

impl ExperimentPaths {
    /// Makes the folder of `request`, or finds the experiment in it that is to go on. An occupied folder is refused
    /// unless it is to be resumed, or replaced and holds an experiment.
    pub(super) fn open(request: &ExperimentPlan, resume: bool, force: bool) -> Result<Self> {
        let out = request.out.clone();
        let mut place = Self { out: out.clone(), is_new: true, made: !out.exists() };
        let known = out.join(REQUEST);
        let occupied = match fs::read_dir(&out) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) if out.exists() => return Err(Error::new("this is a file, not a folder").at(&out)),
            Err(_) => false,
        };
        if occupied && resume && known.is_file() {
            let before: ExperimentPlan = read(&known)?;
            // Both through JSON, which may round the last digit of a number.
            let asked: ExperimentPlan = serde_json::from_str(&serde_json::to_string(request)?)?;
            if (ExperimentPlan { out: PathBuf::new(), ..before }) != (ExperimentPlan { out: PathBuf::new(), ..asked }) {
                return Err(Error::usage("the experiment in this folder was begun with other settings")
                    .at(&out)
                    .hint("repeat the command it was begun with, or choose another folder"));
            }
            place.is_new = false;
            return Ok(place);
        }
        if occupied && !force {
            return Err(Error::new("the folder exists and is not empty")
                .at(&out)
                .hint("choose another, give --resume to go on with the experiment in it, or --force"));
        }
        if occupied {
            if !known.is_file() {
                return Err(Error::new("the folder was not written by pillars, so it is not replaced")
                    .at(&out)
                    .hint("choose another"));
            }
            fs::remove_dir_all(&out).map_err(|e| Error::from(e).at(&out))?;
        }
        fs::create_dir_all(&out).map_err(|e| Error::from(e).at(&out))?;
        write(&known, request)?;
        Ok(place)
    }

    /// Removes what this call made, where nothing in it is worth going on with.
    pub(super) fn remove_if_idle(&self) {
        let has_begun = fs::read_dir(&self.out).is_ok_and(|mut entries| {
            // A run that fails at once removes its own folder, but not the one around it.
            let holds_work = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut inside| inside.next().is_some());
            entries
                .any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("seed-") && holds_work(&e.path())))
        });
        if !self.is_new || has_begun {
            return;
        }
        // The error that led here is what the user has to see.
        let _ = if self.made {
            fs::remove_dir_all(&self.out)
        } else {
            for entry in fs::read_dir(&self.out).into_iter().flatten().flatten() {
                let path = entry.path();
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            }
            Ok(())
        };
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

    /// Its analysis.
    pub fn votes(&self, seed: u64, stem: Stem) -> PathBuf {
        self.seed(seed).join(format!("{}-votes.json", stem.name()))
    }

    /// The result of an arm.
    pub fn arm(&self, seed: u64, arm: Arm) -> PathBuf {
        self.seed(seed).join(arm.name())
    }

    /// The figures of an arm that is finished.
    pub fn figures(&self, seed: u64, arm: Arm) -> PathBuf {
        self.seed(seed).join(format!("{}.json", arm.name()))
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|e| Error::from(e).at(path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::from(e).at(path))
}

pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomically(path, format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes())
}
