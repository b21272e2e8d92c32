//! A repair as it is kept in a file: `R.safetensors`.
//!
//! | tensor | shape, f32 |
//! | --- | --- |
//! | `<site>.weight` | columns of the kept heads of the output projection, `[D_model, kept d]` |
//! | `<site>.bias` | `[D_model]`, where the layer has one |
//!
//! Layers that keep every head are not in it; of layers that share weights the first is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::analysis::{FittedLayer, ModelInfo};
use crate::checkpoint::{FileKind, OutFile, RecordFile};
use crate::corpus::Reading;
use crate::error::{Error, Result};
use crate::model::NewOutput;
use crate::network::{Kept, NetworkSpec, Site, StackKind};
use crate::plan::Plan;

const FORMAT: &str = "pillars-repair";
const VERSION: u64 = 1;
const NOUN: &str = "a repair";

/// How the kept heads come to speak for the removed ones.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_mode)]
pub enum RepairMode {
    #[default]
    None,
    /// Least squares of every layer by itself, on what it puts out in the whole model.
    Refit,
    /// Layer after layer on what the pruned model hands it, so that later ones mend what earlier ones lost.
    Stream,
    /// One factor for each kept head.
    Scale,
    /// Whichever of none, refit and stream does best on batches that were held out.
    Auto,
}

fn unknown_mode(text: &str) -> Error {
    Error::unknown::<RepairMode>("way to repair", text)
}

impl RepairMode {
    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What to say of a repair by no way, which came of a choice among all of them.
    pub const LEFT: &str = "left as it is: no way of repair did better on held-out batches than none";

    /// Whether it changes any weight.
    pub fn repairs(self) -> bool {
        self != Self::None
    }
}

/// What became of one layer. Errors are mean squares, as shares of that of what the whole branch adds (about its mean,
/// where the output projection has a bias to say it).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteRepair {
    /// Tokens that the fit rests on.
    pub tokens: u64,
    /// The ridge, as a share of the mean diagonal of the second moments.
    pub ridge: f64,
    /// Error with the old rows: of masking alone. On held-out batches where there are any.
    pub masked: f64,
    /// Error on the batches that were fitted.
    pub fitted: f64,
    /// Error on held-out batches of a fit on the others; absent where there was one batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f64>,
}

impl SiteRepair {
    /// The share of what the branch adds that the kept heads can say; not known where nothing was held out, since a fit says
    /// nearly all of the few tokens that it read, whatever it is worth.
    pub fn explained(&self) -> Option<f64> {
        self.held_out.map(|error| 1.0 - error)
    }

    /// What the layer at `site`, of so many outputs, was fitted on.
    pub(super) fn of_layer(&self, site: Site, outputs: usize) -> FittedLayer {
        FittedLayer { site, outputs, tokens: self.tokens, is_judged: self.held_out.is_some() }
    }
}

/// How a mode did on held-out batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    pub mode: RepairMode,
    /// Whether it kept heads that it chose itself, in place of those of the plan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_chosen: bool,
    /// Mean loss per token in nats, where the model predicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Mean cosine of embeddings to those of the whole model.
    pub cosine: f64,
}

/// How a repair came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepairRecord {
    /// How it was made.
    pub mode: RepairMode,
    /// Which model it is for.
    pub model: ModelInfo,
    /// What was read, in words.
    pub input: String,
    /// What was read and how, part by part; empty in files of earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    pub tokens: u64,
    /// The heads that stay, by site.
    pub kept: Kept,
    /// How they were chosen.
    #[serde(default)]
    pub method: String,
    /// The layers that were repaired; of those that share weights the first.
    pub sites: BTreeMap<Site, SiteRepair>,
    /// What was tried and how it did, where the mode was chosen by measuring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Tried>,
    /// What a reader should know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a reader should know of quality beside a repair that was made on the same text.
const SAME_TEXT: &str = "the repair was calibrated on the text that quality is measured on: hold batches out of it to \
    measure on others";

impl RepairRecord {
    /// Whether some of what `reading` tells of was read to calibrate.
    pub fn was_calibrated_on(&self, reading: &Reading) -> bool {
        self.mode.repairs() && self.readings.iter().any(|read| read.overlaps(reading))
    }

    /// What to say of quality that was measured on `reading` with this repair, beside `others`.
    pub fn notes_of(&self, reading: &Reading, others: &[String]) -> Vec<String> {
        let same = self.in_sample_words(reading).map(str::to_owned);
        self.notes_beside(others).into_iter().chain(same).collect()
    }

    /// What to say of quality that was measured on some of what was read to calibrate.
    pub fn in_sample_words(&self, reading: &Reading) -> Option<&'static str> {
        self.was_calibrated_on(reading).then_some(SAME_TEXT)
    }

    /// Its notes, as they stand beside those of what it was used for.
    fn notes_beside(&self, others: &[String]) -> Vec<String> {
        self.notes.iter().filter(|note| !others.contains(note)).cloned().collect()
    }
}

