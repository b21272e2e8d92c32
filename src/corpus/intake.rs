//! What a model can read, gathered from its spec and a few values of its `config.json`.

use super::task_intake::TaskIntake;
use crate::checkpoint::Config;
use crate::error::{Error, Result};
use crate::model::{DecoderStart, Family, Model};
use crate::network::{
    Beyond, Counting, InputSpec, LayerSpec, NetworkSpec, Objective, PositionSpec, SampleNorm, StackSpec,
};

/// Bounds on the tokens that one stack reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLimits {
    /// Ids are below this.
    pub vocabulary: usize,
    /// Longest sequence, where there is a limit.
    pub max_length: Option<usize>,
}

/// What the first stack reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Token ids, with the limits that they must keep.
    Tokens(TokenLimits),
    /// Images of the size that the model takes.
    Pixels {
        /// Channels, height and width in pixels.
        shape: [usize; 3],
        /// Which others the model reads: then the input decides, and `shape` is what it was made for.
        sizes: ImageSizes,
    },
    /// Log-mel spectrograms of a fixed length.
    Frames {
        /// Mel bands and frames.
        shape: [usize; 2],
    },
    /// The wave itself, as samples of sound.
    Samples {
        /// Fewest that make a frame.
        fewest: usize,
        /// Whether what stands behind a recording in a batch changes what the model makes of it: it normalizes over time.
        over_time: bool,
    },
}

/// Which sizes of images a model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSizes {
    /// That which it was made for.
    One,
    /// Also others, for which its positions are interpolated, which transformers does where it is asked to.
    Stretched,
    /// Any, as a matter of course, so that the preprocessor alone decides.
    Any,
}

/// What a model does with `position_ids`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionIds {
    /// They name rows of a table; ids are below this.
    Rows(usize),
    /// It turns by distances (rotary), so that only their differences count.
    Relative,
    /// An input that the model does not take.
    Unused,
}

/// What a model can read and what it is asked to predict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    /// What the first stack reads.
    pub source: SourceKind,
    /// What the decoder reads, where an encoder feeds it.
    pub target: Option<TokenLimits>,
    /// True where the source tokens are read by a decoder, left to right.
    pub decoder_only: bool,
    /// What the language-model head predicts, where there is one.
    pub objective: Option<Objective>,
    /// Number of classes of that head.
    pub classes: usize,
    /// What the head of a labeled task is asked, where there is one.
    pub task: Option<TaskIntake>,
    /// Types that tokens can have; 0 where the model knows none.
    pub types: usize,
    /// What the model does with positions that are given.
    pub positions: PositionIds,
    /// Whether documents that share a row are kept apart where positions begin anew: in causal models.
    pub keeps_apart: bool,
    /// Id that fills up short sequences.
    pub pad: u32,
    /// What the decoder of an encoder-decoder model reads first.
    pub decoder_start: Option<DecoderStart>,
    /// Id that ends a target sentence.
    pub end: Option<u32>,
}

