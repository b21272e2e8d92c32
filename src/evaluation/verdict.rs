//! Whether a plan is worth exporting: what was measured of it, beside what a person is ready to spend.

use super::Measured;
use crate::plan::QualityBudget;
use crate::words::counted;

/// How a plan stands to a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetGrade {
    Unmeasured,
    /// Within it, as far as can be told.
    Within,
    /// The interval of what was measured holds the budget: more text would tell.
    Unsure,
    Over,
}

/// A judgment of a plan, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub grade: BudgetGrade,
    /// The same with what was measured on how much, as a sentence without its full stop.
    pub sentence: String,
}

impl Verdict {
    /// Of a plan that was measured, or not. A model without a loss is judged by the fall of its cosine.
    pub fn of(measured: Option<&Measured>, budget: QualityBudget) -> Self {
        let unmeasured = || Self {
            grade: BudgetGrade::Unmeasured,
            sentence: "Not measured: what this plan costs in quality is unknown; measure it before you export"
                .to_owned(),
        };
        let Some((measured, spent)) = measured.and_then(|m| Some((m, Spending::of(m, budget)?))) else {
            return unmeasured();
        };
        let most = spent.budget.most();
        let (low, high) = spent.interval.unwrap_or((spent.value, spent.value));
        let (grade, words) = match (low <= most, high <= most) {
            (true, true) => (BudgetGrade::Within, "Within the budget"),
            (false, false) => (BudgetGrade::Over, "Over the budget"),
            _ if spent.value <= most => (BudgetGrade::Unsure, "Perhaps within the budget"),
            _ => (BudgetGrade::Unsure, "Perhaps over the budget"),
        };
        let amount = |value: f64| spent.budget.amount(value);
        // A budget is of what gets worse; what got better is said so, without a minus.
        let is_better = spent.value < 0.0;
        let way = if is_better == spent.is_loss { "lower" } else { "higher" };
        let turned = spent.interval.map(|(low, high)| if is_better { (-high, -low) } else { (low, high) });
        let interval = turned.map_or_else(String::new, |(low, high)| {
            format!(", with 95 % between {} and {}", amount(low), amount(high))
        });
        let after = &measured.comparison.after;
        let scored = match (spent.is_loss, after.scored_tokens) {
            (true, n) if n > 0 => counted(n, "scored tokens"),
            _ => counted(after.tokens, measured.reading.unit.noun()),
        };
        let sentence = format!(
            "{words} of {}: {} {way} by {}{interval}; measured on {scored} in {}",
            amount(most),
            spent.what,
            amount(spent.value.abs()),
            counted(after.sequences, "sequences"),
        );
        Self { grade, sentence }
    }
}

/// What a plan was measured to spend.
struct Spending {
    budget: QualityBudget,
    what: &'static str,
    value: f64,
    interval: Option<(f64, f64)>,
    /// Whether it is of the loss, which some positions alone take part in.
    is_loss: bool,
}

impl Spending {
    /// `None` where what the budget is of was not measured.
    fn of(measured: &Measured, budget: QualityBudget) -> Option<Self> {
        let comparison = &measured.comparison;
        let (before, after) = (&comparison.before, &comparison.after);
        let (budget, _) = budget.for_model(before.loss_per_token.is_some()).ok()?;
        let change = |name: &str| comparison.change.get(name);
        match budget {
            QualityBudget::LossShare(_) | QualityBudget::LossNats(_) => {
                let (before, after) = before.loss_per_token.zip(after.loss_per_token)?;
                let unit = if matches!(budget, QualityBudget::LossShare(_)) { before } else { 1.0 };
                let interval = change("loss_per_token").and_then(|c| Some((c.low? / unit, c.high? / unit)));
                Some(Self { budget, what: "loss", value: (after - before) / unit, interval, is_loss: true })
            }
            QualityBudget::MetricDrop(_) => match before.accuracy.zip(after.accuracy) {
                Some((before, after)) => {
                    let lost = |change: f64| QualityBudget::drop(before, before + change);
                    let interval = change("accuracy").and_then(|c| Some((lost(c.high?), lost(c.low?))));
                    let value = QualityBudget::drop(before, after);
                    Some(Self { budget, what: "accuracy", value, interval, is_loss: false })
                }
                None => {
                    let interval = change("cosine").and_then(|c| Some((1.0 - c.high?, 1.0 - c.low?)));
                    let value = 1.0 - comparison.similarity.mean_cosine;
                    Some(Self { budget, what: "cosine", value, interval, is_loss: false })
                }
            },
        }
        .filter(|s| s.value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn measured(before: Value, after: Value, change: Value) -> Measured {
        let quality = |of: Value| {
            let mut all = json!({
                "loss_per_token": null, "perplexity": null, "accuracy": null, "scored_tokens": 9, "tokens": 1024,
                "sequences": 16, "batches": 2, "secs": 1.0, "tokens_per_sec": 9.0,
            });
            let fields = all.as_object_mut().unwrap();
            of.as_object().unwrap().iter().for_each(|(k, v)| drop(fields.insert(k.clone(), v.clone())));
            all
        };
        let similarity = json!({"mean_cosine": 0.97, "least_cosine": 0.9, "max_abs_difference": 0.1, "sequences": 16});
        let whole = json!({
            "before": quality(before), "after": quality(after), "agreement": null, "similarity": similarity,
            "change": change,
        });
        serde_json::from_value(whole).unwrap()
    }

    fn change(name: &str, low: f64, high: f64) -> Value {
        json!({name: {"value": 0.0, "low": low, "high": high, "n": 16, "convention": ""}})
    }

    #[test]
    fn a_verdict_minds_the_interval() {
        let budget = QualityBudget::LossShare(0.01);
        let of = |after: f64, low: f64, high: f64| {
            let change = change("loss_per_token", low, high);
            Verdict::of(
                Some(&measured(json!({"loss_per_token": 4.0}), json!({"loss_per_token": after}), change)),
                budget,
            )
        };
        let within = of(4.02, 0.01, 0.03);
        assert_eq!(within.grade, BudgetGrade::Within);
        assert_eq!(
            within.sentence,
            "Within the budget of 1.00 %: loss higher by 0.50 %, with 95 % between 0.25 % and 0.75 %; measured on 9 scored tokens in \
             16 sequences"
        );
        assert_eq!(of(4.03, 0.01, 0.05).grade, BudgetGrade::Unsure);
        assert!(of(4.05, 0.03, 0.07).sentence.starts_with("Perhaps over"));
        assert_eq!(of(4.2, 0.1, 0.3).grade, BudgetGrade::Over);
        assert_eq!(Verdict::of(None, budget).grade, BudgetGrade::Unmeasured);
    }

    #[test]
    fn a_model_without_a_loss_is_judged_by_its_cosine() {
        let found = measured(json!({}), json!({}), change("cosine", 0.96, 0.98));
        assert_eq!(Verdict::of(Some(&found), QualityBudget::LossShare(0.05)).grade, BudgetGrade::Within);
        let close = Verdict::of(Some(&found), QualityBudget::LossShare(0.03));
        assert_eq!(close.grade, BudgetGrade::Unsure);
        assert!(
            close.sentence.contains("cosine lower by 3.00 %, with 95 % between 2.00 % and 4.00 %"),
            "{}",
            close.sentence
        );
        assert_eq!(Verdict::of(Some(&found), QualityBudget::LossNats(0.03)).grade, BudgetGrade::Unmeasured);
    }
}
