//! One layer: attention, cross attention, feed-forward, and the norms around them.

use candle_core::{D, Tensor};

use super::attention::{Context, Linear};
use super::{
    Activation, AttentionLayer, Branch, BranchModule, LayerSpec, MlpModule, MlpSpec, Module, NormKind, NormSpec, Probe,
    Site, SiteKind, StackKind, Weights, Wiring,
};
use crate::error::{Error, Result};
use crate::tensor::{add, gelu, gelu_tanh, layer_norm, quick_gelu, relu, rms_norm, silu, wide};

/// A normalisation with its weights.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    spec: NormSpec,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
}

impl Norm {
    pub fn load(spec: NormSpec, weights: &dyn Weights, module: Module) -> Result<Self> {
        let get = |wanted: bool, role| if wanted { weights.get(role).map(Some) } else { Ok(None) };
        Ok(Self {
            spec,
            weight: get(spec.kind.has_weight(), module.weight())?,
            bias: get(spec.kind.has_bias(), module.bias())?,
        })
    }

    /// `x [.., D]` over its last axis.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
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
    pub fn forward_by_head(&self, x: &Tensor) -> Result<Tensor> {
        let plain = Self { spec: NormSpec { kind: self.spec.kind.bare(), ..self.spec }, weight: None, bias: None };
        let normal = plain.forward(x)?;
        match &self.weight {
            Some(weight) => Ok(normal.broadcast_mul(&weight.unsqueeze(1)?)?),
            None => Ok(normal),
        }
    }
}

/// Applies a non-linearity.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Gelu => gelu(x)?,
        Activation::GeluTanh => gelu_tanh(x)?,
        Activation::QuickGelu => quick_gelu(x)?,
        Activation::Relu => relu(x)?,
        Activation::ReluSquared => relu(x)?.sqr()?,
        Activation::Silu => silu(x)?,
    })
}

#[derive(Clone, Debug)]
struct Mlp {
    up: Linear,
    gate: Option<Linear>,
    down: Linear,
    activation: Activation,
}

impl Mlp {
    fn load(spec: &MlpSpec, weights: &dyn Weights, kind: StackKind, stored: usize) -> Result<Self> {
        let linear = |part| Linear::load(weights, Module::Mlp(kind, stored, part), spec.bias);
        Ok(Self {
            up: linear(MlpModule::Up)?,
            gate: if spec.gated { Some(linear(MlpModule::Gate)?) } else { None },
            down: linear(MlpModule::Down)?,
            activation: spec.activation,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.up.forward(x)?;
        let inner = match &self.gate {
            Some(gate) => (activate(&gate.forward(x)?, self.activation)? * up)?,
            None => activate(&up, self.activation)?,
        };
        self.down.forward(&inner)
    }
}

/// Norms and factors around one branch of a layer.
#[derive(Clone, Debug)]
struct BranchWeights {
    wiring: Wiring,
    norm: Option<Norm>,
    post_norm: Option<Norm>,
    channel_scale: Option<Tensor>,
    residual_scale: f64,
}

impl BranchWeights {
    fn load(spec: &LayerSpec, weights: &dyn Weights, branch: Branch) -> Result<Self> {
        let module = |part| Module::Branch(branch, spec.stored, part);
        let norm = |wanted: bool, part| {
            if wanted { Norm::load(spec.norm, weights, module(part)).map(Some) } else { Ok(None) }
        };
        let (norms, scale) = (spec.norms(branch), module(BranchModule::Scale).weight());
        Ok(Self {
            wiring: spec.wiring,
            norm: norm(norms.norm, BranchModule::Norm)?,
            post_norm: norm(norms.post_norm, BranchModule::PostNorm)?,
            channel_scale: if spec.channel_scale { Some(weights.get(scale)?) } else { None },
            residual_scale: spec.residual_scale,
        })
    }

    /// What the branch reads.
    fn enter(&self, x: &Tensor) -> Result<Tensor> {
        match (&self.norm, self.wiring) {
            (Some(norm), Wiring::Pre | Wiring::Both | Wiring::Parallel | Wiring::ParallelOneNorm) => norm.forward(x),
            (Some(_), Wiring::Post | Wiring::After) | (None, _) => Ok(x.clone()),
        }
    }

    /// Joins the branch's result `y` to the stream `x`.
    fn join(&self, x: &Tensor, y: Tensor) -> Result<Tensor> {
        let mut y = y;
        if let Some(norm) = &self.post_norm {
            y = norm.forward(&y)?;
        }
        if let Some(scale) = &self.channel_scale {
            y = y.broadcast_mul(scale)?;
        }
        if self.residual_scale != 1.0 {
            y = (y * self.residual_scale)?;
        }
        let sum = add(x, &y)?;
        match (&self.norm, self.wiring) {
            (Some(norm), Wiring::Post) => norm.forward(&sum),
            _ => Ok(sum),
        }
    }
}

/// What a layer's cross attention reads.
pub(super) struct Memory<'a> {
    /// Packed.
    pub hidden: &'a Tensor,
    pub context: Context<'a>,
}

/// Weights of one layer.
#[derive(Clone, Debug)]
pub struct Layer {
    attention: AttentionLayer,
    attention_branch: BranchWeights,
    cross: Option<(AttentionLayer, BranchWeights)>,
    mlp: Mlp,
    mlp_branch: BranchWeights,
}

impl Layer {
    /// Loads a layer of a stack.
    pub(super) fn load(spec: &LayerSpec, weights: &dyn Weights, stack: StackKind) -> Result<Self> {
        let attention = |attention, kind| -> Result<_> {
            let branch = BranchWeights::load(spec, weights, Branch::Attention(kind))?;
            Ok((AttentionLayer::load(attention, weights, kind, spec.stored)?, branch))
        };
        let (own, attention_branch) = attention(&spec.attention, stack.self_attention())?;
        Ok(Self {
            attention: own,
            attention_branch,
            cross: spec.cross.as_ref().map(|cross| attention(cross, SiteKind::Cross)).transpose()?,
            mlp: Mlp::load(&spec.mlp, weights, stack, spec.stored)?,
            mlp_branch: BranchWeights::load(spec, weights, Branch::Mlp(stack))?,
        })
    }

