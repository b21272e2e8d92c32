//! How many heads of each layer stay: numbers that surgery can leave, and a budget shared between layers.

use super::SiteShape;

/// Numbers of heads that surgery can leave in a layer, ascending: some key/value heads, each serving equally many query
/// heads; `least` at least.
pub(super) fn legal_numbers(shape: &SiteShape, least: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (1..=shape.kv_heads)
        .flat_map(|kv| (1..=shape.queries_per_kv()).map(move |each| kv * each))
        .chain((least == 0).then_some(0))
        .filter(|n| *n >= least)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The legal number next to the one that is wanted, rounded; of two that are as near the smaller, so that no more stay
/// than were asked for.
pub(crate) fn nearest(legal: &[usize], wanted: f64) -> usize {
    let wanted = wanted.round() as usize;
    // The first of equals, and numbers ascend.
    legal.iter().copied().min_by_key(|n| n.abs_diff(wanted)).unwrap_or(0)
}

/// A layer that a budget is shared with.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// How many heads the layer has.
    pub heads: usize,
    /// Numbers of them that can stay, ascending.
    pub legal: Vec<usize>,
    /// How much of the layer its groups leave unexplained, by the number of groups from 1 on: `0..=1`.
    pub unexplained: Vec<f64>,
}

/// The same share of every layer, rounded so that `total` heads stay, or as many below as the legal numbers allow.
///
/// Each layer first gets the largest legal number that is no more than its share. What is left goes, one legal step
/// after another, to the layer that lacks most heads of its share; among equals to the one whose groups explain least, then
/// to the first.
pub(super) fn equal_shares(layers: &[Share], total: usize) -> Vec<usize> {
    let heads: usize = layers.iter().map(|l| l.heads).sum();
    let share = |l: &Share| (total * l.heads) as f64 / heads as f64;
    let below = |l: &Share| l.legal.iter().rev().find(|n| **n as f64 <= share(l) + 1e-9).copied();
    let mut numbers: Vec<usize> = layers.iter().map(|l| below(l).or(l.legal.first().copied()).unwrap_or(0)).collect();
    loop {
        let left = total.saturating_sub(numbers.iter().sum());
        let step = |l: usize| {
            let next = layers[l].legal.iter().copied().find(|n| *n > numbers[l])?;
            (next - numbers[l] <= left).then_some(next)
        };
        let lack = |l: usize| ((share(&layers[l]) - numbers[l] as f64) * 1e9).round();
        let unexplained = |l: usize| layers[l].unexplained.get(numbers[l].saturating_sub(1)).copied().unwrap_or(0.0);
        let best = (0..layers.len()).filter_map(|l| Some((l, step(l)?))).reduce(|best, other| {
            let order =
                lack(other.0).total_cmp(&lack(best.0)).then(unexplained(other.0).total_cmp(&unexplained(best.0)));
            if order.is_gt() { other } else { best }
        });
        match best {
            Some((l, next)) => numbers[l] = next,
            None => return numbers,
        }
    }
}

