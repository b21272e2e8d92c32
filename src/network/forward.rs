//! The forward pass that runs every spec.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::output::OutputHead;
use super::part::Deferred;
use super::stack::{Stack, StackEntry, Watch};
use super::{
    Batch, DecoderMemory, Gates, Hidden, NetworkSpec, NoProbe, Probe, Site, Source, StackKind, TaskHead, Tokens,
    Weights,
};
use crate::error::{Error, Result};
use crate::task::Ticket;
use crate::tensor::at_work;

/// A transformer with its weights, held or left in the checkpoint. It keeps no state between batches.
#[derive(Clone, Debug)]
pub struct Network {
    spec: NetworkSpec,
    encoder: Option<Stack>,
    decoder: Option<Stack>,
    output: Option<OutputHead>,
    task: Option<TaskHead>,
    device: Device,
    dtype: DType,
    /// Bytes of hidden states that may wait between two layers, where layers are not held.
    waiting: Option<u64>,
    /// Whether a layer that is not held is read while the one before it is passed.
    reads_ahead: bool,
}

impl Network {
    /// Loads every weight that `spec` names.
    pub fn load(spec: &NetworkSpec, weights: &dyn Weights) -> Result<Self> {
        Self::new(spec, weights, None)
    }

    /// Leaves layers and token tables to `weights`, which are asked for each of them whenever a pass comes to it, and
    /// lets batches advance together that hold up to `waiting` bytes of hidden states between two layers.
    pub fn stream(spec: &NetworkSpec, weights: Arc<dyn Weights + Send + Sync>, waiting: u64) -> Result<Self> {
        let deferred = Deferred(Arc::clone(&weights));
        Ok(Self { waiting: Some(waiting), ..Self::new(spec, &*weights, Some(&deferred))? })
    }

    /// Reads each layer that is not held while batches pass the one before it. Two layers are there at a time then.
    pub fn reading_ahead(mut self) -> Self {
        self.reads_ahead = true;
        for stack in [&mut self.encoder, &mut self.decoder].into_iter().flatten() {
            stack.read_ahead();
        }
        self
    }

    fn new(spec: &NetworkSpec, weights: &dyn Weights, deferred: Option<&Deferred>) -> Result<Self> {
        let load =
            |stack: &Option<_>, kind| stack.as_ref().map(|s| Stack::load(s, kind, weights, deferred)).transpose();
        let encoder = load(&spec.encoder, StackKind::Encoder)?;
        let decoder = load(&spec.decoder, StackKind::Decoder)?;
        let last = decoder.as_ref().or(encoder.as_ref()).ok_or_else(|| Error::new("the network has no layers"))?;
        let output =
            spec.output.as_ref().map(|o| OutputHead::load(o, weights, deferred, last.table(), spec)).transpose()?;
        let task = spec.task.as_ref().map(|task| TaskHead::load(task, weights)).transpose()?;
        let (device, dtype) = last.place()?;
        Ok(Self {
            spec: spec.clone(),
            output,
            task,
            device,
            dtype,
            encoder,
            decoder,
            waiting: None,
            reads_ahead: false,
        })
    }

    /// This network with the output projections of `sites` (and of layers that share their weights) read anew from
    /// `weights`. What is held otherwise is shared.
    pub fn with_outputs(&self, weights: &dyn Weights, sites: &[Site]) -> Result<Self> {
        let mut changed = self.clone();
        for site in sites {
            let stack = match site.kind.stack() {
                StackKind::Encoder => &mut changed.encoder,
                StackKind::Decoder => &mut changed.decoder,
            };
            if let Some(stack) = stack {
                stack.replace_output(weights, *site)?;
            }
        }
        Ok(changed)
    }

    pub(super) fn stacks(&self) -> (Option<&Stack>, Option<&Stack>) {
        (self.encoder.as_ref(), self.decoder.as_ref())
    }

    /// What this network is.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Where its weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type its weights have.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes of hidden states that may wait between two layers; `None` where every weight is held and batches pass
    /// one by one.
    pub fn waiting(&self) -> Option<u64> {
        self.waiting
    }

    /// Whether layers that are not held are read ahead.
    pub fn reads_ahead(&self) -> bool {
        self.reads_ahead
    }

    /// The language-model head, where there is one.
    pub fn output(&self) -> Option<&OutputHead> {
        self.output.as_ref()
    }

    /// The head of a labeled task, where there is one.
    pub fn task(&self) -> Option<&TaskHead> {
        self.task.as_ref()
    }

    /// The last hidden state, before any head.
    pub fn hidden(&self, batch: &Batch, gates: &Gates, probe: &mut dyn Probe) -> Result<Hidden> {
        let mut only = self.hidden_of(std::slice::from_ref(batch), gates, probe, &Ticket::default())?;
        Ok(only.remove(0))
    }

    /// [`Network::hidden`] of batches that advance together, layer by layer: what is not held is read once for all of
    /// them. The probe is given the index of the batch. `ticket` shows how far they are and stops them.
    pub fn hidden_of(
        &self,
        batches: &[Batch],
        gates: &Gates,
        probe: &mut dyn Probe,
        ticket: &Ticket,
    ) -> Result<Vec<Hidden>> {
        self.to_last(batches, gates, probe, ticket, |stack, entries, watch| stack.forward(entries, watch))
    }

    /// [`Network::hidden_of`] for the probe alone: what comes after the last attention that it sees is left out.
    pub fn run_probe(&self, batches: &[Batch], gates: &Gates, probe: &mut dyn Probe, ticket: &Ticket) -> Result<()> {
        self.to_last(batches, gates, probe, ticket, |stack, entries, watch| stack.run_probe(entries, watch))
    }

