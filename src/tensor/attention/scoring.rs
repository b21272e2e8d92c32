//! What attention is asked for and what it gives.

use candle_core::Tensor;

use crate::tensor::Visibility;

/// How scores are formed.
#[derive(Clone, Copy, Debug)]
pub struct Scoring<'a> {
    /// Factor on the products of queries and keys.
    pub scale: f64,
    /// `cap * tanh(score / cap)` after scaling.
    pub soft_cap: Option<f64>,
    /// Added after the cap: `[1 or N, H, 1 or T, S]`.
    pub bias: Option<&'a Tensor>,
    /// Each head's score for seeing nothing, `[H]`: it takes part in the softmax, so that weights sum to less than one.
    pub sinks: Option<&'a Tensor>,
    pub visibility: &'a Visibility,
}

/// What [`attention`](super::attention) gives back.
#[derive(Debug)]
pub struct Attended {
    /// Weights times values, `[N, H, T, d]`.
    pub output: Tensor,
    /// Softmax weights `[N, H, T, S]`, where asked for.
    pub weights: Option<Tensor>,
}
