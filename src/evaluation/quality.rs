//! Loss per token, perplexity, accuracy.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::{Batch, Blind, Gates, Hidden, Network};
use crate::task::Ticket;
use crate::tensor::{RowScore, score_rows};

/// Logits made at a time; rows of hidden states are cut so that a large vocabulary does not fill the memory.
const LOGITS: usize = 1 << 24;

/// How well a network predicts. Without a language-model head there is nothing to predict, and only the counts are
/// there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean cross-entropy per scored token, in nats.
    pub loss_per_token: Option<f64>,
    /// `exp` of the loss per token.
    pub perplexity: Option<f64>,
    /// Share of scored tokens whose largest logit was the right one, in `0..=1`.
    pub accuracy: Option<f64>,
    /// Tokens that had a label.
    pub scored_tokens: u64,
    /// Real tokens (or images, or spectrograms) read.
    pub tokens: u64,
    /// Sequences read.
    pub sequences: u64,
    /// Batches read.
    pub batches: u64,
    /// Seconds in the network, without reading the input.
    pub secs: f64,
    /// `tokens / secs`, without warming up: see [`super::speed()`] for a measurement to rely on.
    pub tokens_per_sec: f64,
}

/// Sums that become a [`Quality`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    loss: f64,
    right: u64,
    scored: u64,
    tokens: u64,
    sequences: u64,
    batches: u64,
    time: Duration,
    has_head: bool,
}

impl Tally {
    /// Scores one batch; gives the hidden state and the score of every labelled position in order.
    pub fn batch(&mut self, network: &Network, gates: &Gates, batch: &Batch) -> Result<(Hidden, Vec<RowScore>)> {
        let began = Instant::now();
        let hidden = network.hidden(batch, gates, &mut Blind)?;
        self.has_head = network.spec().output.is_some();
        let (rows, labels) = if self.has_head {
            batch.labelled(hidden.mask.sequences() * hidden.mask.length())?
        } else {
            Default::default()
        };
        let scores = score(network, &hidden.states, &rows, &labels)?;
        network.device().synchronize()?;
        self.time += began.elapsed();
        self.loss += scores.iter().map(|s| s.loss).sum::<f64>();
        self.right += scores.iter().zip(&labels).filter(|(s, label)| s.top == **label).count() as u64;
        self.scored += scores.len() as u64;
        self.tokens += batch.token_count()? as u64;
        self.sequences += batch.source.sequences()? as u64;
        self.batches += 1;
        Ok((hidden, scores))
    }

    pub fn quality(&self) -> Result<Quality> {
        if self.batches == 0 {
            return Err(Error::new("there is no batch to evaluate"));
        }
        if self.has_head && self.scored == 0 {
            return Err(Error::new("no position of the input has a label")
                .hint("give sequences of two tokens or more, or labels"));
        }
        let mean = |sum: f64| (self.scored > 0).then(|| sum / self.scored as f64);
        let secs = self.time.as_secs_f64();
        Ok(Quality {
            loss_per_token: mean(self.loss),
            perplexity: mean(self.loss).map(f64::exp),
            accuracy: mean(self.right as f64),
            scored_tokens: self.scored,
            tokens: self.tokens,
            sequences: self.sequences,
            batches: self.batches,
            secs,
            tokens_per_sec: self.tokens as f64 / secs.max(f64::MIN_POSITIVE),
        })
    }
}

/// Scores `network` with `gates` on `batches`, which must carry labels ([`crate::corpus::Purpose::Score`]) where it
/// has a language-model head; `total` is for the progress alone.
pub fn evaluate(
    network: &Network,
    gates: &Gates,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    ticket: &Ticket,
) -> Result<Quality> {
    ticket.stage("evaluate", total, "batches");
    let mut tally = Tally::default();
    for batch in batches {
        tally.batch(network, gates, &batch?)?;
        ticket.advance(1)?;
    }
    tally.quality()
}

/// Scores `rows` of hidden states `[N, T, D]`; logits of other rows are never formed.
fn score(network: &Network, states: &Tensor, rows: &[u32], labels: &[u32]) -> Result<Vec<RowScore>> {
    let Some(output) = &network.spec().output else { return Ok(Vec::new()) };
    let states = states.flatten_to(1)?;
    let at_once = rows_at_once(output.vocabulary);
    let mut scores = Vec::with_capacity(rows.len());
    for (rows, labels) in rows.chunks(at_once).zip(labels.chunks(at_once)) {
        let states = states.index_select(&Tensor::new(rows, states.device())?, 0)?;
        scores.extend(score_rows(&network.logits(&states)?, labels)?);
    }
    Ok(scores)
}

/// Positions whose logits fit the bound on memory.
pub(super) fn rows_at_once(vocabulary: usize) -> usize {
    (LOGITS / vocabulary.max(1)).max(1)
}
