//! The feed-forward part of a layer: one, or a few of many experts for each position.

use candle_core::{D, DType, Tensor};

use super::attention::Linear;
use super::{Activation, ExpertsSpec, LayerSpec, MlpModule, MlpSpec, Module, StackKind, Weights};
use crate::error::Result;
use crate::tensor::{self, Nonlinearity, linear_activated, lookup, wide};

pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match (kernel(activation), activation) {
        (Some(f), _) => tensor::activate(x, f)?,
        (None, Activation::ReluSquared) => tensor::activate(x, Nonlinearity::Relu)?.sqr()?,
        (None, Activation::Tanh) => x.tanh()?,
        (None, _) => x.clone(),
    })
}

/// That of the processor's kernels which an activation is.
fn kernel(activation: Activation) -> Option<Nonlinearity> {
    match activation {
        Activation::Gelu => Some(Nonlinearity::Gelu),
        Activation::GeluTanh => Some(Nonlinearity::GeluTanh),
        Activation::QuickGelu => Some(Nonlinearity::QuickGelu),
        Activation::Relu => Some(Nonlinearity::Relu),
        Activation::Silu => Some(Nonlinearity::Silu),
        Activation::ReluSquared | Activation::Tanh | Activation::Linear => None,
    }
}

/// Weights of the feed-forward part of a layer.
#[derive(Clone, Debug)]
pub(super) enum FeedForward {
    One(Mlp),
    Several(Experts),
}

impl FeedForward {
    pub(super) fn load(spec: &LayerSpec, weights: &dyn Weights, stack: StackKind) -> Result<Self> {
        let load = |module: &dyn Fn(MlpModule) -> Module, limit| Mlp::load(&spec.mlp, limit, weights, module);
        Ok(match spec.experts {
            None => Self::One(load(&|part| Module::Mlp(stack, spec.stored, part), None)?),
            Some(of) => {
                let expert = |expert| load(&|part| Module::Expert(stack, spec.stored, expert, part), of.limit);
                Self::Several(Experts {
                    spec: of,
                    router: Linear::load(weights, Module::Router(stack, spec.stored), of.bias)?,
                    experts: (0..of.count).map(expert).collect::<Result<_>>()?,
                })
            }
        })
    }

    /// `x [N, T, D]`, position by position.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::One(mlp) => mlp.forward(x),
            Self::Several(experts) => Ok(experts.forward(&x.flatten_to(D::Minus2)?)?.reshape(x.shape())?),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Mlp {
    up: Linear,
    gate: Option<Linear>,
    down: Linear,
    activation: Activation,
    limit: Option<f64>,
}

impl Linear {
    /// The activation of the map of `x`, times `gate` where there is one.
    fn activated(&self, x: &Tensor, activation: Activation, gate: Option<&Tensor>) -> Result<Tensor> {
        if let Some(f) = kernel(activation) {
            return Ok(linear_activated(x, &self.weight, self.bias.as_ref(), f, gate)?);
        }
        let y = activate(&self.forward(x)?, activation)?;
        Ok(match gate {
            Some(gate) => (y * gate)?,
            None => y,
        })
    }
}

impl Mlp {
    fn load(
        spec: &MlpSpec,
        limit: Option<f64>,
        weights: &dyn Weights,
        module: &dyn Fn(MlpModule) -> Module,
    ) -> Result<Self> {
        let linear = |part| Linear::load(weights, module(part), spec.bias);
        Ok(Self {
            up: linear(MlpModule::Up)?,
            gate: if spec.gated { Some(linear(MlpModule::Gate)?) } else { None },
            down: linear(MlpModule::Down)?,
            activation: spec.activation,
            limit,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = match (&self.gate, self.limit) {
            (Some(gate), Some(limit)) => {
                let gate = gate.forward(x)?.minimum(limit)?;
                (activate(&gate, self.activation)? * (self.up.forward(x)?.clamp(-limit, limit)? + 1.0)?)?
            }
            (Some(gate), None) => gate.activated(x, self.activation, Some(&self.up.forward(x)?))?,
            (None, _) => self.up.activated(x, self.activation, None)?,
        };
        self.down.forward(&inner)
    }
}

/// Weights of a mixture of experts.
#[derive(Clone, Debug)]
pub(super) struct Experts {
    spec: ExpertsSpec,
    router: Linear,
    experts: Vec<Mlp>,
}

impl Experts {
    /// `x [M, D]`: what the experts of each row make of it, weighted.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let ExpertsSpec { chosen, normalized, .. } = self.spec;
        let logits = self.router.forward(x)?;
        let logits = logits.to_dtype(wide(logits.dtype()))?;
        let choice = highest(&logits.to_dtype(DType::F32)?.to_vec2()?, chosen);
        let choice_of = Tensor::from_vec(choice.clone(), (rows, chosen), x.device())?;
        let shares = if normalized {
            softmax(&logits.gather(&choice_of, 1)?)?
        } else {
            softmax(&logits)?.gather(&choice_of, 1)?
        };
        // Every expert over its rows; `place` is where the result of each choice of each row then lies.
        let mut place = vec![0u32; choice.len()];
        let mut results = Vec::new();
        let mut behind = 0u32;
        for (expert, mlp) in (0u32..).zip(&self.experts) {
            let mut own = Vec::new();
            for (at, place) in (0u32..).zip(&mut place) {
                if choice.get(at as usize) == Some(&expert) {
                    *place = behind;
                    behind += 1;
                    own.push(at / u32::try_from(chosen).unwrap_or(u32::MAX));
                }
            }
            if !own.is_empty() {
                let own = Tensor::new(own, x.device())?;
                results.push(mlp.forward(&lookup(x, &own)?)?);
            }
        }
        let place = Tensor::new(place, x.device())?;
        let results = lookup(&Tensor::cat(&results, 0)?, &place)?.reshape((rows, chosen, width))?;
        Ok(results.broadcast_mul(&shares.to_dtype(x.dtype())?.unsqueeze(2)?)?.sum(1)?)
    }
}

/// The `count` highest numbers of every row, row after row; of equal ones the first.
fn highest(rows: &[Vec<f32>], count: usize) -> Vec<u32> {
    let of_row = |row: &Vec<f32>| {
        let mut order: Vec<u32> = (0u32..).zip(row).map(|(index, _)| index).collect();
        let at = |index: &u32| row.get(*index as usize).copied().unwrap_or(f32::NEG_INFINITY);
        order.sort_by(|a, b| at(b).total_cmp(&at(a)));
        order.truncate(count);
        order
    };
    rows.iter().flat_map(of_row).collect()
}

/// Softmax over the last axis of a few numbers.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let exp = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_come_first_and_the_first_of_equal_ones() {
        let rows = [vec![0.5, 2.0, -1.0, 2.0], vec![1.0, 1.0, 1.0, 3.0]];
        assert_eq!(highest(&rows, 2), [1, 3, 3, 0]);
    }
}
