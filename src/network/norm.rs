//! Normalizations.

use candle_core::{D, Tensor};

use super::{Module, NormKind, NormSpec, Weights};
use crate::error::Result;
use crate::tensor::{layer_norm, rms_norm, wide};

/// A normalization with its weights.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    spec: NormSpec,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
}

impl Norm {
    pub(super) fn load(spec: NormSpec, weights: &dyn Weights, module: Module) -> Result<Self> {
        let get = |wanted: bool, role| if wanted { weights.get(role).map(Some) } else { Ok(None) };
        Ok(Self {
            spec,
            weight: get(spec.kind.has_weight(), module.weight())?,
            bias: get(spec.kind.has_bias(), module.bias())?,
        })
    }

    /// `x [.., D]` over its last axis.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = match &self.weight {
            Some(weight) => weight.clone(),
            None => Tensor::ones(x.dim(D::Minus1)?, x.dtype(), x.device())?,
        };
        // One plus a small weight has to be formed, and applied, with the digits that half precision lacks.
        let (within, weight) = match self.spec.kind.adds_one() {
            true => (wide(x.dtype()), (weight.to_dtype(wide(x.dtype()))? + 1.0)?),
            false => (x.dtype(), weight),
        };
        let bias = self.bias.as_ref().map(|bias| bias.to_dtype(within)).transpose()?;
        let (x, dtype, eps) = (x.to_dtype(within)?, x.dtype(), self.spec.eps);
        let normal = match self.spec.kind {
            NormKind::Layer | NormKind::LayerWithoutBias | NormKind::LayerPlusOne | NormKind::LayerBare => {
                layer_norm(&x, &weight, bias.as_ref(), eps)?
            }
            NormKind::Rms | NormKind::RmsPlusOne => rms_norm(&x, &weight, eps)?,
        };
        Ok(normal.to_dtype(dtype)?)
    }

    /// `x [N, H, T, d]` over its last axis with weights `[H, d]` of each head's own.
    pub(super) fn forward_by_head(&self, x: &Tensor) -> Result<Tensor> {
        let plain = Self { spec: NormSpec { kind: self.spec.kind.bare(), ..self.spec }, weight: None, bias: None };
        let normal = plain.forward(x)?;
        match &self.weight {
            Some(weight) => Ok(normal.broadcast_mul(&weight.unsqueeze(1)?)?),
            None => Ok(normal),
        }
    }
}