    /// Batches as far as the last stack, through which `last` takes them.
    fn to_last<R: Send>(
        &self,
        batches: &[Batch],
        gates: &Gates,
        probe: &mut dyn Probe,
        ticket: &Ticket,
        last: impl FnOnce(&Stack, &[StackEntry<'_>], &mut Watch<'_>) -> Result<R> + Send,
    ) -> Result<R> {
        let depth: usize = [&self.encoder, &self.decoder].into_iter().flatten().map(Stack::depth).sum();
        let mut watch = Watch { gates, probe, ticket, steps: (0, depth * batches.len()) };
        at_work(&self.device, || {
            let first = batches.iter().map(|b| StackEntry { source: b.source.clone(), memory: None });
            let first: Vec<StackEntry<'_>> = first.collect();
            match (&self.encoder, &self.decoder) {
                (Some(only), None) | (None, Some(only)) => last(only, &first, &mut watch),
                (Some(encoder), Some(decoder)) => {
                    let missing = || {
                        Error::usage("an encoder-decoder model also needs what its decoder reads (decoder_input_ids)")
                    };
                    let targets =
                        batches.iter().map(|b| b.target.clone().ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
                    let memories = encoder.forward(&first, &mut watch)?;
                    let second = targets.into_iter().zip(&memories);
                    let second: Vec<StackEntry<'_>> = second
                        .map(|(t, memory)| StackEntry { source: Source::Tokens(t), memory: Some(memory) })
                        .collect();
                    last(decoder, &second, &mut watch)
                }
                (None, None) => Err(Error::new("the network has no layers")),
            }
        })
    }

    /// What the encoder makes of `source`; an error where there is none.
    pub fn encode(&self, source: &Source, gates: &Gates, probe: &mut dyn Probe) -> Result<Hidden> {
        let encoder = self.encoder.as_ref().ok_or_else(|| Error::new("the network has no encoder"))?;
        at_work(&self.device, || one(encoder, StackEntry { source: source.clone(), memory: None }, gates, probe))
    }

    /// What the decoder of an encoder-decoder makes of `target`, reading `memory`, the encoder's result.
    pub fn decode(&self, memory: &Hidden, target: &Tokens, gates: &Gates, probe: &mut dyn Probe) -> Result<Hidden> {
        let decoder = self.decoding()?;
        let entry = StackEntry { source: Source::Tokens(target.clone()), memory: Some(memory) };
        at_work(&self.device, || one(decoder, entry, gates, probe))
    }

    /// The memory of a decoder that has read nothing.
    ///
    /// # Errors
    /// Where the network is no encoder-decoder.
    pub fn remember(&self) -> Result<DecoderMemory> {
        Ok(DecoderMemory::new(self.decoding()?.depth()))
    }

    fn decoding(&self) -> Result<&Stack> {
        let decoder = self.decoder.as_ref().filter(|_| self.encoder.is_some());
        decoder.ok_or_else(|| Error::new("the network is no encoder-decoder"))
    }

    /// What the decoder of an encoder-decoder makes of the last token of each row of `target`, `[N, D]`: [`Network::decode`]
    /// at the cost of one position. `past` holds what the rows were before; it is empty, or one token behind. The encoder's
    /// states in `memory` are read where `past` is empty, later its mask alone.
    ///
    /// # Errors
    /// Where `past` is of other rows.
    pub fn decode_next(
        &self,
        memory: &Hidden,
        target: &Tokens,
        past: &mut DecoderMemory,
        gates: &Gates,
    ) -> Result<Tensor> {
        let decoder = self.decoding()?;
        let states = at_work(&self.device, || decoder.step(target, memory, past, gates))?;
        Ok(states.narrow(1, states.dim(1)? - 1, 1)?.squeeze(1)?)
    }

    /// Logits `[.., V]` of hidden states `[.., D]`; an error where the checkpoint has no language-model head.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        match &self.output {
            Some(output) => output.forward(hidden),
            None => Err(Error::new("this checkpoint has no language-model head")),
        }
    }

    /// What the heads make of the last hidden state of `batch`: logits `[N, T, V]`, the answers of a labeled task as
    /// [`TaskHead::logits`] gives them, or the state itself, `[N, T, D]`, where there is no head.
    pub fn results(&self, hidden: &Hidden, batch: &Batch) -> Result<Tensor> {
        match (&self.output, &self.task) {
            (Some(output), _) => output.forward(&hidden.states),
            (None, Some(task)) => task.logits(hidden, batch),
            (None, None) => Ok(hidden.states.clone()),
        }
    }

    /// [`Network::results`] of a pass.
    pub fn forward(&self, batch: &Batch, gates: &Gates, probe: &mut dyn Probe) -> Result<Tensor> {
        self.results(&self.hidden(batch, gates, probe)?, batch)
    }

    /// [`Network::forward`] with open gates, unwatched.
    pub fn run(&self, batch: &Batch) -> Result<Tensor> {
        self.forward(batch, &Gates::open(), &mut NoProbe)
    }
}

fn one(stack: &Stack, entry: StackEntry<'_>, gates: &Gates, probe: &mut dyn Probe) -> Result<Hidden> {
    let mut watch = Watch { gates, probe, ticket: &Ticket::default(), steps: (0, stack.depth()) };
    Ok(stack.forward(&[entry], &mut watch)?.remove(0))
}
