//! One layer: attention, cross attention, feed-forward, and the norms around them.

use candle_core::Tensor;

use super::attention::{Context, Linear};
use super::{
    Activation, AttentionLayer, LayerSpec, MlpSpec, NormKind, NormSpec, Probe, Site, SiteKind, Weights, Wiring,
};
use crate::error::{Error, Result};
use crate::tensor::{add, gelu, gelu_tanh, layer_norm, quick_gelu, relu, rms_norm, silu, wide};

/// A normalisation with its weights.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    spec: NormSpec,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    pub fn load(spec: NormSpec, weights: &dyn Weights, role: &str) -> Result<Self> {
        let bias = match spec.kind {
            NormKind::Layer => Some(weights.get(&format!("{role}.bias"))?),
            _ => None,
        };
        Ok(Self { spec, weight: weights.get(&format!("{role}.weight"))?, bias })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let eps = self.spec.eps;
        Ok(match self.spec.kind {
            NormKind::Layer | NormKind::LayerWithoutBias => layer_norm(x, &self.weight, self.bias.as_ref(), eps)?,
            NormKind::Rms => rms_norm(x, &self.weight, eps)?,
            // One plus a small weight has to be formed, and applied, with the digits that half precision lacks.
            NormKind::RmsPlusOne => {
                let within = wide(x.dtype());
                rms_norm(&x.to_dtype(within)?, &(self.weight.to_dtype(within)? + 1.0)?, eps)?.to_dtype(x.dtype())?
            }
        })
    }
}

/// Applies a non-linearity.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Gelu => gelu(x)?,
        Activation::GeluTanh => gelu_tanh(x)?,
        Activation::QuickGelu => quick_gelu(x)?,
        Activation::Relu => relu(x)?,
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
    fn load(spec: &MlpSpec, weights: &dyn Weights, role: &str) -> Result<Self> {
        let linear = |name: &str| Linear::load(weights, &format!("{role}.{name}"), spec.bias);
        Ok(Self {
            up: linear("up")?,
            gate: if spec.gated { Some(linear("gate")?) } else { None },
            down: linear("down")?,
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
struct Branch {
    wiring: Wiring,
    norm: Option<Norm>,
    post_norm: Option<Norm>,
    channel_scale: Option<Tensor>,
    residual_scale: f64,
}

impl Branch {
    fn load(spec: &LayerSpec, weights: &dyn Weights, role: &str, has_norm: bool) -> Result<Self> {
        let norm = |name: &str| Norm::load(spec.norm, weights, &format!("{role}.{name}"));
        Ok(Self {
            wiring: spec.wiring,
            norm: if has_norm { Some(norm("norm")?) } else { None },
            post_norm: if spec.wiring == Wiring::Both { Some(norm("post_norm")?) } else { None },
            channel_scale: if spec.channel_scale { Some(weights.get(&format!("{role}.scale"))?) } else { None },
            residual_scale: spec.residual_scale,
        })
    }

    /// What the branch reads.
    fn enter(&self, x: &Tensor) -> Result<Tensor> {
        match (&self.norm, self.wiring) {
            (Some(norm), Wiring::Pre | Wiring::Both | Wiring::Parallel) => norm.forward(x),
            _ => Ok(x.clone()),
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
    attention_branch: Branch,
    cross: Option<(AttentionLayer, Branch)>,
    mlp: Mlp,
    mlp_branch: Branch,
}

impl Layer {
    /// Loads a layer of `stack` (`encoder` or `decoder`).
    pub(super) fn load(spec: &LayerSpec, weights: &dyn Weights, stack: &str) -> Result<Self> {
        let role = |part: &str| format!("{stack}.{}.{part}", spec.stored);
        let attention_role = role("attention");
        let cross = spec.cross.as_ref().map(|cross| -> Result<_> {
            let cross_role = role("cross");
            let branch = Branch::load(spec, weights, &cross_role, true)?;
            Ok((AttentionLayer::load(cross, weights, &cross_role)?, branch))
        });
        Ok(Self {
            attention: AttentionLayer::load(&spec.attention, weights, &attention_role)?,
            attention_branch: Branch::load(spec, weights, &attention_role, spec.has_attention_norm)?,
            cross: cross.transpose()?,
            mlp: Mlp::load(&spec.mlp, weights, &role("mlp"))?,
            mlp_branch: Branch::load(spec, weights, &role("mlp"), true)?,
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
        let source = if self.mlp_branch.wiring == Wiring::Parallel { x } else { &hidden };
        let mixed = self.mlp.forward(&self.mlp_branch.enter(source)?)?;
        self.mlp_branch.join(&hidden, mixed)
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
