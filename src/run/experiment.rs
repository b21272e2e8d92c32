//! The paper's ablation, over several seeds.

use crate::error::Result;
use crate::experiment::{self, ExperimentEvent, ExperimentPlan, ExperimentReport};
use crate::task::Ticket;
use crate::tensor::DeviceChoice;
use crate::training::RunOptions;

/// An experiment, and where it computes. It makes its models itself, so that none needs to be open.
#[derive(Clone, Debug)]
pub struct ExperimentSpec {
    /// What is trained and compared, from what, into which folder.
    pub plan: ExperimentPlan,
    /// The device to compute on.
    pub device: DeviceChoice,
    /// Go on with the experiment that is in the folder.
    pub resume: bool,
    /// Replace a folder that an earlier experiment wrote.
    pub force: bool,
}

/// Carries an experiment out; `observe` is called for every record, finished arm and note.
///
/// # Errors
/// Where the device cannot be had; as [`experiment::run`].
pub fn experiment(
    wanted: &ExperimentSpec,
    observe: &mut dyn FnMut(ExperimentEvent<'_>),
    ticket: &Ticket,
) -> Result<ExperimentReport> {
    let (device, fallback) = wanted.device.open()?;
    if let Some(why) = &fallback {
        observe(ExperimentEvent::Note(why));
    }
    let options = RunOptions { device, resume: wanted.resume, force: wanted.force };
    experiment::run(&wanted.plan, &options, observe, ticket)
}
