//! What a run is asked to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::constraint::Constraint;
use super::{AdamSettings, Decay, Schedule};
use crate::checkpoint::path_text;
use crate::corpus::{self, Input};
use crate::error::{Error, Result};
use crate::evaluation::generation::Translation;
use crate::network::FeatureMap;
use crate::plan::{Amount, Method, Plan};
use crate::pruning::ExportFormat;
use crate::repair::RepairSource;
use crate::tensor::Precision;

/// When constrained training ends and the heads are voted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteAt {
    /// After the last step.
    #[default]
    End,
    /// After this many steps.
    Step(u64),
    /// Once hidden units hardly move, at the latest after the last step.
    Converged,
}

impl std::str::FromStr for VoteAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "converged" => Ok(Self::Converged),
            "end" => Ok(Self::End),
            number => number.parse().map(Self::Step).map_err(|_| {
                Error::usage(format!("'{text}' is no moment to vote at")).hint("give a step, end or converged")
            }),
        }
    }
}

/// How heads are chosen after constrained training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Voting {
    pub at: VoteAt,
    /// Most batches that vote; one pass over the training data where absent.
    pub batches: Option<u64>,
    /// Maps that vote; the constraint's own where empty.
    pub features: Vec<FeatureMap>,
    /// What heads are ranked by.
    pub method: Method,
    pub amount: Amount,
    /// Heads that stay whatever a vote would say: no vote is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// How the heads that stay come to speak for the others before fine-tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairSource>,
    /// How the result is written.
    pub format: ExportFormat,
    /// Steps of training without the others and without the constraint.
    pub finetune_steps: u64,
    /// Its largest learning rate; a fifth of the first stage's where absent.
    pub finetune_rate: Option<f64>,
}

impl Default for Voting {
    fn default() -> Self {
        Self {
            at: VoteAt::End,
            batches: None,
            features: Vec::new(),
            method: Method::Votes,
            amount: Amount::Groups,
            plan: None,
            repair: None,
            format: ExportFormat::default(),
            finetune_steps: 300,
            finetune_rate: None,
        }
    }
}

/// How a run trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainSettings {
    /// Most steps of the first stage.
    pub steps: u64,
    pub rate: f64,
    /// Steps of warm-up; a twentieth of the steps where absent.
    pub warmup: Option<u64>,
    /// How the rate falls.
    pub decay: Decay,
    pub adam: AdamSettings,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    pub smoothing: f64,
    pub constraint: Constraint,
    /// How heads are chosen and removed; `None` ends after the first stage.
    pub voting: Option<Voting>,
    /// Relative movement of hidden units between two looks below which they count as converged.
    pub converged_below: f64,
    pub record_every: u64,
    /// Steps between measurements on held-out data, and looks at hidden units.
    pub look_every: u64,
    /// Looks in a row without a better metric on held-out data, or loss where there is none, after which a stage ends with
    /// its best weights; absent where every step is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Batches of held-out data that are measured.
    pub held_out_batches: u64,
    /// How held-out pairs are translated at every look, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translation: Option<Translation>,
    /// Every this many blocks of one batch are held out, where no other data is named.
    pub held_out_every: u64,
    /// Steps between saved states.
    pub save_every: u64,
    /// Seed of fresh weights and groupings.
    pub seed: u64,
    /// The type that passes and gradients are computed in. The weights that learn, the optimizer's moments and the
    /// loss are f32 whatever it is, and so is everything that is measured on held-out data.
    pub precision: Precision,
    /// The type that weights are written in: `f32`, `f16` or `bf16`; without it that of the original, f32 for fresh
    /// weights.
    pub stored: Option<Precision>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            steps: 1500,
            rate: 5e-4,
            warmup: None,
            decay: Decay::default(),
            adam: AdamSettings::default(),
            accumulate: 1,
            smoothing: 0.0,
            constraint: Constraint::default(),
            voting: Some(Voting::default()),
            converged_below: 0.05,
            record_every: 10,
            look_every: 100,
            patience: None,
            held_out_batches: 20,
            translation: None,
            held_out_every: 20,
            save_every: 200,
            seed: 0,
            precision: Precision::F32,
            stored: None,
        }
    }
}

