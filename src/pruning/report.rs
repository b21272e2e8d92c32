//! What an export did, as `pillars.json` records it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Agreement, Change, ExportFormat, OutputFormat};
use crate::analysis::Document;
use crate::checkpoint::FolderWriter;
use crate::corpus::Reading;
use crate::error::Result;
use crate::evaluation::{Measured, Speeds};
use crate::network::{Kept, Site};
use crate::plan::Plan;
use crate::repair;

/// The file in an exported folder that records how it came to be, and by which this program knows its own folders.
pub const RECORD: &str = "pillars.json";

/// The file in an exported folder that holds its new output projections, so that its record can be repeated.
pub const REPAIR: &str = "pillars-repair.safetensors";

/// A quantity before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub before: u64,
    pub after: u64,
}

impl Counts {
    pub(super) fn times(self, factor: u64) -> Self {
        Self { before: self.before * factor, after: self.after * factor }
    }
}

/// Quality of a model at a stage of its training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageQuality {
    /// The stage, for a person.
    pub name: String,
    /// Mean loss per predicted token, or label.
    pub loss: f64,
    /// What [`TrainedRecord::beside`] names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<f64>,
}

/// That weights were trained before they were written, so that the plan alone leaves them of no other model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainedRecord {
    /// Name of the model that training began with.
    pub origin: String,
    /// What was trained on what, in sentences.
    pub told: String,
    /// What was learned from; empty in records of earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    /// What quality was measured on.
    pub measured_on: String,
    /// What stands beside a loss: `perplexity`, or the metric of a labeled task.
    pub beside: String,
    /// Quality before, during and after training.
    pub stages: Vec<StageQuality>,
}

/// How an exported checkpoint came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the program.
    pub tool: String,
    pub export_format: OutputFormat,
    /// The family, e.g. `bert`.
    pub family: String,
    /// Name of the source folder.
    pub source: String,
    /// Fingerprint of the source.
    pub fingerprint: String,
    /// The plan, in the head numbers of the source.
    pub plan: Plan,
    /// Heads of the original model that the written layers have, where they are fewer than it had.
    pub kept: Kept,
    /// The original head of every written head, `null` where one is there for the shape alone, by site; sites that have all
    /// heads of the original are not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<Site, Vec<Option<usize>>>,
    /// Heads of all attention layers: of the original model, and those that do something in the export.
    #[serde(default)]
    pub heads: Counts,
    /// Heads that are there for the shape alone and add nothing, by site.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zero_heads: BTreeMap<Site, usize>,
    /// Parameters that the network reads.
    pub parameters: Counts,
    /// Those of them in the projections of attention layers; 0 where it was not counted, as of files for engines.
    #[serde(default)]
    pub attention_parameters: Counts,
    /// Bytes of weights: of the tensors of the model as they lie in its files, and of those that are written. A folder takes
    /// over what the network does not read; an engine's file has no place for it, so that it is in neither number.
    pub bytes: Counts,
    /// Bytes of keys and values that every generated token leaves behind, at the type of the weights.
    #[serde(default)]
    pub cache_bytes_per_token: Counts,
    /// What opens the folder.
    #[serde(default)]
    pub opens_in: Vec<String>,
    /// How well the written folder agrees with what it should compute.
    pub agreement: Agreement,
    /// What the pruning did to the results.
    pub change: Change,
    /// How the kept heads came to speak for the removed ones, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<repair::RepairRecord>,
    /// Settings and summary of its training, where it was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Value>,
    /// That its weights were trained, and what that came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained: Option<TrainedRecord>,
    /// Speed before and after, on the first batch of the proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speeds>,
    /// Quality before and after, and on what it was measured, where the caller did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// All files of the folder, weights first; by them a folder that holds anything else is never replaced.
    pub files: Vec<String>,
    /// What a reader should know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The name of this program among what opens an export.
pub(super) const SELF: &str = "Pillars";

/// Whether nothing but this program opens what such names tell of.
pub(crate) fn opens_alone(opens_in: &[String]) -> bool {
    matches!(opens_in, [only] if only == SELF)
}

/// What opens an export, for a person.
pub(crate) fn opens_in_words(opens_in: &[String]) -> String {
    if opens_alone(opens_in) { format!("{SELF} alone, not in transformers") } else { opens_in.join("; ") }
}

/// What [`Report::bytes`] counts, in words.
pub(crate) const BYTES: &str = "bytes of weights";

impl Report {
    /// Whether nothing was removed, averaged or repaired: the same model in other files.
    pub fn is_whole(&self) -> bool {
        let keeps_all = self.plan.kept.is_empty() || self.heads.before == self.heads.after;
        keeps_all && self.repair.is_none() && self.export_format != ExportFormat::Gqa.into()
    }

    /// Lists what `written` holds and the list does not name yet, and the files that come `last`.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub(crate) fn list_files(&mut self, written: &FolderWriter, last: &[&str]) -> Result<()> {
        for file in written.files()?.into_iter().chain(last.iter().map(|&name| name.to_owned())) {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
        Ok(())
    }
}

impl Document for Report {
    const FORMAT: &'static str = "pillars-export";
    const VERSION: u64 = 1;
    const NOUN: &'static str = "export record";
    const MAKER: &'static str = "pillars prune";

    fn check(&self) -> Result<()> {
        Ok(())
    }
}
