//! One layer: attention, cross attention, feed-forward, and the norms around them.

use candle_core::Tensor;

use super::attention::Context;
use super::feed_forward::FeedForward;
use super::norm::Norm;
use super::{
    AttentionLayer, Branch, BranchModule, LayerSpec, Module, Probe, Site, SiteKind, StackKind, Weights, Wiring,
};
use crate::error::{Error, Result};
use crate::tensor::add;

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

    /// What the branch's result must gain so that the stream gains `x`; `None` where a norm stands in between.
    fn backwards(&self, x: Tensor) -> Result<Option<Tensor>> {
        if self.post_norm.is_some() {
            return Ok(None);
        }
        let x = match &self.channel_scale {
            Some(scale) => {
                // A channel that the branch cannot reach asks nothing of it.
                let some = scale.ne(0.0)?.to_dtype(x.dtype())?;
                let scale = (scale.to_dtype(x.dtype())? + (1.0 - &some)?)?;
                x.broadcast_div(&scale)?.broadcast_mul(&some)?
            }
            None => x,
        };
        Ok(Some(if self.residual_scale != 1.0 { (x / self.residual_scale)? } else { x }))
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
    pub hidden: &'a Tensor,
    pub context: Context<'a>,
}

/// Weights of one layer.
#[derive(Clone, Debug)]
pub struct Layer {
    attention: AttentionLayer,
    attention_branch: BranchWeights,
    cross: Option<(AttentionLayer, BranchWeights)>,
    mlp: FeedForward,
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
            mlp: FeedForward::load(spec, weights, stack)?,
            mlp_branch: BranchWeights::load(spec, weights, Branch::Mlp(stack))?,
        })
    }

    /// Reads the output projection of self-attention, or of cross attention, anew.
    pub(super) fn replace_output(&mut self, stored: usize, weights: &dyn Weights, kind: SiteKind) -> Result<()> {
        match (kind, &mut self.cross) {
            (SiteKind::Cross, Some((cross, _))) => cross.replace_output(weights, kind, stored),
            (SiteKind::Cross, None) => Err(Error::new("the layer has no cross attention")),
            (SiteKind::Encoder | SiteKind::Decoder, _) => self.attention.replace_output(weights, kind, stored),
        }
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
        self.feed_forward(x, &hidden)
    }

    /// Lets the probe see what it sees in [`Layer::forward`] and leaves out what comes after its last attention.
    pub(super) fn run_probe(
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

    /// Whether it reads an encoder.
    pub(super) fn has_cross(&self) -> bool {
        self.cross.is_some()
    }

    fn branch(&self, kind: SiteKind) -> Result<(&AttentionLayer, &BranchWeights)> {
        match (kind, &self.cross) {
            (SiteKind::Cross, Some((cross, branch))) => Ok((cross, branch)),
            (SiteKind::Cross, None) => Err(Error::new("the layer has no cross attention")),
            _ => Ok((&self.attention, &self.attention_branch)),
        }
    }

    /// The outputs of all heads of an attention layer that reads the stream `x`, `[N, H, T, d]`; `None` where none is
    /// left.
    pub(super) fn heads(
        &self,
        site: Site,
        x: &Tensor,
        context: &Context<'_>,
        memory: Option<&Memory<'_>>,
        probe: &mut dyn Probe,
    ) -> Result<Option<Tensor>> {
        let (attention, branch) = self.branch(site.kind)?;
        let read = branch.enter(x)?;
        match site.kind {
            SiteKind::Cross => {
                let memory = encoded(memory)?;
                attention.heads(site, &read, memory.hidden, &memory.context, probe)
            }
            _ => attention.heads(site, &read, &read, context, probe),
        }
    }

    /// What an attention layer makes of its heads `[.., H d]`: `o W + b`.
    pub(super) fn project(&self, kind: SiteKind, heads: &Tensor) -> Result<Tensor> {
        self.branch(kind)?.0.project(heads)
    }

    /// The stream `x` with an attention layer's result `y`.
    pub(super) fn join(&self, kind: SiteKind, x: &Tensor, y: Tensor) -> Result<Tensor> {
        self.branch(kind)?.1.join(x, y)
    }

    /// What an attention layer's result must gain so that the stream gains `x`, where that can be said.
    pub(super) fn backwards(&self, kind: SiteKind, x: Tensor) -> Result<Option<Tensor>> {
        self.branch(kind)?.1.backwards(x)
    }

    /// True where the next thing that reads the stream normalizes it, so that a position counts by its direction.
    pub(super) fn normalizes_later(&self, kind: SiteKind) -> Result<bool> {
        Ok(match self.branch(kind)?.1.wiring {
            Wiring::Pre | Wiring::Both | Wiring::Parallel | Wiring::ParallelOneNorm => true,
            Wiring::Post | Wiring::After => false,
        })
    }

    /// The stream behind the layer: `x` is what it read, `hidden` the stream behind its attention.
    pub(super) fn feed_forward(&self, x: &Tensor, hidden: &Tensor) -> Result<Tensor> {
        // Parallel layers feed both branches from the layer's input.
        let read = match self.mlp_branch.wiring {
            Wiring::Parallel => self.mlp_branch.enter(x)?,
            Wiring::ParallelOneNorm => self.attention_branch.enter(x)?,
            Wiring::Pre | Wiring::Post | Wiring::Both | Wiring::After => self.mlp_branch.enter(hidden)?,
        };
        self.mlp_branch.join(hidden, self.mlp.forward(&read)?)
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
