//! A comparison with everything that says what it is a comparison of: what files, records and windows hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::curve::DrawSpread;
use super::similarity::HiddenSimilarity;
use super::spent::LOSS;
use super::{Comparison, Quality};
use crate::corpus::Reading;
use crate::network::Kept;
use crate::repair::RepairMode;
use crate::words::printed;

/// What to say of a measurement on the text that a plan was chosen on.
pub const IN_SAMPLE: &str = "in-sample: the plan was chosen on the text that quality was measured on, so it may do worse on other \
    text; hold batches out of the analysis, or measure on other text";

/// The same where that text took no part in the analysis.
pub const SEARCHED_IN_SAMPLE: &str = "in-sample: the plan was chosen on the same held-out rows that quality was measured on, so \
    it may do worse on other text; measure on other text";

/// What a choice of heads does to quality, and on what that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenMeasured")]
pub struct Measured {
    /// Name of the plan, where it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The heads that stayed.
    pub kept: Kept,
    /// How the heads that stayed came to speak for the others, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairMode>,
    /// Why they do not, where a repair was asked for and could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrepaired: Option<String>,
    /// The whole model beside the one without the other heads, on the same batches.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The control: as many heads in every layer, drawn at random; the first of its draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<Quality>,
    /// Likeness of the control to the whole model, where nothing is predicted that it could be told by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_similarity: Option<HiddenSimilarity>,
    /// What all draws of the control gave, by measure: `loss_per_token`, `perplexity`, `accuracy`, those of a task, `cosine`
    /// where nothing is predicted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub random_spread: BTreeMap<String, DrawSpread>,
    /// How the heads of the control came to speak for the others, where they do: as those of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_repair: Option<RepairMode>,
    /// Why there is no control, where none was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_missing: Option<String>,
    pub reading: Reading,
    /// Whether the plan was chosen on what was read, by its analysis or by a search within a budget. One that keeps every head
    /// would be the same on any text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_sample: bool,
    /// Whether the repair was calibrated on what was read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repair_in_sample: bool,
    /// The type that the passes ran in, e.g. `f32`.
    pub dtype: String,
    /// What a reader should know, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Measured {
    /// Whether the heads that stay have new output projections.
    pub fn is_repaired(&self) -> bool {
        self.repair.is_some_and(|mode| mode.repairs())
    }

