//! Random tokens that are read twice: what tells induction and duplicate-token heads (Olsson et al. 2022).

use candle_core::Tensor;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256Plus;

use super::Analysis;
use super::patterns::{KindProbe, Repeats};
use crate::error::Result;
use crate::network::{Batch, Gates, Network, Source, TokenMask, Tokens};
use crate::task::Ticket;

/// Sequences that are drawn.
const SEQUENCES: usize = 4;
/// Tokens of a round, where there is room.
const PERIOD: usize = 32;
/// The fewest that tell anything.
const LEAST: usize = 4;

/// From what tokens sequences are drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepeatedTokens {
    /// Ids in front of every sequence.
    pub prefix: Vec<u32>,
    /// Ids behind every sequence.
    pub suffix: Vec<u32>,
    /// Ids are below this.
    pub vocabulary: usize,
    /// Ids that are not drawn.
    pub special: Vec<u32>,
    /// Longest sequence, where there is a limit.
    pub longest: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
}

impl RepeatedTokens {
    /// The sequences, and where they repeat; `None` where there is no room or there are too few ids.
    fn draw(&self) -> Option<(Vec<Vec<u32>>, Repeats)> {
        // A tokenizer may know more tokens than the model.
        let inside =
            |ids: &[u32]| ids.iter().copied().filter(|id| (*id as usize) < self.vocabulary).collect::<Vec<_>>();
        let (prefix, suffix) = (inside(&self.prefix), inside(&self.suffix));
        let added = prefix.len() + suffix.len();
        let room = self.longest.map_or(PERIOD, |longest| longest.saturating_sub(added) / 2);
        let drawn: Vec<u32> =
            (0..u32::try_from(self.vocabulary).ok()?).filter(|id| !self.special.contains(id)).collect();
        let period = PERIOD.min(room).min(drawn.len() / 2);
        if period < LEAST {
            return None;
        }
        let mut rng = Xoshiro256Plus::seed_from_u64(self.seed);
        let row = |rng: &mut Xoshiro256Plus| {
            // No token twice in a round, so that the earlier occurrence is one.
            let places = rand::seq::index::sample(rng, drawn.len(), period);
            let round: Vec<u32> = places.iter().filter_map(|at| drawn.get(at).copied()).collect();
            [prefix.as_slice(), &round, &round, &suffix].concat()
        };
        let rows = (0..SEQUENCES).map(|_| row(&mut rng)).collect();
        Some((rows, Repeats { begin: prefix.len(), period }))
    }
}

/// Measures which heads look back to an earlier occurrence of a token and to what followed it, and keeps the scores in
/// `analysis`. Nothing is measured where the model reads no tokens or too short sequences.
///
/// # Errors
/// Where the network fails, or the work is cancelled.
pub fn measure_repeats(
    network: &Network,
    wanted: &RepeatedTokens,
    analysis: &mut Analysis,
    ticket: &Ticket,
) -> Result<()> {
    let Some((rows, repeats)) = wanted.draw() else { return Ok(()) };
    ticket.stage("read random tokens twice", Some(1), "passes");
    let (count, length) = (rows.len(), rows.first().map_or(0, Vec::len));
    let ids = Tensor::from_vec(rows.concat(), (count, length), network.device())?;
    let tokens = Tokens::new(ids, TokenMask::full(count, length));
    let spec = network.spec();
    let target = (spec.encoder.is_some() && spec.decoder.is_some()).then(|| tokens.clone());
    let batch = [Batch::new(Source::Tokens(tokens), target)];
    let mut probe = KindProbe::of_repeats(spec, repeats);
    probe.prepare(&batch, spec)?;
    network.run_probe(&batch, &Gates::open(), &mut probe, ticket)?;
    for site in &mut analysis.sites {
        for (kind, scores) in probe.scores(site.site) {
            site.baselines.insert(kind.name().to_owned(), scores);
        }
    }
    ticket.advance(1)
}

/// Whether a token, as the vocabulary spells it, is punctuation alone.
pub fn is_punctuation(token: &str) -> bool {
    // Marks of word pieces and bytes are no text: Ġ and ▁ stand for a space, Ċ for the end of a line.
    let text = token.trim_start_matches("##").trim_start_matches(['Ġ', '▁', ' ']);
    !text.is_empty() && text.chars().all(|c| c == 'Ċ' || c.is_ascii_punctuation() || is_general_punctuation(c))
}

/// Dashes, quotes and marks of other scripts.
fn is_general_punctuation(c: char) -> bool {
    matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}'
        | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{00a1}' | '\u{00a7}' | '\u{00ab}' | '\u{00b6}'
        | '\u{00b7}' | '\u{00bb}' | '\u{00bf}' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_of_different_tokens_and_come_twice() {
        let wanted = RepeatedTokens {
            prefix: vec![1],
            suffix: vec![2, 2],
            vocabulary: 40,
            special: vec![0, 1, 2],
            longest: Some(20),
            seed: 7,
        };
        let (rows, repeats) = wanted.draw().unwrap();
        assert_eq!(repeats, Repeats { begin: 1, period: 8 });
        for row in &rows {
            assert_eq!((row.len(), row[0], &row[17..]), (19, 1, &[2, 2][..]));
            assert_eq!(row[1..9], row[9..17]);
            let mut round = row[1..9].to_vec();
            round.sort_unstable();
            round.dedup();
            assert!(round.len() == 8 && round.iter().all(|id| (3..40).contains(id)));
        }
        assert_ne!(rows[0], rows[1]);
        assert_eq!(wanted.draw().unwrap().0, rows);
        assert!(RepeatedTokens { longest: Some(8), ..wanted.clone() }.draw().is_none());
        assert!(RepeatedTokens { vocabulary: 8, ..wanted.clone() }.draw().is_none());
        let free = RepeatedTokens { longest: None, vocabulary: 500, ..wanted };
        assert_eq!(free.draw().unwrap().1.period, PERIOD);
    }

    #[test]
    fn punctuation_is_told_from_words_and_pieces() {
        for mark in [".", "Ġ,", "▁—", "Ċ", "...", "##)", "，", "“"] {
            assert!(is_punctuation(mark), "{mark}");
        }
        for word in ["", "a", "Ġthe", "##s", "1", "C=O", "▁", "Ġ", "é"] {
            assert!(!is_punctuation(word), "{word}");
        }
    }
}
