//! Pillars shows which attention heads carry a transformer and prunes the rest with open eyes.
//!
//! The library knows no window. Rooms, each using only rooms above it:
//!
//! | room | job |
//! | --- | --- |
//! | [`error`], [`task`] | one-line failures; cancel, progress, workers |
//! | [`tensor`] | differentiable primitives and fast CPU kernels |
//! | [`network`] | one transformer described by data; probes and gates |

pub mod error;
pub mod network;
pub mod task;
pub mod tensor;

pub use error::{Error, Result};
