//! From samples of sound to the first hidden state.

use candle_core::{D, Tensor};

use super::attention::Linear;
use super::feed_forward::activate;
use super::norm::Norm;
use super::{EmbedModule, Module, NormSpec, SampleInputSpec, SampleNorm, Samples, StackKind, TokenMask, Weights};
use crate::error::{Error, Result};
use crate::tensor::wide;

/// Weights of a stack's input that reads samples.
#[derive(Clone, Debug)]
pub(super) struct SampleInput {
    spec: SampleInputSpec,
    convolutions: Vec<(Linear, Option<ConvolutionNorm>)>,
    projection_norm: Option<Norm>,
    pub(super) project: Linear,
    /// Directions, and the bias.
    position: Linear,
    magnitude: Tensor,
    norm: Option<Norm>,
}

/// What stands behind a convolution.
#[derive(Clone, Debug)]
enum ConvolutionNorm {
    /// Weight and bias of every channel, `[C]`.
    OverTime(Linear),
    OverChannels(Norm),
}

impl SampleInput {
    pub(super) fn load(spec: &SampleInputSpec, weights: &dyn Weights, stack: StackKind) -> Result<Self> {
        let module = |part| Module::Embed(stack, part);
        let norm = |part, of: NormSpec| Norm::load(of, weights, module(part));
        let convolution = |index: usize| -> Result<_> {
            let part = EmbedModule::ConvolutionNorm(index);
            let behind = match spec.norm {
                SampleNorm::FirstOverTime if index > 0 => None,
                SampleNorm::FirstOverTime => {
                    Some(ConvolutionNorm::OverTime(Linear::load(weights, module(part), true)?))
                }
                SampleNorm::EachOverChannels => Some(ConvolutionNorm::OverChannels(norm(part, SampleNorm::SPEC)?)),
            };
            Ok((Linear::load(weights, module(EmbedModule::Convolution(index)), spec.bias)?, behind))
        };
        Ok(Self {
            convolutions: (0..spec.convolutions.len()).map(convolution).collect::<Result<_>>()?,
            projection_norm: spec.projection_norm.map(|of| norm(EmbedModule::ProjectionNorm, of)).transpose()?,
            project: Linear::load(weights, module(EmbedModule::Project), true)?,
            position: Linear::load(weights, module(EmbedModule::PositionDirection), true)?,
            magnitude: weights.get(module(EmbedModule::PositionMagnitude).weight())?,
            norm: spec.input_norm.map(|of| norm(EmbedModule::Norm, of)).transpose()?,
            spec: spec.clone(),
        })
    }

    /// `[N, S]` to `[N, frames, D]`, and which frames are real.
    pub(super) fn forward(&self, samples: &Samples) -> Result<(Tensor, TokenMask)> {
        let (n, length) = samples.values.dims2()?;
        let frames = self.spec.frames(length);
        if frames == 0 {
            return Err(Error::new(format!("{length} samples are too few for a frame")));
        }
        let mut real = Vec::with_capacity(n * frames);
        for sequence in 0..n {
            let count = samples.mask.row(sequence).iter().filter(|real| **real).count();
            let count = self.spec.frames(count);
            real.extend((0..frames).map(|frame| frame < count));
        }
        let mask = TokenMask::new(n, frames, real)?;
        let dtype = self.project.weight.dtype();
        let mut x = samples.values.to_dtype(dtype)?.unsqueeze(1)?;
        for ((conv, norm), of) in self.convolutions.iter().zip(&self.spec.convolutions) {
            x = self.convolve(&x, &conv.weight, conv.bias.as_ref(), (0, of.stride, 1))?;
            if let Some(norm) = norm {
                x = norm.forward(&x)?;
            }
            x = activate(&x, self.spec.activation)?;
        }
        let mut hidden = x.transpose(1, 2)?.contiguous()?;
        if let Some(norm) = &self.projection_norm {
            hidden = norm.forward(&hidden)?;
        }
        hidden = self.project.forward(&hidden)?;
        if !mask.is_full() {
            // The convolution over frames must not see what is behind them.
            hidden = hidden.broadcast_mul(&mask.to_tensor(dtype, hidden.device())?.unsqueeze(2)?)?;
        }
        hidden = (&hidden + self.positions(&hidden)?)?;
        if let Some(norm) = &self.norm {
            hidden = norm.forward(&hidden)?;
        }
        Ok((hidden, mask))
    }

    /// What the convolution over frames makes of `hidden [N, T, D]`.
    fn positions(&self, hidden: &Tensor) -> Result<Tensor> {
        let (kernel, groups) = (self.spec.position_kernel, self.spec.position_groups);
        let directions = self.position.weight.to_dtype(wide(hidden.dtype()))?;
        let lengths = directions.sqr()?.sum_keepdim((0, 1))?.sqrt()?;
        let magnitudes = self.magnitude.to_dtype(directions.dtype())?;
        let weight = directions.broadcast_mul(&magnitudes.broadcast_div(&lengths)?)?.to_dtype(hidden.dtype())?;
        let x = hidden.transpose(1, 2)?.contiguous()?;
        let x = self.convolve(&x, &weight, self.position.bias.as_ref(), (kernel / 2, 1, groups))?;
        // An even width gives one frame more.
        let x = x.narrow(2, 0, hidden.dim(1)?)?.contiguous()?;
        Ok(activate(&x, self.spec.activation)?.transpose(1, 2)?.contiguous()?)
    }

    fn convolve(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        (padding, stride, groups): (usize, usize, usize),
    ) -> Result<Tensor> {
        let dtype = x.dtype();
        // Where they learn, gradients are sums over every position, which 16 bits would lose.
        let within = if weight.track_op() { wide(dtype) } else { dtype };
        let y = x.to_dtype(within)?.conv1d(&weight.to_dtype(within)?, padding, stride, 1, groups)?;
        let y = match bias {
            Some(bias) => y.broadcast_add(&bias.to_dtype(within)?.reshape((1, (), 1))?)?,
            None => y,
        };
        Ok(y.to_dtype(dtype)?)
    }
}

impl ConvolutionNorm {
    /// `x [N, C, T]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::OverChannels(norm) => {
                Ok(norm.forward(&x.transpose(1, 2)?.contiguous()?)?.transpose(1, 2)?.contiguous()?)
            }
            Self::OverTime(of) => {
                let (_, channels, _) = x.dims3()?;
                let wide = x.to_dtype(wide(x.dtype()))?;
                let centered = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
                let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
                let normal = centered.broadcast_div(&(variance + SampleNorm::SPEC.eps)?.sqrt()?)?;
                let each = |x: &Tensor| x.to_dtype(normal.dtype())?.reshape((1, channels, 1));
                let mut scaled = normal.broadcast_mul(&each(&of.weight)?)?;
                if let Some(bias) = &of.bias {
                    scaled = scaled.broadcast_add(&each(bias)?)?;
                }
                Ok(scaled.to_dtype(x.dtype())?)
            }
        }
    }
}
