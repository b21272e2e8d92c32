//! Loss per token, perplexity, accuracy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::answers::{Answer, BatchAnswers, answers};
use super::generation::TranslationScore;
use super::interval::Estimate;
use super::metrics::{TaskMetric, task_metrics};
use super::steady::tells_speed;
use crate::error::{Error, Result};
use crate::network::{
    Batch, Gates, Hidden, Network, NoProbe, Probe, Site, SiteMaps, TaskHeadSpec, TaskKind, rows_at_once,
};
use crate::task::Ticket;
use crate::tensor::{RowScore, RowTally, tally_rows};

/// A network with its gates: the original, a masked one, a smaller one.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub network: &'a Network,
    pub gates: &'a Gates,
}

/// How well a network predicts. Without a head, or without labels of its task, there is nothing to hold it against, and only
/// the counts are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean cross-entropy per scored token, in nats; with the head of a labeled task, the mean loss per label.
    pub loss_per_token: Option<f64>,
    /// `exp` of the loss per token; absent with the head of a labeled task.
    pub perplexity: Option<f64>,
    /// Share of scored tokens whose largest logit was the right one, in `0..=1`; with the head of a labeled task, the metric of
    /// that name.
    pub accuracy: Option<f64>,
    /// The labeled task that the model is for, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKind>,
    /// Tokens that had a label, or labels of the task.
    pub scored_tokens: u64,
    /// Real tokens (or images, or spectrograms) read.
    pub tokens: u64,
    pub sequences: u64,
    pub batches: u64,
    /// Seconds in the network, without reading the input.
    pub secs: f64,
    /// Tokens per second of the median batch, scoring included and the first one, which warms up, left out where there are others.
    /// What rests on little is told nowhere: see [`Quality::rate`]. Heads that are masked save no time: see [`super::speeds()`] for how much faster a smaller model is.
    pub tokens_per_sec: f64,
    /// How good its translations are, where an encoder-decoder was asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translation: Option<TranslationScore>,
    /// Tokens that it wrote in a second while it translated; absent where too little was written to tell a speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_per_sec: Option<f64>,
    /// The name of the metric that stands for the labeled task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_metric: Option<String>,
    /// The measures by name, each with its 95 % interval over sequences.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Estimate>,
}

impl Quality {
    /// Whether the model is for a labeled task and nothing was there to hold its answers against.
    pub fn is_unlabeled(&self) -> bool {
        self.task.is_some() && self.scored_tokens == 0 && self.metrics.is_empty()
    }

    /// Tokens per second of the median batch, where there were enough batches, or they took long enough, to tell a speed.
    pub fn rate(&self) -> Option<f64> {
        tells_speed(self.batches, self.secs).then_some(self.tokens_per_sec)
    }

    /// The metric that stands for the labeled task, with its name; `None` without labels of one.
    pub fn task_metric(&self) -> Option<(&str, &Estimate)> {
        let name = self.main_metric.as_deref()?;
        Some((name, self.metrics.get(name)?))
    }
}

/// Sums that become a [`Quality`].
#[derive(Debug, Default)]
pub(super) struct QualitySums {
    loss: f64,
    right: u64,
    scored: u64,
    tokens: u64,
    sequences: u64,
    batches: u64,
    time: Duration,
    /// Tokens per second of the batches that advanced together, in the order read.
    rates: Vec<f64>,
    has_head: bool,
    task: Option<TaskHeadSpec>,
    /// What each sequence gave, in the order read.
    by_sequence: Vec<SequenceScore>,
    /// What the head of a task said of each item, where that has a label.
    answers: Vec<Option<Answer>>,
}

/// What one sequence gave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SequenceScore {
    pub loss: f64,
    /// Scored tokens whose largest logit was the right one.
    pub right: f64,
    pub scored: f64,
}

