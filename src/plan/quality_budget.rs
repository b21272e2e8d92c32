//! How much quality a plan may cost, and what came of a search within it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::PairedCounts;
use crate::corpus::{InputUnit, Reading};
use crate::error::{Error, Result};
use crate::words::{counted, printed};

/// How much quality a plan may cost, measured beside the whole model on the same held-out batches. In JSON `{"loss-share":
/// 0.01}`, `{"loss-nats": 0.02}`, `{"metric-drop": 0.01}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QualityBudget {
    /// The loss per token may rise by this share of the whole model's.
    LossShare(f64),
    /// The loss per token may rise by so many nats.
    LossNats(f64),
    /// A measure of quality, the metric of a labeled task, top-1 accuracy or the mean cosine to the whole model's embeddings,
    /// may fall by this share of the whole model's.
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

    /// A fall of the measure as it is written, as a share of the whole model's: `1%`, or `0.01`.
    ///
    /// # Errors
    /// Where it is none, or not within 0 and 1.
    pub fn metric(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("'{text}' is no fall of a metric"))
                .hint("write 1% of the whole model's, or 0.01, which is the same")
        };
        let share = match text.trim().strip_suffix('%') {
            Some(share) => amount(share).map(|n| n / 100.0),
            None => amount(text).filter(|n| *n < 1.0),
        };
        if let Some(bare) = amount(text).filter(|n| *n >= 1.0) {
            return Err(Error::usage(format!("{bare} without a sign is {} %, which bounds nothing", 100.0 * bare))
                .hint(format!("write {bare}% if that is meant")));
        }
        share.filter(|n| *n <= 1.0).map(Self::MetricDrop).ok_or_else(wrong)
    }

    /// What to say of an amount that was probably meant as a share: nobody spends a whole nat a token on purpose.
    pub fn doubtful(self) -> Option<String> {
        match self {
            Self::LossNats(nats) if nats >= 1.0 => Some(format!(
                "the budget is {nats} nats a token, {nats}% was meant? {nats}% is a share of the whole model's loss"
            )),
            _ => None,
        }
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
                    "the model has no loss: the budget is a fall of the mean cosine to the whole model's embeddings by {:.2} %",
                    100.0 * share
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

    /// An amount of what this budget is in, in words: `0.72 %`, `0.0153 nats a token`.
    pub fn amount(self, spent: f64) -> String {
        let (text, unit) = match self {
            Self::LossShare(_) | Self::MetricDrop(_) => (format!("{:.2}", 100.0 * spent), "%"),
            Self::LossNats(_) => (format!("{spent:.4}"), "nats a token"),
        };
        format!("{} {unit}", printed(text))
    }

    /// What spending so much does to the measure, in words, signed as every change is, after minus before: `+0.72 %` of a loss,
    /// or of a metric of which less is better, as `falls` says; `−0.72 %` of another metric.
    pub fn change(self, spent: f64, falls: bool) -> String {
        let change = if self.is_of_rise(falls) { spent } else { -spent };
        let text = self.amount(change);
        let is_zero = text.chars().all(|c| !('1'..='9').contains(&c));
        if change > 0.0 && !is_zero { format!("+{text}") } else { text }
    }

    /// The words of an interval of what is spent: `95 % between +0.31 % and +1.20 %`, the lower change first.
    pub fn interval(self, ends: (f64, f64), falls: bool) -> String {
        let (low, high) = self.ends(ends, falls);
        format!("95 % between {low} and {high}")
    }

    /// The ends of an interval of what is spent as changes in words, the lower change first.
    pub fn ends(self, (low, high): (f64, f64), falls: bool) -> (String, String) {
        let (low, high) = if self.is_of_rise(falls) { (low, high) } else { (high, low) };
        (self.change(low, falls), self.change(high, falls))
    }

    /// The fall of a measure for which the items leave room, in the budget's own unit, where that is over the budget and `high`,
    /// the upper end of what draws of the items spend, is not: the interval is within the budget and says too much. `whole` is
    /// the whole model's; an answer that gets worse is taken to cost one item's share of the measure.
    pub fn unseen(self, whole: f64, high: f64, changed: Option<PairedCounts>) -> Option<f64> {
        let most = self.most();
        let is_share = matches!(self, Self::MetricDrop(_)) && most > 0.0 && whole > 0.0 && high <= most;
        changed.filter(|_| is_share).map(|counts| counts.room() / whole).filter(|room| *room > most)
    }

    /// That in words: `1 of 72 items got worse and 5 better, which leaves room for −2.50 %`.
    pub fn unseen_words(self, unseen: f64, changed: PairedCounts, falls: bool) -> String {
        format!("{}, which leaves room for {}", changed.words(), self.change(unseen, falls))
    }

    /// Whether what is spent is a rise of the measure.
    fn is_of_rise(self, falls: bool) -> bool {
        match self {
            Self::LossShare(_) | Self::LossNats(_) => true,
            Self::MetricDrop(_) => falls,
        }
    }

    /// What a `change` of the measure from the whole model's `whole` spends, in the budget's own unit: a rise of the loss, a
    /// fall of the measure. `None` where the whole model has nothing of which a share could be spent.
    pub fn spent(self, whole: f64, change: f64) -> Option<f64> {
        match self {
            Self::LossNats(_) => Some(change),
            Self::LossShare(_) => (whole > 0.0).then(|| change / whole),
            Self::MetricDrop(_) => (whole > 0.0).then(|| -change / whole),
        }
    }
}