    /// How the heads that stay were repaired, behind a name: `, repaired`, or that no way of repair did better than none.
    pub fn repair_words(&self) -> &'static str {
        in_words(self.repair)
    }

    /// What of the plan came of the text that it was measured on, so that it may do worse on other text.
    pub fn in_sample_words(&self) -> Option<&'static str> {
        match (self.in_sample, self.repair_in_sample) {
            (true, true) => Some("in-sample: the plan was chosen and its repair calibrated on this text"),
            (true, false) => Some("in-sample: the plan was chosen on this text"),
            (false, true) => Some("in-sample: the repair was calibrated on this text"),
            (false, false) => None,
        }
    }

    /// That the plan does no better than heads drawn at random, by the measure that stands for the input, with its name.
    pub fn no_better_than_random(&self) -> Option<(String, String)> {
        let measures = self.comparison.measures();
        let main = self.comparison.before.main_metric.clone().filter(|main| measures.contains(main));
        let measure = main.or_else(|| measures.into_iter().next())?;
        self.no_better_than_random_by(&measure).map(|words| (measure, words))
    }

    /// That the plan does no better by `measure` than heads drawn at random: `no better than random heads (0.81 to 0.84)`, the
    /// worst and the best draw. `None` where it beats every draw, where none was measured, and where nothing is lost.
    pub(super) fn no_better_than_random_by(&self, measure: &str) -> Option<String> {
        let drawn = self.random_by(measure)?;
        let found = self.comparison.quality_change(measure)?;
        let is_less_better = found.falls || measure == LOSS;
        let best = if is_less_better { drawn.low } else { drawn.high };
        let beats = if is_less_better { found.now < best } else { found.now > best };
        // A plan that keeps every head is its own control.
        let is_whole = drawn.low == drawn.high && found.whole == drawn.low && found.now == drawn.low;
        if beats || is_whole || !found.now.is_finite() {
            return None;
        }
        let written = |digits: usize| [drawn.low, drawn.high].map(|x| printed(format!("{x:.digits$}")));
        let [low, high] = (2..5).map(written).find(|[low, high]| low != high).unwrap_or_else(|| written(4));
        let range = if low == high { low } else { format!("{low} to {high}") };
        Some(format!("no better than random heads{} ({range})", self.random_repair_words()))
    }

    /// What the draws of the control gave by one of the measures that a budget can be of.
    pub(super) fn random_by(&self, measure: &str) -> Option<&DrawSpread> {
        self.random_spread.get(measure).or_else(|| match measure {
            LOSS => self.random_spread.get("loss_per_token"),
            _ => None,
        })
    }

    /// That there is no control, and why: `not held against random heads: ..`.
    pub fn random_missing_words(&self) -> Option<String> {
        self.random_missing.as_ref().map(|why| format!("not held against random heads: {why}"))
    }

    /// [`Measured::repair_words`] of the control.
    pub fn random_repair_words(&self) -> &'static str {
        in_words(self.random_repair)
    }

    /// Takes out a control that is not repaired beside a plan that is, as earlier releases measured it: that would be no
    /// comparison of choices of heads.
    fn drop_unfair_control(&mut self) {
        let is_fair = !self.is_repaired() || self.random_repair.is_some_and(RepairMode::repairs);
        if self.random.is_none() || is_fair {
            return;
        }
        (self.random, self.random_similarity, self.random_repair) = (None, None, None);
        self.random_spread.clear();
        self.random_missing =
            Some("an earlier release measured them without the repair; measure the plan again".to_owned());
    }
}

/// Mean and spread of every measure over draws, each a quality with the mean cosine to the whole model's embeddings where
/// that is what counts.
pub(crate) fn spread(draws: &[(Quality, Option<f64>)]) -> BTreeMap<String, DrawSpread> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (quality, cosine) in draws {
        let of_text = [
            ("loss_per_token", quality.loss_per_token),
            ("perplexity", quality.perplexity),
            ("accuracy", quality.accuracy),
            ("cosine", *cosine),
        ];
        let named = of_text.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let others = quality.metrics.iter().map(|(name, found)| (name.clone(), found.value));
        // What stands in both is the same.
        let all: BTreeMap<String, f64> = others.chain(named).collect();
        all.into_iter().for_each(|(name, value)| values.entry(name).or_default().push(value));
    }
    values.into_iter().filter_map(|(name, values)| Some((name, DrawSpread::of(&values)?))).collect()
}

fn in_words(repair: Option<RepairMode>) -> &'static str {
    match repair {
        None => "",
        Some(RepairMode::None) => ", left as it is",
        Some(_) => ", repaired",
    }
}

