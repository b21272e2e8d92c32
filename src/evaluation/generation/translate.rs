//! What an encoder-decoder model makes of the source side of pairs, beside the target side.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Bleu, Rouge, Search, bleu, decode, mean_rouge};
use crate::corpus::{Corpus, TextTokenizer};
use crate::error::{Error, Result};
use crate::evaluation::steady::tells_speed;
use crate::network::{Batch, Gates, Network, Source};
use crate::task::Ticket;
use crate::words::counted;

/// How translations (or summaries) are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Translation {
    /// Most pairs to translate.
    pub sentences: usize,
    /// Hypotheses followed; one is greedy search.
    pub beams: usize,
}

/// How good translations are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranslationScore {
    /// Corpus BLEU in `0..=100`, as sacreBLEU computes it.
    pub bleu: f64,
    pub rouge: Rouge,
    /// Pairs that were translated.
    pub sentences: usize,
}

/// Texts that a model wrote, each beside its reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translations {
    /// The model's text and the reference.
    pub pairs: Vec<(String, String)>,
    /// Pairs that were passed over because they were cut to the longest sequence: their references are not whole.
    pub cut: usize,
    /// Tokens that were written, in all batches.
    pub written: u64,
    /// Seconds in which they were, encoders and beams included.
    pub secs: f64,
    /// Batches that were decoded.
    pub batches: u64,
}

impl Translations {
    /// Tokens written in a second, where there were enough batches, or they took long enough, to tell a speed.
    pub fn rate(&self) -> Option<f64> {
        tells_speed(self.batches, self.secs).then(|| self.written as f64 / self.secs)
    }

    pub fn bleu(&self) -> Bleu {
        bleu(self.texts())
    }

    /// Both measures; `None` where nothing was translated.
    pub fn score(&self) -> Option<TranslationScore> {
        let sentences = self.pairs.len();
        (sentences > 0).then(|| TranslationScore { bleu: self.bleu().score, rouge: self.rouge(), sentences })
    }

    /// What to say of pairs that were passed over.
    pub fn note(&self) -> Option<String> {
        (self.cut > 0).then(|| {
            format!("{} too long to be read whole, and passed over in translating", counted(self.cut, "pairs"))
        })
    }

    pub fn rouge(&self) -> Rouge {
        mean_rouge(self.texts())
    }

    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(system, reference)| (system.as_str(), reference.as_str()))
    }
}

/// Translates pairs of `corpus`, which must carry labels. `tokenizer` is that of the language to write, whose marks begin
/// every translation.
///
/// A translation may have half as many tokens again as the longest source of its batch, and ten more.
pub fn translate(
    network: &Network,
    gates: &Gates,
    tokenizer: &TextTokenizer,
    corpus: &Corpus,
    wanted: Translation,
    ticket: &Ticket,
) -> Result<Translations> {
    let Translation { sentences, beams } = wanted;
    let intake = corpus.intake();
    let (Some(limits), Some(_)) = (&intake.target, intake.decoder_start) else {
        return Err(Error::usage("only encoder-decoder models translate, which this is not"));
    };
    let end = intake.end.ok_or_else(|| Error::new("the model's configuration names no eos_token_id"))?;
    let begin: Vec<u32> =
        std::iter::once(intake.first_of(&tokenizer.wrap(&[]))).chain(tokenizer.prefix().iter().copied()).collect();
    // Sequences are cut to it; the target leaves a place for its start.
    let most = corpus.longest();
    let mut found = Translations::default();
    ticket.stage("translate", Some(sentences as u64), "sentences");
    for batch in corpus.batches(network.device()) {
        let batch = batch?;
        let sources = source_lengths(&batch)?;
        let longest = sources.iter().copied().max().unwrap_or(0);
        let longest = (longest + longest / 2 + 10).min(limits.max_length.unwrap_or(usize::MAX));
        let search = Search { beams, ..Search::greedy(begin.clone(), end, longest) };
        let began = Instant::now();
        let systems = decode(network, &batch.source, gates, &search, ticket)?;
        found.secs += began.elapsed().as_secs_f64();
        found.written += systems.iter().map(|system| system.ids.len() as u64).sum::<u64>();
        found.batches += 1;
        let labels = batch.labels.as_deref().ok_or_else(|| Error::new("the pairs carry no labels"))?;
        let width = labels.len() / sources.len();
        for ((system, source), labels) in systems.iter().zip(sources).zip(labels.chunks(width)) {
            if found.pairs.len() == sentences {
                return Ok(found);
            }
            let reference: Vec<u32> = labels.iter().flatten().copied().collect();
            if source >= most || reference.len() + 1 >= most {
                found.cut += 1;
                continue;
            }
            let text = |ids: &[u32]| tokenizer.decode(ids).map(|text| text.trim().to_owned());
            found.pairs.push((text(&system.ids)?, text(&reference)?));
            ticket.advance(1)?;
        }
    }
    Ok(found)
}

fn source_lengths(batch: &Batch) -> Result<Vec<usize>> {
    match &batch.source {
        Source::Tokens(tokens) => {
            let mask = &tokens.mask;
            Ok((0..mask.sequences()).map(|n| mask.row(n).iter().filter(|real| **real).count()).collect())
        }
        _ => Err(Error::usage("only sentence pairs can be translated").hint("give --pairs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_told_of_seven_batches_or_a_second() {
        let written = |batches, secs| Translations { written: 120, secs, batches, ..Translations::default() }.rate();
        assert_eq!([written(1, 0.5), written(6, 0.9)], [None, None]);
        assert_eq!([written(1, 2.0), written(7, 0.5)], [Some(60.0), Some(240.0)]);
        assert_eq!(Translations::default().rate(), None);
    }
}
