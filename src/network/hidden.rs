//! What comes out of the last layer.

use candle_core::Tensor;

use super::TokenMask;

/// The result of the last stack.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// Of shape `[N, T, D]`.
    pub states: Tensor,
    /// Which positions are real.
    pub mask: TokenMask,
}
