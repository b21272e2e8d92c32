//! One mask against the whole model.

use super::document::Effect;
use super::subject::Subject;
use crate::corpus::Corpus;
use crate::error::Result;
use crate::evaluation::answers::Answer;
use crate::evaluation::interval::{Interval, bootstrap};
use crate::evaluation::metrics::{TaskMetric, task_metrics};
use crate::evaluation::quality::{Quality, QualitySums, SequenceScore};
use crate::evaluation::similarity::{cosine, embeddings};
use crate::evaluation::spent::{COSINE, LOSS, QualityChange};
use crate::evaluation::{Benchmark, BenchmarkResult, Candidate, SCORED_COPIES};
use crate::network::{Gates, Kept, Network};
use crate::task::Ticket;

/// The name of the share of scored tokens whose largest logit is the right one.
const ACCURACY: &str = "accuracy";

/// What the whole model gave on the input: one embedding per sequence and one token per scored position, so that
/// every mask costs one pass instead of two.
pub(in crate::evaluation) struct Yardstick<'a> {
    network: &'a Network,
    corpus: &'a Corpus,
    /// What the input asks besides the loss, and what the whole model answers.
    benchmark: Option<(&'a Benchmark, BenchmarkResult)>,
    embeddings: Vec<Vec<f32>>,
    tops: Vec<u32>,
    scores: Vec<SequenceScore>,
    /// What the head of a task said of every labeled item.
    answers: Vec<Answer>,
}

impl<'a> Yardstick<'a> {
    /// Runs the whole model.
    pub(in crate::evaluation) fn new(subject: &Subject<'a>, ticket: &Ticket) -> Result<(Self, Effect, Quality)> {
        let Subject { network, corpus, benchmark, .. } = *subject;
        let open = Gates::open();
        let benchmark = benchmark.map(|asks| -> Result<_> {
            // Its progress would hide that of the points.
            let answered = asks.ask(Candidate { network, gates: &open }, &ticket.silent())?;
            Ok((asks, answered))
        });
        let mut own = Self {
            network,
            corpus,
            benchmark: benchmark.transpose()?,
            embeddings: Vec::new(),
            tops: Vec::new(),
            scores: Vec::new(),
            answers: Vec::new(),
        };
        let (mut all, mut tops) = (Vec::new(), Vec::new());
        let (mut quality, sums) = own.pass(network, &open, ticket, |embeddings, best| {
            all.extend(embeddings);
            tops.extend(best);
        })?;
        (own.embeddings, own.tops, own.scores) = (all, tops, sums.by_sequence().to_vec());
        own.answers = sums.answered().1.into_iter().cloned().collect();
        let agreement = (!own.tops.is_empty()).then_some(1.0);
        if let Some((_, answered)) = &own.benchmark {
            answered.record(&mut quality);
        }
        let falls = own.falls(sums.answered().0.first().is_some_and(|metric| !metric.rises));
        let effect = Effect { metric_falls: falls, ..effect(&quality, agreement, 1.0) };
        Ok((own, effect, quality))
    }

    /// The measures of quality that the input gives: the loss, then the metric that stands for the task or the share of tokens
    /// that are right, then the others.
    pub(in crate::evaluation) fn measures(&self) -> Vec<String> {
        let is_task = self.network.spec().task.is_some();
        let has_loss = self.scores.iter().any(|score| score.scored > 0.0);
        let of_task = self.task_metrics().into_iter().filter(|metric| metric.rises).map(|metric| metric.name);
        let of_text = (has_loss && !is_task).then_some(ACCURACY);
        // What the input asks stands before right tokens.
        let asked = self.benchmark.iter().flat_map(|(_, answered)| answered.names());
        let all = has_loss.then_some(LOSS).into_iter().chain(asked).chain(of_task).chain(of_text).chain([COSINE]);
        all.map(str::to_owned).collect()
    }

    fn task_metrics(&self) -> Vec<TaskMetric> {
        let task = self.network.spec().task.as_ref().filter(|_| !self.answers.is_empty());
        task.map(task_metrics).unwrap_or_default()
    }

    /// Runs the model, or another with the same heads, with all of them masked but `kept`.
    pub(in crate::evaluation) fn measure(
        &self,
        other: Option<&Network>,
        kept: &Kept,
        ticket: &Ticket,
    ) -> Result<Effect> {
        let Beside { mut quality, sums, alike, agreement } = self.beside(other, kept, ticket)?;
        let whole = mean_of(&alike);
        let ((metrics, answers), before) = (sums.answered(), self.answers.iter().collect::<Vec<_>>());
        let mut change = metrics.first().and_then(|metric| metric.change(&before, &answers));
        if let Some((asks, whole)) = &self.benchmark {
            let answered = self.ask(asks, (other, kept), ticket)?;
            answered.record(&mut quality);
            change = whole.changes(&answered).into_iter().map(|(_, change)| change).next();
        }
        Ok(Effect {
            metric_falls: self.falls(metrics.first().is_some_and(|metric| !metric.rises)),
            metric_change: change.and_then(|c| Some(Interval { low: c.low?, high: c.high? })),
            loss_increase: quality.loss_per_token.and_then(|_| self.changed(&sums, |s| s.loss)),
            cosine_interval: bootstrap(&alike, |[sum, n]: [f64; 2]| sum / n),
            ..effect(&quality, agreement, whole)
        })
    }

