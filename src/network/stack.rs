//! A stack of layers. Batches that advance together pass a layer one after the other before the next layer is looked
//! at, so that a layer which is not held is read once for all of them.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};

use super::ahead::Ahead;
use super::attention::{Angles, Context};
use super::input::InputWeights;
use super::key_values::DecoderMemory;
use super::layer::Memory;
use super::norm::Norm;
use super::packing::Packing;
use super::part::{Deferred, DeferredPart, TokenTable};
use super::score_bias::{alibi, grid, relative};
use super::{
    AttentionSpec, Gates, Hidden, Layer, Module, NoProbe, Probe, RotarySpec, ScoreBias, Site, SiteKind, Source,
    StackKind, StackSpec, TokenMask, Tokens, Weights,
};
use crate::error::{Error, Result};
use crate::task::{Ticket, release_memory};
use crate::tensor::{Visibility, linear};

/// The weights of one stack. What is neither a layer nor a token table is small and always held.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    spec: StackSpec,
    kind: StackKind,
    input: InputWeights,
    layers: Vec<DeferredPart<Layer>>,
    final_norm: Option<Norm>,
    project_out: Option<Tensor>,
    /// `[buckets, heads before pruning]`.
    relative: Option<Tensor>,
    /// `[2 span, D]`, and its norm.
    distances: Option<(Tensor, Option<Norm>)>,
    /// Whether a layer that is left is read while the one before it is passed.
    reads_ahead: bool,
}

/// One batch at the entrance of a stack.
pub(super) struct StackEntry<'a> {
    pub source: Source,
    /// The encoder's result, where a decoder reads it.
    pub memory: Option<&'a Hidden>,
}

/// What watches a pass and may stop it.
pub(super) struct Watch<'a> {
    pub gates: &'a Gates,
    pub probe: &'a mut dyn Probe,
    pub ticket: &'a Ticket,
    /// Passes of one batch through one layer: those behind, and all of them.
    pub steps: (usize, usize),
}

impl Watch<'_> {
    /// Counts a step of `lanes` batches that advance together; an error once a stop was asked for.
    fn step(&mut self, lanes: usize) -> Result<()> {
        self.steps.0 += 1;
        self.ticket.underway(lanes as f64 * self.steps.0 as f64 / self.steps.1 as f64);
        self.ticket.check()
    }
}

/// A batch on its way through the layers.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub x: Tensor,
    pub mask: TokenMask,
    pub packing: Packing,
    memory: Option<Encoded>,
}

/// The encoder's result on the way through the decoder.
#[derive(Clone, Debug)]
struct Encoded {
    states: Tensor,
    mask: TokenMask,
    packing: Packing,
}

impl Stack {
    /// Reads the stack of `kind`; layers and the token table stay in `deferred` where that is given.
    pub(super) fn load(
        spec: &StackSpec,
        kind: StackKind,
        weights: &dyn Weights,
        deferred: Option<&Deferred>,
    ) -> Result<Self> {
        let has_relative = spec.layers.iter().any(|l| l.attention.bias.has_shared_table());
        let mut distances = spec.layers.iter().filter_map(|layer| match layer.attention.bias {
            ScoreBias::Disentangled(spec) => Some(spec),
            _ => None,
        });
        let distances = distances.next().map(|spec| -> Result<_> {
            let norm = spec.norm.map(|norm| Norm::load(norm, weights, Module::DistanceNorm(kind))).transpose()?;
            Ok((weights.get(Module::Distances(kind).weight())?, norm))
        });
        let layer = |spec| DeferredPart::new(weights, deferred, |weights| Layer::load(spec, weights, kind));
        Ok(Self {
            input: InputWeights::load(&spec.input, weights, deferred, kind)?,
            layers: spec.layers.iter().map(layer).collect::<Result<_>>()?,
            final_norm: spec.final_norm.map(|n| Norm::load(n, weights, Module::FinalNorm(kind))).transpose()?,
            project_out: spec.project_out.map(|_| weights.get(Module::ProjectOut(kind).weight())).transpose()?,
            relative: if has_relative { Some(weights.get(Module::Relative(kind).weight())?) } else { None },
            distances: distances.transpose()?,
            reads_ahead: false,
            spec: spec.clone(),
            kind,
        })
    }

