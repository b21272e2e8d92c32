//! Rotary positions: which angles a batch turns by.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::error::Result;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RotarySpec {
    /// Leading dimensions of the head that rotate (GPT-NeoX: a share).
    pub dims: usize,
    /// Angle per position of each pair, `dims / 2` entries; scaling is already in.
    pub inverse_frequencies: Vec<f64>,
    /// Factor on sines and cosines (YaRN, LongRoPE).
    pub attention_factor: f64,
    /// What long batches change.
    pub beyond: Beyond,
    /// Whether the numbers that turn together are neighbors (GPT-J, Cohere) instead of half of `dims` apart.
    pub interleaved: bool,
}

/// Frequencies that depend on the padded length of a batch. They are taken afresh for each batch, so that a result
/// does not depend on the batches before it: what a freshly loaded model of transformers 5 computes on that batch. Its
/// own dynamic NTK scaling, once a long batch has passed, keeps that batch's frequencies for all that follow until one
/// is shorter than the model's positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Beyond {
    Same,
    /// Batches longer than `length` have these instead (LongRoPE, Ding et al. 2024).
    Other {
        /// Longest batch with the usual frequencies.
        length: usize,
        /// `dims / 2` entries.
        inverse_frequencies: Vec<f64>,
    },
    /// Batches longer than `length` have the base `theta * (factor * T / length - (factor - 1))^(dims / (dims - 2))`
    /// (dynamic NTK scaling).
    Stretched {
        /// Longest batch with the usual frequencies.
        length: usize,
        /// Base of the usual frequencies.
        theta: f64,
        /// How strongly the base grows.
        factor: f64,
    },
}

impl RotarySpec {
    /// Unscaled positions over `dims` dimensions.
    pub fn new(dims: usize, theta: f64) -> Self {
        let inverse_frequencies = Self::frequencies(dims, theta);
        Self { dims, inverse_frequencies, attention_factor: 1.0, beyond: Beyond::Same, interleaved: false }
    }

    /// Angle per position `theta^(-2 i / dims)` of each pair `i`.
    pub fn frequencies(dims: usize, theta: f64) -> Vec<f64> {
        (0..dims / 2).map(|i| theta.powf(-2.0 * i as f64 / dims as f64)).collect()
    }

    /// Angle per position of each pair in a batch of `length` positions.
    pub fn frequencies_at(&self, length: usize) -> Cow<'_, [f64]> {
        match &self.beyond {
            Beyond::Other { length: longest, inverse_frequencies } if length > *longest => inverse_frequencies.into(),
            Beyond::Stretched { length: longest, theta, factor } if length > *longest => {
                let growth = factor * length as f64 / *longest as f64 - (factor - 1.0);
                let dims = self.dims as f64;
                Self::frequencies(self.dims, theta * growth.powf(dims / (dims - 2.0))).into()
            }
            _ => (&self.inverse_frequencies).into(),
        }
    }

    /// Cosines and sines of positions `0..length`, `[length, dims / 2]` each.
    pub(super) fn angles(&self, length: usize, dtype: DType, device: &Device) -> Result<(Tensor, Tensor)> {
        let frequencies = self.frequencies_at(length);
        let half = frequencies.len();
        let (mut cos, mut sin) = (Vec::with_capacity(length * half), Vec::with_capacity(length * half));
        for t in 0..length {
            for frequency in frequencies.iter() {
                let (s, c) = (t as f64 * frequency).sin_cos();
                cos.push((c * self.attention_factor) as f32);
                sin.push((s * self.attention_factor) as f32);
            }
        }
        let tensor = |v| -> Result<Tensor> { Ok(Tensor::from_vec(v, (length, half), device)?.to_dtype(dtype)?) };
        Ok((tensor(cos)?, tensor(sin)?))
    }
}