fn of_a_search() -> bool {
    true
}

/// What is measured of text in [`BudgetRecord::measure`].
pub const TOKEN_LOSS: &str = "loss per token";

/// On how much a loss was measured: `4064 scored of 4096 tokens`; not every token that is read has an answer.
pub fn scored_words(scored: u64, read: u64, unit: InputUnit) -> String {
    let read = counted(read, unit.noun());
    if scored == 0 { read } else { format!("{scored} scored of {read}") }
}

fn amount(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)
}

impl fmt::Display for QualityBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.amount(self.most());
        match self {
            Self::LossShare(_) => write!(f, "a loss at most {most} above the whole model's"),
            Self::LossNats(_) => write!(f, "a loss at most {most} above the whole model's"),
            Self::MetricDrop(_) => write!(f, "quality at most {most} below the whole model's"),
        }
    }
}

/// What a search within a budget found: kept in the plan that it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// What might be spent.
    pub budget: QualityBudget,
    /// What is measured: `loss per token`, `loss per label`, `cosine`, or the name of a metric, e.g. `f1`.
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
    /// Upper end of the same interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// How many items got worse and better, where the measure is of answers that are right or wrong; absent in records of
    /// earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<PairedCounts>,
    /// Tokens (or images, or spectrograms) that it was measured on.
    pub tokens: u64,
    /// Tokens (or labels) among them whose answer was scored; 0 in records of earlier releases.
    #[serde(default)]
    pub scored: u64,
    /// Sequences that it was measured on.
    pub sequences: u64,
    /// Whether less of the metric is better, as of an error rate, so that a rise is what is spent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub falls: bool,
    /// Whether that is the text that the plan was chosen on, which that of a search always is.
    #[serde(default = "of_a_search")]
    pub in_sample: bool,
    /// How the heads that stay were repaired before every measurement: `none`, `refit`, `scale`.
    pub repair: String,
    /// The part of the input that it was measured on, and how it was read.
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
    /// How many heads this attempt kept.
    pub heads: usize,
    /// What it spends; absent where quality is not finite.
    pub spent: Option<f64>,
    /// Whether that is within the budget.
    pub within: bool,
    /// The upper end of the 95 % interval of what it spends, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The lower end of the same interval; absent in records of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// How many items got worse and better, as in [`BudgetRecord::changed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<PairedCounts>,
}

