//! One mask against the whole model.

use super::document::Effect;
use crate::corpus::Corpus;
use crate::error::Result;
use crate::evaluation::answers::Answer;
use crate::evaluation::interval::{Interval, bootstrap};
use crate::evaluation::quality::{Quality, QualitySums, SequenceScore};
use crate::evaluation::similarity::{cosine, embeddings};
use crate::evaluation::{Candidate, SCORED_COPIES};
use crate::network::{Gates, Kept, Network};
use crate::task::Ticket;

/// What the whole model gave on the input: one embedding per sequence and one token per scored position, so that
/// every mask costs one pass instead of two.
pub(in crate::evaluation) struct Yardstick<'a> {
    network: &'a Network,
    corpus: &'a Corpus,
    embeddings: Vec<Vec<f32>>,
    tops: Vec<u32>,
    scores: Vec<SequenceScore>,
    /// What the head of a task said of every labeled item.
    answers: Vec<Answer>,
}

impl<'a> Yardstick<'a> {
    /// Runs the whole model.
    pub(in crate::evaluation) fn new(
        network: &'a Network,
        corpus: &'a Corpus,
        ticket: &Ticket,
    ) -> Result<(Self, Effect, Quality)> {
        let mut own =
            Self { network, corpus, embeddings: Vec::new(), tops: Vec::new(), scores: Vec::new(), answers: Vec::new() };
        let (mut all, mut tops) = (Vec::new(), Vec::new());
        let (quality, sums) = own.pass(network, &Gates::open(), ticket, |embeddings, best| {
            all.extend(embeddings);
            tops.extend(best);
        })?;
        (own.embeddings, own.tops, own.scores) = (all, tops, sums.by_sequence().to_vec());
        own.answers = sums.answered().1.into_iter().cloned().collect();
        let agreement = (!own.tops.is_empty()).then_some(1.0);
        let effect = effect(&quality, agreement, 1.0);
        Ok((own, effect, quality))
    }

    /// Runs the model, or another with the same heads, with all of them masked but `kept`.
    pub(in crate::evaluation) fn measure(
        &self,
        other: Option<&Network>,
        kept: &Kept,
        ticket: &Ticket,
    ) -> Result<Effect> {
        let network = other.unwrap_or(self.network);
        let gates = Gates::keep(network.spec(), kept, network.dtype(), network.device())?;
        let (mut alike, mut agreed, mut scored) = (Vec::new(), 0usize, 0usize);
        let (quality, sums) = self.pass(network, &gates, ticket, |embeddings, tops| {
            for embedding in embeddings {
                let whole = self.embeddings.get(alike.len());
                alike.push([whole.map_or(0.0, |whole| cosine(whole, &embedding)), 1.0]);
            }
            for top in tops {
                agreed += usize::from(self.tops.get(scored) == Some(&top));
                scored += 1;
            }
        })?;
        let agreement = (scored > 0).then(|| agreed as f64 / scored as f64);
        let mean = |[sum, n]: [f64; 2]| sum / n;
        let whole = alike.iter().map(|[cosine, _]| cosine).sum::<f64>() / alike.len() as f64;
        let losses: Vec<[f64; 2]> = self
            .scores
            .iter()
            .zip(sums.by_sequence())
            .map(|(before, after)| [after.loss - before.loss, before.scored])
            .collect();
        let ((metrics, answers), before) = (sums.answered(), self.answers.iter().collect::<Vec<_>>());
        let change = metrics.first().and_then(|metric| metric.change(&before, &answers));
        Ok(Effect {
            metric_change: change.and_then(|c| Some(Interval { low: c.low?, high: c.high? })),
            loss_increase: quality.loss_per_token.and_then(|_| bootstrap(&losses, mean)),
            cosine_interval: bootstrap(&alike, mean),
            ..effect(&quality, agreement, whole)
        })
    }

    /// One pass over the input; `see` gets the embeddings of a batch and the largest logit of its scored positions.
    fn pass(
        &self,
        network: &Network,
        gates: &Gates,
        ticket: &Ticket,
        mut see: impl FnMut(Vec<Vec<f32>>, Vec<u32>),
    ) -> Result<(Quality, QualitySums)> {
        let mut tally = QualitySums::default();
        for group in network.groups(self.corpus.batches(network.device()), SCORED_COPIES, 0) {
            let group = group?;
            for (hidden, scores) in tally.group(Candidate { network, gates }, &group, ticket)? {
                see(embeddings(network.spec(), &hidden)?, scores.iter().map(|s| s.top).collect());
            }
            ticket.advance(group.len() as u64)?;
        }
        Ok((tally.quality()?, tally))
    }
}

/// A number that is not finite cannot stand in a file.
fn effect(quality: &Quality, agreement: Option<f64>, cosine: f64) -> Effect {
    let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
    Effect {
        loss_per_token: finite(quality.loss_per_token),
        perplexity: finite(quality.perplexity),
        accuracy: quality.accuracy,
        metric: quality.task_metric().map(|(_, metric)| metric.value),
        metric_change: None,
        agreement,
        cosine: if cosine.is_finite() { cosine } else { 0.0 },
        loss_increase: None,
        cosine_interval: None,
    }
}
