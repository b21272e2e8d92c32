//! Two candidates side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::asked::CHOICE_METRICS;
use super::benchmark::Benchmark;
use super::interval::{Estimate, Interval};
use super::metrics::is_better_high;
use super::quality::{Candidate, Quality, QualitySums, SCORED_COPIES, SequenceScore};
use super::similarity::{HiddenSimilarity, SimilaritySums};
use super::spent::{COSINE, LOSS, QualityChange};
use crate::error::{Error, Result};
use crate::network::{Batch, Hidden};
use crate::plan::PairedCounts;
use crate::task::Ticket;
use crate::tensor::RowScore;
use crate::words::{counted, printed};

/// What changed between two candidates that read the same batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub before: Quality,
    pub after: Quality,
    /// Share of scored tokens at which both have the same largest logit; absent without a language-model head.
    pub agreement: Option<f64>,
    /// Likeness of their last hidden states.
    pub similarity: HiddenSimilarity,
    /// What changed, by name, with 95 % intervals over the sequences that both read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub change: BTreeMap<String, Estimate>,
}

impl Comparison {
    /// The measures that a budget can be of: the loss, then the one that stands for the task, then the others.
    pub fn measures(&self) -> Vec<String> {
        let before = &self.before;
        let loss = before.loss_per_token.map(|_| LOSS.to_owned());
        let first = before.main_metric.clone();
        let asked = CHOICE_METRICS.iter().filter(|name| before.metrics.contains_key(**name)).map(|n| (*n).to_owned());
        let accuracy = before.accuracy.map(|_| "accuracy".to_owned());
        let others = before.metrics.keys().filter(|name| is_better_high(name)).cloned();
        let all = first.into_iter().chain(asked).chain(accuracy).chain(others).chain([COSINE.to_owned()]);
        let mut found: Vec<String> = loss.into_iter().collect();
        for name in all {
            if !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }

    /// One of [`Comparison::measures`] before and after, with the interval of what changed.
    pub(super) fn quality_change(&self, measure: &str) -> Option<QualityChange> {
        let (before, after) = (&self.before, &self.after);
        let ends = |found: Option<&Estimate>| found.and_then(|c| Some(Interval { low: c.low?, high: c.high? }));
        if measure == COSINE {
            // The whole model's is 1.
            let change = ends(self.change.get(COSINE)).map(|i| Interval { low: i.low - 1.0, high: i.high - 1.0 });
            let now = self.similarity.mean_cosine;
            return Some(QualityChange { whole: 1.0, now, change, changed: None, falls: false });
        }
        let value = |quality: &Quality| match measure {
            LOSS => quality.loss_per_token,
            name => {
                quality.metrics.get(name).map(|found| found.value).or(quality.accuracy.filter(|_| name == "accuracy"))
            }
        };
        let change = match measure {
            LOSS => self.change.get("loss_per_token").or_else(|| self.change.get(LOSS)),
            name => self.change.get(name),
        };
        let (changed, falls) = (change.and_then(|found| self.counts(found)), !is_better_high(measure));
        let found = QualityChange { whole: value(before)?, now: value(after)?, change: ends(change), changed, falls };
        Some(if self.is_same() { found } else { found.of_sequences(before.sequences) })
    }

    /// Whether both compute the same, so that more text would show no change either.
    fn is_same(&self) -> bool {
        self.similarity.max_abs_difference == 0.0
    }

    /// How many answers got worse and better, where that leaves room for more than is seen.
    fn counts(&self, change: &Estimate) -> Option<PairedCounts> {
        change.changed.filter(|_| !self.is_same())
    }

    /// What so few items as these changed leave room for beyond the end of their interval: `none of 4 items changed, which leaves
    /// room for −0.6024`.
    fn room_words(&self, name: &str, change: &Estimate) -> Option<String> {
        let counts = self.counts(change).filter(|counts| counts.tells_little())?;
        let sign = if is_better_high(name) { -1.0 } else { 1.0 };
        let end = if is_better_high(name) { change.low? } else { change.high? };
        let room = counts.room();
        // Many items that got better and none that got worse leave room for no loss.
        (room > 0.0 && room > sign * end)
            .then(|| format!("{}, which leaves room for {}", counts.words(), printed(format!("{:+.4}", sign * room))))
    }

    /// Asks both candidates what `benchmark` asks, and records their answers and what changed.
    ///
    /// # Errors
    /// As [`Benchmark::ask`].
    pub fn ask(&mut self, benchmark: &Benchmark, [before, after]: [Candidate<'_>; 2], ticket: &Ticket) -> Result<()> {
        let [of_first, of_second] = ticket.parts([1.0; 2]);
        let (first, second) = (benchmark.ask(before, &of_first)?, benchmark.ask(after, &of_second)?);
        first.record(&mut self.before);
        second.record(&mut self.after);
        self.change.extend(first.changes(&second));
        Ok(())
    }

    /// What changed, by name, in words with its interval, after minus before: `loss change`, `+0.0071, with 95 % between +0.0033
    /// and +0.0147, 48 sequences`. A perplexity is told as a multiple, and the cosine is that between both.
    pub fn changes(&self) -> Vec<(String, String)> {
        self.changed().into_iter().map(|(_, what, change)| (what, change)).collect()
    }

    /// [`Comparison::changes`] with what was measured of both models behind each: `..: 3.1012 in the first model, 3.1083 in the
    /// second`.
    pub fn changes_and_values(&self) -> Vec<(String, String)> {
        let value = |quality: &Quality, name: &str| match name {
            "loss_per_token" => quality.loss_per_token,
            "perplexity" => quality.perplexity,
            name => quality.metrics.get(name).map(|found| found.value),
        };
        let told = |(name, what, change): (&str, String, String)| match value(&self.before, name)
            .zip(value(&self.after, name))
        {
            Some((first, second)) => {
                let [first, second] = [first, second].map(|value| printed(format!("{value:.4}")));
                (what, format!("{change}: {first} in the first model, {second} in the second"))
            }
            // The cosine is of both.
            None => (what, change),
        };
        self.changed().into_iter().map(told).collect()
    }

    /// The name of every measure that changed, what its change is called, and the change in words.
    fn changed(&self) -> Vec<(&str, String, String)> {
        let of_text = [("loss_per_token", "loss change"), ("perplexity", "perplexity times"), ("cosine", "cosine")];
        let words = |name: &str| {
            let known = of_text.iter().find(|(known, _)| *known == name);
            known.map_or_else(|| format!("{name} change"), |(_, words)| (*words).to_owned())
        };
        // A task and questions have measures of their own.
        let is_task = self.before.task_metric().is_some();
        let wanted = |name: &&str| is_task || of_text.iter().any(|(known, _)| known == name);
        // Those of text in their order, then those of a task.
        let own = self.change.keys().map(String::as_str).filter(|name| of_text.iter().all(|(known, _)| known != name));
        of_text
            .iter()
            .map(|(name, _)| *name)
            .chain(own)
            .filter(wanted)
            .filter_map(|name| {
                let change = self.change.get(name)?;
                let (low, high) = change.low.zip(change.high)?;
                let n = counted(change.n, if name == "cosine" || !is_task { "sequences" } else { "items" });
                let is_ratio = ["perplexity", "cosine"].contains(&name);
                let number =
                    |value: f64| printed(if is_ratio { format!("{value:.4}") } else { format!("{value:+.4}") });
                let [value, low, high] = [change.value, low, high].map(number);
                let of = self.room_words(name, change).map_or(format!(", {n}"), |words| format!("; {words}"));
                Some((name, words(name), format!("{value}, with 95 % between {low} and {high}{of}")))
            })
            .collect()
    }
}

/// Times that [`compare`] holds the hidden states of a batch: those of both candidates, and what a head reads.
pub const COMPARED_COPIES: u64 = SCORED_COPIES + 1;

/// Runs both candidates over each batch, so that they see the same input. Both read tokens of the same device, and
/// where weights are not held, both leave the same memory to waiting batches.
pub fn compare(
    before: Candidate<'_>,
    after: Candidate<'_>,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    ticket: &Ticket,
) -> Result<Comparison> {
    ticket.stage("compare", total, "batches");
    let (first, mut others) = sums_of(Some(before), &[after], batches, ticket)?;
    let other = others.pop().ok_or_else(|| Error::new("there is nothing to compare with"))?;
    other.finish(&first, before.network.spec().task.is_some())
}

/// Quality of each of `candidates`, which read every batch together, and, where one is to run `beside` them, likeness of each
/// to that one: it runs once over each batch, whatever their number. No more than two of them hold results at a time.
pub fn score_each(
    beside: Option<Candidate<'_>>,
    candidates: &[Candidate<'_>],
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    ticket: &Ticket,
) -> Result<Vec<(Quality, Option<HiddenSimilarity>)>> {
    ticket.stage("evaluate", total, "batches");
    let (_, found) = sums_of(beside, candidates, batches, ticket)?;
    let of = |found: BesideSums| {
        let likeness = beside.map(|_| found.likeness.similarity()).transpose()?;
        Ok((found.sums.quality()?, likeness))
    };
    found.into_iter().map(of).collect()
}

/// Runs `before`, where there is one, and every one of `afters` over each batch.
fn sums_of(
    before: Option<Candidate<'_>>,
    afters: &[Candidate<'_>],
    batches: impl IntoIterator<Item = Result<Batch>>,
    ticket: &Ticket,
) -> Result<(QualitySums, Vec<BesideSums>)> {
    let mut first = QualitySums::default();
    let mut others: Vec<BesideSums> = afters.iter().map(|_| BesideSums::default()).collect();
    let Some(leader) = before.as_ref().or(afters.first()) else { return Ok((first, others)) };
    for group in leader.network.groups(batches.into_iter(), COMPARED_COPIES, 0) {
        let group = group?;
        let leading = usize::from(before.is_some());
        let lap = |lap: usize| ticket.lap(lap, leading + afters.len(), group.len());
        let run = |before| -> Result<Ran<'_>> { Ok((before, first.group(before, &group, &lap(0))?)) };
        let ours = before.map(run).transpose()?;
        for (place, (after, other)) in afters.iter().zip(&mut others).enumerate() {
            ticket.check()?;
            other.group(ours.as_ref(), *after, &group, &lap(leading + place))?;
        }
        ticket.advance(group.len() as u64)?;
    }
    Ok((first, others))
}

/// A candidate with what batches gave of it.
type Ran<'a> = (Candidate<'a>, Vec<(Hidden, Vec<RowScore>)>);

/// What one candidate gave, and beside another.
#[derive(Default)]
struct BesideSums {
    sums: QualitySums,
    likeness: SimilaritySums,
    agreed: u64,
    scored: u64,
}

impl BesideSums {
    /// Runs batches, and holds what they give against what another gave on them.
    fn group(
        &mut self,
        beside: Option<&Ran<'_>>,
        after: Candidate<'_>,
        group: &[Batch],
        ticket: &Ticket,
    ) -> Result<()> {
        let theirs = self.sums.group(after, group, ticket)?;
        let Some((before, ours)) = beside else { return Ok(()) };
        for ((hidden, scores), (other_hidden, other_scores)) in ours.iter().zip(&theirs) {
            self.likeness.batch(before.network.spec(), hidden, other_hidden)?;
            self.agreed += scores.iter().zip(other_scores).filter(|(a, b)| a.top == b.top).count() as u64;
            self.scored += scores.len() as u64;
        }
        Ok(())
    }

    fn finish(self, first: &QualitySums, is_task: bool) -> Result<Comparison> {
        let mut change = changes(first.by_sequence(), self.sums.by_sequence(), is_task);
        let ((metrics, ours), (_, theirs)) = (first.answered(), self.sums.answered());
        change.extend(metrics.iter().filter_map(|m| Some((m.name.to_owned(), m.change(&ours, &theirs)?))));
        change.insert("cosine".to_owned(), self.likeness.estimate());
        Ok(Comparison {
            change,
            before: first.quality()?,
            after: self.sums.quality()?,
            agreement: (self.scored > 0).then(|| self.agreed as f64 / self.scored as f64),
            similarity: self.likeness.similarity()?,
        })
    }
}

/// How scores changed on the same sequences.
fn changes(before: &[SequenceScore], after: &[SequenceScore], is_task: bool) -> BTreeMap<String, Estimate> {
    let pair = |of: fn(&SequenceScore) -> f64| -> Vec<[f64; 3]> {
        before.iter().zip(after).map(|(b, a)| [of(b), of(a), b.scored]).collect()
    };
    if before.iter().all(|s| s.scored == 0.0) {
        return BTreeMap::new();
    }
    let (losses, right) = (pair(|s| s.loss), pair(|s| s.right));
    let difference = |[before, after, scored]: [f64; 3]| (after - before) / scored;
    if is_task {
        let loss = Estimate::of(&losses, "after minus before, per label", difference);
        return [("loss".to_owned(), loss)].into();
    }
    let ratio = move |sums: [f64; 3]| difference(sums).exp();
    [
        ("loss_per_token", Estimate::of(&losses, "after minus before, nats per scored token", difference)),
        ("perplexity", Estimate::of(&losses, "after as a multiple of before", ratio)),
        ("accuracy", Estimate::of(&right, "after minus before, share of scored tokens", difference)),
    ]
    .into_iter()
    .map(|(name, estimate)| (name.to_owned(), estimate))
    .collect()
}
