//! ROUGE (Lin 2004) as the `rouge-score` package computes it without stemming.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The F-measures, each in `0..=1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rouge {
    pub one: f64,
    /// Of pairs of words.
    pub two: f64,
    /// Of the longest common subsequence.
    pub longest: f64,
}

/// ROUGE of a system text against its reference.
pub fn rouge(system: &str, reference: &str) -> Rouge {
    let (system, reference) = (tokens(system), tokens(reference));
    let overlap = |n: usize| {
        let (ours, theirs) = (ngrams(&system, n), ngrams(&reference, n));
        let common: usize = ours.iter().map(|(gram, count)| *count.min(theirs.get(gram).unwrap_or(&0))).sum();
        f_measure(common, ours.values().sum(), theirs.values().sum())
    };
    Rouge {
        one: overlap(1),
        two: overlap(2),
        longest: f_measure(common_subsequence(&system, &reference), system.len(), reference.len()),
    }
}

/// Mean ROUGE over texts with one reference each; zero where there are none.
pub fn mean_rouge<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Rouge {
    let (mut sum, mut count) = (Rouge::default(), 0usize);
    for (system, reference) in pairs {
        let found = rouge(system, reference);
        sum = Rouge { one: sum.one + found.one, two: sum.two + found.two, longest: sum.longest + found.longest };
        count += 1;
    }
    let count = count as f64;
    Rouge { one: sum.one / count, two: sum.two / count, longest: sum.longest / count }
}

/// Runs of ASCII letters and digits, in lower case.
fn tokens(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn ngrams(tokens: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    for ngram in tokens.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

fn f_measure(common: usize, system: usize, reference: usize) -> f64 {
    // 2 P R / (P + R) with P = common / system and R = common / reference.
    if common == 0 { 0.0 } else { 2.0 * common as f64 / (system + reference) as f64 }
}

fn common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0usize; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_reference_package() {
        // rouge-score 0.1.2, use_stemmer=False.
        for (system, reference, want) in [
            ("The cat sat on the mat.", "The cat is on the mat.", [0.8333333333333334, 0.6, 0.8333333333333334]),
            (
                "It's 3.5 percent, i.e. 1,000-year-old &quot;trees&quot; (rare)!",
                "It is 3.5 percent: 1,000-year old \"trees\" (very rare)!",
                [0.7407407407407408, 0.4, 0.7407407407407408],
            ),
            ("Hello world", "Hello, big world", [0.8, 0.0, 0.8]),
            (
                "In the beginning God created the heaven and the earth.",
                "In the beginning God made heaven and the earth, .",
                [0.8421052631578948, 0.7058823529411765, 0.8421052631578948],
            ),
            ("Él dijo: ¿qué, tal... bien?", "Él dijo: \"¿qué tal? bien\"", [1.0, 1.0, 1.0]),
            (
                "The police killed the gunman.\nHe was 20.",
                "The gunman was shot down by police.\nThe gunman was 20 years old.",
                [0.5714285714285714, 0.2105263157894737, 0.5714285714285714],
            ),
            ("", "a b", [0.0, 0.0, 0.0]),
        ] {
            let found = rouge(system, reference);
            for (got, want) in [found.one, found.two, found.longest].into_iter().zip(want) {
                assert!((got - want).abs() < 1e-12, "{system}: {found:?}");
            }
        }
        let mean = mean_rouge([("a b", "a b"), ("c", "d")]);
        assert_eq!((mean.one, mean.two, mean.longest), (0.5, 0.5, 0.5));
    }
}
