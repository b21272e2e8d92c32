//! What a run came to.

use serde::{Deserialize, Serialize};

use crate::evaluation::generation::TranslationScore;
use crate::network::Kept;
use crate::pruning::StageQuality;
use crate::repair::RepairRecord;
use crate::words::counted;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingEnd {
    /// Every stage is done and the result written.
    #[default]
    Done,
    /// Stopped on request; it can be resumed.
    Stopped,
}

/// How much of the held-out data every measurement reads, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Batches that are measured.
    pub batches: u64,
    /// Batches that there are; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_batches: Option<u64>,
    /// Whether their number is a guess from the size of the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_estimate: bool,
    /// Sequences that are measured.
    pub sequences: u64,
}

impl HeldOut {
    /// `20 of 38 batches`, `20 batches` where that is all of them.
    pub fn batches_in_words(&self) -> String {
        let about = if self.is_estimate { "about " } else { "" };
        match self.of_batches.filter(|all| *all > self.batches) {
            Some(all) => format!("the first {} of {about}{all} batches", self.batches),
            None => counted(self.batches, "batches"),
        }
    }

    /// What is left out, and how to read it too; `None` where nothing is.
    pub fn sentence(self) -> Option<String> {
        self.of_batches.filter(|all| *all > self.batches).map(|all| {
            let sequences = counted(self.sequences, "sequences");
            let words = self.batches_in_words();
            let more = match self.is_estimate {
                true => "a larger --held-out-batches measures more".to_owned(),
                false => format!("--held-out-batches {all} measures all"),
            };
            format!("measured on {sequences}, {words} of the held-out data; {more}")
        })
    }
}

/// What a run came to. Losses are means per predicted token, or label of a task, on the held-out data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingSummary {
    pub outcome: TrainingEnd,
    /// Steps of constrained training.
    pub constrained_steps: u64,
    /// Steps that there were to be, where it ended before them because somebody asked for the vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voted_early_of: Option<u64>,
    /// Whether it ended because hidden units hardly moved any more.
    pub converged: bool,
    pub finetune_steps: u64,
    /// Whether the held-out data is what was learned from, so that no quality here is that of other data.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_sample: bool,
    /// How much of the held-out data was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Whether losses are means per label of a task.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub per_label: bool,
    /// Loss of a model that knows only how often each token stands in the training data: what any model must beat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unigram_loss: Option<f64>,
    /// Loss of the model as it was given, before the first step; of one from scratch it says nothing and is not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_loss: Option<f64>,
    /// Loss of the model with every head, after constrained training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_loss: Option<f64>,
    /// The metric that stands for a labeled task, by name, on the same data: as given, with every head, right after masking,
    /// after repair and of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_metric: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_metric: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked_metric: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired_metric: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_metric: Option<f64>,
    /// Loss right after masking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked_loss: Option<f64>,
    /// Loss after the heads that stay came to speak for the others, where they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired_loss: Option<f64>,
    /// How that was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairRecord>,
    /// Loss after fine-tuning: that of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_loss: Option<f64>,
    /// How good the result's translations of held-out pairs are, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_translation: Option<TranslationScore>,
    #[serde(skip_serializing_if = "Kept::is_empty")]
    pub kept: Kept,
    /// Parameters of the model with every head.
    pub parameters_before: u64,
    /// Parameters of the result.
    pub parameters_after: u64,
    pub seconds: f64,
}

impl TrainingSummary {
    /// What its losses are means of, behind a number.
    pub fn loss_name(&self) -> &'static str {
        if self.per_label || self.metric_name.is_some() { "loss per label" } else { "loss per token" }
    }

    /// What stands beside a loss: of labels there is no perplexity, but a metric.
    pub fn beside(&self) -> &str {
        match self.unigram_loss {
            Some(_) => "perplexity",
            None => self.metric_name.as_deref().unwrap_or_default(),
        }
    }

    /// What quality is measured on: `8 sequences held out`.
    pub fn measured_on(&self) -> String {
        let sequences = self.held_out.map(|held_out| counted(held_out.sequences, "sequences"));
        match (sequences, self.in_sample) {
            (Some(sequences), true) => format!("{sequences} in-sample"),
            (Some(sequences), false) => format!("{sequences} held out"),
            (None, true) => "in-sample".to_owned(),
            (None, false) => "held-out".to_owned(),
        }
    }

    /// That somebody asked for the vote before the last step, where it was so: `voted early, after 40 of 300 steps`.
    pub fn early_vote(&self) -> Option<String> {
        let all = counted(self.voted_early_of?, "steps");
        Some(format!("voted early, after {} of {all}", self.constrained_steps))
    }

    /// Quality at every stage that was measured, in order.
    pub fn stages(&self) -> Vec<StageQuality> {
        let is_text = self.unigram_loss.is_some();
        let stages = [
            ("unigram model", self.unigram_loss, None),
            ("as given", self.given_loss, self.given_metric),
            ("every head, trained", self.full_loss, self.full_metric),
            ("kept heads, before fine-tuning", self.masked_loss, self.masked_metric),
            ("kept heads, repaired", self.repaired_loss, self.repaired_metric),
            ("result", self.final_loss, self.final_metric),
        ];
        let measured = stages.into_iter().filter_map(|(name, loss, metric)| {
            let loss = loss?;
            let beside = if is_text { Some(loss.exp()) } else { metric };
            Some(StageQuality { name: name.to_owned(), loss, beside })
        });
        measured.collect()
    }
}
