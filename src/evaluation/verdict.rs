//! Whether a plan is worth exporting: what was measured of it, beside what a person is ready to spend.

use super::Measured;
use super::curve::DrawSpread;
use super::spent::{COSINE, LOSS, Spent, measure_of};
use crate::plan::{BudgetRecord, QualityBudget, scored_words};
use crate::words::counted;

/// How a plan stands to a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetGrade {
    Unmeasured,
    /// Within it, as far as can be told.
    Within,
    /// Within it, and so are as many heads drawn at random: the choice of heads is no merit.
    WithinByChance,
    /// The interval of what was measured holds the budget, or so few items leave room for more: more text would tell.
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

/// The numbers behind a [`Verdict`] on a plan that was measured, one by one.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What the budget is of: `loss`, `cosine`, or the name of a metric.
    pub measure: String,
    /// It on the whole model.
    pub whole: f64,
    /// It on what the plan leaves.
    pub now: f64,
    /// What the plan changes of it, in the words of the verdict: `+0.72 %`.
    pub change: String,
    /// The ends of the 95 % interval of that, the lower first.
    pub interval: Option<(String, String)>,
    /// What as many heads drawn at random came to.
    pub random: Option<DrawSpread>,
    /// Whether less of it is better.
    pub is_less_better: bool,
}

impl Standing {
    /// Of `measured` by what a budget is of, as for [`Verdict::of`]; `None` where that was not measured.
    pub fn of(measured: &Measured, budget: QualityBudget, named: Option<&str>) -> Option<Self> {
        let Spending { budget, what, spent, is_loss, falls } = Spending::of(measured, budget, named)?;
        Some(Self {
            whole: spent.whole,
            now: spent.now,
            change: budget.change(spent.spent, falls),
            interval: spent.interval.map(|ends| budget.ends(ends, falls)),
            random: measured.random_by(&what).cloned(),
            is_less_better: falls || is_loss,
            measure: what,
        })
    }
}

impl Verdict {
    /// Of a plan that was measured, or not. A budget of a fall is of the measure `named`, or of the one that stands for the
    /// task; a model without a loss is judged by the fall of its cosine.
    pub fn of(measured: Option<&Measured>, budget: QualityBudget, named: Option<&str>) -> Self {
        let unmeasured = || Self {
            grade: BudgetGrade::Unmeasured,
            sentence: match measured.zip(named) {
                Some((_, named)) => format!("Not measured by {named}: choose a measure that this input gives"),
                None => {
                    "Not measured: what this plan costs in quality is unknown; measure it before you export".to_owned()
                }
            },
        };
        let Some((measured, found)) = measured.and_then(|m| Some((m, Spending::of(m, budget, named)?))) else {
            return unmeasured();
        };
        let (budget, spent) = (found.budget, found.spent);
        let most = budget.most();
        let high = spent.interval.map_or(spent.spent, |(_, high)| high);
        let unseen = budget.unseen(spent.whole, high, spent.changed);
        let (grade, words) = grade(spent.spent, spent.interval, unseen, most);
        let interval =
            spent.interval.map_or_else(String::new, |ends| format!(", with {}", budget.interval(ends, found.falls)));
        let unseen = unseen.zip(spent.changed).map(|(room, counts)| budget.unseen_words(room, counts, found.falls));
        let unseen = unseen.map_or_else(String::new, |words| format!(", but {words}"));
        let sample = measured.in_sample_words().map(|words| format!(", {words}")).unwrap_or_default();
        let after = &measured.comparison.after;
        let scored = match (after.task, after.scored_tokens) {
            (Some(_), n) if n > 0 && found.what != COSINE => counted(n, "labels"),
            (None, n) if found.is_loss => scored_words(n, after.tokens, measured.reading.unit),
            _ => counted(after.tokens, measured.reading.unit.noun()),
        };
        let chance = measured.no_better_than_random_by(&found.what);
        let grade = match grade {
            BudgetGrade::Within if chance.is_some() => BudgetGrade::WithinByChance,
            grade => grade,
        };
        let chance = chance.or_else(|| measured.random_missing_words());
        let chance = chance.map_or_else(String::new, |words| format!("; {words}"));
        let sentence = format!(
            "{words} of {}: {} {}{interval}{unseen}{chance}; measured on {scored} in {}{sample}",
            budget.amount(most),
            found.what,
            budget.change(spent.spent, found.falls),
            counted(after.sequences, "sequences"),
        );
        Self { grade, sentence }
    }

