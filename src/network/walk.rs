//! Batches through a network attention layer by attention layer, what each adds to the stream being the caller's choice.

use std::borrow::Cow;

use candle_core::Tensor;

use super::ahead::Ahead;
use super::attention::join_heads;
use super::spill::Spill;
use super::stack::{Lane, Shared, Stack, StackEntry};
use super::{Batch, Gates, Hidden, Layer, Network, NoProbe, Site, SiteKind, Source, Tokens};
use crate::error::{Error, Result};

/// Batches that stand before the same attention layer. Each is seen and joined once there; then all step on.
///
/// Layers that are not held are read once for all batches; what stands before them is held, or waits in a temporary file.
/// The results of an encoder that a decoder reads are held.
pub struct Walk<'a> {
    network: &'a Network,
    stack: &'a Stack,
    kind: SiteKind,
    index: usize,
    layer: Cow<'a, Layer>,
    ahead: Ahead,
    lanes: Vec<Lane>,
    /// The streams at the entrance of the layer.
    entered: Vec<Tensor>,
    /// Where streams wait: that of batch `i` under `2 i`, at the entrance of the layer under `2 i + 1`. Lanes hold an empty
    /// tensor in their place.
    spill: Option<Spill>,
    /// What the decoder of an encoder-decoder will read.
    targets: Vec<Tokens>,
}

/// One batch before an attention layer: positions in rows, of which `real` (all, where there is none) are no padding.
#[derive(Clone, Debug)]
pub struct SiteState {
    /// The stream, `[P, D]`.
    pub stream: Tensor,
    /// The outputs of all heads side by side, `[P, H d]`.
    pub heads: Tensor,
    /// Rows that are real positions, u32.
    pub real: Option<Tensor>,
}

impl Network {
    /// Puts batches before the first attention layer; a batch may be there more than once. Where `spills` their streams wait
    /// in a temporary file.
    pub fn walk(&self, batches: &[Batch], spills: bool) -> Result<Walk<'_>> {
        let (stack, targets) = match self.stacks() {
            (Some(encoder), Some(_)) => {
                let missing = || Error::usage("an encoder-decoder model also needs what its decoder reads");
                let targets = batches.iter().map(|b| b.target.clone().ok_or_else(missing)).collect::<Result<_>>()?;
                (encoder, targets)
            }
            (Some(only), None) | (None, Some(only)) => (only, Vec::new()),
            (None, None) => return Err(Error::new("the network has no layers")),
        };
        let entries = batches.iter().map(|b| StackEntry { source: b.source.clone(), memory: None });
        Walk::at_first(self, stack, entries.map(|entry| stack.enter(&entry)), targets, spills)
    }
}

impl<'a> Walk<'a> {
    fn at_first(
        network: &'a Network,
        stack: &'a Stack,
        entering: impl Iterator<Item = Result<Lane>>,
        targets: Vec<Tokens>,
        spills: bool,
    ) -> Result<Self> {
        let (kind, mut ahead) = (stack.self_attention(), Ahead::default());
        let layer = stack.layer(0, None, &mut ahead)?;
        let spill = if spills { Some(Spill::new()?) } else { None };
        let mut walk = Self {
            network,
            stack,
            kind,
            index: 0,
            layer,
            ahead,
            lanes: Vec::new(),
            entered: Vec::new(),
            spill,
            targets,
        };
        for lane in entering {
            let lane = lane?;
            let (at, x) = (walk.lanes.len(), lane.x.clone());
            walk.lanes.push(lane);
            if walk.spill.is_none() {
                walk.entered.push(x.clone());
            }
            walk.put(at, x.clone())?;
            walk.enter(at, x)?;
        }
        Ok(walk)
    }

    /// Takes `x` for the stream of a batch.
    fn put(&mut self, lane: usize, x: Tensor) -> Result<()> {
        let own = &mut self.lanes[lane];
        match &mut self.spill {
            Some(spill) => {
                spill.put(2 * lane, &x)?;
                own.x = Tensor::zeros(0, x.dtype(), x.device())?;
            }
            None => own.x = x,
        }
        Ok(())
    }

    /// Takes `x` for the stream of a batch at the entrance of the layer ahead.
    fn enter(&mut self, lane: usize, x: Tensor) -> Result<()> {
        match &mut self.spill {
            Some(spill) => spill.put(2 * lane + 1, &x),
            None => {
                self.entered[lane] = x;
                Ok(())
            }
        }
    }

    fn entered(&self, lane: usize) -> Result<Tensor> {
        match &self.spill {
            Some(spill) => spill.get(2 * lane + 1),
            None => Ok(self.entered[lane].clone()),
        }
    }

    /// The attention layer ahead.
    pub fn site(&self) -> Site {
        Site::new(self.kind, self.index)
    }

