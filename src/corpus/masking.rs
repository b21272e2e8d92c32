//! Hiding tokens that a masked-language model has to find.

use super::example::{Example, SourceContent};
use super::settings::{MaskRule, Masking};
use super::tokenizer::TextTokenizer;

/// What is known of a vocabulary for hiding tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Hiding {
    /// The token that hides another; without one tokens are scored where they stand.
    pub mask: Option<u32>,
    /// Ids that are never hidden, ascending.
    pub special: Vec<u32>,
    /// Random tokens are below this.
    pub vocabulary: u32,
}

impl Hiding {
    pub(super) fn new(tokenizer: Option<&TextTokenizer>, vocabulary: usize) -> Self {
        let mut this = Self { vocabulary: u32::try_from(vocabulary).unwrap_or(u32::MAX), ..Self::default() };
        if let Some(tokenizer) = tokenizer {
            this.mask = tokenizer.mask().filter(|id| *id < this.vocabulary);
            this.special = tokenizer.special().to_vec();
            this.vocabulary = this.vocabulary.min(u32::try_from(tokenizer.vocabulary()).unwrap_or(u32::MAX));
        }
        this
    }

    /// Hides tokens of one sequence and labels them; `key` says which sequence of which pass it is.
    pub(super) fn apply(&self, example: &mut Example, masking: &Masking, key: u64) {
        if example.labels.is_some() {
            return;
        }
        let SourceContent::Tokens(row) = &mut example.content else { return };
        let mut labels = vec![None; row.ids.len()];
        let open = |t: &usize| row.real.get(*t) == Some(&true) && !self.special.contains_sorted(row.ids.get(*t));
        let candidates: Vec<usize> = (0..row.ids.len()).filter(open).collect();
        if self.mask.is_none() {
            for t in candidates {
                if let (Some(label), Some(id)) = (labels.get_mut(t), row.ids.get(t)) {
                    *label = Some(*id);
                }
            }
            example.labels = Some(labels);
            return;
        }
        let draws: Vec<(u64, usize)> = candidates.iter().map(|t| (mix(key ^ mix(*t as u64 + 1)), *t)).collect();
        let mut chosen: Vec<(u64, usize)> = draws.iter().copied().filter(|(d, _)| unit(*d) < masking.share).collect();
        if chosen.is_empty() {
            chosen.extend(draws.iter().min());
        }
        for (draw, t) in chosen {
            let (Some(id), Some(label)) = (row.ids.get_mut(t), labels.get_mut(t)) else { continue };
            *label = Some(*id);
            *id = self.stand_in(*id, masking.rule, mix(draw));
        }
        example.labels = Some(labels);
    }

    fn stand_in(&self, id: u32, rule: MaskRule, draw: u64) -> u32 {
        let mask = self.mask.unwrap_or(id);
        match (rule, unit(draw)) {
            (MaskRule::All, _) => mask,
            (MaskRule::Bert, share) if share < 0.8 => mask,
            (MaskRule::Bert, share) if share < 0.9 => (unit(mix(draw)) * f64::from(self.vocabulary)) as u32,
            (MaskRule::Bert, _) => id,
        }
    }
}

/// The key of a sequence in a pass.
pub(super) fn sequence_key(seed: u64, pass: u64, sequence: u64) -> u64 {
    mix(mix(mix(seed) ^ pass) ^ sequence)
}

trait ContainsSorted {
    fn contains_sorted(&self, id: Option<&u32>) -> bool;
}

impl ContainsSorted for Vec<u32> {
    fn contains_sorted(&self, id: Option<&u32>) -> bool {
        id.is_some_and(|id| self.binary_search(id).is_ok())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): every input gives bits that look random.
fn mix(key: u64) -> u64 {
    let key = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ (key >> 31)
}

/// Uniform in `0..1` from the upper 53 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hiding() -> Hiding {
        Hiding { mask: Some(4), special: vec![0, 1, 2, 4], vocabulary: 1000 }
    }

    /// `[CLS] 400 tokens [SEP]` (1 and 2).
    fn example() -> Example {
        Example::tokens(std::iter::once(1).chain((0..400).map(|t| 100 + t)).chain([2]).collect())
    }

    fn hidden(masking: &Masking, key: u64) -> (Vec<u32>, Vec<Option<u32>>) {
        let mut example = example();
        hiding().apply(&mut example, masking, key);
        let SourceContent::Tokens(row) = example.content else { panic!("tokens") };
        (row.ids, example.labels.unwrap())
    }

    #[test]
    fn mixing_is_splitmix64() {
        // The first outputs of SplitMix64 from state 0, as published with its reference code.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn shares_and_stand_ins_are_as_in_bert() {
        let (mut chosen, mut masks, mut kept, mut total) = (0, 0, 0, 0);
        for sequence in 0..200 {
            let (ids, labels) = hidden(&Masking::default(), sequence_key(7, 0, sequence));
            assert_eq!((ids[0], ids[401], labels[0], labels[401]), (1, 2, None, None));
            for t in 1..401 {
                let original = 99 + t as u32;
                total += 1;
                match labels[t] {
                    None => assert_eq!(ids[t], original),
                    Some(label) => {
                        assert_eq!(label, original);
                        assert!(ids[t] < 1000);
                        chosen += 1;
                        masks += usize::from(ids[t] == 4);
                        kept += usize::from(ids[t] == original);
                    }
                }
            }
        }
        let share = |part: usize, of: usize| part as f64 / of as f64;
        // 80,000 draws: three standard errors are 0.004 of 0.15, and 0.011 of 0.8 among about 12,000.
        assert!((share(chosen, total) - 0.15).abs() < 0.004, "{}", share(chosen, total));
        assert!((share(masks, chosen) - 0.8).abs() < 0.011, "{}", share(masks, chosen));
        assert!((share(kept, chosen) - 0.1).abs() < 0.009, "{}", share(kept, chosen));
    }

    #[test]
    fn the_same_key_hides_the_same_tokens() {
        let masking = Masking::default();
        assert_eq!(hidden(&masking, sequence_key(1, 0, 5)), hidden(&masking, sequence_key(1, 0, 5)));
        for other in [sequence_key(2, 0, 5), sequence_key(1, 1, 5), sequence_key(1, 0, 6)] {
            assert_ne!(hidden(&masking, sequence_key(1, 0, 5)).1, hidden(&masking, other).1);
        }
        let all = hidden(&Masking { rule: MaskRule::All, ..masking }, 3);
        assert!(all.0.iter().zip(&all.1).all(|(id, label)| (*id == 4) == label.is_some()));
        let one = hidden(&Masking { share: 0.0, ..masking }, 3);
        assert_eq!(one.1.iter().flatten().count(), 1);
    }

    #[test]
    fn without_a_mask_token_tokens_are_scored_where_they_stand() {
        let mut example = example();
        Hiding { mask: None, ..hiding() }.apply(&mut example, &Masking::default(), 3);
        assert_eq!(example.content, self::example().content);
        let labels = example.labels.unwrap();
        assert_eq!((labels[0], labels[1], labels[400], labels[401]), (None, Some(100), Some(499), None));
    }
}
