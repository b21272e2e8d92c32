//! What an experiment is asked to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Arm, Stem};
use crate::checkpoint::path_text;
use crate::corpus::{self, Input};
use crate::error::{Error, Result};
use crate::evaluation::generation::Translation;
use crate::repair::RepairMode;
use crate::training::{TrainSettings, VoteAt, Voting};

/// Sizes of a model that an experiment makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Layers of each stack.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Heads per attention layer.
    pub heads: usize,
    /// Width inside the feed-forward layers.
    pub inner: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExperimentPlan {
    /// Text or pairs to learn from.
    pub input: Input,
    /// Held-out data of the same kind; a part of the input where absent.
    pub held_out: Option<Input>,
    /// A configuration of the user's own, instead of one of `shape`.
    #[serde(default, with = "path_text::option")]
    pub architecture: Option<PathBuf>,
    /// Sizes of the model.
    pub shape: ModelShape,
    /// The folder to write.
    #[serde(with = "path_text")]
    pub out: PathBuf,
    /// Repetitions; the first has the seed of `training`, each the next one.
    pub seeds: u64,
    pub arms: Vec<Arm>,
    /// How sequences become batches.
    pub reading: corpus::CorpusSettings,
    /// How the models are trained; its voting says how many heads stay, what votes, and how pruned models go on.
    pub training: TrainSettings,
    /// How translations are measured, for pairs.
    pub translation: Option<Translation>,
    /// Every arm that loses heads is repaired so too, and fine-tuned once more from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairMode>,
}

impl ExperimentPlan {
    /// Refuses what cannot be carried out.
    pub fn check(&self) -> Result<()> {
        let task = ExperimentTask::of(&self.input)?;
        if self.seeds == 0 || self.arms.is_empty() {
            return Err(Error::usage("an experiment needs at least one seed and one arm"));
        }
        let voting = self.voting();
        if voting.at != VoteAt::End || voting.plan.is_some() {
            return Err(Error::usage("an experiment votes after the last step of each model"));
        }
        if voting.finetune_steps == 0 {
            return Err(Error::usage("an experiment needs at least one step of fine-tuning"));
        }
        if let Some(translation) = self.translation {
            if task == ExperimentTask::Text {
                return Err(Error::usage("only pairs are translated"));
            }
            if translation.sentences == 0 || translation.beams == 0 {
                return Err(Error::usage("a translation needs at least one sentence and one beam"));
            }
        }
        let ModelShape { layers, width, heads, inner, vocabulary } = self.shape;
        if [layers, width, heads, inner, vocabulary].contains(&0) || !width.is_multiple_of(heads) {
            let what = format!("no model has {layers} layers of {heads} heads in a width of {width}");
            return Err(Error::usage(what).hint("the width must be a multiple of the number of heads"));
        }
        self.training.check()
    }

    /// How heads are chosen, and how pruned models go on.
    pub fn voting(&self) -> Voting {
        self.training.voting.clone().unwrap_or_default()
    }

    /// The seed of every repetition.
    pub fn seed_list(&self) -> Vec<u64> {
        (0..self.seeds).map(|i| self.training.seed.wrapping_add(i)).collect()
    }

    /// The models that the arms begin from.
    pub fn stems(&self) -> Vec<Stem> {
        Stem::ALL.iter().copied().filter(|stem| self.arms.iter().any(|arm| arm.stem() == *stem)).collect()
    }

    /// Training steps of the whole experiment.
    pub fn steps(&self) -> u64 {
        let stems = self.stems().len() as u64 * self.training.steps;
        self.seeds * (stems + self.arms.iter().map(|arm| self.arm_steps(*arm)).sum::<u64>())
    }

    /// Training steps of an arm after its stem: once as it is masked, and once from its repair.
    pub(super) fn arm_steps(&self, arm: Arm) -> u64 {
        let is_repaired = self.repair.is_some() && arm.method().is_some();
        self.voting().finetune_steps * if is_repaired { 2 } else { 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentTask {
    /// The next token of a text: a decoder.
    Text,
    /// The target side of sentence pairs: an encoder-decoder.
    Pairs,
}

impl ExperimentTask {
    /// The task that an input sets.
    pub fn of(input: &Input) -> Result<Self> {
        match input {
            Input::Text(_) => Ok(Self::Text),
            Input::Pairs { .. } => Ok(Self::Pairs),
            other => Err(Error::usage(format!("an experiment cannot learn from {}", other.kind()))
                .hint("give --text or --pairs")),
        }
    }
}
