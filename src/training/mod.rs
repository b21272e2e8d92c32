//! Training: a network whose tensors are variables, the group constraint, and what moves the weights.
//!
//! | module | job |
//! | --- | --- |
//! | `parameters`, `initial` | variables by role, from a checkpoint or from a seed |
//! | `constraint` | homogenisation and diversification of head groups (METHOD, section 5) |
//! | `loss` | mean task loss per token |

pub mod constraint;
mod control;
mod feed;
mod initial;
mod learner;
mod loss;
mod metrics;
mod movement;
mod optimiser;
mod parameters;
mod schedule;
pub mod state;

pub use control::Control;
pub use feed::{Feed, Position};
pub use initial::Initial;
pub use learner::{Learner, Step, StepSettings};
pub use loss::{TaskLoss, task_loss};
pub use metrics::{MetricsLog, Record, SiteRecord};
pub use movement::{Centres, centres, movement};
pub use optimiser::{AdamSettings, AdamW};
pub use parameters::{Parameter, Parameters};
pub use schedule::{Decay, Schedule};
pub use state::{STATE, Stage, Standing, Sums};
