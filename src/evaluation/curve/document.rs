//! Measured points as they are kept in a file.

use serde::{Deserialize, Serialize};

use crate::analysis::{Document, ModelInfo};
use crate::corpus::Reading;
use crate::error::{Error, Result};
use crate::evaluation::Interval;
use crate::network::Kept;
use crate::plan::{Amount, Cost, Ranking};
use crate::repair::RepairMode;

/// What masking does to a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Mean cross-entropy per scored token, nats; absent without a language-model head, or where it is not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_per_token: Option<f64>,
    /// `exp` of the loss per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// Share of scored tokens whose largest logit was the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Share of scored tokens whose largest logit is that of the whole model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// The metric that stands for the labeled task, or for what the input asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<f64>,
    /// Whether less of it is better.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metric_falls: bool,
    /// 95 % interval of how much more it is than that of the whole model on the same items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_change: Option<Interval>,
    /// Mean cosine of sequence embeddings to those of the whole model.
    pub cosine: f64,
    /// 95 % interval of how much more the loss per token is than that of the whole model on the same sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_increase: Option<Interval>,
    /// 95 % interval of the mean cosine over sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine_interval: Option<Interval>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// Its quality; its cosine and agreement with itself are 1.
    pub effect: Effect,
    pub cost: Cost,
    /// Real tokens per second of a forward pass, where speed was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_sec: Option<f64>,
    pub tokens: u64,
    pub scored_tokens: u64,
    #[serde(default)]
    pub sequences: u64,
}

/// One choice of heads, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredPoint {
    /// How the heads were chosen.
    pub ranking: Ranking,
    /// How many were asked to stay.
    pub amount: Amount,
    /// Seed of a random method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Whether and how the heads that stay were made to speak for the others.
    #[serde(default, skip_serializing_if = "is_none")]
    pub repair: RepairMode,
    pub kept: Kept,
    /// Share of all heads that stayed.
    pub kept_share: f64,
    /// Quality of the model with the others masked.
    pub effect: Effect,
    /// What it costs once the others are removed.
    pub cost: Cost,
    /// Real tokens per second of a forward pass without the others, where speed was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_sec: Option<f64>,
}

fn is_none(mode: &RepairMode) -> bool {
    !mode.repairs()
}

/// Quality against the share of heads kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    pub model: ModelInfo,
    /// Digest of the analysis that the choices come from.
    pub analysis: String,
    /// What that analysis had read, in words.
    #[serde(alias = "analysed")]
    pub analyzed: String,
    /// What the points were measured on.
    pub reading: Reading,
    /// Tokens of each input for which FLOPs hold.
    pub length: usize,
    /// The name of the metric that stands for the task, or for what the input asks; absent without one, and in records of
    /// earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The model with every head.
    pub whole: Option<Whole>,
    pub points: Vec<MeasuredPoint>,
    /// What a reader should know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Document for Curves {
    const FORMAT: &'static str = "pillars-curves";
    const VERSION: u64 = 1;
    const NOUN: &'static str = "file of quality curves";
    const MAKER: &'static str = "pillars curve";

    fn check(&self) -> Result<()> {
        let numbers = self.points.iter().map(|p| (p.kept_share, p.effect.cosine));
        let wrong = |(share, cosine): (f64, f64)| !(0.0..=1.0).contains(&share) || !cosine.is_finite();
        if numbers.into_iter().any(wrong) {
            return Err(Error::new("these quality curves hold a point that cannot be"));
        }
        Ok(())
    }
}

impl Curves {
    /// Where points of `other` were chosen or measured under other settings than these: which, in words.
    pub(super) fn differs_from(&self, other: &Self) -> Option<String> {
        let chosen = || (self.analysis != other.analysis).then(|| "another analysis".to_owned());
        self.measured_unlike(other).or_else(chosen)
    }

    /// Where what `other` measured of a mask is not what would be measured here: why, in words.
    pub(super) fn measured_unlike(&self, other: &Self) -> Option<String> {
        fn pair<T: PartialEq + std::fmt::Debug>(name: &str, ours: &T, theirs: &T) -> Option<String> {
            // An option is shown as its value, text without quotes.
            let shown = |value: &T| match format!("{value:?}").replace("Some(", "").replace([')', '"'], "") {
                none if none == "None" => "none".to_owned(),
                value => value,
            };
            (ours != theirs).then(|| format!("{name} {} instead of {}", shown(theirs), shown(ours)))
        }
        let (ours, theirs) = (&self.reading, &other.reading);
        pair("model", &self.model.fingerprint, &other.model.fingerprint)
            .or_else(|| pair("dtype", &self.model.dtype, &other.model.dtype))
            .or_else(|| pair("input", &ours.input, &theirs.input).filter(|_| ours.fingerprint != theirs.fingerprint))
            .or_else(|| pair("contents of the input", &ours.fingerprint, &theirs.fingerprint))
            .or_else(|| pair("seq_len", &ours.seq_len, &theirs.seq_len))
            .or_else(|| pair("batch_size", &ours.batch_size, &theirs.batch_size))
            .or_else(|| pair("batches", &ours.batches, &theirs.batches))
            .or_else(|| pair("pack", &ours.pack, &theirs.pack))
            .or_else(|| pair("seed", &ours.seed, &theirs.seed))
            .or_else(|| pair("part", &ours.part.in_words(), &theirs.part.in_words()))
            .or_else(|| pair("order", &ours.order.name(), &theirs.order.name()).filter(|_| ours.batches.is_some()))
            .or_else(|| pair("length", &self.length, &other.length))
    }
}
