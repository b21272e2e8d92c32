//! What a run records as it goes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Stage, StepParts};
use crate::checkpoint::{read_text, write_atomically};
use crate::error::{Error, Result};
use crate::evaluation::generation::TranslationScore;
use crate::network::Site;

/// One moment of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub stage: Stage,
    /// Steps taken in this stage.
    pub step: u64,
    /// Steps taken in all stages.
    pub total_steps: u64,
    /// Whether losses are means per label of a task, and not per predicted token.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub per_label: bool,
    /// Mean task loss per predicted token or label since the last record, label smoothing included.
    pub task_loss: f64,
    /// What the constraint adds to the loss, mean since the last record.
    pub constraint_loss: f64,
    /// Mean of `cos(x_h, z_g(h))` over heads and layers on the last batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(alias = "homogenisation")]
    pub homogenization: Option<f64>,
    /// Mean of `cos(z_c, z_c')`, or its square, over pairs of groups and layers on the last batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversification: Option<f64>,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Norm of the last gradient before it was shortened.
    pub gradient_norm: f64,
    /// Tokens read per second since the last record, or whole inputs of another kind.
    pub tokens_per_second: f64,
    /// Seconds of work so far, those before a resumption included.
    pub seconds: f64,
    /// Seconds of a step by its parts, mean since the last record.
    pub parts: StepParts,
    /// Expected seconds to the end of this stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_secs: Option<f64>,
    /// Mean loss per token or label on held-out data, where it was measured at this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// The metric that stands for the labeled task on held-out data, where it was measured at this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<f64>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name: Option<String>,
    /// How good translations of held-out pairs are, where they were measured at this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translation: Option<TranslationScore>,
    /// Relative movement of hidden units since it was last measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub movement: Option<f64>,
    /// The grouping of every layer on the last batch.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sites: BTreeMap<Site, SiteRecord>,
}

/// The grouping of one layer on one batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteRecord {
    /// Group of every head.
    pub groups: Vec<usize>,
    /// Mean silhouette; absent for one group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silhouette: Option<f64>,
    /// Dunn index; absent where it is not defined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dunn: Option<f64>,
}

impl Record {
    /// `exp` of the validation loss; of labels there is none.
    pub fn perplexity(&self) -> Option<f64> {
        self.validation_loss.filter(|_| !self.per_label && self.metric.is_none()).map(f64::exp)
    }

    /// Mean silhouette over the layers that have one.
    pub fn mean_silhouette(&self) -> Option<f64> {
        mean(self.sites.values().filter_map(|s| s.silhouette))
    }

    /// Mean Dunn index over the layers that have one.
    pub fn mean_dunn(&self) -> Option<f64> {
        mean(self.sites.values().filter_map(|s| s.dunn))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(s, n), x| (s + x, n + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Columns of the CSV file.
const COLUMNS: &str = "stage,step,total_steps,task_loss,constraint_loss,homogenization,diversification,silhouette,dunn,\
                       rate,gradient_norm,tokens_per_second,seconds,validation_loss,validation_perplexity,movement,\
                       forward_secs,constraint_secs,backward_secs,optimizer_secs,remaining_secs,bleu,rouge_1,rouge_2,rouge_l,metric\n";

/// Writes records as JSON Lines and as CSV.
#[derive(Debug)]
pub struct MetricsLog {
    lines: PathBuf,
    table: PathBuf,
}

impl MetricsLog {
    /// Files `metrics.jsonl` and `metrics.csv` in `folder`. Records after `total_steps`, which a killed run wrote and
    /// a resumed one will write again, are dropped.
    pub fn open(folder: &Path, total_steps: u64) -> Result<Self> {
        let log = Self { lines: folder.join("metrics.jsonl"), table: folder.join("metrics.csv") };
        let kept = Self::readable(folder);
        let (mut lines, mut table) = (String::new(), COLUMNS.to_owned());
        for record in kept.iter().filter(|r| r.total_steps <= total_steps) {
            lines.push_str(&serde_json::to_string(record)?);
            lines.push('\n');
            table.push_str(&row(record));
        }
        write_atomically(&log.lines, lines.as_bytes())?;
        write_atomically(&log.table, table.as_bytes())?;
        Ok(log)
    }

    pub fn append(&self, record: &Record) -> Result<()> {
        let line = format!("{}\n", serde_json::to_string(record)?);
        for (path, text) in [(&self.lines, line), (&self.table, row(record))] {
            let add = || OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes());
            add().map_err(|e| Error::from(e).at(path))?;
        }
        Ok(())
    }

    /// The records of a folder that can be read, oldest first: a kill may have cut the last line short.
    pub fn readable(folder: &Path) -> Vec<Record> {
        let text = read_text(folder.join("metrics.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All records of a folder, oldest first.
    pub fn read(folder: &Path) -> Result<Vec<Record>> {
        let path = folder.join("metrics.jsonl");
        let text = read_text(&path).map_err(|e| Error::from(e).at(&path))?;
        text.lines().map(|line| serde_json::from_str(line).map_err(|e| Error::from(e).at(&path))).collect()
    }
}

fn row(r: &Record) -> String {
    let mut line = format!("{},{},{},{},{}", r.stage.name(), r.step, r.total_steps, r.task_loss, r.constraint_loss);
    let optional = |line: &mut String, value: Option<f64>| {
        line.push(',');
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _ = write!(line, "{value}");
        }
    };
    for value in [r.homogenization, r.diversification, r.mean_silhouette(), r.mean_dunn()] {
        optional(&mut line, value);
    }
    for value in [r.rate, r.gradient_norm, r.tokens_per_second, r.seconds] {
        optional(&mut line, Some(value));
    }
    for value in [r.validation_loss, r.perplexity(), r.movement] {
        optional(&mut line, value);
    }
    let StepParts { forward, constraint, backward, optimizer } = r.parts;
    for value in [Some(forward), Some(constraint), Some(backward), Some(optimizer), r.remaining_secs] {
        optional(&mut line, value);
    }
    let rouge = r.translation.map(|t| t.rouge);
    for value in [r.translation.map(|t| t.bleu), rouge.map(|x| x.one), rouge.map(|x| x.two), rouge.map(|x| x.longest)] {
        optional(&mut line, value);
    }
    optional(&mut line, r.metric);
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_log_drops_what_will_be_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let record = |total_steps| Record { total_steps, validation_loss: Some(2.0), ..Record::default() };
        let log = MetricsLog::open(folder.path(), 0).unwrap();
        for step in [10, 20, 30] {
            log.append(&record(step)).unwrap();
        }
        // A kill in the middle of a line.
        let path = folder.path().join("metrics.jsonl");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() - 9);
        std::fs::write(&path, text).unwrap();
        MetricsLog::open(folder.path(), 15).unwrap().append(&record(20)).unwrap();
        let steps: Vec<u64> = MetricsLog::read(folder.path()).unwrap().iter().map(|r| r.total_steps).collect();
        assert_eq!(steps, [10, 20]);
        let table = std::fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
        let columns: Vec<usize> = table.lines().map(|l| l.split(',').count()).collect();
        assert_eq!(columns, [26, 26, 26]);
        // exp(2) in the perplexity column.
        assert!(table.lines().nth(1).unwrap().contains("7.38905609893065"));
    }
}