impl TrainSettings {
    /// Sets the number of steps, and with it how often there is a look (16 times) and a checkpoint (8 times).
    pub fn set_pace(&mut self, steps: u64) {
        self.steps = steps;
        self.look_every = (steps / 16).max(1);
        self.save_every = (steps / 8).max(1);
    }

    /// Refuses what cannot be carried out.
    pub fn check(&self) -> Result<()> {
        self.constraint.check()?;
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(Error::usage(format!("{name} is {value}, where a number above 0 is needed")))
            }
        };
        positive("the learning rate", self.rate)?;
        if let Some(rate) = self.voting.as_ref().and_then(|v| v.finetune_rate) {
            positive("the learning rate of fine-tuning", rate)?;
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return Err(Error::usage(format!("label smoothing is {}, where 0 to 1 is possible", self.smoothing)));
        }
        if self.steps == 0 {
            return Err(Error::usage("training needs at least one step"));
        }
        if let Some(VoteAt::Step(at)) = self.voting.as_ref().map(|v| v.at)
            && at > self.steps
        {
            let what = format!("the vote at step {at} comes after the last of {} steps", self.steps);
            return Err(Error::usage(what).hint("raise --steps or lower --vote-at"));
        }
        let counts = [
            ("accumulated batches", self.accumulate as u64),
            ("steps between records", self.record_every),
            ("steps between looks", self.look_every),
            ("steps between saved states", self.save_every),
            ("held-out batches", self.held_out_batches),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, n)| *n == 0) {
            return Err(Error::usage(format!("the number of {name} is 0, where at least 1 is needed")));
        }
        if self.patience == Some(0) {
            return Err(Error::usage("without patience no step could be taken").hint("give 1 or more"));
        }
        if self.translation.is_some_and(|t| t.sentences == 0 || t.beams == 0) {
            return Err(Error::usage("a translation needs at least one sentence and one beam"));
        }
        if self.held_out_every < 2 {
            return Err(Error::usage("holding out every block leaves nothing to train on"));
        }
        Ok(())
    }

    /// Steps of the first stage, unless hidden units converge before.
    pub fn first_steps(&self) -> u64 {
        match self.voting.as_ref().map(|v| v.at) {
            Some(VoteAt::Step(at)) => at,
            _ => self.steps,
        }
    }

    /// Rates of the first stage.
    pub fn schedule(&self) -> Schedule {
        let warmup = self.warmup.unwrap_or(self.steps / 20);
        Schedule { peak: self.rate, warmup, steps: self.steps, decay: self.decay }
    }

    /// Rates of fine-tuning: a cosine from a smaller peak.
    pub fn finetune_schedule(&self, voting: &Voting) -> Schedule {
        let peak = voting.finetune_rate.unwrap_or(self.rate / 5.0);
        Schedule { peak, warmup: voting.finetune_steps / 20, steps: voting.finetune_steps, decay: Decay::Cosine }
    }
}

/// Where the first weights come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beginning {
    #[default]
    Weights,
    /// From the seed; `config.json` alone says what the network is.
    Scratch {
        /// Size of a tokenizer trained on the input, where the folder has none.
        vocabulary: Option<usize>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingRun {
    /// A model folder, or for training from scratch a folder or file with the configuration.
    #[serde(with = "path_text")]
    pub model: PathBuf,
    /// Where the first weights come from.
    pub beginning: Beginning,
    /// What to learn from.
    pub input: Input,
    /// Held-out data; a part of the input where absent.
    pub held_out: Option<Input>,
    /// How sequences become batches.
    pub reading: corpus::CorpusSettings,
    /// The folder to write.
    #[serde(with = "path_text")]
    pub out: PathBuf,
    pub settings: TrainSettings,
}
