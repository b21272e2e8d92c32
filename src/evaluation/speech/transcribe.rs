//! What a model of speech writes of recordings.

use std::collections::BTreeMap;

use candle_core::{D, DType};

use super::TranscriptNormalizer;
use crate::corpus::{Corpus, SpeechHead, SpokenTexts, TextTokenizer};
use crate::error::{Error, Result};
use crate::evaluation::answers::Answer;
use crate::evaluation::edits::Edits;
use crate::evaluation::generation::{Search, decode};
use crate::evaluation::quality::Candidate;
use crate::network::{Batch, NoProbe};
use crate::task::Ticket;

/// Transcribes the recordings of `corpus` that are read whole, and holds each against what was said.
///
/// # Errors
/// Where the model cannot transcribe, or the work is cancelled.
pub(in crate::evaluation) fn transcribe(
    candidate: Candidate<'_>,
    corpus: &Corpus,
    spoken: &SpokenTexts,
    (tokenizer, beams): (Option<&TextTokenizer>, usize),
    normalizer: &TranscriptNormalizer,
    ticket: &Ticket,
) -> Result<Vec<Answer>> {
    let total = corpus.total().map(|t| t.value());
    ticket.stage("transcribe", total, "batches");
    // Windows of each recording by their order.
    let mut heard: BTreeMap<usize, BTreeMap<u64, String>> = BTreeMap::new();
    for batch in corpus.batches(candidate.network.device()) {
        let batch = batch?;
        let texts = match &spoken.head {
            SpeechHead::Writer(rules) => {
                let tokenizer = tokenizer.ok_or_else(|| Error::new("transcripts need a tokenizer"))?;
                let search = Search {
                    beams,
                    suppressed: rules.suppressed.iter().copied().collect(),
                    suppressed_first: rules.suppressed_first.iter().copied().collect(),
                    ..Search::greedy(rules.prompt.clone(), rules.end, rules.longest - rules.prompt.len())
                };
                let found = decode(candidate.network, &batch.source, candidate.gates, &search, ticket)?;
                found.iter().map(|found| tokenizer.decode(&found.ids)).collect::<Result<Vec<_>>>()?
            }
            SpeechHead::Letters(letters) => {
                likeliest(candidate, &batch)?.iter().map(|frames| letters.text(frames)).collect()
            }
        };
        let places = batch.items.places.iter().flatten().copied();
        for (place, text) in places.zip(texts) {
            let recording = usize::try_from(place).ok().and_then(|place| spoken.recordings.get(place));
            let recording = recording.ok_or_else(|| Error::new("a sequence is a window of no recording"))?;
            heard.entry(*recording).or_default().insert(place, text);
        }
        ticket.advance(1)?;
    }
    let answer = |(recording, windows): (usize, BTreeMap<u64, String>)| {
        let all = spoken.recordings.iter().filter(|own| **own == recording).count();
        let said = spoken.texts.get(recording).filter(|_| windows.len() == all)?;
        let text = windows.values().map(|text| text.trim()).collect::<Vec<_>>().join(" ");
        Some(Answer::Transcript(Edits::between(&normalizer.apply(&text), &normalizer.apply(said))))
    };
    Ok(heard.into_iter().filter_map(answer).collect())
}

/// The likeliest number at every real frame.
fn likeliest(candidate: Candidate<'_>, batch: &Batch) -> Result<Vec<Vec<u32>>> {
    let hidden = candidate.network.hidden(batch, candidate.gates, &mut NoProbe)?;
    let logits = candidate.network.logits(&hidden.states)?.to_dtype(DType::F32)?;
    let frames: Vec<Vec<u32>> = logits.argmax(D::Minus1)?.to_vec2()?;
    let real = |(n, row): (usize, Vec<u32>)| {
        row.into_iter().zip(hidden.mask.row(n)).filter(|(_, real)| **real).map(|(number, _)| number).collect()
    };
    Ok(frames.into_iter().enumerate().map(real).collect())
}