/// Numbers for all layers with the greatest sum of values, `total` heads together or as many below as can be reached.
/// `values` gives for each layer its legal numbers and what the best set of so many heads is worth.
pub(super) fn most_valuable(values: &[Vec<(usize, f64)>], total: usize) -> Vec<usize> {
    // best[t]: the greatest value of the layers so far with t heads in all, where that can be reached.
    let mut best: Vec<Option<f64>> = vec![None; total + 1];
    best[0] = Some(0.0);
    let mut choices: Vec<Vec<usize>> = Vec::with_capacity(values.len());
    for options in values {
        let mut next: Vec<Option<f64>> = vec![None; total + 1];
        let mut choice = vec![0; total + 1];
        for (reached, value) in best.iter().enumerate().filter_map(|(t, v)| Some((t, (*v)?))) {
            for (number, worth) in options {
                let Some(slot) = next.get_mut(reached + number) else { continue };
                if slot.is_none_or(|known| value + worth > known) {
                    *slot = Some(value + worth);
                    choice[reached + number] = *number;
                }
            }
        }
        best = next;
        choices.push(choice);
    }
    let mut left = best.iter().rposition(Option::is_some).unwrap_or(0);
    let mut numbers: Vec<usize> = choices
        .iter()
        .rev()
        .map(|choice| {
            let number = choice[left];
            left -= number;
            number
        })
        .collect();
    numbers.reverse();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(heads: usize, kv_heads: usize) -> SiteShape {
        SiteShape { site: "decoder.0".parse().unwrap(), heads, kv_heads, stored: 0 }
    }

    #[test]
    fn legal_numbers_are_products_of_both_kinds_of_heads() {
        assert_eq!(legal_numbers(&shape(9, 3), 1), [1, 2, 3, 4, 6, 9]);
        assert_eq!(legal_numbers(&shape(8, 2), 0), [0, 1, 2, 3, 4, 6, 8]);
        assert_eq!(legal_numbers(&shape(4, 4), 1), [1, 2, 3, 4]);
        let legal = legal_numbers(&shape(9, 3), 1);
        assert_eq!([4.5, 5.0, 5.5, 7.4, 7.5, 0.0].map(|wanted| nearest(&legal, wanted)), [4, 4, 6, 6, 9, 1]);
        assert_eq!(nearest(&[1, 2, 3, 4], 2.5), 3);
    }

    fn share(heads: usize, kv_heads: usize, unexplained: f64) -> Share {
        Share { heads, legal: legal_numbers(&shape(heads, kv_heads), 1), unexplained: vec![unexplained; heads] }
    }

    #[test]
    fn every_layer_gives_the_same_share_and_the_total_is_met() {
        let layers = [share(12, 12, 0.1), share(12, 12, 0.4), share(12, 12, 0.3)];
        assert_eq!(equal_shares(&layers, 27), [9, 9, 9]);
        // What does not divide goes where groups explain least.
        assert_eq!(equal_shares(&layers, 28), [9, 10, 9]);
        assert_eq!(equal_shares(&layers, 29), [9, 10, 10]);
        assert_eq!(equal_shares(&layers, 1), [1, 1, 1]);
        assert_eq!(equal_shares(&layers, 36), [12, 12, 12]);
        // Layers of other sizes: 6.67 of 8 and 3.33 of 4.
        assert_eq!(equal_shares(&[share(8, 8, 0.0), share(4, 4, 0.9)], 10), [7, 3]);
        // Steps of a layer with key/value groups: 6.75 of 9 in each, 20 in all: one takes the step to 9, and 21 would be
        // more than there are.
        let grouped = [share(9, 3, 0.1), share(9, 3, 0.2), share(9, 3, 0.3)];
        assert_eq!(equal_shares(&grouped, 20), [6, 6, 6]);
        assert_eq!(equal_shares(&grouped, 21), [6, 6, 9]);
        for total in 3..=27 {
            assert!(equal_shares(&grouped, total).iter().sum::<usize>() <= total);
        }
    }

    #[test]
    fn no_other_numbers_are_worth_more() {
        let values = vec![
            vec![(1, 3.0), (2, 5.0), (4, 6.0)],
            vec![(1, 1.0), (2, 9.0), (4, 10.0)],
            vec![(1, 2.0), (2, 2.5), (4, 9.0)],
        ];
        for total in 3..=12 {
            let found = most_valuable(&values, total);
            let worth = |numbers: &[usize]| {
                let of = |(l, n): (usize, &usize)| values[l].iter().find(|(m, _)| m == n).unwrap().1;
                (numbers.iter().sum::<usize>(), numbers.iter().enumerate().map(of).sum::<f64>())
            };
            let mut best = (0, 0.0);
            for a in [1, 2, 4] {
                for b in [1, 2, 4] {
                    for c in [1, 2, 4] {
                        let worth = worth(&[a, b, c]);
                        if worth.0 <= total && worth > best {
                            best = worth;
                        }
                    }
                }
            }
            assert_eq!(worth(&found), best, "{total}: {found:?}");
        }
    }
}