impl BudgetRecord {
    /// The result in one sentence: `loss per token 3.1223, whole model 3.1000: +0.72 % (95 % between +0.31 % and +1.20 %) where
    /// the budget is 1.00 % of the whole model's, on 4064 scored of 4096 tokens in 32 sequences, in-sample: the search chose by them`.
    pub fn sentence(&self) -> String {
        let interval = self.low.zip(self.high).map_or_else(String::new, |(low, high)| {
            let all = match self.unseen_words() {
                Some(words) => format!(", but {words}"),
                None if high <= self.budget.most() => ", all of it within".to_owned(),
                None => String::new(),
            };
            format!(" ({}{all})", self.budget.interval((low, high), self.falls))
        });
        let relative = match self.budget {
            QualityBudget::LossNats(_) => "",
            QualityBudget::LossShare(_) | QualityBudget::MetricDrop(_) => " of the whole model's",
        };
        format!(
            "{} {}, whole model {}: {}{interval} where the budget is {}{relative}, on {} in {}{}{}",
            self.measure,
            printed(format!("{:.4}", self.pruned)),
            printed(format!("{:.4}", self.whole)),
            self.budget.change(self.spent, self.falls),
            self.budget.amount(self.budget.most()),
            match self.measure == TOKEN_LOSS {
                true => scored_words(self.scored, self.tokens, self.reading.unit),
                false => counted(self.tokens, self.reading.unit.noun()),
            },
            counted(self.sequences, "sequences"),
            if self.in_sample { ", in-sample: the search chose by them" } else { "" },
            match self.repair.as_str() {
                "" | "none" => String::new(),
                mode => format!(", every plan repaired by {mode}"),
            },
        )
    }

    /// How many items changed; of a record of an earlier release, and of a measure that is of no answers, it is known alone
    /// where nothing changed.
    pub fn counts(&self) -> Option<PairedCounts> {
        let is_same = self.spent == 0.0 && self.low == Some(0.0) && self.high == Some(0.0) && self.sequences > 0;
        self.changed.or_else(|| is_same.then(|| PairedCounts::unchanged(self.sequences)))
    }

    /// [`QualityBudget::unseen`] of what was found, with the counts.
    fn unseen(&self) -> Option<(f64, PairedCounts)> {
        let counts = self.counts()?;
        let high = self.high.unwrap_or(self.spent);
        self.budget.unseen(self.whole, high, Some(counts)).map(|unseen| (unseen, counts))
    }

    /// [`QualityBudget::unseen_words`] of what was found, where the interval says too much.
    pub fn unseen_words(&self) -> Option<String> {
        self.unseen().map(|(unseen, counts)| self.budget.unseen_words(unseen, counts, self.falls))
    }

    /// What to say where the interval of what is spent reaches beyond the budget, or where the items leave room for that, with
    /// about how much text makes half of the interval as narrow as the budget, for it shrinks with the square root of the text.
    /// What it would take to bring this interval within the budget cannot be told: plans end close to the budget, and the room
    /// that is left is as uncertain as the change itself.
    pub fn doubt(&self) -> Option<String> {
        let most = self.budget.most();
        if let Some((unseen, counts)) = self.unseen() {
            let enough = counts.enough(most * self.whole);
            return Some(format!(
                "the input is too short to tell whether the plan is within the budget: {} where the budget is {}{}",
                self.budget.unseen_words(unseen, counts, self.falls),
                self.budget.amount(most),
                enough.map_or_else(String::new, |n| format!("; about {} would tell", rounded_up(n as f64))),
            ));
        }
        let high = self.high.filter(|high| *high > most)?;
        let width = high - self.spent;
        // What is labeled is counted in items, one a sequence.
        let is_text = self.measure == TOKEN_LOSS;
        let read = if is_text { self.tokens } else { self.sequences };
        let noun = if is_text { self.reading.unit.noun() } else { "sequences" };
        let wanted = read as f64 * (width / most).powi(2);
        // Beyond the upper bound no text is at hand; at least as narrow as the budget, only the change itself is too large.
        let enough = match wanted.is_finite() && wanted < 1e12 && width > most {
            true => format!("; about {} {noun} would make the interval as narrow as the budget", rounded_up(wanted)),
            false => String::new(),
        };
        Some(format!(
            "the input is too short to tell whether the plan is within the budget: the change may be {} where the budget is \
             {}{enough}",
            self.budget.change(high, self.falls),
            self.budget.amount(most),
        ))
    }

    /// What each method came to, in the order in which they were tried: its smallest choice of heads within the budget, or,
    /// where none was, the largest that was over it.
    pub fn by_method(&self) -> Vec<&BudgetStep> {
        let mut best: Vec<&BudgetStep> = Vec::new();
        let is_better = |step: &BudgetStep, known: &BudgetStep| match (step.within, known.within) {
            (true, true) => step.heads < known.heads,
            (false, false) => step.heads > known.heads,
            (is_within, _) => is_within,
        };
        for step in &self.path {
            match best.iter_mut().find(|known| known.method == step.method) {
                Some(known) if is_better(step, known) => *known = step,
                Some(_) => {}
                None => best.push(step),
            }
        }
        best
    }

