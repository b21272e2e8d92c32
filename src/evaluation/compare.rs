//! Two candidates side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::interval::Estimate;
use super::quality::{Candidate, Quality, QualitySums, SCORED_COPIES, SequenceScore};
use super::similarity::{HiddenSimilarity, SimilaritySums};
use crate::error::Result;
use crate::network::Batch;
use crate::task::Ticket;
use crate::words::counted;

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
    /// What changed, by name, in words with its interval: `0.0071, with 95 % between 0.0033 and 0.0147, 48 sequences`.
    pub fn changes(&self) -> Vec<(String, String)> {
        let of_text = [("loss_per_token", "loss plus"), ("perplexity", "perplexity times"), ("cosine", "cosine")];
        let words = |name: &str| {
            let known = of_text.iter().find(|(known, _)| *known == name);
            known.map_or_else(|| format!("{name} plus"), |(_, words)| (*words).to_owned())
        };
        // A task and questions have measures of their own.
        let is_task = self.before.task.is_some() || self.change.contains_key("acc");
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
                Some((words(name), format!("{:.4}, with 95 % between {low:.4} and {high:.4}, {n}", change.value)))
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
    let (mut first, mut second, mut likeness) =
        (QualitySums::default(), QualitySums::default(), SimilaritySums::default());
    let (mut agreed, mut scored) = (0u64, 0u64);
    for group in before.network.groups(batches.into_iter(), COMPARED_COPIES, 0) {
        let group = group?;
        let ours = first.group(before, &group, ticket)?;
        let theirs = second.group(after, &group, ticket)?;
        for ((hidden, scores), (other_hidden, other_scores)) in ours.iter().zip(&theirs) {
            likeness.batch(before.network.spec(), hidden, other_hidden)?;
            agreed += scores.iter().zip(other_scores).filter(|(a, b)| a.top == b.top).count() as u64;
            scored += scores.len() as u64;
        }
        ticket.advance(group.len() as u64)?;
    }
    let mut change = changes(first.by_sequence(), second.by_sequence(), before.network.spec().task.is_some());
    let ((metrics, ours), (_, theirs)) = (first.answered(), second.answered());
    change.extend(metrics.iter().filter_map(|m| Some((m.name.to_owned(), m.change(&ours, &theirs)?))));
    change.insert("cosine".to_owned(), likeness.estimate());
    Ok(Comparison {
        change,
        before: first.quality()?,
        after: second.quality()?,
        agreement: (scored > 0).then(|| agreed as f64 / scored as f64),
        similarity: likeness.similarity()?,
    })
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
