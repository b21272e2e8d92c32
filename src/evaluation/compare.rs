//! Two candidates side by side.

use serde::{Deserialize, Serialize};

use super::quality::{Quality, QualitySums, SCORED_COPIES};
use super::similarity::{HiddenSimilarity, SimilaritySums};
use crate::error::Result;
use crate::network::{Batch, Gates, Network};
use crate::task::Ticket;

/// A network with its gates: the original, a masked one, a smaller one.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its gates.
    pub gates: &'a Gates,
}

/// What changed between two candidates that read the same batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first candidate.
    pub before: Quality,
    /// The second candidate.
    pub after: Quality,
    /// Share of scored tokens at which both have the same largest logit; absent without a language-model head.
    pub agreement: Option<f64>,
    /// Likeness of their last hidden states.
    pub similarity: HiddenSimilarity,
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
    Ok(Comparison {
        before: first.quality()?,
        after: second.quality()?,
        agreement: (scored > 0).then(|| agreed as f64 / scored as f64),
        similarity: likeness.similarity()?,
    })
}
