//! Multiple choice by the likelihood of endings, as lm-eval scores it.

use super::answers::Answer;
use super::metrics::{TaskMetric, accuracy};
use super::quality::{Candidate, QualitySums};
use crate::corpus::{AskedEnding, AskedQuestion};
use crate::error::Result;
use crate::network::{Batch, Items, Source, Tokens};
use crate::task::Ticket;

/// Names of the shares of right choices, the one that stands for the questions first.
pub const CHOICE_METRICS: [&str; 2] = ["acc", "acc_norm"];

/// Shares of right choices: by likelihood, and by that for each character.
pub(super) fn choice_metrics() -> Vec<TaskMetric> {
    let likely = "lm-eval's acc: share of questions whose likeliest ending is the right one, log-likelihoods summed";
    let per_char = "lm-eval's acc_norm: the same with log-likelihoods for each character of the ending";
    let [acc, acc_norm] = CHOICE_METRICS;
    vec![TaskMetric::new(acc, likely, accuracy), TaskMetric::new(acc_norm, per_char, accuracy)]
}

/// The likeliest endings, and the likeliest for each of their characters. Scores every ending of `questions`, `size` sequences at a time, shorter ones filled up with the id `pad`.
///
/// # Errors
/// Where a result is not finite, or the work is cancelled.
pub(super) fn choose(
    candidate: Candidate<'_>,
    questions: &[AskedQuestion],
    size: usize,
    pad: u32,
    ticket: &Ticket,
) -> Result<Vec<Vec<Answer>>> {
    let endings: Vec<&AskedEnding> = questions.iter().flat_map(|question| &question.endings).collect();
    let device = candidate.network.device();
    let mut sums = QualitySums::default();
    ticket.stage("choose endings", Some(endings.len() as u64), "endings");
    for some in endings.chunks(size) {
        let rows: Vec<_> = some.iter().map(|ending| (ending.ids.clone(), vec![true; ending.ids.len()])).collect();
        let tokens = Tokens::pad(&rows, pad, device)?;
        let length = tokens.mask.length();
        let padded = |ending: &&AskedEnding| {
            let rest = length - ending.labels.len();
            ending.labels.iter().copied().chain(std::iter::repeat_n(None, rest)).collect::<Vec<_>>()
        };
        let labels = Some(some.iter().flat_map(padded).collect());
        let batch = Batch { source: Source::Tokens(tokens), target: None, labels, items: Items::default() };
        sums.group(candidate, &[batch], ticket)?;
        ticket.advance(some.len() as u64)?;
    }
    let mut scores = sums.by_sequence().iter().map(|score| -score.loss);
    let mut answers = [Vec::with_capacity(questions.len()), Vec::with_capacity(questions.len())];
    for question in questions {
        let likely: Vec<f64> = scores.by_ref().take(question.endings.len()).collect();
        let per_char =
            likely.iter().zip(&question.endings).map(|(score, ending)| score / ending.chars as f64).collect();
        for (answers, scores) in answers.iter_mut().zip([likely, per_char]) {
            answers.push(answer(&scores, question.right));
        }
    }
    Ok(answers.to_vec())
}

fn answer(scores: &[f64], right: u32) -> Answer {
    let larger = |best: (usize, f64), (at, score): (usize, &f64)| if *score > best.1 { (at, *score) } else { best };
    let (said, _) = scores.iter().enumerate().fold((0, f64::NEG_INFINITY), larger);
    let own = scores.get(right as usize).copied().unwrap_or(f64::NAN);
    let above = scores.iter().filter(|score| **score > own).count() as u32;
    Answer::Class { said: said as u32, right, above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_ending_is_chosen_and_length_may_count() {
        let class = |said, right, above| Answer::Class { said, right, above };
        assert_eq!(answer(&[-3.0, -2.0, -2.5], 2), class(1, 2, 1));
        // The first of equals, as argmax has it.
        assert_eq!(answer(&[-2.0, -2.0], 1), class(0, 1, 0));
    }
}
