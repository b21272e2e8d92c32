//! What a model is asked besides its loss: which ending is the likeliest, which part of a text
//! is the answer, which texts are alike, what is said in a recording.

use std::path::Path;

use super::answers::Answer;
use super::asked::{choice_metrics, choose};
use super::embeddings::{SentencePooling, likeness_metrics, likenesses, retrieval_metrics, retrieve};
use super::extraction::{extract, extract_metrics};
use super::interval::Estimate;
use super::metrics::TaskMetric;
use super::quality::{Candidate, Quality};
use super::speech::{TranscriptNormalizer, character_error_rate, transcribe, word_error_rate};
use super::spent::QualityChange;
use crate::corpus::{AskedQuestion, Corpus, Relevance, SpeechHead, SpokenTexts, TextQuestion, TextTokenizer};
use crate::error::Result;
use crate::task::Ticket;

/// What a model is asked on an input, beside the loss of its labels.
#[derive(Debug)]
pub struct Benchmark {
    corpus: Corpus,
    asks: Asks,
}

#[derive(Debug)]
enum Asks {
    /// Which ending is the likeliest.
    Endings(Vec<AskedQuestion>),
    /// Which part of a text answers a question.
    Extracts(Vec<TextQuestion>),
    /// How alike two texts are.
    Likeness { said: Vec<f64>, pooling: SentencePooling },
    /// Which documents answer a query.
    Retrieval { relevance: Relevance, pooling: SentencePooling },
    /// What is said in recordings.
    Speech {
        spoken: SpokenTexts,
        tokenizer: Option<Box<TextTokenizer>>,
        normalizer: TranscriptNormalizer,
        beams: usize,
    },
}

/// What a candidate answered.
#[derive(Debug)]
pub struct BenchmarkResult {
    /// Each metric with the answers that it is of; the one that stands for the benchmark first.
    metrics: Vec<(TaskMetric, Vec<Answer>)>,
}

impl Benchmark {
    /// What `corpus` asks of the model in `folder`, where it asks something; texts are searched for with `beams` hypotheses.
    ///
    /// # Errors
    /// Where the input or a file of the model cannot be read.
    pub fn of(corpus: &Corpus, folder: &Path, beams: usize, ticket: &Ticket) -> Result<Option<Self>> {
        let asks = if let Some(questions) = corpus.questions(ticket)? {
            Asks::Endings(questions)
        } else if let Some(questions) = corpus.text_questions()? {
            Asks::Extracts(questions)
        } else if let Some(said) = corpus.likenesses() {
            Asks::Likeness { said: said.to_vec(), pooling: SentencePooling::read(folder)? }
        } else if let Some(relevance) = corpus.relevance() {
            Asks::Retrieval { relevance: relevance.clone(), pooling: SentencePooling::read(folder)? }
        } else if let Some(spoken) = corpus.spoken() {
            let is_written = matches!(spoken.head, SpeechHead::Writer(_));
            let normalizer = TranscriptNormalizer::of(spoken.language.as_deref(), folder)?;
            let tokenizer = is_written.then(|| TextTokenizer::load(folder).map(Box::new)).transpose()?;
            Asks::Speech { spoken: spoken.clone(), tokenizer, normalizer, beams }
        } else {
            return Ok(None);
        };
        Ok(Some(Self { corpus: corpus.clone(), asks }))
    }

    /// Asks a candidate everything, and keeps its answers with their metrics.
    ///
    /// # Errors
    /// Where a result is not finite, or the work is cancelled.
    pub fn ask(&self, candidate: Candidate<'_>, ticket: &Ticket) -> Result<BenchmarkResult> {
        let corpus = &self.corpus;
        let metrics = self.metrics();
        let answers = match &self.asks {
            Asks::Endings(questions) => {
                choose(candidate, questions, corpus.settings().batch_size, corpus.intake().pad, ticket)?
            }
            Asks::Extracts(questions) => vec![extract(candidate, corpus, questions, ticket)?; metrics.len()],
            Asks::Likeness { said, pooling } => {
                vec![likenesses(candidate, corpus, said, pooling, ticket)?; metrics.len()]
            }
            Asks::Retrieval { relevance, pooling } => {
                vec![retrieve(candidate, corpus, relevance, pooling, ticket)?; metrics.len()]
            }
            Asks::Speech { spoken, tokenizer, normalizer, beams } => {
                let how = (tokenizer.as_deref(), *beams);
                vec![transcribe(candidate, corpus, spoken, how, normalizer, ticket)?; metrics.len()]
            }
        };
        Ok(BenchmarkResult { metrics: metrics.into_iter().zip(answers).collect() })
    }

    /// What is formed of the answers; the one that stands for all first.
    pub fn metrics(&self) -> Vec<TaskMetric> {
        match &self.asks {
            Asks::Endings(_) => choice_metrics(),
            Asks::Extracts(questions) => extract_metrics(questions),
            Asks::Likeness { pooling, .. } => likeness_metrics(pooling),
            Asks::Retrieval { pooling, .. } => retrieval_metrics(pooling),
            Asks::Speech { spoken, normalizer, beams, .. } => {
                let way = match (&spoken.head, beams) {
                    (SpeechHead::Letters(_), _) => "the likeliest letter of every frame".to_owned(),
                    (SpeechHead::Writer(_), 1) => "greedy search".to_owned(),
                    (SpeechHead::Writer(_), beams) => format!("{beams} beams"),
                };
                let of = |what: &str| {
                    let name = normalizer.name();
                    format!("wrong {what} of all recordings for each that was said, after {name}; {way}")
                };
                vec![
                    TaskMetric::new("wer", of("words"), word_error_rate).falling(),
                    TaskMetric::new("cer", of("characters"), character_error_rate).falling(),
                ]
            }
        }
    }
}

impl BenchmarkResult {
    /// Adds the metrics to the measures of a quality.
    pub fn record(&self, quality: &mut Quality) {
        for (metric, answers) in &self.metrics {
            let answers: Vec<&Answer> = answers.iter().collect();
            quality.metrics.extend(metric.estimate(&answers).map(|found| (metric.name.to_owned(), found)));
        }
        if let Some((first, _)) = self.metrics.first() {
            quality.main_metric.get_or_insert_with(|| first.name.to_owned());
        }
    }

    /// Whether less of the metric that stands for it is better.
    pub(super) fn falls(&self) -> bool {
        self.metrics.first().is_some_and(|(metric, _)| !metric.rises)
    }

    /// The metric of this name of these answers and of those of `after`, with what changed.
    pub(super) fn quality_change(&self, after: &Self, name: &str) -> Option<QualityChange> {
        let mut all = self.metrics.iter().zip(&after.metrics);
        let ((metric, before), (_, after)) = all.find(|((metric, _), _)| metric.name == name)?;
        let (before, after): (Vec<&Answer>, Vec<&Answer>) = (before.iter().collect(), after.iter().collect());
        metric.quality_change(&before, &after)
    }

    /// Names of the metrics, the one that stands for all first.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.metrics.iter().map(|(metric, _)| metric.name)
    }

    /// What changed from these answers to those of `after`, by name.
    pub fn changes(&self, after: &Self) -> Vec<(String, Estimate)> {
        let all = self.metrics.iter().zip(&after.metrics);
        all.filter_map(|((metric, before), (_, after))| {
            let (before, after): (Vec<&Answer>, Vec<&Answer>) = (before.iter().collect(), after.iter().collect());
            Some((metric.name.to_owned(), metric.change(&before, &after)?))
        })
        .collect()
    }
}
