//! What came out: means and spreads over seeds.

use serde::{Deserialize, Serialize};

use super::{Arm, ExperimentPlan, Stem};
use crate::chart::Table;
use crate::network::Kept;
use crate::training::{Record, TrainingSummary};

/// A model with every head at the end of its training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StemResult {
    pub stem: Stem,
    pub seed: u64,
    /// Held-out loss per token.
    pub loss: Option<f64>,
    /// Held-out loss of a model that only counts tokens.
    pub unigram_loss: Option<f64>,
    /// Group measures, each the mean of the last tenth of the records: batches differ.
    pub measures: Measures,
    /// How much of what a head adds the others of its layer can say, `0..=1`, as a mean over all heads; where arms are
    /// repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaceability: Option<f64>,
    pub seconds: f64,
}

/// How alike the heads of groups are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Mean cosine of heads to the center of their group.
    #[serde(alias = "homogenisation")]
    pub homogenization: Option<f64>,
    /// Mean cosine (or its square) of pairs of centers.
    pub diversification: Option<f64>,
    pub silhouette: Option<f64>,
    pub dunn: Option<f64>,
}

impl StemResult {
    pub(super) fn new(stem: Stem, seed: u64, summary: &TrainingSummary, records: &[Record]) -> Self {
        let last = records.len().div_ceil(10);
        let tail = records.get(records.len().saturating_sub(last)..).unwrap_or(&[]);
        let mean =
            |value: &dyn Fn(&Record) -> Option<f64>| MeanDeviation::of(tail.iter().filter_map(value)).map(|s| s.mean);
        Self {
            stem,
            seed,
            loss: summary.full_loss,
            unigram_loss: summary.unigram_loss,
            measures: Measures {
                homogenization: mean(&|r| r.homogenization),
                diversification: mean(&|r| r.diversification),
                silhouette: mean(&Record::mean_silhouette),
                dunn: mean(&Record::mean_dunn),
            },
            replaceability: None,
            seconds: summary.seconds,
        }
    }
}

/// One arm of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmResult {
    pub arm: Arm,
    pub seed: u64,
    /// Heads that stay, where some went.
    pub kept: Kept,
    /// Heads of all layers.
    pub heads: usize,
    /// Parameters of the written model.
    pub parameters: u64,
    /// The same without embeddings, as the paper counts.
    pub parameters_without_embeddings: u64,
    /// Multiply-adds of a sequence of 30 tokens.
    pub flops: u64,
    /// Held-out loss per token at the end.
    pub loss: f64,
    /// Held-out loss right after heads were masked.
    pub masked_loss: Option<f64>,
    /// The same heads repaired before fine-tuning, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<RepairedArm>,
    /// BLEU of held-out pairs.
    pub bleu: Option<f64>,
    /// Seconds of training after the stem.
    pub seconds: f64,
}

/// What became of an arm whose heads were repaired before they were fine-tuned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepairedArm {
    /// Held-out loss per token right after the repair.
    pub loss_before_finetuning: f64,
    /// Held-out loss per token at the end.
    pub loss: f64,
    /// Share of what the removed heads added that the others can say, on batches that the repair did not read, as a mean
    /// over layers; absent where nothing was repaired.
    pub explained: Option<f64>,
}

/// Mean and sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanDeviation {
    pub mean: f64,
    /// Sample standard deviation; absent for one value.
    pub deviation: Option<f64>,
    pub count: usize,
}

impl MeanDeviation {
    /// Of some values; absent where there is none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        (count > 0).then_some(Self { mean, deviation, count })
    }
}

/// A stem over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StemRow {
    pub stem: Stem,
    pub perplexity: Option<MeanDeviation>,
    /// Mean cosine of heads to the center of their group.
    #[serde(alias = "homogenisation")]
    pub homogenization: Option<MeanDeviation>,
    /// Mean cosine (or its square) of pairs of centers.
    pub diversification: Option<MeanDeviation>,
    pub silhouette: Option<MeanDeviation>,
    pub dunn: Option<MeanDeviation>,
    /// How much of what a head adds the others of its layer can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaceability: Option<MeanDeviation>,
}

/// An arm over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    pub arm: Arm,
    /// Heads of all layers, mean.
    pub heads: f64,
    /// Parameters without embeddings, mean.
    pub parameters_without_embeddings: f64,
    /// Held-out loss per token.
    pub loss: MeanDeviation,
    pub perplexity: MeanDeviation,
    /// Loss minus that of the vanilla arm of the same seed: seeds have equal first weights and batches, so this varies
    /// less than the losses do.
    pub loss_above_vanilla: Option<MeanDeviation>,
    /// Held-out perplexity right after heads were masked.
    pub masked_perplexity: Option<MeanDeviation>,
    /// Held-out perplexity right after the repair.
    pub repaired_perplexity: Option<MeanDeviation>,
    /// Held-out perplexity after repair and fine-tuning.
    pub repaired_finetuned_perplexity: Option<MeanDeviation>,
    /// Share of what the removed heads added that the others can say.
    pub explained: Option<MeanDeviation>,
    /// BLEU of held-out pairs.
    pub bleu: Option<MeanDeviation>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExperimentReport {
    /// Name and version of the document.
    pub format: &'static str,
    /// Version of the document.
    pub version: u32,
    /// What was asked for.
    pub request: ExperimentPlan,
    /// Whether every arm of every seed is there.
    pub complete: bool,
    /// Held-out perplexity of a model that only counts tokens.
    pub unigram_perplexity: Option<f64>,
    /// Models with every head.
    pub stems: Vec<StemRow>,
    pub rows: Vec<ArmSummary>,
    /// Every stem of every seed.
    pub stem_runs: Vec<StemResult>,
    /// Every arm of every seed.
    pub runs: Vec<ArmResult>,
}