    /// The batch at place `lane`: what it is, and what all heads of the layer ahead make of it.
    pub fn look(&self, lane: usize) -> Result<SiteState> {
        let (site, own) = (self.site(), self.lane(lane)?);
        let own = &*own;
        let heads =
            self.stack.within(self.index, lane, own, &mut Shared::default(), &Gates::open(), |context, memory| {
                self.layer.heads(site, &own.x, context, memory, &mut NoProbe)
            })?;
        let heads = heads.ok_or_else(|| Error::new(format!("{site} has no heads")))?;
        let heads = own.packing.pack(join_heads(&heads)?)?.flatten_to(1)?;
        let is_packed = own.x.dim(1)? != own.mask.length() || own.x.dim(0)? != own.mask.sequences();
        let real = if is_packed || own.mask.is_full() {
            None
        } else {
            let rows: Vec<u32> = (0u32..).zip(own.mask.real()).filter_map(|(r, real)| real.then_some(r)).collect();
            Some(Tensor::new(rows, own.x.device())?)
        };
        Ok(SiteState { stream: own.x.flatten_to(1)?, heads, real })
    }

    /// What the layer ahead makes of heads `[P, H d]` as it is: `o W + b`, `[P, D]`.
    pub fn project(&self, heads: &Tensor) -> Result<Tensor> {
        self.layer.project(self.kind, heads)
    }

    /// What the result of the layer ahead must gain so that the stream behind it gains `x [P, D]`; `None` where a norm
    /// stands between the two.
    pub fn backwards(&self, x: Tensor) -> Result<Option<Tensor>> {
        self.layer.backwards(self.kind, x)
    }

    /// True where what reads the stream next normalizes it.
    pub fn normalizes_later(&self) -> Result<bool> {
        self.layer.normalizes_later(self.kind)
    }

    /// Takes the batch at place `lane` behind the layer ahead, whose result is `y [P, D]`.
    pub fn join(&mut self, lane: usize, y: &Tensor) -> Result<()> {
        let own = self.lane(lane)?;
        let joined = self.layer.join(self.kind, &own.x, y.reshape(own.x.shape())?)?;
        self.put(lane, joined)
    }

    /// The stream of the batch at place `lane`, `[P, D]`: before the layer ahead, or behind it once it was joined.
    pub fn stream(&self, lane: usize) -> Result<Tensor> {
        Ok(self.lane(lane)?.x.flatten_to(1)?)
    }

    /// A batch with its stream.
    fn lane(&self, lane: usize) -> Result<Cow<'_, Lane>> {
        let own = &self.lanes[lane];
        match &self.spill {
            Some(spill) => {
                let mut own = own.clone();
                own.x = spill.get(2 * lane)?;
                Ok(Cow::Owned(own))
            }
            None => Ok(Cow::Borrowed(own)),
        }
    }

    /// Once every batch is behind the layer ahead: takes all of them to the next, or gives the results of the last stack.
    pub fn step(mut self) -> Result<WalkStep<'a>> {
        if self.kind != SiteKind::Cross && self.layer.has_cross() {
            self.kind = SiteKind::Cross;
            return Ok(WalkStep::On(Box::new(self)));
        }
        for lane in 0..self.lanes.len() {
            let x = self.layer.feed_forward(&self.entered(lane)?, &self.lane(lane)?.x)?;
            self.put(lane, x)?;
        }
        if self.index + 1 < self.stack.depth() {
            self.kind = self.stack.self_attention();
            self.layer = self.stack.layer(self.index + 1, Some((self.index, self.layer)), &mut self.ahead)?;
            self.index += 1;
            for lane in 0..self.lanes.len() {
                let x = self.lane(lane)?.into_owned().x;
                self.enter(lane, x)?;
            }
            return Ok(WalkStep::On(Box::new(self)));
        }
        let leaving = (0..self.lanes.len()).map(|lane| self.stack.leave(self.lane(lane)?.into_owned()));
        let results = leaving.collect::<Result<Vec<_>>>()?;
        let spills = self.spill.is_some();
        match self.network.stacks() {
            (Some(_), Some(decoder)) if self.stack.self_attention() == SiteKind::Encoder => {
                let entries = self.targets.into_iter().zip(&results);
                let enter = |(target, memory): (Tokens, &Hidden)| {
                    decoder.enter(&StackEntry { source: Source::Tokens(target), memory: Some(memory) })
                };
                let walk = Self::at_first(self.network, decoder, entries.map(enter), Vec::new(), spills)?;
                Ok(WalkStep::On(Box::new(walk)))
            }
            _ => Ok(WalkStep::Done(results)),
        }
    }
}

/// Where a [`Walk`] has come to.
pub enum WalkStep<'a> {
    /// Before the next attention layer.
    On(Box<Walk<'a>>),
    /// Behind the last layer: the results of the batches.
    Done(Vec<Hidden>),
}
