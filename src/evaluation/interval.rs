//! How sure a measured number is: 95 % intervals by the bootstrap over sequences.
//!
//! Sequences are drawn with replacement, as many as there are, and the number is formed anew from each draw (Efron and
//! Tibshirani 1993, chapter 13: percentile intervals). Where two candidates read the same sequences, each draw takes the
//! same sequences of both, so that what is hard in a text for both cancels out (Koehn 2004).

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::plan::PairedCounts;
use crate::words::counted;

/// Draws of an interval.
const DRAWS: u64 = 1000;
/// Seed of the first draw: the same sequences always give the same interval.
const SEED: u64 = 0x5EED;

/// Where a number lies in 95 of 100 draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// A 40th of the draws is below.
    pub low: f64,
    /// A 40th of the draws is above.
    pub high: f64,
}

/// How many of what a number counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EstimateCount {
    pub n: u64,
    /// In the plural: `labeled tokens`.
    pub noun: String,
}

/// A measured number, how sure it is, and what it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    /// Lower end of the 95 % interval; absent where there is one sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Whether more is better; absent in records of earlier releases, and of changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rises: Option<bool>,
    /// Sequences it is from, which are drawn for the interval.
    pub n: u64,
    /// What it counts in these, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<EstimateCount>,
    /// Of a change, how many items got worse and better, where their answers are right or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<PairedCounts>,
    /// How it is formed.
    pub convention: String,
}

impl Estimate {
    /// A number with what is known of it.
    pub(super) fn with(value: f64, interval: Option<Interval>, n: usize, convention: String) -> Self {
        Self {
            value,
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
            rises: None,
            n: n as u64,
            over: None,
            changed: None,
            convention,
        }
    }

    /// The same, with the direction in which it is better.
    pub(super) fn directed(self, rises: bool) -> Self {
        Self { rises: Some(rises), ..self }
    }

    /// What it is from, in words: `3 items`, `17 labeled tokens in 3 items`.
    pub fn from_words(&self) -> String {
        let items = counted(self.n, "items");
        self.over.as_ref().map_or(items.clone(), |over| format!("{} in {items}", counted(over.n, &over.noun)))
    }

    /// In which direction it is better, in words; nothing where that is not known.
    pub fn direction(&self) -> &'static str {
        match self.rises {
            Some(true) => "higher is better",
            Some(false) => "lower is better",
            None => "",
        }
    }

    /// `of` the sums of `sequences`, with its interval.
    pub(super) fn of<const K: usize>(
        sequences: &[[f64; K]],
        convention: &str,
        of: impl Fn([f64; K]) -> f64 + Sync,
    ) -> Self {
        let interval = bootstrap(sequences, &of);
        Self::with(of(sums(sequences.iter())), interval, sequences.len(), convention.to_owned())
    }
}

/// The 95 % interval of `of` the sums of what each sequence gave; absent where there are fewer than two.
pub(super) fn bootstrap<const K: usize>(
    sequences: &[[f64; K]],
    of: impl Fn([f64; K]) -> f64 + Sync,
) -> Option<Interval> {
    bootstrap_of(sequences.len(), |draw| of(sums(draw.iter().map(|i| &sequences[*i]))))
}

/// The 95 % interval of a number that is formed from the items at the places drawn, of `count`; absent where there are fewer
/// than two.
pub(super) fn bootstrap_of(count: usize, of: impl Fn(&[usize]) -> f64 + Sync) -> Option<Interval> {
    if count < 2 {
        return None;
    }
    // Every draw has a generator of its own, so that the result does not depend on the threads.
    let draw = |number: u64| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED.wrapping_add(number));
        of(&(0..count).map(|_| rng.gen_range(0..count)).collect::<Vec<_>>())
    };
    let mut values: Vec<f64> = (0..DRAWS).into_par_iter().map(draw).collect();
    // A draw without any scored token has no mean.
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (values.len().checked_sub(1)? as f64);
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        Some(below + (above - below) * place.fract())
    };
    Some(Interval { low: at(0.025)?, high: at(0.975)? })
}

fn sums<'a, const K: usize>(sequences: impl Iterator<Item = &'a [f64; K]>) -> [f64; K] {
    sequences.fold([0.0; K], |mut sum, sequence| {
        sum.iter_mut().zip(sequence).for_each(|(sum, x)| *sum += x);
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sequences_give_the_whole_range() {
        // Draws: both the first with probability 1/4, both the second 1/4: both tails hold more than a 40th.
        let found = bootstrap(&[[1.0, 1.0], [5.0, 1.0]], |[loss, n]| loss / n).unwrap();
        assert_eq!((found.low, found.high), (1.0, 5.0));
        assert_eq!(bootstrap(&[[1.0, 1.0]], |[loss, n]| loss / n), None);
    }

    #[test]
    fn ends_are_those_of_all_draws_of_four_sequences() {
        // All 4^4 draws of sequences of unequal length, enumerated.
        let sequences = [[1.0, 1.0], [6.0, 2.0], [2.0, 4.0], [9.0, 3.0]];
        let mean = |[loss, n]: [f64; 2]| loss / n;
        let mut all: Vec<f64> =
            (0..256usize).map(|k| mean(sums((0..4).map(|i| &sequences[k >> (2 * i) & 3])))).collect();
        all.sort_by(f64::total_cmp);
        let found = bootstrap(&sequences, mean).unwrap();
        // A thousand draws find the ends among those that lie between a 100th and 5 hundredths of all from each side.
        let at = |share: f64| all[(share * 255.0).round() as usize];
        assert!((at(0.01)..=at(0.05)).contains(&found.low), "{found:?}");
        assert!((at(0.95)..=at(0.99)).contains(&found.high), "{found:?}");
        assert_eq!(bootstrap(&sequences, mean), bootstrap(&sequences, mean));
    }

    #[test]
    fn what_both_find_hard_cancels_out_in_pairs() {
        // Losses from 1 to 8, and a second candidate that adds 0.1 to each: apart they spread, paired they do not.
        let pairs: Vec<[f64; 3]> = (0..8).map(|i| [1.0 + f64::from(i), 1.1 + f64::from(i), 1.0]).collect();
        let alone = bootstrap(&pairs, |[before, _, n]| before / n).unwrap();
        assert!(alone.high - alone.low > 2.0);
        let change = Estimate::of(&pairs, "difference", |[before, after, n]| (after - before) / n);
        assert!((change.value - 0.1).abs() < 1e-9 && change.n == 8);
        assert!((change.high.unwrap() - change.low.unwrap()).abs() < 1e-9);
    }
}
