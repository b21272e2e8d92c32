//! Quality against the share of heads kept: every method beside random draws, each point a masked evaluation of the
//! real model on the same input.
//!
//! | module | job |
//! | --- | --- |
//! | `document` | what was measured, as it is kept in a file |
//! | `subject` | what is measured |
//! | `yardstick` | one mask against the whole model |
//! | `run` | which points to measure, and which were measured before |
//! | `summary` | means and spreads, and what nothing beats |
#![doc = include_str!("study.md")]

mod document;
mod run;
mod subject;
mod summary;
mod yardstick;

pub use document::{Curves, Effect, MeasuredPoint, Whole};
pub use run::{Wanted, curves};
pub(super) use run::{refitter, repaired};
pub use subject::Subject;
pub use summary::{CurveRow, CurveSeries, DrawSpread, Gauge};
pub(super) use yardstick::Yardstick;