/// New output projections for the heads that stay.
#[derive(Clone, Debug)]
pub struct Repair {
    /// How they came to be.
    pub record: RepairRecord,
    /// By site; of layers that share weights the first.
    pub outputs: BTreeMap<Site, NewOutput>,
}

impl Repair {
    /// A repair of nothing yet.
    pub fn new(record: RepairRecord) -> Self {
        Self { record, outputs: BTreeMap::new() }
    }

    /// Whether it changes anything: of all ways none may have done best.
    pub fn repairs(&self) -> bool {
        self.record.mode.repairs()
    }

    /// Checks that it is for the heads that `plan` keeps of the model of `spec` with this `fingerprint`.
    ///
    /// # Errors
    ///
    /// It is for another model or other heads, or its tensors do not fit.
    pub fn check(&self, spec: &NetworkSpec, fingerprint: &str, plan: &Plan) -> Result<()> {
        if self.record.model.fingerprint != fingerprint {
            return Err(Error::new(format!("the repair is for another model ({})", self.record.model.path)));
        }
        for (site, attention) in spec.sites() {
            if self.record.kept.at(site, attention.heads) != plan.kept_at(site, attention.heads) {
                return Err(Error::new(format!("the repair is for other heads of {site} than the plan keeps"))
                    .hint("repair again with this plan"));
            }
        }
        for (site, output) in &self.outputs {
            let attention = spec.attention(*site);
            let attention =
                attention.ok_or_else(|| Error::new(format!("the repair names {site}, which is not there")))?;
            let stack = match site.kind.stack() {
                StackKind::Encoder => &spec.encoder,
                StackKind::Decoder => &spec.decoder,
            };
            let width = stack.as_ref().map_or(0, |s| s.width);
            let fits = output.weight.dims() == [width, output.kept.len() * attention.head_dim]
                && output.bias.as_ref().map(|b| b.dims().to_vec())
                    == attention.projection_bias.output.then(|| vec![width]);
            if !fits {
                return Err(Error::new(format!("the repair of {site} has another size than the model")));
            }
        }
        Ok(())
    }

    /// Where the repair that a plan was found with is kept: `P.repair.safetensors` beside `P.json`.
    pub fn path_beside(plan: &Path) -> PathBuf {
        plan.with_extension("repair.safetensors")
    }

    /// Claims the file at `path`, as [`OutFile::claim`] does.
    pub fn claim<P: AsRef<Path>>(path: &Path, inputs: &[P]) -> Result<OutFile> {
        OutFile::claim(path, FileKind::Tensors(FORMAT), inputs)
    }

    /// Opens the file of a repair: what it says of itself, and where its tensors lie.
    fn open(path: &Path) -> Result<(RecordFile, RepairRecord)> {
        if !path.exists() {
            return Err(Error::new("there is no repair of this name")
                .at(path)
                .hint("check the path; pillars repair writes one"));
        }
        let file = RecordFile::open(path, FORMAT, VERSION, NOUN)?;
        let record = file.record()?;
        Ok((file, record))
    }

    /// How the repair at `path` came to be; its tensors are not read.
    ///
    /// # Errors
    ///
    /// As [`Repair::read`].
    pub fn record_at(path: &Path) -> Result<RepairRecord> {
        Ok(Self::open(path)?.1)
    }

    /// Bytes that its tensors take in a file.
    pub fn bytes(&self) -> u64 {
        let numbers = |tensor: &Tensor| tensor.elem_count() as u64;
        let of = |output: &NewOutput| numbers(&output.weight) + output.bias.as_ref().map_or(0, numbers);
        self.outputs.values().map(of).sum::<u64>() * DType::F32.size_in_bytes() as u64
    }

    /// Reads the repair at `path`.
    ///
    /// # Errors
    ///
    /// The file is missing, broken, or of another kind.
    pub fn read(path: &Path) -> Result<Self> {
        let (file, record) = Self::open(path)?;
        let mut outputs = BTreeMap::new();
        for site in record.sites.keys() {
            let kept = record.kept.get(*site).map(<[usize]>::to_vec);
            let kept =
                kept.ok_or_else(|| Error::new(format!("it does not say which heads of {site} stay")).at(path))?;
            let name = format!("{site}.weight");
            let weight = file.any_tensor(&name, DType::F32)?;
            let bias = format!("{site}.bias");
            let bias = if file.has(&bias) { Some(file.any_tensor(&bias, DType::F32)?) } else { None };
            outputs.insert(*site, NewOutput { kept, weight, bias });
        }
        Ok(Self { record, outputs })
    }

    /// Writes the repair; readers of `path` see the old file or all of the new.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for (site, output) in &self.outputs {
            tensors.push((format!("{site}.weight"), output.weight.to_dtype(DType::F32)?));
            if let Some(bias) = &output.bias {
                tensors.push((format!("{site}.bias"), bias.to_dtype(DType::F32)?));
            }
        }
        RecordFile::write(path, FORMAT, VERSION, &self.record, &tensors)
    }
}
