//! Merges of sentencepiece's BPE, which a model or a GGUF file does not hold: it has a score for every piece.

use std::collections::{HashMap, HashSet};

/// Longest piece in bytes whose halves are looked for.
const LONGEST: usize = 512;

/// The pairs of pieces that make a piece together, in the order in which they are merged: those that make the piece with the
/// highest score first, of these the longer ones, as transformers sorts them. `pieces` are the pieces with their scores by
/// their ids, `halves` those that may be merged, with theirs.
pub(crate) fn piece_merges<'a>(
    pieces: impl Iterator<Item = (&'a str, f64)> + Clone,
    halves: &HashMap<&str, usize>,
) -> Vec<(&'a str, &'a str)> {
    let scores: HashMap<&str, f64> = pieces.clone().collect();
    let mut seen = HashSet::new();
    let mut merges: Vec<(&str, &str, f64)> = Vec::new();
    for (text, _) in pieces.filter(|(text, _)| text.len() <= LONGEST) {
        if !seen.insert(text) {
            continue;
        }
        let score = scores.get(text).copied().unwrap_or_default();
        let splits = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
        let mut local: Vec<_> = splits
            .filter_map(|(left, right)| Some(((*halves.get(left)?, *halves.get(right)?), (left, right, score))))
            .collect();
        local.sort_by_key(|(order, _)| *order);
        merges.extend(local.into_iter().map(|(_, merge)| merge));
    }
    let length = |text: &str| text.chars().count();
    merges.sort_by(|(a, b, score), (c, d, other)| {
        other.total_cmp(score).then_with(|| length(c).cmp(&length(a))).then_with(|| length(d).cmp(&length(b)))
    });
    merges.into_iter().map(|(left, right, _)| (left, right)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_score_is_merged_first_and_of_equal_ones_the_longer_halves() {
        let pieces = [("a", -1.0), ("b", -2.0), ("c", -3.0), ("ab", -5.0), ("bc", -4.0), ("abc", -6.0)];
        let halves: HashMap<&str, usize> = pieces.iter().enumerate().map(|(id, (text, _))| (*text, id)).collect();
        let found = piece_merges(pieces.into_iter(), &halves);
        assert_eq!(found, [("b", "c"), ("a", "b"), ("ab", "c"), ("a", "bc")]);
        let long = "a".repeat(LONGEST + 1);
        assert!(piece_merges([(long.as_str(), 0.0)].into_iter(), &[("a", 0)].into()).is_empty());
    }
}
