//! A comparison with everything that says what it is a comparison of: what files, records and windows hold.

use serde::{Deserialize, Serialize};

use super::similarity::HiddenSimilarity;
use super::{Comparison, Quality};
use crate::corpus::Reading;
use crate::network::Kept;
use crate::repair::RepairMode;

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
    /// The whole model beside the one without the other heads, on the same batches.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The control: as many heads in every layer, drawn at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<Quality>,
    /// Likeness of the control to the whole model, where nothing is predicted that it could be told by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_similarity: Option<HiddenSimilarity>,
    /// How the heads of the control came to speak for the others, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_repair: Option<RepairMode>,
    pub reading: Reading,
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

    /// [`Measured::repair_words`] of the control.
    pub fn random_repair_words(&self) -> &'static str {
        in_words(self.random_repair)
    }
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
    #[serde(flatten)]
    compared: Compared,
    #[serde(default)]
    random: Option<Quality>,
    #[serde(default)]
    random_similarity: Option<HiddenSimilarity>,
    #[serde(default)]
    random_repair: Option<RepairMode>,
    /// What was read, in words.
    #[serde(default)]
    of: String,
    #[serde(default)]
    reading: Reading,
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
        Self {
            name: written.name,
            kept: written.kept,
            repair: written.repair,
            comparison: *comparison,
            random: written.random,
            random_similarity: written.random_similarity,
            random_repair: written.random_repair,
            reading,
            dtype: written.dtype,
            notes: written.notes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        let measured: Measured = serde_json::from_value(of_workspace).unwrap();
        assert_eq!((measured.name.as_str(), measured.reading.input.as_str()), ("Plan 1", "/x/a.txt"));
        assert_eq!(measured.comparison, record.comparison);
        let written = serde_json::to_value(&measured).unwrap();
        assert_eq!(written["before"], quality, "keys of a comparison stand at the top");
        assert_eq!(serde_json::from_value::<Measured>(written).unwrap(), measured);
    }
}