/// As it may stand in a file: earlier releases nested the comparison, or kept nothing else.
#[derive(Deserialize)]
struct WrittenMeasured {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kept: Kept,
    #[serde(default)]
    repair: Option<RepairMode>,
    #[serde(default)]
    unrepaired: Option<String>,
    #[serde(flatten)]
    compared: Compared,
    #[serde(default)]
    random: Option<Quality>,
    #[serde(default)]
    random_similarity: Option<HiddenSimilarity>,
    #[serde(default)]
    random_spread: BTreeMap<String, DrawSpread>,
    #[serde(default)]
    random_repair: Option<RepairMode>,
    #[serde(default)]
    random_missing: Option<String>,
    /// What was read, in words.
    #[serde(default)]
    of: String,
    #[serde(default)]
    reading: Reading,
    #[serde(default)]
    in_sample: bool,
    #[serde(default)]
    repair_in_sample: bool,
    #[serde(default)]
    dtype: String,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Compared {
    Flat(Box<Comparison>),
    Nested { comparison: Box<Comparison> },
}

impl From<WrittenMeasured> for Measured {
    fn from(written: WrittenMeasured) -> Self {
        let (Compared::Flat(comparison) | Compared::Nested { comparison }) = written.compared;
        let mut reading = written.reading;
        if reading.input.is_empty() {
            reading.input = written.of;
        }
        let mut found = Self {
            name: written.name,
            kept: written.kept,
            repair: written.repair,
            unrepaired: written.unrepaired,
            comparison: *comparison,
            random: written.random,
            random_similarity: written.random_similarity,
            random_spread: written.random_spread,
            random_repair: written.random_repair,
            random_missing: written.random_missing,
            reading,
            in_sample: written.in_sample,
            repair_in_sample: written.repair_in_sample,
            dtype: written.dtype,
            notes: written.notes,
        };
        found.drop_unfair_control();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn draws_give_a_mean_and_a_spread_of_every_measure() {
        let quality = |loss: f64, f1: f64| -> Quality {
            serde_json::from_value(json!({
                "loss_per_token": loss, "perplexity": null, "accuracy": null, "scored_tokens": 8, "tokens": 9, "sequences": 2,
                "batches": 1, "secs": 0.5, "tokens_per_sec": 18.0,
                "metrics": {"f1": {"value": f1, "n": 8, "convention": ""}},
            }))
            .unwrap()
        };
        let found = spread(&[(quality(1.0, 0.5), Some(0.25)), (quality(3.0, 0.5), Some(0.75))]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["cosine", "f1", "loss_per_token"]);
        let loss = &found["loss_per_token"];
        // Of two numbers the sample's deviation is their distance by the root of two.
        assert_eq!((loss.count, loss.mean, loss.low, loss.high), (2, 2.0, 1.0, 3.0));
        assert!((loss.deviation - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!((found["f1"].mean, found["f1"].deviation, found["cosine"].mean), (0.5, 0.0, 0.5));
    }

    #[test]
    fn what_earlier_releases_wrote_is_read() {
        let quality = json!({
            "loss_per_token": 1.5, "perplexity": 4.5, "accuracy": 0.5, "scored_tokens": 8, "tokens": 9, "sequences": 2,
            "batches": 1, "secs": 0.5, "tokens_per_sec": 18.0,
        });
        let comparison = json!({
            "before": quality, "after": quality, "agreement": 1.0,
            "similarity": {"mean_cosine": 1.0, "least_cosine": 1.0, "max_abs_difference": 0.0, "sequences": 2},
        });
        let record: Measured = serde_json::from_value(comparison.clone()).unwrap();
        assert_eq!((record.random.as_ref(), record.reading.input.as_str()), (None, ""));
        let of_workspace = json!({
            "name": "Plan 1", "of": "/x/a.txt", "kept": {"encoder.0": [1]}, "comparison": comparison, "random": quality,
        });
        let measured: Measured = serde_json::from_value(of_workspace.clone()).unwrap();
        assert_eq!((measured.name.as_str(), measured.reading.input.as_str()), ("Plan 1", "/x/a.txt"));
        assert_eq!(measured.comparison, record.comparison);
        assert!(measured.random.is_some() && measured.random_missing.is_none());
        // A repaired plan beside random heads that are not repaired is no comparison.
        let mut unfair = of_workspace.clone();
        unfair["repair"] = "refit".into();
        let unfair: Measured = serde_json::from_value(unfair).unwrap();
        assert!(unfair.random.is_none() && unfair.random_missing_words().unwrap().contains("without the repair"));
        let written = serde_json::to_value(&measured).unwrap();
        assert_eq!(written["before"], quality, "keys of a comparison stand at the top");
        assert_eq!(serde_json::from_value::<Measured>(written).unwrap(), measured);
    }
}
