//! What a choice of heads spends of a budget: one rule for the search within it and for the verdict on it.

use super::interval::Interval;
use crate::error::{Error, Result};
use crate::plan::{PairedCounts, QualityBudget};

/// The name of the loss among the measures that a budget can be of.
pub const LOSS: &str = "loss";
/// The name of the likeness of embeddings to those of the whole model.
pub const COSINE: &str = "cosine";

/// A measure of quality of the whole model and of what is left of it, on the same input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct QualityChange {
    pub whole: f64,
    pub now: f64,
    /// 95 % interval of `now - whole`.
    pub change: Option<Interval>,
    /// How many items got worse and better, where the measure is of answers that are right or wrong.
    pub changed: Option<PairedCounts>,
    /// Whether less of a metric is better, so that its rise is what is spent.
    pub falls: bool,
}

impl QualityChange {
    /// The same, of `n` sequences: where nothing changed, it is known that none of them did.
    pub(super) fn of_sequences(self, n: u64) -> Self {
        let is_same = self.now == self.whole && self.change == Some(Interval { low: 0.0, high: 0.0 });
        Self { changed: self.changed.or_else(|| is_same.then(|| PairedCounts::unchanged(n))), ..self }
    }
}

/// What a choice of heads spends, in the budget's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    pub whole: f64,
    pub now: f64,
    pub spent: f64,
    /// Lower and upper end of its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// How many items got worse and better, as in [`QualityChange::changed`].
    pub changed: Option<PairedCounts>,
}

impl Spent {
    /// `None` where it is not finite, or the whole model has nothing of which a share could be spent.
    pub(super) fn of(budget: QualityBudget, found: QualityChange) -> Option<Self> {
        let QualityChange { whole, now, change, changed, falls } = found;
        // A budget of a loss counts its rise itself.
        let sign = if falls && matches!(budget, QualityBudget::MetricDrop(_)) { -1.0 } else { 1.0 };
        let spent = budget.spent(whole, sign * (now - whole)).filter(|spent| spent.is_finite())?;
        let ends = change.and_then(|c| Some((budget.spent(whole, sign * c.low)?, budget.spent(whole, sign * c.high)?)));
        Some(Self { whole, now, spent, interval: ends.map(|(a, b)| (a.min(b), a.max(b))), changed })
    }
}

/// Which of the measures that an input gives, `given`, a budget is of: the loss, or the metric that is `named`, or the first that
/// is no loss. A share of a loss that is not given becomes the same share of the cosine; the second part says so.
///
/// # Errors
/// Where the input does not give what is named, or nats of a loss are meant that there is not.
pub(super) fn measure_of(
    budget: QualityBudget,
    named: Option<&str>,
    given: &[String],
) -> Result<(QualityBudget, String, Option<String>)> {
    let (budget, said) = budget.for_model(given.iter().any(|name| name == LOSS))?;
    let mut metrics = given.iter().filter(|name| *name != LOSS);
    let measure = match (budget, named) {
        (QualityBudget::LossShare(_) | QualityBudget::LossNats(_), _) => LOSS.to_owned(),
        (QualityBudget::MetricDrop(_), _) if said.is_some() => COSINE.to_owned(),
        (QualityBudget::MetricDrop(_), Some(named)) => {
            if !metrics.any(|name| name == named) {
                let metrics: Vec<&str> = given.iter().map(String::as_str).filter(|name| *name != LOSS).collect();
                return Err(Error::usage(format!("quality is not measured by '{named}' on this input"))
                    .hint(format!("it is by {}", metrics.join(", "))));
            }
            named.to_owned()
        }
        (QualityBudget::MetricDrop(_), None) => metrics.next().map_or_else(|| COSINE.to_owned(), String::clone),
    };
    Ok((budget, measure, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_of_an_error_rate_is_spent() {
        let change = Some(Interval { low: -0.01, high: 0.05 });
        let found = QualityChange { whole: 0.2, now: 0.21, change, changed: None, falls: true };
        let spent = Spent::of(QualityBudget::MetricDrop(0.01), found).unwrap();
        let (low, high) = spent.interval.unwrap();
        for (got, want) in [(spent.spent, 0.05), (low, -0.05), (high, 0.25)] {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
        // Nothing is a share of no errors.
        assert!(Spent::of(QualityBudget::MetricDrop(0.01), QualityChange { whole: 0.0, ..found }).is_none());
    }

    #[test]
    fn a_fall_of_a_metric_and_a_rise_of_the_loss_are_spent() {
        let of = |whole: f64, now: f64, change: Option<Interval>| QualityChange {
            whole,
            now,
            change,
            changed: None,
            falls: false,
        };
        let found = of(0.8, 0.76, Some(Interval { low: -0.08, high: 0.008 }));
        let spent = Spent::of(QualityBudget::MetricDrop(0.01), found).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(spent.spent, 0.05);
        // What falls by up to 0.08 of 0.8 spends up to a tenth; what rises spends less than nothing.
        let (low, high) = spent.interval.unwrap();
        near(low, -0.01);
        near(high, 0.1);
        let found = of(4.0, 4.1, Some(Interval { low: 0.02, high: 0.2 }));
        let spent = Spent::of(QualityBudget::LossShare(0.01), found).unwrap();
        near(spent.spent, 0.025);
        near(spent.interval.unwrap().0, 0.005);
        near(Spent::of(QualityBudget::LossNats(0.01), found).unwrap().spent, 0.1);
        // A correlation that is not positive has no share to lose.
        let none = of(-0.2, -0.3, None);
        assert_eq!(Spent::of(QualityBudget::MetricDrop(0.01), none), None);
        // Where nothing changed, no sequence did.
        let same = of(0.5, 0.5, Some(Interval { low: 0.0, high: 0.0 }));
        assert_eq!(same.of_sequences(6).changed, Some(PairedCounts::unchanged(6)));
        assert_eq!(found.of_sequences(6).changed, None);
    }

    #[test]
    fn the_measure_is_the_one_named_or_the_one_that_stands_for_the_task() {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let drop = QualityBudget::MetricDrop(0.01);
        let task = all(&["loss", "accuracy", "f1", "matthews", "cosine"]);
        let of = |named, given: &[String]| measure_of(drop, named, given).map(|(_, name, _)| name);
        assert_eq!(of(None, &task).unwrap(), "accuracy");
        assert_eq!(of(Some("f1"), &task).unwrap(), "f1");
        assert_eq!(of(Some("cosine"), &task).unwrap(), "cosine");
        let wrong = of(Some("bleu"), &task).unwrap_err().to_string();
        assert!(wrong.contains("it is by accuracy, f1, matthews, cosine"), "{wrong}");
        assert!(of(Some("loss"), &task).is_err());
        let (budget, name, said) = measure_of(QualityBudget::LossShare(0.02), None, &all(&["cosine"])).unwrap();
        assert_eq!((budget, name.as_str()), (QualityBudget::MetricDrop(0.02), COSINE));
        assert!(said.unwrap().contains("no loss"));
        assert_eq!(measure_of(QualityBudget::LossNats(0.1), None, &task).unwrap().1, LOSS);
        assert!(measure_of(QualityBudget::LossNats(0.1), None, &all(&["cosine"])).is_err());
    }
}