    /// The same by one of [`Yardstick::measures`] alone, beside the whole model; `None` where it is not defined.
    pub(in crate::evaluation) fn change(
        &self,
        measure: &str,
        (other, kept): (Option<&Network>, &Kept),
        ticket: &Ticket,
    ) -> Result<Option<QualityChange>> {
        if let Some((asks, whole)) = &self.benchmark
            && whole.names().any(|name| name == measure)
        {
            let answered = self.ask(asks, (other, kept), ticket)?;
            return Ok(whole.quality_change(&answered, measure));
        }
        let Beside { sums, alike, .. } = self.beside(other, kept, ticket)?;
        let mean = |of: fn(&SequenceScore) -> f64, scores: &[SequenceScore]| {
            scores.iter().map(of).sum::<f64>() / scores.iter().map(|s| s.scored).sum::<f64>()
        };
        let of_scores = |of: fn(&SequenceScore) -> f64| QualityChange {
            whole: mean(of, &self.scores),
            now: mean(of, sums.by_sequence()),
            change: self.changed(&sums, of),
            changed: None,
            falls: false,
        };
        if let Some(metric) = self.task_metrics().iter().find(|metric| metric.name == measure) {
            let before: Vec<&Answer> = self.answers.iter().collect();
            return Ok(metric.quality_change(&before, &sums.answered().1));
        }
        Ok(match measure {
            LOSS => Some(of_scores(|s| s.loss)),
            ACCURACY => Some(of_scores(|s| s.right).of_sequences(self.scores.len() as u64)),
            COSINE => {
                let interval = bootstrap(&alike, |[sum, n]: [f64; 2]| sum / n - 1.0);
                Some(QualityChange { whole: 1.0, now: mean_of(&alike), change: interval, changed: None, falls: false })
            }
            _ => None,
        })
    }

    /// What the masked model, or another with the same heads, answers; progress is that of the points.
    fn ask(
        &self,
        asks: &Benchmark,
        (other, kept): (Option<&Network>, &Kept),
        ticket: &Ticket,
    ) -> Result<BenchmarkResult> {
        let network = other.unwrap_or(self.network);
        let gates = Gates::keep(network.spec(), kept, network.dtype(), network.device())?;
        asks.ask(Candidate { network, gates: &gates }, &ticket.silent())
    }

    /// The interval of what changed, for each scored token, on the same sequences.
    fn changed(&self, sums: &QualitySums, of: fn(&SequenceScore) -> f64) -> Option<Interval> {
        let pairs = self.scores.iter().zip(sums.by_sequence());
        let changes: Vec<[f64; 2]> = pairs.map(|(before, after)| [of(after) - of(before), before.scored]).collect();
        bootstrap(&changes, |[sum, n]: [f64; 2]| sum / n)
    }

    /// One pass of the masked model, or of another with the same heads, beside what the whole one gave.
    fn beside(&self, other: Option<&Network>, kept: &Kept, ticket: &Ticket) -> Result<Beside> {
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
        Ok(Beside { quality, sums, alike, agreement: (scored > 0).then(|| agreed as f64 / scored as f64) })
    }

    /// Whether less of the metric that stands for quality is better; `own` says so of that of a head of a task.
    fn falls(&self, own: bool) -> bool {
        self.benchmark.as_ref().map_or(own, |(_, answered)| answered.falls())
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

/// What a pass beside that of the whole model gave.
struct Beside {
    quality: Quality,
    sums: QualitySums,
    /// The cosine of the embedding of each sequence to the whole model's, and 1.
    alike: Vec<[f64; 2]>,
    /// Share of scored tokens at which both have the same largest logit.
    agreement: Option<f64>,
}

fn mean_of(alike: &[[f64; 2]]) -> f64 {
    alike.iter().map(|[cosine, _]| cosine).sum::<f64>() / alike.len() as f64
}

/// A number that is not finite cannot stand in a file.
fn effect(quality: &Quality, agreement: Option<f64>, cosine: f64) -> Effect {
    let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
    Effect {
        loss_per_token: finite(quality.loss_per_token),
        perplexity: finite(quality.perplexity),
        accuracy: quality.accuracy,
        metric: quality.task_metric().map(|(_, metric)| metric.value),
        metric_falls: false,
        metric_change: None,
        agreement,
        cosine: if cosine.is_finite() { cosine } else { 0.0 },
        loss_increase: None,
        cosine_interval: None,
    }
}