    /// Of a plan that nothing but the search measured that found it. Where `budget` is of another kind than that of the
    /// search, the plan is held to that of the search.
    pub fn of_search(found: &BudgetRecord, budget: QualityBudget) -> Self {
        let is_same_kind = std::mem::discriminant(&budget) == std::mem::discriminant(&found.budget);
        let budget = if is_same_kind { budget } else { found.budget };
        let interval = found.low.zip(found.high);
        let high = interval.map_or(found.spent, |(_, high)| high);
        let unseen = budget.unseen(found.whole, high, found.counts());
        let (grade, words) = grade(found.spent, interval, unseen, budget.most());
        let unseen = unseen.zip(found.counts()).map(|(room, counts)| budget.unseen_words(room, counts, found.falls));
        let unseen = unseen.map_or_else(String::new, |words| format!(", but {words}"));
        let interval =
            interval.map_or_else(String::new, |ends| format!(", with {}", budget.interval(ends, found.falls)));
        let repaired = match found.repair.as_str() {
            "" | "none" => String::new(),
            mode => format!(", repaired by {mode}"),
        };
        let sentence = format!(
            "{words} of {}: {} {}{interval}{unseen}{repaired}; measured by the search that found it, on {} in {} of {}{}, and not yet held \
             against random heads",
            budget.amount(budget.most()),
            found.measure,
            budget.change(found.spent, found.falls),
            counted(found.tokens, found.reading.unit.noun()),
            counted(found.sequences, "sequences"),
            found.reading.input,
            if found.in_sample { " by which it chose" } else { "" },
        );
        Self { grade, sentence }
    }
}

/// How what is spent stands to a budget of `most`, by its interval and what its items leave room for beyond that, and that in
/// words.
fn grade(spent: f64, interval: Option<(f64, f64)>, unseen: Option<f64>, most: f64) -> (BudgetGrade, &'static str) {
    let (low, high) = interval.unwrap_or((spent, spent));
    let high = unseen.unwrap_or(high);
    match (low <= most, high <= most) {
        (true, true) => (BudgetGrade::Within, "Within the budget"),
        (false, false) => (BudgetGrade::Over, "Over the budget"),
        _ if spent <= most => (BudgetGrade::Unsure, "Perhaps within the budget"),
        _ => (BudgetGrade::Unsure, "Perhaps over the budget"),
    }
}

/// What a plan was measured to spend.
struct Spending {
    budget: QualityBudget,
    what: String,
    spent: Spent,
    /// Whether it is of the loss, which some positions alone take part in.
    is_loss: bool,
    /// Whether less of a metric is better, as of an error rate.
    falls: bool,
}

