//! How much quality a plan may cost, and by which methods, as typed.

use std::str::FromStr;

use clap::Args;

use super::numbers::whole;
use crate::error::{Error, Result};
use crate::plan::{QualityBudget, Ranking};
use crate::repair::RepairMode;

/// How much quality the plan may cost, instead of how many heads stay.
#[derive(Clone, Debug, Args)]
pub(super) struct BudgetArgs {
    /// Search for the smallest plan whose loss on held-out batches rises by no more than this: 1% of the whole model's, or
    /// 0.02 nats a token. A model without a loss is bounded by the fall of its cosine. Needs MODEL and its input
    #[arg(long, value_name = "X%|NATS", allow_hyphen_values = true, value_parser = QualityBudget::loss, conflicts_with_all = ["AmountArgs", "max_metric_drop"])]
    pub max_loss_increase: Option<QualityBudget>,
    /// The same by the metric of the model's labeled task (accuracy, F1, Spearman, ..), by right answers of questions (acc), by
    /// top-1 accuracy of the next token, or by the mean cosine of embeddings where nothing is predicted: by what share of the
    /// whole model's it may fall; 5% of an accuracy of 0.60 is 0.03
    #[arg(long, visible_alias = "min-metric-drop", value_name = "X%", allow_hyphen_values = true, value_parser = QualityBudget::metric, conflicts_with = "AmountArgs")]
    pub max_metric_drop: Option<QualityBudget>,
    /// The metric that may fall, in place of the one that stands for the task: f1, matthews, accuracy, acc_norm, cosine, ..
    #[arg(long, value_name = "NAME", requires = "max_metric_drop", conflicts_with = "max_loss_increase")]
    pub quality_metric: Option<String>,
    /// In a search within a budget: repair the heads that stay of every plan that is tried, by none, refit or scale, from the
    /// second moments beside A.json (analyze --moments); the repair is written beside P.json
    #[arg(long, default_value = "none", value_name = "MODE")]
    pub repair: RepairMode,
    /// In a search within a budget: measure on every N-th batch alone; without it those that A.json left out, else the whole input
    #[arg(long, value_name = "N", value_parser = whole::<u64>(2..))]
    pub held_out_every: Option<u64>,
}

impl BudgetArgs {
    /// The budget that was named.
    pub(super) fn chosen(&self) -> Option<QualityBudget> {
        self.max_loss_increase.or(self.max_metric_drop)
    }
}

/// Methods as typed: `all`, or some with commas between them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Methods {
    /// Every one that the analysis can serve.
    All,
    /// These, at least one.
    Named(Vec<Ranking>),
}

impl FromStr for Methods {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(Self::All);
        }
        Ok(Self::Named(text.split(',').map(str::parse).collect::<Result<_>>()?))
    }
}

impl Methods {
    /// Whether one that is named needs second moments.
    pub(super) fn needs_moments(&self) -> bool {
        matches!(self, Self::Named(rankings) if rankings.iter().any(|ranking| ranking.method.needs_moments()))
    }

    /// The one method of a plan of a given size.
    pub(super) fn single(&self) -> Result<Ranking> {
        match self {
            Self::Named(rankings) if rankings.len() == 1 => Ok(rankings[0]),
            _ => Err(Error::usage("a plan of a given size is made by one method")
                .hint("name one, or give --max-loss-increase to search among several")),
        }
    }
}
