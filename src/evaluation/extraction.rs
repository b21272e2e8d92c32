//! Answers that are parts of a text, as SQuAD's scripts find and score them (Rajpurkar et al. 2016, 2018).

use std::collections::BTreeMap;

use candle_core::{DType, Device};

use super::answers::Answer;
use super::metrics::{TaskMetric, mean};
use super::quality::{Candidate, remedy};
use crate::corpus::{Corpus, TextQuestion};
use crate::error::{Error, Result};
use crate::network::NoProbe;
use crate::task::Ticket;

/// Best starts and ends of each window that are tried, and predictions that are kept.
const BEST: usize = 20;
/// What is said where no part of the text can be the answer, as in the reference.
const NOTHING: &str = "empty";
/// Most tokens of an answer.
const LONGEST: usize = 30;

/// A part of the text that may be the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Prediction {
    score: f32,
    /// Bytes of the text; none where there is no answer.
    place: Option<(usize, usize)>,
}

/// What was found in the windows of one text so far.
#[derive(Clone, Debug, Default)]
struct SpanSearch {
    predictions: Vec<Prediction>,
    /// The lowest score of there being no answer.
    null: Option<f32>,
    windows: usize,
}

impl SpanSearch {
    /// Adds what a window says: a logit of start and end for each of its tokens, the first of which stands for no answer.
    fn add(&mut self, places: &[Option<(usize, usize)>], starts: &[f32], ends: &[f32]) {
        self.windows += 1;
        let null = starts.first().copied().unwrap_or(f32::NAN) + ends.first().copied().unwrap_or(f32::NAN);
        if self.null.is_none_or(|least| null < least) {
            self.null = Some(null);
        }
        let place = |at: usize| places.get(at).copied().flatten();
        let ends_best = best(ends);
        for start in best(starts) {
            for end in &ends_best {
                let (Some((from, _)), Some((_, to))) = (place(start), place(*end)) else { continue };
                if *end < start || end - start + 1 > LONGEST {
                    continue;
                }
                self.predictions.push(Prediction { score: starts[start] + ends[*end], place: Some((from, to)) });
            }
        }
    }

    /// The text of the best prediction; where `may_be_none`, nothing if that is likelier.
    fn text<'a>(&self, text: &'a str, may_be_none: bool) -> &'a str {
        let mut all = self.predictions.clone();
        if may_be_none {
            all.extend(self.null.map(|score| Prediction { score, place: None }));
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        let of = |p: &Prediction| p.place.and_then(|(from, to)| text.get(from..to)).unwrap_or("");
        let best = all.iter().take(BEST).find(|p| !of(p).is_empty());
        let (said, score) = best.map_or((NOTHING, 0.0), |p| (of(p), p.score));
        if may_be_none && self.null.is_some_and(|null| null - score > 0.0) { "" } else { said }
    }
}

/// Places of the largest logits, the largest first.
fn best(logits: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..logits.len()).collect();
    places.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    places.truncate(BEST);
    places
}