    /// Reads the output projection of `site` anew, in all passes that share it; what is read each time is left.
    pub(super) fn replace_output(&mut self, weights: &dyn Weights, site: Site) -> Result<()> {
        let stored = self.spec.layers.get(site.layer).map(|layer| layer.stored);
        for (layer, spec) in self.layers.iter_mut().zip(&self.spec.layers) {
            if let DeferredPart::Held(layer) = layer
                && Some(spec.stored) == stored
            {
                layer.replace_output(spec.stored, weights, site.kind)?;
            }
        }
        Ok(())
    }

    /// Reads layers that are left while the one before them is passed.
    pub(super) fn read_ahead(&mut self) {
        self.reads_ahead = true;
    }

    /// Layers that a pass goes through.
    pub(super) fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The token table, where the stack reads tokens.
    pub(super) fn table(&self) -> Option<&TokenTable> {
        match &self.input {
            InputWeights::Tokens(input) => Some(&input.table),
            _ => None,
        }
    }

    /// The kind of its layers' self-attention.
    pub(super) fn self_attention(&self) -> SiteKind {
        self.kind.self_attention()
    }

    /// Where the weights are, and their type.
    pub(super) fn place(&self) -> Result<(Device, DType)> {
        self.input.place()
    }

    /// Every batch through the stack; results in their order.
    pub(super) fn forward(&self, entries: &[StackEntry<'_>], watch: &mut Watch<'_>) -> Result<Vec<Hidden>> {
        self.advance(entries, watch, true)?.into_iter().map(|lane| self.leave(lane)).collect()
    }

    /// The result of a batch behind the last layer.
    pub(super) fn leave(&self, lane: Lane) -> Result<Hidden> {
        let mut x = lane.x;
        if let Some(norm) = &self.final_norm {
            x = norm.forward(&x)?;
        }
        if let Some(project) = &self.project_out {
            x = linear(&x, project, None)?;
        }
        Ok(Hidden { states: lane.packing.unpack(x)?, mask: lane.mask })
    }

    /// Every batch as far as the probe sees something, which is the attention of the last layer.
    pub(super) fn run_probe(&self, entries: &[StackEntry<'_>], watch: &mut Watch<'_>) -> Result<()> {
        self.advance(entries, watch, false).map(drop)
    }

    /// Batches through all layers, the last one `whole` or as far as its attention.
    fn advance(&self, entries: &[StackEntry<'_>], watch: &mut Watch<'_>, whole: bool) -> Result<Vec<Lane>> {
        let mut lanes = entries.iter().map(|entry| self.enter(entry)).collect::<Result<Vec<_>>>()?;
        // What layers share is kept from layer to layer only where one batch is on its way: it may be large.
        let alone = lanes.len() == 1;
        let mut kept = None;
        let (mut ahead, mut last) = (Ahead::default(), None);
        for index in 0..self.layers.len() {
            let layer = self.layer(index, last.take(), &mut ahead)?;
            let whole = whole || index + 1 < self.layers.len();
            for (at, lane) in lanes.iter_mut().enumerate() {
                let mut shared = kept.take().unwrap_or_default();
                self.pass(index, &layer, whole, at, lane, &mut shared, watch)?;
                kept = alone.then_some(shared);
                watch.step(entries.len())?;
            }
            last = Some((index, layer));
        }
        Ok(lanes)
    }

    /// A batch at the first layer.
    pub(super) fn enter(&self, entry: &StackEntry<'_>) -> Result<Lane> {
        let (x, mask, packing) = self.input.forward(&entry.source)?;
        let memory = entry.memory.map(|memory| -> Result<Encoded> {
            let packing = Packing::new(&memory.mask, x.device())?;
            Ok(Encoded { states: packing.pack(memory.states.clone())?, mask: memory.mask.clone(), packing })
        });
        Ok(Lane { x, mask, packing, memory: memory.transpose()? })
    }

    /// A layer; passes that share one (ALBERT) read it once. The one before is dropped before another is taken, and the one
    /// behind it begins to be read where layers are read ahead.
    pub(super) fn layer<'a>(
        &'a self,
        index: usize,
        last: Option<(usize, Cow<'a, Layer>)>,
        ahead: &mut Ahead,
    ) -> Result<Cow<'a, Layer>> {
        let spec = &self.spec.layers[index];
        if let Some((before, layer)) = last
            && self.spec.layers[before] == *spec
        {
            return Ok(layer);
        }
        let part = &self.layers[index];
        if part.is_left() {
            // The layer before makes room for this one.
            release_memory();
        }
        let layer = match ahead.take(index) {
            Some(read) => Cow::Owned(read?),
            None => part.get(|weights| Layer::load(spec, weights, self.kind))?,
        };
        // The next one that is not this one again.
        let next = (index + 1..self.layers.len()).find(|next| self.spec.layers[*next] != *spec);
        if self.reads_ahead
            && let Some(next) = next
            && let DeferredPart::Deferred(weights) = &self.layers[next]
        {
            ahead.begin(next, &self.spec.layers[next], weights, self.kind);
        }
        Ok(layer)
    }

    /// One batch, the one at place `at` of those that advance together, through one layer, the whole of it or as far as
    /// its attention.
    fn pass(
        &self,
        index: usize,
        layer: &Layer,
        whole: bool,
        at: usize,
        lane: &mut Lane,
        shared: &mut Shared,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        let x = lane.x.clone();
        let probe = &mut *watch.probe;
        let site = Site::new(self.self_attention(), index);
        lane.x = self.within(index, at, lane, shared, watch.gates, |context, cross| {
            if whole {
                layer.forward(site, &x, context, cross, probe)
            } else {
                layer.run_probe(site, &x, context, cross, probe)?;
                Ok(x)
            }
        })?;
        Ok(())
    }

    /// Calls `work` with what the attention layers at `index` read besides the stream: of the layer itself, and of its
    /// cross attention where it has one.
    pub(super) fn within<R>(
        &self,
        index: usize,
        at: usize,
        lane: &Lane,
        shared: &mut Shared,
        gates: &Gates,
        work: impl FnOnce(&Context<'_>, Option<&Memory<'_>>) -> Result<R>,
    ) -> Result<R> {
        let spec = &self.spec.layers[index].attention;
        let Lane { x, mask, packing, memory } = lane;
        shared.prepare(spec, mask, x)?;
        if let Some(memory) = memory
            && shared.everything.is_none()
        {
            let shape = (mask.sequences(), mask.length(), memory.mask.length());
            shared.everything = Some(Visibility::new(shape, false, None, [mask.real(), memory.mask.real()]));
        }
        let bias = self.score_bias(spec, shared, mask, x)?;
        if let (Some((table, norm)), None) = (&self.distances, &shared.distances) {
            let normal = norm.as_ref().map(|norm| norm.forward(table)).transpose()?;
            shared.distances = Some(normal.unwrap_or_else(|| table.clone()).unsqueeze(0)?);
        }
        let cross = memory.as_ref().zip(shared.everything.as_ref()).map(|(memory, visibility)| Memory {
            hidden: &memory.states,
            context: Context {
                batch: at,
                queries: mask,
                keys: &memory.mask,
                packing: [packing, &memory.packing],
                visibility,
                angles: None,
                bias: None,
                distances: None,
                gate: gates.get(Site::new(SiteKind::Cross, index)),
                offset: gates.offset(Site::new(SiteKind::Cross, index)),
                past: None,
            },
        });
        let site = Site::new(self.kind.self_attention(), index);
        let context = Context {
            batch: at,
            queries: mask,
            keys: mask,
            packing: [packing, packing],
            visibility: shared.visibility(spec)?,
            angles: shared.angles(spec),
            bias: bias.as_ref(),
            distances: shared.distances.as_ref(),
            gate: gates.get(site),
            offset: gates.offset(site),
            past: None,
        };
        work(&context, cross.as_ref())
    }

    /// Those positions of `tokens` that `past` does not hold yet, one or the first ones, through the layers: their states
    /// `[N, new, D]`. None of the tokens is padding. The states of `memory` are read at the first step alone; its mask is that
    /// of the rows at hand.
    pub(super) fn step(
        &self,
        tokens: &Tokens,
        memory: &Hidden,
        past: &mut DecoderMemory,
        gates: &Gates,
    ) -> Result<Tensor> {
        let (n, length) = tokens.ids.dims2()?;
        let new = length.saturating_sub(past.read);
        if new == 0 || (past.read > 0 && new > 1) {
            return Err(Error::new("a decoder that remembers reads one token at a time"));
        }
        let whole = self.enter(&StackEntry { source: Source::Tokens(tokens.clone()), memory: None })?;
        let mut x = whole.x.narrow(1, past.read, new)?.contiguous()?;
        let mask = TokenMask::full(n, new);
        let packing = Packing::new(&mask, x.device())?;
        let encoded = match past.read {
            0 => {
                let packing = Packing::new(&memory.mask, x.device())?;
                Some((packing.pack(memory.states.clone())?, packing))
            }
            _ => None,
        };
        // Later the keys and values of the encoder's result are known, and nothing reads it.
        let unread = x.clone();
        let (states, memory_packing) = encoded.as_ref().map_or((&unread, &packing), |(states, own)| (states, own));
        let shape = (n, new, memory.mask.length());
        let everything = Visibility::new(shape, false, None, [mask.real(), memory.mask.real()]);
        let mut shared = Shared::default();
        let (mut ahead, mut last) = (Ahead::default(), None);
        for index in 0..self.layers.len() {
            let layer = self.layer(index, last.take(), &mut ahead)?;
            let spec = &self.spec.layers[index].attention;
            if !spec.causal || matches!(spec.bias, ScoreBias::Disentangled(_) | ScoreBias::Grid { .. }) {
                return Err(Error::new("keys are remembered of causal layers without a bias of contents alone"));
            }
            shared.prepare(spec, &whole.mask, &x)?;
            let newest = |all: Tensor, axis: usize| match all.dim(axis)? {
                1 => Ok::<_, Error>(all),
                _ => Ok(all.narrow(axis, past.read, new)?.contiguous()?),
            };
            let bias = self.score_bias(spec, &mut shared, &whole.mask, &x)?;
            let bias = bias.map(|bias| newest(bias, 2)).transpose()?;
            let angles = shared.angles(spec).map(|angles| -> Result<Angles> {
                let of = |table: &Tensor| Ok::<_, Error>(table.narrow(0, past.read, new)?.contiguous()?);
                Ok(Angles { cos: of(&angles.cos)?, sin: of(&angles.sin)? })
            });
            let angles = angles.transpose()?;
            // One query sees what is before it; the first ones see each what is before them.
            let visibility = if past.read == 0 {
                shared.visibility(spec)?.clone()
            } else {
                let near = |key: usize| spec.window.is_none_or(|window| length - 1 - key < window);
                let keys: Vec<bool> = (0..n * length).map(|key| near(key % length)).collect();
                Visibility::new((n, 1, length), false, None, [mask.real(), &keys])
            };
            let [own, cross] = past.layer(index).ok_or_else(|| Error::new("a decoder remembers another's layers"))?;
            let (site, cross_site) = (Site::new(self.kind.self_attention(), index), Site::new(SiteKind::Cross, index));
            let context = |site, keys, packings, visibility, past| Context {
                batch: 0,
                queries: &mask,
                keys,
                packing: packings,
                visibility,
                angles: None,
                bias: None,
                distances: None,
                gate: gates.get(site),
                offset: gates.offset(site),
                past: Some(past),
            };
            let of_memory = Memory {
                hidden: states,
                context: context(cross_site, &memory.mask, [&packing, memory_packing], &everything, cross),
            };
            let context = Context {
                angles: angles.as_ref(),
                bias: bias.as_ref(),
                ..context(site, &whole.mask, [&packing, &packing], &visibility, own)
            };
            x = layer.forward(site, &x, &context, Some(&of_memory), &mut NoProbe)?;
            last = Some((index, layer));
        }
        past.read = length;
        Ok(self.leave(Lane { x, mask, packing, memory: None })?.states)
    }

    /// Bias on this layer's scores, `[1 or N, H, 1 or T, S]`.
    fn score_bias(
        &self,
        spec: &AttentionSpec,
        shared: &mut Shared,
        mask: &TokenMask,
        x: &Tensor,
    ) -> Result<Option<Tensor>> {
        let all = match spec.bias {
            _ if spec.heads == 0 => return Ok(None),
            ScoreBias::None => return Ok(None),
            ScoreBias::Alibi => match &shared.bias {
                Some(ready) => ready.clone(),
                None => alibi(spec.origin_heads, mask, x)?,
            },
            ScoreBias::Relative { buckets, max_distance } => match &shared.bias {
                Some(ready) => ready.clone(),
                None => {
                    let table =
                        self.relative.as_ref().ok_or_else(|| Error::new("the relative bias table is missing"))?;
                    relative(table, mask.length(), buckets, max_distance, !spec.causal)?
                }
            },
            // Each layer looks at its own.
            ScoreBias::Grid { shared: false, .. } | ScoreBias::Disentangled(_) => return Ok(None),
            ScoreBias::Grid { rows, columns, shared: true } => match &shared.bias {
                Some(ready) => ready.clone(),
                None => {
                    let table = self.relative.as_ref().ok_or_else(|| Error::new("the table of offsets is missing"))?;
                    grid(table, rows, columns)?
                }
            },
        };
        shared.bias = Some(all.clone());
        if spec.origin.iter().copied().eq(0..spec.origin_heads) {
            return Ok(Some(all));
        }
        let origin: Vec<u32> = spec.origin.iter().map(|h| u32::try_from(*h).unwrap_or(u32::MAX)).collect();
        let origin = Tensor::new(origin, x.device())?;
        Ok(Some(all.index_select(&origin, 1)?))
    }
}

/// What layers of one stack share within one batch.
#[derive(Default)]
pub(super) struct Shared {
    visibilities: Vec<Visibility>,
    angles: Vec<(RotarySpec, Angles)>,
    bias: Option<Tensor>,
    /// Embeddings of distances, `[1, 2 span, D]`.
    distances: Option<Tensor>,
    /// What cross attention sees.
    everything: Option<Visibility>,
}

impl Shared {
    fn prepare(&mut self, spec: &AttentionSpec, mask: &TokenMask, x: &Tensor) -> Result<()> {
        let length = mask.length();
        if self.visibility(spec).is_err() {
            let shape = (mask.sequences(), length, length);
            let rules = Visibility::new(shape, spec.causal, spec.window, [mask.real(); 2]);
            // As transformers does, layers that look both ways see all of a row.
            self.visibilities.push(match mask.documents() {
                Some(documents) if spec.causal => rules.within(documents),
                _ => rules,
            });
        }
        if let Some(rotary) = &spec.rotary
            && self.angles(spec).is_none()
        {
            let (cos, sin) = rotary.angles(length, x.dtype(), x.device())?;
            self.angles.push((rotary.clone(), Angles { cos, sin }));
        }
        Ok(())
    }

    fn visibility(&self, spec: &AttentionSpec) -> Result<&Visibility> {
        let found = self.visibilities.iter().find(|v| v.is_causal() == spec.causal && v.window() == spec.window);
        found.ok_or_else(|| Error::new("visibility was not prepared"))
    }

    fn angles(&self, spec: &AttentionSpec) -> Option<&Angles> {
        let rotary = spec.rotary.as_ref()?;
        self.angles.iter().find(|(r, _)| r == rotary).map(|(_, a)| a)
    }
}
