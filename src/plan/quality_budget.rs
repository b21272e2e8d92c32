//! How much quality a plan may cost, and what came of a search within it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::corpus::Reading;
use crate::error::{Error, Result};

/// How much quality a plan may cost, measured beside the whole model on the same held-out batches. In JSON `{"loss-share":
/// 0.01}`, `{"loss-nats": 0.02}`, `{"metric-drop": 0.01}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QualityBudget {
    /// The loss per token may rise by this share of the whole model's.
    LossShare(f64),
    /// The loss per token may rise by so many nats.
    LossNats(f64),
    /// The measure of quality that is a share, top-1 accuracy or the mean cosine to the whole model's embeddings, may fall
    /// by so much.
    MetricDrop(f64),
}

impl QualityBudget {
    /// A rise of the loss as it is written: `1%` of the whole model's, or `0.02` nats per token.
    ///
    /// # Errors
    /// Where it is neither, or negative.
    pub fn loss(text: &str) -> Result<Self> {
        let wrong =
            || Error::usage(format!("'{text}' is no rise of the loss")).hint("write 1%, or 0.02 for nats a token");
        match text.trim().strip_suffix('%') {
            Some(share) => amount(share).map(|n| Self::LossShare(n / 100.0)),
            None => amount(text).map(Self::LossNats),
        }
        .ok_or_else(wrong)
    }

    /// A fall of a share as it is written: `1%`, or `0.01`.
    ///
    /// # Errors
    /// Where it is none, or not within 0 and 1.
    pub fn metric(text: &str) -> Result<Self> {
        let wrong = || Error::usage(format!("'{text}' is no fall of a share")).hint("write 1%, or 0.01");
        let share = match text.trim().strip_suffix('%') {
            Some(share) => amount(share).map(|n| n / 100.0),
            None => amount(text),
        };
        share.filter(|n| *n <= 1.0).map(Self::MetricDrop).ok_or_else(wrong)
    }

    /// The budget for a model that predicts tokens, or does not: there a share of the loss becomes the same fall of the mean
    /// cosine, and the sentence says so.
    ///
    /// # Errors
    /// Where nats are meant and there is no loss.
    pub fn for_model(self, predicts: bool) -> Result<(Self, Option<String>)> {
        match self {
            Self::LossShare(share) if !predicts => Ok((
                Self::MetricDrop(share),
                Some(format!(
                    "the model has no loss: the budget is a fall of the mean cosine to the whole model's embeddings by {share}"
                )),
            )),
            Self::LossNats(_) if !predicts => Err(Error::usage("the model has no loss whose rise could be bounded")
                .hint("bound the fall of its cosine: --max-metric-drop 1%")),
            fits => Ok((fits, None)),
        }
    }

    /// The most that may be spent.
    pub fn most(self) -> f64 {
        match self {
            Self::LossShare(most) | Self::LossNats(most) | Self::MetricDrop(most) => most,
        }
    }

    /// An amount of what this budget is in, in words: `0.72 %`, `0.0153 nats a token`, `0.0021`.
    pub fn amount(self, spent: f64) -> String {
        match self {
            Self::LossShare(_) => format!("{:.2} %", 100.0 * spent),
            Self::LossNats(_) => format!("{spent:.4} nats a token"),
            Self::MetricDrop(_) => format!("{spent:.4}"),
        }
    }
}

fn amount(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)
}

impl fmt::Display for QualityBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.amount(self.most());
        match self {
            Self::LossShare(_) | Self::LossNats(_) => write!(f, "loss at most {most} higher"),
            Self::MetricDrop(_) => write!(f, "quality at most {most} lower"),
        }
    }
}

/// What a search within a budget found: kept in the plan that it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// What might be spent.
    pub budget: QualityBudget,
    /// What is measured: `loss per token`, `accuracy`, `cosine`.
    pub measure: String,
    /// It on the whole model.
    pub whole: f64,
    /// It with the heads of the plan alone.
    pub pruned: f64,
    /// What the plan spends, in the budget's own unit; negative where quality rose.
    pub spent: f64,
    /// Lower end of its 95 % interval by paired bootstrap over sequences, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Tokens (or images, or spectrograms) that it was measured on.
    pub tokens: u64,
    /// Sequences that it was measured on.
    pub sequences: u64,
    /// How the heads that stay were repaired before every measurement: `none`, `refit`, `scale`.
    pub repair: String,
    /// What was read.
    pub reading: Reading,
    /// Passes over that, the whole model's among them.
    pub evaluations: usize,
    /// What was tried, in order.
    pub path: Vec<BudgetStep>,
}

/// One choice of heads that a search measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetStep {
    /// How the heads were chosen.
    pub method: String,
    /// Whether it came from an exchange of one head for another that the method would have kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swap: bool,
    /// Heads that stay.
    pub heads: usize,
    /// What it spends; absent where quality is not finite.
    pub spent: Option<f64>,
    /// Whether that is within the budget.
    pub within: bool,
}

impl BudgetRecord {
    /// The result in one sentence: `0.72 % spent of 1.00 % (95 % between 0.31 % and 1.20 %), on 4096 tokens in 32 sequences`.
    pub fn sentence(&self) -> String {
        let words = |spent: f64| self.budget.amount(spent);
        let interval = self
            .low
            .zip(self.high)
            .map_or_else(String::new, |(low, high)| format!(" (95 % between {} and {})", words(low), words(high)));
        format!(
            "{} {:.4}, whole model {:.4}: {} spent of {}{interval}, on {} in {}",
            self.measure,
            self.pruned,
            self.whole,
            words(self.spent),
            words(self.budget.most()),
            crate::words::counted(self.tokens, self.reading.unit.noun()),
            crate::words::counted(self.sequences, "sequences"),
        )
    }

    /// What was tried, one line each.
    pub fn path_lines(&self) -> Vec<String> {
        let line = |step: &BudgetStep| {
            let spent = step.spent.map_or_else(|| "not finite".to_owned(), |spent| self.budget.amount(spent));
            let how = if step.swap { ", one swapped" } else { "" };
            let verdict = if step.within { "within" } else { "over" };
            format!("{} heads by {}{how}: {spent}, {verdict}", step.heads, step.method)
        };
        self.path.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_shares_or_nats() {
        assert_eq!(QualityBudget::loss("1%").unwrap(), QualityBudget::LossShare(0.01));
        assert_eq!(QualityBudget::loss(" 2.5 %").unwrap(), QualityBudget::LossShare(0.025));
        assert_eq!(QualityBudget::loss("0.02").unwrap(), QualityBudget::LossNats(0.02));
        assert_eq!(QualityBudget::metric("0.02").unwrap(), QualityBudget::MetricDrop(0.02));
        assert_eq!(QualityBudget::metric("5%").unwrap(), QualityBudget::MetricDrop(0.05));
        for wrong in ["", "-1%", "much", "nan", "inf%"] {
            assert!(QualityBudget::loss(wrong).is_err(), "{wrong}");
            assert!(QualityBudget::metric(wrong).is_err(), "{wrong}");
        }
        assert!(QualityBudget::metric("200%").is_err());
    }

    #[test]
    fn a_model_without_a_loss_is_bounded_by_its_cosine() {
        let (budget, said) = QualityBudget::LossShare(0.01).for_model(false).unwrap();
        assert_eq!(budget, QualityBudget::MetricDrop(0.01));
        assert!(said.unwrap().contains("cosine"));
        assert_eq!(QualityBudget::LossShare(0.01).for_model(true).unwrap(), (QualityBudget::LossShare(0.01), None));
        assert!(QualityBudget::LossNats(0.01).for_model(false).is_err());
    }
}
