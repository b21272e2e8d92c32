//! The language-model head.

use candle_core::Tensor;

use super::attention::Linear;
use super::layer::{Norm, activate};
use super::{OutputSpec, Weights};
use crate::error::Result;
use crate::tensor::linear;

/// Weights of the head.
#[derive(Clone, Debug)]
pub(super) struct Output {
    spec: OutputSpec,
    transform: Option<(Linear, Norm)>,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Output {
    /// `table` is the token table, used where the head is tied to it.
    pub fn load(spec: &OutputSpec, weights: &dyn Weights, table: Option<&Tensor>) -> Result<Self> {
        let transform = spec.transform.as_ref().map(|t| -> Result<_> {
            Ok((Linear::load(weights, "output.transform", t.bias)?, Norm::load(t.norm, weights, "output.norm")?))
        });
        Ok(Self {
            transform: transform.transpose()?,
            weight: match table.filter(|_| spec.tied) {
                Some(table) => table.clone(),
                None => weights.get("output.weight")?,
            },
            bias: if spec.bias { Some(weights.get("output.bias")?) } else { None },
            spec: spec.clone(),
        })
    }

    /// Logits `[.., V]` of hidden states `[.., D]`.
    pub fn forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let mut hidden = hidden.clone();
        if let (Some((dense, norm)), Some(spec)) = (&self.transform, &self.spec.transform) {
            hidden = norm.forward(&activate(&dense.forward(&hidden)?, spec.activation)?)?;
        }
        if self.spec.scale != 1.0 {
            hidden = (hidden * self.spec.scale)?;
        }
        let logits = linear(&hidden, &self.weight, self.bias.as_ref())?;
        Ok(match self.spec.soft_cap {
            Some(cap) => ((logits / cap)?.tanh()? * cap)?,
            None => logits,
        })
    }
}
