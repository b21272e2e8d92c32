//! Training: a network whose tensors are variables, the group constraint, and what moves the weights.
//!
//! | module | job |
//! | --- | --- |
//! | `parameters`, `initial` | variables by role, from a checkpoint or from a seed |
//! | `constraint` | homogenization and diversification of head groups ([method](crate::method), section 5) |
//! | `loss`, `unigram` | mean task loss per token; what a model that only counts tokens would reach |
//! | `learner`, `optimizer`, `schedule`, `loss_scale` | one step: gradients to moved weights, in f32 or mixed precision |
//! | `data`, `feed`, `movement`, `metrics`, `control` | what is learned from; batches without end; convergence; records; pause, stop, vote now |
//! | `scratch`, `blueprint` | configuration and tokenizer of a new model; how it is written |
//! | `run`, `state` | the stages of a whole run, each resumable |
//! | `overfit` | whether the training data is learned by heart |
//! | `vote` | frozen weights, voting batches |

mod blueprint;
pub mod constraint;
mod control;
mod data;
mod feed;
mod importance;
mod initial;
mod learner;
mod loss;
mod loss_scale;
mod metrics;
mod movement;
mod optimizer;
#[cfg(test)]
mod other_devices;
mod overfit;
mod parameters;
mod run;
mod schedule;
mod scratch;
mod settings;
pub mod state;
mod unigram;
mod vote;

pub use blueprint::Blueprint;
pub use control::Control;
pub use data::Data;
pub use feed::{Feed, Position};
pub use importance::{gate_importance, output_sensitivity};
pub use initial::Initial;
pub use learner::{Learner, StepParts, StepResult, StepSettings};
pub use loss::{TaskLoss, missing_loss, task_loss};
pub use loss_scale::LossScale;
pub use metrics::{MetricsLog, Record, SiteRecord};
pub use movement::{Centers, centers, movement};
pub use optimizer::{AdamSettings, AdamW};
pub use parameters::{Parameter, Parameters, Rounded};
pub use run::{
    FoundRun, HeldOut, NOTHING_SAVED, RunFolder, RunOptions, TrainingEnd, TrainingEvent, TrainingSummary, check_begin,
    request_of, train, was_trained,
};
pub use schedule::{Decay, Schedule};
pub use scratch::prepare;
pub use settings::{Beginning, TrainSettings, TrainingRun, VoteAt, Voting};
pub use state::{BEST, RunState, RunningSums, STATE, Stage};
pub use unigram::unigram_loss;
pub use vote::vote;
