//! What batches cost in memory beside the weights. Estimates, on the high side.

use super::{AttentionSpec, Batch, InputSpec, NetworkSpec, SampleInputSpec, ScoreBias, Source, StackSpec};
use crate::error::Result;
use crate::tensor::block_numbers;

/// Size of a batch, as far as memory depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// How many sequences make the batch, `N`.
    pub sequences: usize,
    /// Positions of the first stack: tokens, or patches, or frames behind the convolutions.
    pub source: usize,
    /// Positions of the decoder of an encoder-decoder; 0 without one.
    pub target: usize,
}

/// Tokens of a short sequence.
const SHORT: usize = 16;

impl Extent {
    /// The largest of `batches` in each of its sides, read by a network of `spec`.
    pub fn largest(batches: &[Batch], spec: &NetworkSpec) -> Result<Self> {
        batches.iter().try_fold(Self { sequences: 0, source: 0, target: 0 }, |most, batch| {
            let of = Self::of(batch, spec)?;
            Ok(Self {
                sequences: most.sequences.max(of.sequences),
                source: most.source.max(of.source),
                target: most.target.max(of.target),
            })
        })
    }

    /// One sequence of it, and a short one where a network of `spec` reads sequences of any length.
    pub fn smallest(self, spec: &NetworkSpec) -> Self {
        let source = match first_stack(spec).map(|stack| &stack.input) {
            Some(InputSpec::Patches(_) | InputSpec::Frames(_)) => self.source,
            _ => self.source.min(SHORT),
        };
        Self { sequences: self.sequences.min(1), source, target: self.target.min(SHORT) }
    }

    /// Of `batch`, read by a network of `spec`.
    pub fn of(batch: &Batch, spec: &NetworkSpec) -> Result<Self> {
        let source = match &batch.source {
            Source::Tokens(tokens) => tokens.mask.length(),
            Source::Pixels(pixels) => {
                let (_, _, height, width) = pixels.dims4()?;
                Self::positions(spec, (height, width))
            }
            Source::Frames(_) => Self::positions(spec, (0, 0)),
            Source::Samples(samples) => Self::positions(spec, (1, samples.mask.length())),
        };
        let target = batch.target.as_ref().map_or(0, |t| t.mask.length());
        Ok(Self { sequences: batch.source.sequences()?, source, target })
    }

    /// Positions that the first stack makes of an image of this size, of a spectrogram, or of as many samples as an image
    /// is wide.
    pub fn positions(spec: &NetworkSpec, image: (usize, usize)) -> usize {
        match first_stack(spec).map(|s| &s.input) {
            Some(InputSpec::Patches(p)) => p.leading_tokens() + p.patches(image),
            Some(InputSpec::Frames(f)) => f.positions,
            Some(InputSpec::Samples(s)) => s.frames(image.1),
            _ => 0,
        }
    }

    /// Numbers of the hidden states of such a batch that wait between two layers.
    pub fn waiting(&self, spec: &NetworkSpec) -> u64 {
        let Self { sequences, source, target } = *self;
        let of =
            |stack: &Option<StackSpec>, length| stack.as_ref().map_or(0, |s| product(&[sequences, length, s.width]));
        match (&spec.encoder, &spec.decoder) {
            (Some(_), Some(_)) => of(&spec.encoder, source) + of(&spec.decoder, target),
            _ => of(&spec.encoder, source) + of(&spec.decoder, source),
        }
    }

    /// Most numbers that are in use beside weights and waiting states while such a batch passes one layer or the
    /// input, where attention holds `formed` matrices of every query by every key at a time: none where it goes block
    /// by block.
    pub fn working(&self, spec: &NetworkSpec, formed: usize) -> u64 {
        let Self { sequences, source, target } = *self;
        let own = |stack: &StackSpec, length: usize| {
            let layers = stack.layers.iter().flat_map(|layer| {
                let memory = layer.cross.as_ref().map(|cross| (cross, source));
                let sites = std::iter::once((&layer.attention, length)).chain(memory);
                let attended =
                    sites.map(|(spec, keys)| attending(spec, sequences, length, keys, formed)).max().unwrap_or(0);
                let inner = if layer.mlp.gated { 4 } else { 3 };
                let passed = match layer.experts {
                    // What all chosen experts give is there before it is summed.
                    Some(experts) => {
                        product(&[sequences, length, experts.chosen, inner * layer.mlp.width + 3 * stack.width])
                    }
                    None => product(&[sequences, length, inner, layer.mlp.width]),
                };
                [attended, passed]
            });
            // The stream, what a branch reads of it, and what comes out.
            let input = match &stack.input {
                InputSpec::Samples(spec) => convolving(spec, sequences, length),
                _ => 0,
            };
            layers.max().unwrap_or(0).max(input) + product(&[3, sequences, length, stack.width])
        };
        match (&spec.encoder, &spec.decoder) {
            (Some(encoder), Some(decoder)) => own(encoder, source).max(own(decoder, target)),
            (Some(only), None) | (None, Some(only)) => own(only, source),
            (None, None) => 0,
        }
    }
}

/// Numbers that one attention layer makes: projections packed, in their places and turned, and scores, whole or a block
/// per thread.
fn attending(spec: &AttentionSpec, sequences: usize, queries: usize, keys: usize, formed: usize) -> u64 {
    let (own, shared) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
    let projections = product(&[sequences, queries, 5, own]) + product(&[sequences, keys, 2, own + 2 * shared]);
    let blocks = product(&[rayon::current_num_threads(), block_numbers(keys)]);
    // Scores against distances are there as a whole, and as often before they are laid out.
    let distances = match spec.bias {
        ScoreBias::Disentangled(of) => {
            product(&[sequences, spec.heads, queries, 3 * keys + 2 * of.span])
                + product(&[2, spec.heads, queries, keys])
        }
        _ => 0,
    };
    projections + distances + blocks + product(&[formed, sequences, spec.heads, queries, keys])
}

/// Numbers that the convolutions over samples make, of which each reads what the one before it gave.
fn convolving(spec: &SampleInputSpec, sequences: usize, frames: usize) -> u64 {
    let mut length = frames;
    let mut most = 0;
    for convolution in spec.convolutions.iter().rev() {
        // What goes in, cut for the product, and what comes out, before and behind norm and activation.
        most = most.max(product(&[3, sequences, length, convolution.channels]));
        length = length.saturating_mul(convolution.stride).saturating_add(convolution.kernel);
        most = most.max(product(&[2, sequences, length, convolution.channels]));
    }
    most
}

fn first_stack(spec: &NetworkSpec) -> Option<&StackSpec> {
    spec.encoder.as_ref().or(spec.decoder.as_ref())
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1u64, |n, f| n.saturating_mul(*f as u64))
}