impl QualitySums {
    /// Scores batches that advance together; gives the hidden state of each and the score of every labeled position
    /// in order.
    pub(super) fn group(
        &mut self,
        candidate: Candidate<'_>,
        batches: &[Batch],
        ticket: &Ticket,
    ) -> Result<Vec<(Hidden, Vec<RowScore>)>> {
        let Candidate { network, gates } = candidate;
        let began = Instant::now();
        let hidden = network.hidden_of(batches, gates, &mut NoProbe, ticket)?;
        self.has_head = network.spec().predicts_tokens();
        self.task = network.spec().task.clone();
        let scored = match network.task() {
            Some(head) => hidden.iter().zip(batches).map(|(h, b)| answers(head, h, b)).collect::<Result<Vec<_>>>()?,
            None => self.tokens(network, &hidden, batches)?,
        };
        for (place, (hidden, scored)) in hidden.iter().zip(&scored).enumerate() {
            let is_fine = match scored.scores.is_empty() && !self.has_head {
                true => is_finite(&real_states(hidden)?)?,
                false => scored.scores.iter().all(|s| s.loss.is_finite()),
            };
            if !is_fine {
                return Err(overflow(network, gates, &batches[place])?);
            }
        }
        network.device().synchronize()?;
        let took = began.elapsed();
        self.time += took;
        let tokens = batches.iter().map(Batch::token_count).sum::<Result<usize>>()?;
        self.rates.push(tokens as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE));
        let mut all = Vec::with_capacity(batches.len());
        for ((hidden, scored), batch) in hidden.into_iter().zip(scored).zip(batches) {
            let BatchAnswers { scores, right, owners, items } = scored;
            self.loss += scores.iter().map(|s| s.loss).sum::<f64>();
            self.right += right.iter().filter(|right| **right).count() as u64;
            self.scored += scores.len() as u64;
            self.tokens += batch.token_count()? as u64;
            self.sequences += batch.source.sequences()? as u64;
            self.batches += 1;
            let first = self.by_sequence.len();
            self.by_sequence.resize(first + items.len(), SequenceScore::default());
            for ((score, right), owner) in scores.iter().zip(&right).zip(&owners) {
                let own = &mut self.by_sequence[first + owner];
                own.loss += score.loss;
                own.right += f64::from(u8::from(*right));
                own.scored += 1.0;
            }
            self.answers.extend(items);
            all.push((hidden, scores));
        }
        Ok(all)
    }

    /// Scores of every labeled position of a model that predicts tokens; of none where there is no head.
    fn tokens(&self, network: &Network, hidden: &[Hidden], batches: &[Batch]) -> Result<Vec<BatchAnswers>> {
        let wanted = |(hidden, batch): (&Hidden, &Batch)| match self.has_head {
            true => batch.labeled(hidden.mask.sequences() * hidden.mask.length()),
            false => Ok(Default::default()),
        };
        let wanted = hidden.iter().zip(batches).map(wanted).collect::<Result<Vec<_>>>()?;
        let scores = score(network, hidden, &wanted)?;
        let mut all = Vec::with_capacity(hidden.len());
        for ((hidden, scores), (places, labels)) in hidden.iter().zip(scores).zip(wanted) {
            all.push(BatchAnswers {
                right: scores.iter().zip(&labels).map(|(score, label)| score.top == *label).collect(),
                owners: places.iter().map(|place| *place as usize / hidden.mask.length()).collect(),
                items: vec![None; hidden.mask.sequences()],
                scores,
            });
        }
        Ok(all)
    }

    pub(super) fn quality(&self) -> Result<Quality> {
        if self.batches == 0 {
            return Err(Error::new("there is no batch to evaluate"));
        }
        if self.has_head && self.scored == 0 {
            return Err(Error::new("no position of the input has a label")
                .hint("give sequences of two tokens or more, or labels"));
        }
        let mean = |sum: f64| (self.scored > 0).then(|| sum / self.scored as f64);
        let secs = self.time.as_secs_f64();
        let metrics = self.metrics();
        let is_text = self.task.is_none();
        Ok(Quality {
            loss_per_token: mean(self.loss),
            perplexity: mean(self.loss).map(f64::exp).filter(|_| is_text),
            accuracy: match is_text {
                true => mean(self.right as f64),
                false => metrics.get("accuracy").map(|accuracy| accuracy.value),
            },
            task: self.task.as_ref().map(|task| task.kind),
            scored_tokens: self.scored,
            tokens: self.tokens,
            sequences: self.sequences,
            batches: self.batches,
            secs,
            tokens_per_sec: steady_rate(&self.rates),
            translation: None,
            written_per_sec: None,
            main_metric: self.answered().0.first().map(|metric| metric.name.to_owned()),
            metrics,
        })
    }

    /// Metrics of the task and the answers that they are of; none without labels of a task.
    pub(super) fn answered(&self) -> (Vec<TaskMetric>, Vec<&Answer>) {
        let answers: Vec<&Answer> = self.answers.iter().flatten().collect();
        match &self.task {
            Some(task) if !answers.is_empty() => (task_metrics(task), answers),
            _ => Default::default(),
        }
    }

    /// What each sequence gave.
    pub(super) fn by_sequence(&self) -> &[SequenceScore] {
        &self.by_sequence
    }

    fn metrics(&self) -> BTreeMap<String, Estimate> {
        if self.scored == 0 {
            return BTreeMap::new();
        }
        let losses: Vec<[f64; 2]> = self.by_sequence.iter().map(|s| [s.loss, s.scored]).collect();
        let right: Vec<[f64; 2]> = self.by_sequence.iter().map(|s| [s.right, s.scored]).collect();
        let mean = |[sum, count]: [f64; 2]| sum / count;
        if self.task.is_some() {
            let (metrics, answers) = self.answered();
            let own = metrics.iter().filter_map(|m| Some((m.name.to_owned(), m.estimate(&answers)?)));
            let loss = Estimate::of(&losses, "mean loss per label, as the model is trained by", mean);
            return own.chain([("loss".to_owned(), loss.directed(false))]).collect();
        }
        [
            ("loss_per_token", Estimate::of(&losses, "mean cross-entropy per scored token, nats", mean)),
            ("perplexity", Estimate::of(&losses, "exp of the mean cross-entropy per scored token", |s| mean(s).exp())),
            ("accuracy", Estimate::of(&right, "share of scored tokens whose largest logit was the right one", mean)),
        ]
        .into_iter()
        .map(|(name, estimate)| (name.to_owned(), estimate.directed(name == "accuracy")))
        .collect()
    }
}