impl ExperimentReport {
    pub(super) fn new(request: &ExperimentPlan, stem_runs: Vec<StemResult>, runs: Vec<ArmResult>) -> Self {
        let vanilla = |seed: u64| runs.iter().find(|r| r.arm == Arm::Vanilla && r.seed == seed).map(|r| r.loss);
        let mut rows = Vec::new();
        for arm in &request.arms {
            let own: Vec<&ArmResult> = runs.iter().filter(|r| r.arm == *arm).collect();
            let spread =
                |value: &dyn Fn(&ArmResult) -> Option<f64>| MeanDeviation::of(own.iter().filter_map(|r| value(r)));
            let mean = |value: &dyn Fn(&ArmResult) -> f64| spread(&|r| Some(value(r))).map_or(f64::NAN, |s| s.mean);
            let (Some(loss), Some(perplexity)) = (spread(&|r| Some(r.loss)), spread(&|r| Some(r.loss.exp()))) else {
                continue;
            };
            rows.push(ArmSummary {
                arm: *arm,
                heads: mean(&|r| r.heads as f64),
                parameters_without_embeddings: mean(&|r| r.parameters_without_embeddings as f64),
                loss,
                perplexity,
                loss_above_vanilla: spread(&|r| Some(r.loss - vanilla(r.seed)?)).filter(|_| *arm != Arm::Vanilla),
                masked_perplexity: spread(&|r| r.masked_loss.map(f64::exp)),
                repaired_perplexity: spread(&|r| Some(r.repaired?.loss_before_finetuning.exp())),
                repaired_finetuned_perplexity: spread(&|r| Some(r.repaired?.loss.exp())),
                explained: spread(&|r| r.repaired?.explained),
                bleu: spread(&|r| r.bleu),
            });
        }
        let stems = request.stems().into_iter().map(|stem| {
            let own = || stem_runs.iter().filter(move |r| r.stem == stem);
            let of = |value: &dyn Fn(&StemResult) -> Option<f64>| MeanDeviation::of(own().filter_map(value));
            StemRow {
                stem,
                perplexity: of(&|r| r.loss.map(f64::exp)),
                homogenization: of(&|r| r.measures.homogenization),
                diversification: of(&|r| r.measures.diversification),
                silhouette: of(&|r| r.measures.silhouette),
                dunn: of(&|r| r.measures.dunn),
                replaceability: of(&|r| r.replaceability),
            }
        });
        Self {
            format: "pillars-experiment",
            version: 1,
            request: request.clone(),
            complete: runs.len() as u64 == request.seeds * request.arms.len() as u64,
            unigram_perplexity: stem_runs.iter().find_map(|r| r.unigram_loss).map(f64::exp),
            stems: stems.collect(),
            rows,
            stem_runs,
            runs,
        }
    }

    /// One row per arm.
    pub fn table(&self) -> Table {
        let mut table = Table::new([
            "arm",
            "seeds",
            "heads",
            "parameters_without_embeddings",
            "loss",
            "loss_deviation",
            "perplexity",
            "perplexity_deviation",
            "loss_above_vanilla",
            "loss_above_vanilla_deviation",
            "masked_perplexity",
            "repaired_perplexity",
            "repaired_finetuned_perplexity",
            "removed_explained",
            "bleu",
            "bleu_deviation",
        ]);
        for row in &self.rows {
            let (above, bleu) = (row.loss_above_vanilla, row.bleu);
            table.push([
                row.arm.name().into(),
                row.loss.count.into(),
                row.heads.into(),
                row.parameters_without_embeddings.into(),
                row.loss.mean.into(),
                row.loss.deviation.into(),
                row.perplexity.mean.into(),
                row.perplexity.deviation.into(),
                above.map(|s| s.mean).into(),
                above.and_then(|s| s.deviation).into(),
                row.masked_perplexity.map(|s| s.mean).into(),
                row.repaired_perplexity.map(|s| s.mean).into(),
                row.repaired_finetuned_perplexity.map(|s| s.mean).into(),
                row.explained.map(|s| s.mean).into(),
                bleu.map(|s| s.mean).into(),
                bleu.and_then(|s| s.deviation).into(),
            ]);
        }
        table
    }

    /// One row per arm and seed.
    pub fn runs_table(&self) -> Table {
        let mut table = Table::new([
            "arm",
            "seed",
            "heads",
            "parameters",
            "parameters_without_embeddings",
            "flops_at_30",
            "loss",
            "masked_loss",
            "repaired_loss",
            "repaired_finetuned_loss",
            "removed_explained",
            "bleu",
            "seconds",
        ]);
        for run in &self.runs {
            table.push([
                run.arm.name().into(),
                run.seed.into(),
                run.heads.into(),
                run.parameters.into(),
                run.parameters_without_embeddings.into(),
                run.flops.into(),
                run.loss.into(),
                run.masked_loss.into(),
                run.repaired.map(|r| r.loss_before_finetuning).into(),
                run.repaired.map(|r| r.loss).into(),
                run.repaired.and_then(|r| r.explained).into(),
                run.bleu.into(),
                run.seconds.into(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_sample_deviations() {
        // Mean 5; squares 9, 1, 1, 1, 0, 0, 4, 16 sum to 32, over 7.
        let spread = MeanDeviation::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter()).unwrap();
        assert_eq!((spread.mean, spread.count), (5.0, 8));
        assert!((spread.deviation.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(MeanDeviation::of([3.0].into_iter()).unwrap().deviation, None);
        assert_eq!(MeanDeviation::of(std::iter::empty()), None);
    }
}