    /// Whether what a step within the budget spends may be over it.
    fn is_doubtful(&self, step: &BudgetStep) -> bool {
        let Some(high) = step.high.or(step.spent) else { return false };
        high > self.budget.most() || self.budget.unseen(self.whole, high, step.changed).is_some()
    }

    /// What was tried, one line each.
    pub fn path_lines(&self) -> Vec<String> {
        let line = |step: &BudgetStep| {
            let spent =
                step.spent.map_or_else(|| "not finite".to_owned(), |spent| self.budget.change(spent, self.falls));
            let how = if step.swap { ", one swapped" } else { "" };
            let verdict = match step.within {
                true if self.is_doubtful(step) => "within, but too little text to be sure",
                true => "within",
                false => "over",
            };
            format!("{} heads by {}{how}: {spent}, {verdict}", step.heads, step.method)
        };
        self.path.iter().map(line).collect()
    }
}

/// A number in two digits, not below it.
fn rounded_up(value: f64) -> u64 {
    let step = 10f64.powf((value.max(1.0).log10().floor() - 1.0).max(0.0));
    ((value / step).ceil() * step) as u64
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
        // A percent sign left out is no budget without a bound.
        let said = QualityBudget::metric("1").unwrap_err().to_string();
        assert_eq!(said, "1 without a sign is 100 %, which bounds nothing; write 1% if that is meant");
        assert_eq!(QualityBudget::metric("100%").unwrap(), QualityBudget::MetricDrop(1.0));
        let said = QualityBudget::loss("1").unwrap().doubtful().unwrap();
        assert!(said.contains("1 nats a token, 1% was meant?"), "{said}");
        assert!(["0.02", "5%", "200%"].iter().all(|text| QualityBudget::loss(text).unwrap().doubtful().is_none()));
        // Relative, as a rise of the loss is.
        assert!((QualityBudget::MetricDrop(0.01).spent(0.5, -0.025).unwrap() - 0.05).abs() < 1e-12);
        assert_eq!(QualityBudget::MetricDrop(0.01).spent(0.0, 0.1), None);
        assert_eq!(QualityBudget::LossNats(0.01).spent(0.0, 0.1), Some(0.1));
        // A loss that rises and a metric that falls are told by the sign of their change.
        let (loss, metric) = (QualityBudget::LossShare(0.01), QualityBudget::MetricDrop(0.01));
        assert_eq!([0.0072, -0.0072, 1e-9].map(|spent| loss.change(spent, false)), ["+0.72 %", "−0.72 %", "0.00 %"]);
        assert_eq!([0.0072, -0.0072, 1e-9].map(|spent| metric.change(spent, false)), ["−0.72 %", "+0.72 %", "0.00 %"]);
        assert_eq!(metric.interval((0.02, 0.04), false), "95 % between −4.00 % and −2.00 %");
        // An error rate that rises is worse.
        assert_eq!(metric.change(0.0072, true), "+0.72 %");
        assert_eq!(metric.interval((0.02, 0.04), true), "95 % between +2.00 % and +4.00 %");
        assert_eq!(QualityBudget::MetricDrop(0.05).to_string(), "quality at most 5.00 % below the whole model's");
    }

    #[test]
    fn few_answers_of_which_hardly_any_changed_are_no_certainty() {
        let mut record: BudgetRecord = serde_json::from_value(serde_json::json!({
            "budget": {"metric-drop": 0.01}, "measure": "accuracy", "whole": 0.8, "pruned": 0.8, "spent": 0.0,
            "low": 0.0, "high": 0.0, "tokens": 5, "sequences": 5, "repair": "none", "evaluations": 2,
            "reading": Reading::default(), "path": [],
        }))
        .unwrap();
        let doubt = record.doubt().unwrap();
        // Of the whole model's 0.8: 1 - 0.025^(1/5) is 0.5218.
        assert!(doubt.contains("none of 5 items changed, which leaves room for −65.23 %"), "{doubt}");
        assert!(doubt.ends_with("about 460 would tell") && !record.sentence().contains("all of it within"), "{doubt}");
        record.sequences = 1000;
        assert!(record.doubt().is_none() && record.sentence().contains("all of it within"));
        // One answer that got better is no more certainty, nor are five beside one that got worse.
        (record.sequences, record.whole, record.pruned, record.spent) = (72, 61.0 / 72.0, 65.0 / 72.0, -4.0 / 61.0);
        (record.low, record.high) = (Some(-9.0 / 61.0), Some(0.0));
        record.changed = Some(PairedCounts { n: 72, worse: 1, better: 5 });
        let (doubt, sentence) = (record.doubt().unwrap(), record.sentence());
        assert!(doubt.contains("1 of 72 items got worse and 5 better, which leaves room for −2.50 % where"), "{doubt}");
        assert!(doubt.ends_with("; about 4300 would tell"), "{doubt}");
        assert!(
            sentence.contains("and +14.75 %, but 1 of 72 items got worse and 5 better, which leaves room"),
            "{sentence}"
        );
        let step = |changed: Option<PairedCounts>| BudgetStep {
            method: "votes".to_owned(),
            swap: false,
            heads: 5,
            spent: Some(record.spent),
            within: true,
            high: record.high,
            low: record.low,
            changed,
        };
        let mut tried = record.clone();
        tried.path = vec![step(record.changed), step(None)];
        let sure = "5 heads by votes: +6.56 %, within";
        assert_eq!(tried.path_lines(), [format!("{sure}, but too little text to be sure"), sure.to_owned()]);
        // Where many more got better than worse, it is sure.
        record.changed = Some(PairedCounts { n: 300, worse: 0, better: 10 });
        assert!(record.doubt().is_none() && record.sentence().contains("all of it within"));
        // A budget of nothing is met by no sample: it is not asked how large one would be.
        record.budget = QualityBudget::MetricDrop(0.0);
        record.changed = Some(PairedCounts::unchanged(72));
        assert_eq!(record.doubt(), None);
    }

    #[test]
    fn a_wide_interval_is_doubted_with_the_text_that_would_tell() {
        let mut record: BudgetRecord = serde_json::from_value(serde_json::json!({
            "budget": {"loss-share": 0.01}, "measure": "loss per token", "whole": 2.0, "pruned": 1.9912, "spent": -0.0044,
            "low": -0.1833, "high": 0.1826, "tokens": 128, "sequences": 2, "repair": "none", "evaluations": 2,
            "reading": Reading::default(),
            "path": [{"method": "votes", "heads": 5, "spent": -0.0044, "within": true, "high": 0.1826}],
        }))
        .unwrap();
        // 128 (0.187 / 0.01)^2 = 44760, and the same where the change itself is closer to the budget.
        for spent in [-0.0044, 0.0096] {
            (record.spent, record.high) = (spent, Some(spent + 0.187));
            let doubt = record.doubt().unwrap();
            assert!(
                doubt.ends_with(
                    "the budget is 1.00 %; about 45000 tokens would make the interval as narrow as the budget"
                ),
                "{doubt}"
            );
        }
        record.high = Some(0.1826);
        assert!(record.doubt().unwrap().contains("the change may be +18.26 %"));
        record.spent = -0.0044;
        assert_eq!(record.path_lines(), ["5 heads by votes: −0.44 %, within, but too little text to be sure"]);
        record.high = Some(0.01);
        assert_eq!(record.doubt(), None);
        (record.high, record.spent) = (Some(0.019), 0.0095);
        assert!(!record.doubt().unwrap().contains("would make"));
    }

    #[test]
    fn each_method_is_told_by_its_smallest_choice_within_or_the_largest_over() {
        let step = |method: &str, heads: usize, within: bool| serde_json::json!({"method": method, "heads": heads, "spent": 0.0, "within": within});
        let record: BudgetRecord = serde_json::from_value(serde_json::json!({
            "budget": {"loss-share": 0.01}, "measure": "loss per token", "whole": 2.0, "pruned": 2.0, "spent": 0.0,
            "tokens": 128, "sequences": 2, "repair": "none", "evaluations": 2, "reading": Reading::default(),
            "path": [step("votes", 12, true), step("votes", 6, false), step("votes", 9, true),
                     step("score", 4, false), step("score", 8, false), step("importance", 8, true)],
        }))
        .unwrap();
        let told: Vec<_> = record.by_method().iter().map(|s| (s.method.as_str(), s.heads, s.within)).collect();
        assert_eq!(told, [("votes", 9, true), ("score", 8, false), ("importance", 8, true)]);
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
