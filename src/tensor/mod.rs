//! Differentiable building blocks over candle tensors, with fast CPU kernels where candle's are slow.
//!
//! Every function here records a right backward; none keeps state between calls. candle-nn's fused
//! operations are not used, since they record no backward. On the processor, [`attention`], norms, activations, [`rotary`],
//! sums and moves of rows are kernels of our own with backward formulas of their own; other devices run the same in candle's
//! operations (`portable`), with which tests compare the kernels.
//!
//! Numbers of 16 bits are stored and multiplied as such; whatever is summed over many of them, forward or backward, is
//! summed in f32. The processor computes in f32 altogether and rounds what comes out.

mod activation;
mod attention;
mod cross_entropy;
mod device;
mod kernel;
mod linear;
mod nonlinearity;
mod norm;
mod portable;
mod precision;
mod rotary;
mod rows;
mod shared;
mod sum;
#[cfg(test)]
mod testing;
mod visibility;

pub use activation::activate;
pub use attention::{Attended, Scoring, attention, block_numbers};
pub use cross_entropy::{RowScore, RowTally, cross_entropy, tally_rows};
#[cfg(test)]
pub(crate) use device::without_kernels;
pub use device::{DeviceChoice, at_work, constant, device_name, doubles, has_kernels, to_f64};
pub use linear::{linear, linear_activated};
pub use nonlinearity::Nonlinearity;
pub use norm::{layer_norm, rms_norm};
pub use portable::log_softmax;
pub use precision::{Precision, wide};
pub use rotary::rotary;
pub use rows::RowMove;
pub use shared::{add_shared, lookup};
pub use sum::add;
pub use visibility::Visibility;