impl Spending {
    /// `None` where what the budget is of was not measured.
    fn of(measured: &Measured, budget: QualityBudget, named: Option<&str>) -> Option<Self> {
        let comparison = &measured.comparison;
        let (budget, what, _) = measure_of(budget, named, &comparison.measures()).ok()?;
        let change = comparison.quality_change(&what)?;
        let (is_loss, spent) = (what == LOSS, Spent::of(budget, change)?);
        Some(Self { budget, is_loss, falls: change.falls && !is_loss, what, spent })
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
                None,
            )
        };
        let within = of(4.02, 0.01, 0.03);
        assert_eq!(within.grade, BudgetGrade::Within);
        assert_eq!(
            within.sentence,
            "Within the budget of 1.00 %: loss +0.50 %, with 95 % between +0.25 % and +0.75 %; measured on 9 scored of 1024 \
             tokens in 16 sequences"
        );
        assert_eq!(of(4.03, 0.01, 0.05).grade, BudgetGrade::Unsure);
        assert!(of(4.05, 0.03, 0.07).sentence.starts_with("Perhaps over"));
        assert_eq!(of(4.2, 0.1, 0.3).grade, BudgetGrade::Over);
        assert_eq!(Verdict::of(None, budget, None).grade, BudgetGrade::Unmeasured);
    }

    #[test]
    fn a_plan_that_does_no_better_than_random_heads_is_not_called_good() {
        let budget = QualityBudget::LossShare(0.01);
        let of = |after: f64, low: f64, high: f64| {
            let change = change("loss_per_token", 0.01, 0.03);
            let mut found = measured(json!({"loss_per_token": 4.0}), json!({"loss_per_token": after}), change);
            let drawn = DrawSpread { count: 5, mean: (low + high) / 2.0, deviation: 0.01, low, high };
            found.random_spread.insert("loss_per_token".to_owned(), drawn);
            // The numbers one by one are those of the verdict.
            let (verdict, standing) =
                (Verdict::of(Some(&found), budget, None), Standing::of(&found, budget, None).unwrap());
            assert!(verdict.sentence.contains(&format!("{} {}, with 95 % between", standing.measure, standing.change)));
            let (first, last) = standing.interval.unwrap();
            assert!(verdict.sentence.contains(&format!("between {first} and {last}")), "{}", verdict.sentence);
            assert_eq!((standing.whole, standing.now, standing.random.unwrap().count), (4.0, after, 5));
            verdict
        };
        let better = of(4.02, 4.03, 4.08);
        assert_eq!(better.grade, BudgetGrade::Within);
        assert!(!better.sentence.contains("random"), "{}", better.sentence);
        for now in [4.02, 4.03] {
            let chance = of(now, 4.01, 4.08);
            assert_eq!(chance.grade, BudgetGrade::WithinByChance);
            let said = "Within the budget of 1.00 %: loss +";
            assert!(chance.sentence.starts_with(said), "{}", chance.sentence);
            assert!(chance.sentence.contains("; no better than random heads (4.01 to 4.08); "), "{}", chance.sentence);
        }
        // A plan that loses nothing is its own control.
        assert_eq!(of(4.0, 4.0, 4.0).grade, BudgetGrade::Within);
        // Where there is no fair control, it says why.
        let change = change("loss_per_token", 0.01, 0.03);
        let mut alone = measured(json!({"loss_per_token": 4.0}), json!({"loss_per_token": 4.02}), change);
        alone.random_missing = Some("the text is gone".to_owned());
        let alone = Verdict::of(Some(&alone), budget, None);
        assert_eq!(alone.grade, BudgetGrade::Within);
        assert!(alone.sentence.contains("; not held against random heads: the text is gone; "), "{}", alone.sentence);
    }

    #[test]
    fn a_model_without_a_loss_is_judged_by_its_cosine() {
        let found = measured(json!({}), json!({}), change("cosine", 0.96, 0.98));
        assert_eq!(Verdict::of(Some(&found), QualityBudget::LossShare(0.05), None).grade, BudgetGrade::Within);
        let close = Verdict::of(Some(&found), QualityBudget::LossShare(0.03), None);
        assert_eq!(close.grade, BudgetGrade::Unsure);
        assert!(close.sentence.contains("cosine −3.00 %, with 95 % between −4.00 % and −2.00 %"), "{}", close.sentence);
        assert_eq!(Verdict::of(Some(&found), QualityBudget::LossNats(0.03), None).grade, BudgetGrade::Unmeasured);
    }

    #[test]
    fn what_a_search_measured_is_a_measurement() {
        let found: BudgetRecord = serde_json::from_value(json!({
            "budget": QualityBudget::MetricDrop(0.01), "measure": "cosine", "whole": 1.0, "pruned": 0.9905, "spent": 0.0095,
            "low": 0.008, "high": 0.011, "tokens": 1024, "sequences": 16, "repair": "refit", "reading": {"input": "a.txt"},
            "evaluations": 3, "path": [],
        }))
        .unwrap();
        let own = Verdict::of_search(&found, QualityBudget::MetricDrop(0.01));
        assert_eq!(own.grade, BudgetGrade::Unsure);
        assert_eq!(
            own.sentence,
            "Perhaps within the budget of 1.00 %: cosine −0.95 %, with 95 % between −1.10 % and −0.80 %, repaired by refit; \
             measured by the search that found it, on 1024 tokens in 16 sequences of a.txt by which it chose, and not yet held \
             against random heads"
        );
        assert_eq!(Verdict::of_search(&found, QualityBudget::MetricDrop(0.02)).grade, BudgetGrade::Within);
        // Held to another measure's budget it is judged by its own.
        assert_eq!(Verdict::of_search(&found, QualityBudget::LossShare(0.5)).grade, BudgetGrade::Unsure);
    }

    #[test]
    fn few_items_of_which_none_got_worse_are_no_certainty() {
        let metric = |value: f64| json!({"value": value, "low": 0.0, "high": 1.0, "n": 72, "convention": ""});
        let quality = |accuracy: f64| {
            json!({
                "loss_per_token": 0.5, "accuracy": accuracy, "task": "sequence-classification", "main_metric": "accuracy",
                "metrics": {"accuracy": metric(accuracy)},
            })
        };
        let of = |worse: u64, better: u64, n: u64| {
            let counts = json!({"n": n, "worse": worse, "better": better});
            let rise = (better as f64 - worse as f64) / n as f64;
            let change =
                json!({"value": rise, "low": 0.0, "high": 2.0 * rise, "n": n, "convention": "", "changed": counts});
            measured(quality(0.8), quality(0.8 + rise), json!({"accuracy": change}))
        };
        let budget = QualityBudget::MetricDrop(0.01);
        let few = of(0, 1, 40);
        let verdict = Verdict::of(Some(&few), budget, None);
        assert_eq!(verdict.grade, BudgetGrade::Unsure);
        let told = "but none of 40 items got worse and 1 better, which leaves room for −8.30 %; measured on";
        assert!(verdict.sentence.starts_with("Perhaps within") && verdict.sentence.contains(told), "{verdict:?}");
        assert_eq!(Verdict::of(Some(&of(0, 10, 300)), budget, None).grade, BudgetGrade::Within);
        // The same is said beside the interval where no budget is named, and not where many changed.
        let (_, words) = few.comparison.changes().into_iter().find(|(name, _)| name == "accuracy change").unwrap();
        let told =
            "+0.0250, with 95 % between 0.0000 and +0.0500; none of 40 items got worse and 1 better, which leaves";
        assert_eq!(words, format!("{told} room for −0.0664"));
        let many = of(6, 10, 3000);
        assert!(many.comparison.changes().iter().all(|(_, words)| words.ends_with(", 3000 items")));
        // Where both compute the same, more text would tell nothing else.
        let mut same = of(0, 0, 4);
        assert_eq!(Verdict::of(Some(&same), budget, None).grade, BudgetGrade::Unsure);
        same.comparison.similarity.max_abs_difference = 0.0;
        assert_eq!(Verdict::of(Some(&same), budget, None).grade, BudgetGrade::Within);
        assert!(same.comparison.changes()[0].1.ends_with("0.0000 and 0.0000, 4 items"));
    }

    #[test]
    fn a_task_is_judged_by_its_own_metric() {
        let metric = |value: f64| json!({"value": value, "low": 0.0, "high": 1.0, "n": 16, "convention": ""});
        let quality = |accuracy: f64, f1: f64| {
            json!({
                "loss_per_token": 0.5, "accuracy": accuracy, "task": "sequence-classification", "main_metric": "accuracy",
                "metrics": {"accuracy": metric(accuracy), "f1": metric(f1), "loss": metric(0.5)},
            })
        };
        let changed = json!({
            "accuracy": {"value": -0.04, "low": -0.08, "high": 0.0, "n": 16, "convention": ""},
            "f1": {"value": 0.1, "low": 0.05, "high": 0.15, "n": 16, "convention": ""},
        });
        let found = measured(quality(0.8, 0.5), quality(0.76, 0.6), changed);
        let of = |named| Verdict::of(Some(&found), QualityBudget::MetricDrop(0.02), named);
        let own = of(None);
        assert_eq!(own.grade, BudgetGrade::Unsure);
        assert_eq!(
            own.sentence,
            "Perhaps over the budget of 2.00 %: accuracy −5.00 %, with 95 % between −10.00 % and 0.00 %; measured on 9 \
             labels in 16 sequences"
        );
        let other = of(Some("f1"));
        assert_eq!(other.grade, BudgetGrade::Within);
        assert!(other.sentence.contains("f1 +20.00 %, with 95 % between +10.00 % and +30.00 %"), "{}", other.sentence);
        let none = of(Some("acc"));
        assert_eq!(none.grade, BudgetGrade::Unmeasured);
        assert!(none.sentence.starts_with("Not measured by acc"), "{}", none.sentence);
    }
}
