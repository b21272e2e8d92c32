//! The paper's ablation on one machine: is it the constraint and the vote that do it, or would any heads do?
//!
//! For every seed two models are trained from equal first weights, one plainly and one with the group constraint. Each
//! is pruned in several ways to the same number of heads and fine-tuned for the same number of steps on the same
//! batches; models that keep every head take the same further steps, so that all rows have seen equally much.
//!
//! | module | job |
//! | --- | --- |
//! | `arm` | what is compared |
//! | `preset` | architectures and settings that fit two cores or a GPU |
//! | `request` | what is asked for |
//! | `place` | the folder of an experiment; nothing that is finished is done again |
//! | `run` | trains what is missing |
//! | `report`, `markdown` | means and spreads over seeds; as text |
//! | `curves` | the constraint against its plain twin, as a figure |
//!
//! `study.md` beside this file tells what came out on novels and on translated verses.

mod arm;
mod curves;
mod markdown;
mod place;
mod preset;
mod report;
mod request;
mod run;

pub use arm::{Arm, Stem};
pub use curves::curves;
pub use place::ExperimentPaths;
pub use preset::{Preset, architecture, preset};
pub use report::{ArmResult, ArmSummary, ExperimentReport, MeanDeviation, RepairedArm, StemResult, StemRow};
pub use request::{ExperimentPlan, ExperimentTask, ModelShape};
pub use run::{ExperimentEvent, run};
