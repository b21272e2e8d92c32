//! The folder of a run.

use std::fs;
use std::path::{Path, PathBuf};

use super::options::RunOptions;
use crate::checkpoint::{Taking, WorkFolder, read_file, real_path, write_atomically};
use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::pruning::{RECORD, check_apart};
use crate::training::{Beginning, STATE, TrainingRun};
use crate::words::first_difference;

const INSIDE: &str = "training";
const REQUEST: &str = "run.json";
/// The folder of the model with every head.
const FULL: &str = "full";

/// Paths inside the folder of a run.
#[derive(Debug)]
pub struct RunFolder {
    out: PathBuf,
    /// Held while the run is under way.
    work: Option<WorkFolder>,
}

/// Whether a training run left `folder`, as its result or as the model with every head beside it.
pub fn was_trained(folder: &Path) -> bool {
    let has_run = |folder: &Path| folder.join(INSIDE).join(REQUEST).is_file();
    has_run(folder) || (folder.ends_with(FULL) && folder.parent().is_some_and(has_run))
}

impl RunFolder {
    /// The folder at `out`, whatever is in it.
    pub fn at(out: &Path) -> Self {
        Self { out: out.to_path_buf(), work: None }
    }

    /// Makes the folder of `request`, or finds the run in it that is to go on. An occupied folder is refused unless
    /// it is to be resumed, or replaced and holds nothing but a run.
    pub(super) fn open(request: &TrainingRun, options: &RunOptions) -> Result<Self> {
        let out = &request.out;
        if request.beginning == Beginning::Weights {
            check_apart(out, &request.model)?;
        }
        let begun = format!("{INSIDE}/{REQUEST}");
        let owns = |file: &Path| file.starts_with(INSIDE) || file.starts_with(FULL);
        let (resume, force) = (options.resume, options.force);
        let taking = Taking { noun: "run", begun: &begun, owns, record: Some(RECORD), resume, force };
        let work = WorkFolder::take(out, taking)?;
        let folder = Self { out: out.clone(), work: Some(work) };
        if folder.goes_on() {
            // Both through JSON, which may round the last digit of a number.
            let asked: TrainingRun = serde_json::from_str(&serde_json::to_string(request)?)?;
            let [begun, asked] = [folder.request()?, asked].map(|run| serde_json::to_value(run.without_place()));
            if let Some(difference) = first_difference(&begun?, &asked?) {
                return Err(Error::usage(format!(
                    "the run in this folder was begun with other settings ({difference})"
                ))
                .at(out)
                .hint("repeat the command it was begun with, or choose another folder"));
            }
            return Ok(folder);
        }
        let begin = || -> Result<()> {
            let inside = out.join(INSIDE);
            fs::create_dir_all(&inside).map_err(|e| Error::from(e).at(&inside))?;
            let text = format!("{}\n", serde_json::to_string_pretty(request)?);
            write_atomically(&folder.inside(REQUEST), text.as_bytes())
        };
        if let Err(error) = begin() {
            folder.undo();
            return Err(error);
        }
        Ok(folder)
    }

    fn goes_on(&self) -> bool {
        self.work.as_ref().is_some_and(WorkFolder::goes_on)
    }

    /// The folder itself: the result.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The model with every head, after constrained training.
    pub fn full(&self) -> PathBuf {
        self.out.join(FULL)
    }

    /// What the run itself keeps.
    pub fn inside(&self, name: &str) -> PathBuf {
        self.out.join(INSIDE).join(name)
    }

    pub fn metrics(&self) -> PathBuf {
        self.out.join(INSIDE)
    }

    /// Whether there is something to resume.
    pub fn has_state(&self) -> bool {
        self.inside(STATE).is_file()
    }

    /// What was asked for.
    pub fn request(&self) -> Result<TrainingRun> {
        let path = self.inside(REQUEST);
        let bytes = read_file(&path).map_err(|e| Error::from(e).within("there is no run here").at(&path))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::from(e).at(&path))
    }

    /// Removes what this call made, and puts back what it was to replace.
    pub(super) fn undo(&self) {
        if let Some(work) = &self.work {
            work.undo();
        }
    }

    /// What was to be replaced is no longer wanted.
    pub(super) fn settle(&self) {
        if let Some(work) = &self.work {
            work.settle();
        }
    }

    /// An empty folder inside the run's own.
    pub(super) fn empty(&self, name: &str) -> Result<PathBuf> {
        let path = self.inside(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|e| Error::from(e).at(&path))?;
        }
        fs::create_dir_all(&path).map_err(|e| Error::from(e).at(&path))?;
        Ok(path)
    }

    /// Moves the files of `result` to the top, the configuration last, so that a result cut short opens nowhere.
    pub(super) fn publish(&self, result: &Path) -> Result<()> {
        let place = |e: std::io::Error| Error::from(e).at(result);
        let mut names = Vec::new();
        for entry in fs::read_dir(result).map_err(place)? {
            names.push(entry.map_err(place)?.file_name());
        }
        names.sort_by_key(|name| name == "config.json");
        for name in names {
            let target = self.out.join(&name);
            if target.is_dir() {
                fs::remove_dir_all(&target).map_err(place)?;
            }
            fs::rename(result.join(&name), &target).map_err(place)?;
        }
        fs::remove_dir_all(result).map_err(place)
    }
}

impl TrainingRun {
    /// The request apart from where it is carried out, and from how what it reads is spelled.
    fn without_place(&self) -> Self {
        Self {
            out: PathBuf::new(),
            model: real_path(&self.model).unwrap_or_else(|| self.model.clone()),
            input: self.input.real(),
            held_out: self.held_out.as_ref().map(Input::real),
            ..self.clone()
        }
    }
}