    /// `x [N, T, D]`, packed, through the layer.
    pub(super) fn forward(
        &self,
        site: Site,
        x: &Tensor,
        context: &Context<'_>,
        memory: Option<&Memory<'_>>,
        probe: &mut dyn Probe,
    ) -> Result<Tensor> {
        let mut hidden = self.attend(site, x, context, probe)?;
        if let Some((cross, branch)) = &self.cross {
            let (site, memory) = (Site::new(SiteKind::Cross, site.layer), encoded(memory)?);
            let attended = cross.forward(site, &branch.enter(&hidden)?, memory.hidden, &memory.context, probe)?;
            hidden = branch.join(&hidden, attended)?;
        }
        // Parallel layers feed both branches from the layer's input.
        let read = match self.mlp_branch.wiring {
            Wiring::Parallel => self.mlp_branch.enter(x)?,
            Wiring::ParallelOneNorm => self.attention_branch.enter(x)?,
            Wiring::Pre | Wiring::Post | Wiring::Both | Wiring::After => self.mlp_branch.enter(&hidden)?,
        };
        self.mlp_branch.join(&hidden, self.mlp.forward(&read)?)
    }

    /// Lets the probe see what it sees in [`Layer::forward`] and leaves out what comes after its last attention.
    pub(super) fn show(
        &self,
        site: Site,
        x: &Tensor,
        context: &Context<'_>,
        memory: Option<&Memory<'_>>,
        probe: &mut dyn Probe,
    ) -> Result<()> {
        let Some((cross, branch)) = &self.cross else {
            let read = self.attention_branch.enter(x)?;
            return self.attention.heads(site, &read, &read, context, probe).map(drop);
        };
        let hidden = self.attend(site, x, context, probe)?;
        let (site, memory) = (Site::new(SiteKind::Cross, site.layer), encoded(memory)?);
        cross.heads(site, &branch.enter(&hidden)?, memory.hidden, &memory.context, probe).map(drop)
    }

    /// The stream after self-attention.
    fn attend(&self, site: Site, x: &Tensor, context: &Context<'_>, probe: &mut dyn Probe) -> Result<Tensor> {
        let read = self.attention_branch.enter(x)?;
        let attended = self.attention.forward(site, &read, &read, context, probe)?;
        self.attention_branch.join(x, attended)
    }
}

fn encoded<'a, 'b>(memory: Option<&'a Memory<'b>>) -> Result<&'a Memory<'b>> {
    memory.ok_or_else(|| Error::new("cross attention has no encoder to read"))
}
