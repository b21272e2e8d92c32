//! Training: a network whose tensors are variables, the group constraint, and what moves the weights.
//!
//! | module | job |
//! | --- | --- |
//! | `parameters`, `initial` | variables by role, from a checkpoint or from a seed |
//! | `constraint` | homogenisation and diversification of head groups (METHOD, section 5) |
//! | `loss` | mean task loss per token |

pub mod constraint;
mod initial;
mod loss;
mod parameters;

pub use initial::Initial;
pub use loss::{TaskLoss, task_loss};
pub use parameters::{Parameter, Parameters};
