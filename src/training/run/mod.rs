//! A whole run: constrained training, the vote, fine-tuning, removal; each stage goes on where a kill left it.
//!
//! The folder of a run:
//!
//! | path | what |
//! | --- | --- |
//! | `config.json`, `model.safetensors`, .. | the result, which appears at the end |
//! | `full/` | the model after constrained training, every head in it |
//! | `training/run.json` | the request |
//! | `training/state.safetensors` | weights, optimizer, position in the data |
//! | `training/metrics.{jsonl,csv}` | one record every few steps |
//! | `training/votes.json`, `training/plan.json` | the vote and what it keeps |
//! | `training/summary.json` | quality of each stage |

mod folder;
mod found;
mod options;
mod repair;
mod stages;
mod summary;
mod work;

use std::path::Path;

pub use folder::{RunFolder, was_trained};
pub use found::FoundRun;
pub use options::{RunOptions, TrainingEvent};
pub use summary::{HeldOut, TrainingEnd, TrainingSummary};

use super::{Control, TrainingRun};
use crate::error::Result;
use crate::task::Ticket;
use work::ActiveRun;

/// What is said of a run that is to go on and has nothing to go on with.
pub const NOTHING_SAVED: &str = "nothing was saved there yet to go on with: training begins at its first step";

/// Carries `request` out, or goes on with it.
///
/// A cancelled run saves its state first, so that it can be resumed; resumed, it gives the same weights as one that was
/// never stopped.
pub fn train(
    request: &TrainingRun,
    options: &RunOptions,
    control: &Control,
    observe: &mut dyn FnMut(TrainingEvent<'_>),
    ticket: &Ticket,
) -> Result<TrainingSummary> {
    request.settings.check()?;
    let folder = RunFolder::open(request, options)?;
    if options.resume && !folder.has_state() {
        observe(TrainingEvent::Note(NOTHING_SAVED));
    }
    let begun = ActiveRun::open(request, &folder, options, control, observe, ticket);
    let end = begun.and_then(ActiveRun::carry_out);
    if end.is_ok() || folder.has_state() {
        folder.settle();
    }
    match end {
        // What failed before there was anything to resume leaves nothing behind.
        Err(error) if !folder.has_state() => {
            folder.undo();
            Err(error)
        }
        Err(error) => Err(error.hint("go on with --resume")),
        done => done,
    }
}

/// Finds out whether `request` may be carried out where it is to be written, before anything is computed for it. What is made
/// to find out is gone again.
///
/// # Errors
/// Where a setting is out of range; where the folder is occupied, holds a run of other settings, is, holds or lies in the model,
/// or cannot be made.
pub fn check_begin(request: &TrainingRun, options: &RunOptions) -> Result<()> {
    request.settings.check()?;
    RunFolder::open(request, options)?.undo();
    Ok(())
}

/// The request of the run in `folder`.
pub fn request_of(folder: &Path) -> Result<TrainingRun> {
    RunFolder::at(folder).request()
}