/// A text as answers are compared: small letters, without punctuation, articles and more than one blank.
fn normalized(text: &str) -> String {
    let clean: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    // An article is a word of its own, letters, digits and underscores being parts of words.
    let mut plain = String::with_capacity(clean.len());
    let mut word = String::new();
    for c in clean.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        plain.push_str(if ["a", "an", "the"].contains(&word.as_str()) { " " } else { &word });
        word.clear();
        plain.push(c);
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Overlap of the words of two texts; of two of which one has none, whether both have none.
fn f1(said: &str, right: &str) -> f64 {
    let (said, right) = (normalized(said), normalized(right));
    let (said, right): (Vec<&str>, Vec<&str>) = (said.split(' ').collect(), right.split(' ').collect());
    if said == [""] || right == [""] {
        return f64::from(u8::from(said == right));
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    right.iter().for_each(|word| *left.entry(word).or_default() += 1);
    let mut common = 0usize;
    for word in &said {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    2.0 * common as f64 / (said.len() + right.len()) as f64
}

/// Exact match and F1 with the right answer that is nearest.
fn scored(said: &str, right: &[String]) -> Answer {
    let nothing = [String::new()];
    let some: Vec<&String> = right.iter().filter(|answer| !normalized(answer).is_empty()).collect();
    let right = if some.is_empty() { nothing.iter().collect() } else { some };
    let exact = right.iter().any(|answer| normalized(answer) == normalized(said));
    Answer::Extract {
        exact: f64::from(u8::from(exact)),
        f1: right.iter().map(|answer| f1(said, answer)).fold(0.0, f64::max),
    }
}

/// Answers every question whose windows are all read.
///
/// # Errors
/// Where a window has other tokens than were read, or the work is cancelled.
pub(super) fn extract(
    candidate: Candidate<'_>,
    corpus: &Corpus,
    questions: &[TextQuestion],
    ticket: &Ticket,
) -> Result<Vec<Answer>> {
    let head = candidate.network.task().ok_or_else(|| Error::new("the model has no head that answers questions"))?;
    let windows: Vec<(usize, usize)> =
        questions.iter().enumerate().flat_map(|(at, q)| (0..q.windows.len()).map(move |window| (at, window))).collect();
    let mut found: BTreeMap<usize, SpanSearch> = BTreeMap::new();
    ticket.stage("answer questions", corpus.total().map(|t| t.value()), "batches");
    let mut waiting: BTreeMap<(usize, usize), [Vec<f32>; 2]> = BTreeMap::new();
    for batch in corpus.batches(candidate.network.device()) {
        let batch = batch?;
        let hidden = candidate.network.hidden(&batch, candidate.gates, &mut NoProbe)?;
        let logits = head.logits(&hidden, &batch)?.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        let rows: Vec<Vec<Vec<f32>>> = logits.to_vec3()?;
        let places = batch.items.places.iter().flatten();
        for (n, (place, row)) in places.zip(rows).enumerate() {
            let window = usize::try_from(*place).ok().and_then(|place| windows.get(place));
            let window = window.ok_or_else(|| Error::new("a sequence is a window of no text"))?;
            let real = hidden.mask.row(n).iter().filter(|real| **real).count();
            let ends = [0, 1].map(|end| row.iter().take(real).map(|both| both[end]).collect::<Vec<f32>>());
            if ends.iter().flatten().any(|x| !x.is_finite()) {
                return Err(Error::new("the model's results are not finite").hint(remedy(candidate.network)));
            }
            waiting.insert(*window, ends);
        }
        ticket.advance(1)?;
    }
    // In the order of the text, whatever the order of the batches.
    for ((question, window), [starts, ends]) in waiting {
        let places = questions.get(question).and_then(|q| q.windows.get(window)).map_or(&[][..], Vec::as_slice);
        if places.len() != starts.len() {
            return Err(Error::new("a window has other tokens than were read"));
        }
        found.entry(question).or_default().add(places, &starts, &ends);
    }
    let may_be_none = may_be_none(questions);
    let answer = |(question, found): (&usize, &SpanSearch)| {
        let question = questions.get(*question).filter(|q| q.windows.len() == found.windows)?;
        Some(scored(found.text(&question.text, may_be_none), &question.answers))
    };
    Ok(found.iter().filter_map(answer).collect())
}

/// Whether some question has no answer.
fn may_be_none(questions: &[TextQuestion]) -> bool {
    questions.iter().any(|q| q.answers.iter().all(|answer| normalized(answer).is_empty()))
}

/// Overlap with the right answers, and the share of right ones.
pub(super) fn extract_metrics(questions: &[TextQuestion]) -> Vec<TaskMetric> {
    let version = if may_be_none(questions) {
        "SQuAD 2.0's script, no answer where its score is larger"
    } else {
        "SQuAD 1.1's script"
    };
    let of = |what: &str| {
        format!(
            "{what}, in small letters without punctuation and articles, as {version}; {BEST} best, {LONGEST} tokens at most"
        )
    };
    let f1 =
        TaskMetric::new("f1", of("overlap of words with the nearest right answer, mean over questions"), |a, d| {
            mean(a, d, |answer| if let Answer::Extract { f1, .. } = answer { Some(*f1) } else { None })
        });
    let exact =
        TaskMetric::new("exact_match", of("share of questions answered by one of the right answers"), |a, d| {
            mean(a, d, |answer| if let Answer::Extract { exact, .. } = answer { Some(*exact) } else { None })
        });
    vec![f1, exact]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn references() -> Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/squad/references.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn answers_are_compared_as_the_official_script_does() {
        let references = references();
        let cases = references["scores"].as_array().unwrap();
        assert!(cases.len() >= 12);
        for case in cases {
            let right: Vec<String> = serde_json::from_value(case["right"].clone()).unwrap();
            let Answer::Extract { exact, f1 } = scored(case["said"].as_str().unwrap(), &right) else { panic!() };
            assert_eq!(exact, case["exact"].as_f64().unwrap(), "{case}");
            assert!((f1 - case["f1"].as_f64().unwrap()).abs() < 1e-12, "{case}: {f1}");
        }
    }

    #[test]
    fn texts_are_found_as_postprocessing_of_transformers_finds_them() {
        let references = references();
        let text = references["text"].as_str().unwrap();
        let mut said = std::collections::BTreeSet::new();
        for case in references["searches"].as_array().unwrap() {
            let mut found = SpanSearch::default();
            for window in case["windows"].as_array().unwrap() {
                let numbers = |key: &str| -> Vec<f32> { serde_json::from_value(window[key].clone()).unwrap() };
                let places: Vec<Option<(usize, usize)>> = serde_json::from_value(window["places"].clone()).unwrap();
                found.add(&places, &numbers("starts"), &numbers("ends"));
            }
            for (key, may_be_none) in [("v1", false), ("v2", true)] {
                let want = case[key].as_str().unwrap();
                assert_eq!(found.text(text, may_be_none), want, "{key}");
                said.insert(want.to_owned());
            }
        }
        assert!(said.len() > 5 && said.contains(""), "{said:?}");
    }
}