/// The median, without the first where there are others.
fn steady_rate(rates: &[f64]) -> f64 {
    let mut steady = rates.get(usize::from(rates.len() > 1)..).unwrap_or_default().to_vec();
    steady.sort_by(f64::total_cmp);
    steady.get(steady.len() / 2).copied().unwrap_or(0.0)
}

/// The hidden states with zeros at padding, which may hold anything.
fn real_states(hidden: &Hidden) -> Result<Tensor> {
    if hidden.mask.is_full() {
        return Ok(hidden.states.clone());
    }
    let real = hidden.mask.to_tensor(DType::U8, hidden.states.device())?.unsqueeze(2)?;
    Ok(real.broadcast_as(hidden.states.shape())?.where_cond(&hidden.states, &hidden.states.zeros_like()?)?)
}

/// Whether every number is finite.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    // A product with 0 is 0 or NaN, and one NaN makes the sum NaN.
    Ok((tensor.to_dtype(DType::F32)? * 0.0)?.sum_all()?.to_scalar::<f32>()? == 0.0)
}

/// Why the results of a batch are not finite: the first attention layer whose output is not.
fn overflow(network: &Network, gates: &Gates, batch: &Batch) -> Result<Error> {
    struct First(Option<Site>);
    impl Probe for First {
        fn wants_attention(&self, _: Site) -> bool {
            false
        }
        fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
            if self.0.is_none() && !(is_finite(maps.query)? && is_finite(maps.output)?) {
                self.0 = Some(maps.site);
            }
            Ok(())
        }
    }
    let mut first = First(None);
    network.hidden(batch, gates, &mut first)?;
    let from = first.0.map_or("behind the last attention layer".to_owned(), |site| format!("from {site} on"));
    Ok(Error::new(format!("the model's results are not finite {from}: it overflows on this input"))
        .hint(remedy(network)))
}

/// What to do where a model's results are not finite.
pub(super) fn remedy(network: &Network) -> &'static str {
    match network.dtype() {
        DType::F32 | DType::F64 => "look for a fault in its weights or its config.json",
        _ => "compute in a wider type (--dtype f32)",
    }
}

/// Times that [`evaluate`] holds the hidden states of a batch: as they are, and as the head reads them.
pub const SCORED_COPIES: u64 = 2;

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
    let mut tally = QualitySums::default();
    for group in network.groups(batches.into_iter(), SCORED_COPIES, 0) {
        let group = group?;
        tally.group(Candidate { network, gates }, &group, ticket)?;
        ticket.advance(group.len() as u64)?;
    }
    tally.quality()
}

/// Scores rows of hidden states `[N, T, D]`, those that are wanted with their labels, of batches that advance together.
/// The vocabulary passes in blocks, each read once for all of them; logits of other rows are never formed.
fn score(network: &Network, hidden: &[Hidden], wanted: &[(Vec<u32>, Vec<u32>)]) -> Result<Vec<Vec<RowScore>>> {
    let Some(output) = network.output() else { return Ok(vec![Vec::new(); hidden.len()]) };
    let mut rows = Vec::with_capacity(hidden.len());
    for (hidden, (places, labels)) in hidden.iter().zip(wanted) {
        let places = Tensor::new(places.as_slice(), hidden.states.device())?;
        let states = hidden.states.flatten_to(1)?.index_select(&places, 0)?;
        let prepared = if labels.is_empty() { states } else { output.prepare(&states)? };
        rows.push((prepared, labels, vec![RowTally::default(); labels.len()]));
    }
    for classes in output.blocks() {
        let step = rows_at_once(classes.len());
        let block = output.block(classes.clone())?;
        for (prepared, labels, tallies) in &mut rows {
            let mut from = 0;
            for (labels, tallies) in labels.chunks(step).zip(tallies.chunks_mut(step)) {
                let logits = block.logits(&prepared.narrow(0, from, labels.len())?)?;
                tally_rows(&logits, classes.start, labels, tallies)?;
                from += labels.len();
            }
        }
    }
    let score = |tally: &RowTally| {
        tally.score().ok_or_else(|| Error::new("a label is outside the vocabulary of the language-model head"))
    };
    rows.iter().map(|(.., tallies)| tallies.iter().map(score).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::steady_rate;

    #[test]
    fn the_rate_is_that_of_the_median_batch_behind_the_first() {
        assert_eq!(steady_rate(&[]), 0.0);
        assert_eq!(steady_rate(&[3.0]), 3.0);
        // One that warms up and one that something else disturbed.
        assert_eq!(steady_rate(&[1.0, 10.0, 11.0, 2.0, 12.0, 9.0]), 10.0);
    }
}