impl Intake {
    /// Why labels of whole texts or images are of no use; `None` where the model has a head that says such.
    pub(super) fn unlabeled(&self) -> Option<&'static str> {
        match (&self.task, self.objective) {
            (Some(_), _) => None,
            (None, Some(Objective::Causal)) => {
                Some("the model predicts the next token and has no head that says labels")
            }
            (None, Some(Objective::Masked)) => {
                Some("the model predicts masked tokens and has no head that says labels")
            }
            (None, Some(Objective::Ctc)) => Some("the model spells what it hears and has no head that says labels"),
            (None, None) => Some("the model has no head that says labels"),
        }
    }

    /// What `model` can read.
    pub fn of(model: &Model) -> Result<Self> {
        Self::new(model.spec(), model.config())
    }

    /// Reads shapes from `spec`, and `pad_token_id`, `decoder_start_token_id`, `bos_token_id` and `eos_token_id` from
    /// `config`, the model's `config.json`.
    ///
    /// A decoder without a start token of its own begins with the one of its class, else with `bos_token_id`, else with
    /// padding, as T5 does.
    pub fn new(spec: &NetworkSpec, config: &Config) -> Result<Self> {
        let first = spec.encoder.as_ref().or(spec.decoder.as_ref());
        let first = first.ok_or_else(|| Error::new("the network has no layers"))?;
        let source = match &first.input {
            InputSpec::Tokens(_) => SourceKind::Tokens(limits(first)?),
            InputSpec::Patches(p) => {
                let sizes = match (p.resampling, p.any_size) {
                    (None, _) => ImageSizes::One,
                    (Some(_), false) => ImageSizes::Stretched,
                    (Some(_), true) => ImageSizes::Any,
                };
                SourceKind::Pixels { shape: [p.channels, p.image.0, p.image.1], sizes }
            }
            InputSpec::Frames(f) => SourceKind::Frames { shape: [f.bands, 2 * f.positions] },
            InputSpec::Samples(s) => {
                let enough = s.convolutions.iter().rev().fold(1, |n: usize, c| (n - 1) * c.stride + c.kernel);
                SourceKind::Samples { fewest: enough, over_time: s.norm == SampleNorm::FirstOverTime }
            }
        };
        let is_alone = spec.encoder.is_none() || spec.decoder.is_none();
        let turns = first.layers.iter().any(|layer| layer.attention.rotary.is_some());
        // How far positions are stretched would depend on the longest document of a batch.
        let is_plain = |layer: &LayerSpec| {
            layer.attention.causal && layer.attention.rotary.as_ref().is_none_or(|rotary| rotary.beyond == Beyond::Same)
        };
        // OPT and XGLM read positions, but not where they begin anew.
        let looks = match &first.input {
            InputSpec::Tokens(input) => match input.positions {
                PositionSpec::Table { counting, .. } => counting == Counting::Every,
                PositionSpec::None => true,
                PositionSpec::Sinusoidal { .. } => false,
            },
            _ => false,
        };
        let keeps_apart = looks && spec.encoder.is_none() && first.layers.iter().all(is_plain);
        let (types, positions) = match &first.input {
            InputSpec::Tokens(input) => {
                let positions = match &input.positions {
                    // Encoder-decoders of transformers take none.
                    PositionSpec::Table { rows, offset, counting, .. } if is_alone => match counting {
                        Counting::Unpadded { .. } => PositionIds::Rows(*rows),
                        _ => PositionIds::Rows(rows.saturating_sub(*offset)),
                    },
                    PositionSpec::Sinusoidal { .. } if is_alone => {
                        PositionIds::Rows(input.max_length.unwrap_or(u32::MAX as usize))
                    }
                    _ if turns => PositionIds::Relative,
                    _ => PositionIds::Unused,
                };
                (input.types, positions)
            }
            _ => (0, PositionIds::Unused),
        };
        let target = match (&spec.encoder, &spec.decoder) {
            (Some(_), Some(decoder)) => Some(limits(decoder)?),
            _ => None,
        };
        let id = |key: &str| config.token_opt(key);
        let vocabulary = match (&target, &source) {
            (Some(limits), _) | (None, SourceKind::Tokens(limits)) => limits.vocabulary,
            _ => 0,
        };
        let inside = |id: &u32| (*id as usize) < vocabulary;
        // Padded positions are masked, so where a model names no padding any id of the table will do.
        let pad = id("pad_token_id").filter(inside).unwrap_or(0);
        let start = Family::of(config).ok().and_then(Family::decoder_start);
        let of_class = match start {
            Some(DecoderStart::Id(start)) => Some(start),
            _ => None,
        };
        let named = id("decoder_start_token_id").or(of_class).or_else(|| id("bos_token_id"));
        let start = match start {
            Some(DecoderStart::LastLabel) => DecoderStart::LastLabel,
            _ => DecoderStart::Id(named.filter(inside).unwrap_or(pad)),
        };
        Ok(Self {
            decoder_start: target.as_ref().map(|_| start),
            end: id("eos_token_id").filter(inside),
            decoder_only: spec.encoder.is_none(),
            objective: spec.output.as_ref().map(|o| o.objective),
            classes: spec.output.as_ref().map_or(0, |o| o.vocabulary),
            task: spec.task.as_ref().map(TaskIntake::from),
            types,
            positions,
            keeps_apart,
            source,
            target,
            pad,
        })
    }

    /// Bounds on the source tokens; an error where the model reads something else.
    pub fn source_tokens(&self) -> Result<&TokenLimits> {
        match &self.source {
            SourceKind::Tokens(limits) => Ok(limits),
            SourceKind::Pixels { .. } => {
                Err(Error::usage("this model reads images, not tokens").hint("give --images or --inputs"))
            }
            SourceKind::Samples { .. } => Err(Error::usage("this model reads samples of sound, not tokens")
                .hint("give --audio, or --inputs with input_values")),
            SourceKind::Frames { .. } => Err(Error::usage("this model reads spectrograms, not tokens")
                .hint("give --audio, or --inputs with input_features and decoder_input_ids")),
        }
    }

    /// What the decoder reads first where it is to write `ids`: padding does not count among them.
    pub(super) fn start_of(&self, ids: impl DoubleEndedIterator<Item = u32>) -> u32 {
        match self.decoder_start {
            Some(DecoderStart::Id(start)) => start,
            Some(DecoderStart::LastLabel) => ids.rev().find(|id| *id != self.pad).unwrap_or(self.pad),
            None => self.pad,
        }
    }

    /// What the decoder reads first where it is to write a text that has `around` around it.
    pub fn first_of(&self, around: &[u32]) -> u32 {
        match around {
            [] => self.end.filter(|_| self.decoder_start == Some(DecoderStart::LastLabel)),
            _ => None,
        }
        .unwrap_or_else(|| self.start_of(around.iter().copied()))
    }

    /// True for a model that predicts tokens under a mask.
    pub fn is_masked(&self) -> bool {
        self.objective == Some(Objective::Masked)
    }
}

fn limits(stack: &StackSpec) -> Result<TokenLimits> {
    match &stack.input {
        InputSpec::Tokens(input) => Ok(TokenLimits { vocabulary: input.vocabulary, max_length: input.max_length }),
        _ => Err(Error::new("a decoder that reads no tokens is not supported")),
    }
}
