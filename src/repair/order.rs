//! The order in which heads of one layer are removed so that the rest explains as much as possible.

use super::sweep::{Sweep, without_each_other};
use crate::error::Result;

/// How many heads of a layer stay, which, and what they cannot say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stay {
    pub kept: Vec<usize>,
    /// What cannot be said without the others.
    pub error: f64,
}

/// Most rounds of swaps; each makes the best of all swaps.
const ROUNDS: usize = 16;

/// Widest layer whose choice is improved by swaps: they cost some `D^3` each time.
const WIDEST: usize = 2048;

/// For every number of heads that surgery can leave of a layer with `kv_heads` key/value heads, the heads that stay: one
/// goes after another, whichever is missed least. Numbers descend from all heads; none only where a layer may be
/// emptied.
pub(super) fn stays(whole: &Sweep, kv_heads: usize, allow_empty: bool) -> Result<Vec<Stay>> {
    let heads = whole.heads().len();
    let per_kv = heads / kv_heads;
    let of = |sweep: &Sweep| Stay { kept: sweep.heads().to_vec(), error: sweep.error() };
    let mut found = vec![of(whole)];
    if per_kv <= 1 {
        let mut sweep = whole.clone();
        while sweep.heads().len() > usize::from(!allow_empty) {
            let least = least(&sweep, sweep.heads().iter().map(|h| vec![*h]))?;
            sweep.remove(&least)?;
            found.push(of(&sweep));
        }
        return Ok(found);
    }
    // Whole key/value groups go first, then one query head of each that is left: every legal shape is reached.
    let mut groups = whole.clone();
    loop {
        let mut queries = groups.clone();
        for _ in 1..per_kv {
            for group in members(&queries, per_kv) {
                let least = least(&queries, group.into_iter().map(|h| vec![h]))?;
                queries.remove(&least)?;
            }
            found.push(of(&queries));
        }
        let present = members(&groups, per_kv);
        if present.len() <= usize::from(!allow_empty) {
            break;
        }
        let least = least(&groups, present.into_iter())?;
        groups.remove(&least)?;
        found.push(of(&groups));
    }
    // Of shapes with as many heads the better one.
    found.sort_by(|a, b| b.kept.len().cmp(&a.kept.len()).then(a.error.total_cmp(&b.error)));
    found.dedup_by_key(|stay| stay.kept.len());
    Ok(found)
}

/// Present heads by key/value group.
fn members(sweep: &Sweep, per_kv: usize) -> Vec<Vec<usize>> {
    sweep.heads().chunk_by(|a, b| a / per_kv == b / per_kv).map(<[usize]>::to_vec).collect()
}

/// The unit whose removal costs least for each of its heads; of equals the last, as the lowest index stays elsewhere.
fn least(sweep: &Sweep, units: impl Iterator<Item = Vec<usize>>) -> Result<Vec<usize>> {
    let mut best: Option<(f64, Vec<usize>)> = None;
    for unit in units {
        let rise = sweep.rise(&unit)?;
        if best.as_ref().is_none_or(|(least, _)| rise <= *least) {
            best = Some((rise, unit));
        }
    }
    Ok(best.map(|(_, unit)| unit).unwrap_or_default())
}

/// Exchanges a head that stays for one that goes as long as that lowers the error, the best exchange first. In a layer
/// with key/value groups a head is exchanged within its group, or a whole group for another.
pub(super) fn improve(whole: &Sweep, kv_heads: usize, mut stay: Stay) -> Result<Stay> {
    let heads = whole.heads().len();
    let per_kv = heads / kv_heads;
    if whole.width() > WIDEST {
        return Ok(stay);
    }
    for _ in 0..ROUNDS {
        let mut best: Option<Stay> = None;
        for unit in if per_kv == 1 { vec![1] } else { vec![1, per_kv] } {
            let (kept, removed) = units(&stay.kept, heads, unit);
            if kept.is_empty() || removed.is_empty() {
                continue;
            }
            // Heads of groups that are gone altogether come back with their group alone.
            let exchangeable = |out: &[usize], back: &[usize]| {
                unit == per_kv || out.first().map(|h| h / per_kv) == back.first().map(|h| h / per_kv)
            };
            let mut each = |index: usize, sweep: &Sweep| -> Result<()> {
                for out in kept.iter().filter(|out| exchangeable(out, &removed[index])) {
                    let error = sweep.error() + sweep.rise(out)?;
                    if best.as_ref().is_none_or(|b| error < b.error) {
                        let kept = sweep.heads().iter().copied().filter(|h| !out.contains(h)).collect();
                        best = Some(Stay { kept, error });
                    }
                }
                Ok(())
            };
            // What is removed beside whole units stays removed.
            let mut sweep = whole.clone();
            let beside: Vec<usize> =
                (0..heads).filter(|h| !stay.kept.contains(h) && !removed.iter().any(|unit| unit.contains(h))).collect();
            if !beside.is_empty() {
                sweep.remove(&beside)?;
            }
            without_each_other(sweep, &removed, &mut each)?;
        }
        match best.filter(|b| b.error < stay.error * (1.0 - 1e-9)) {
            Some(better) => stay = better,
            None => break,
        }
    }
    Ok(stay)
}

/// Runs of `unit` heads that stay, and those that go, whole.
fn units(kept: &[usize], heads: usize, unit: usize) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let all = (0..heads / unit).map(|u| (u * unit..(u + 1) * unit).collect::<Vec<_>>());
    let (mut stay, mut go) = (Vec::new(), Vec::new());
    for unit in all {
        match unit.iter().filter(|h| kept.contains(h)).count() {
            0 => go.push(unit),
            n if n == unit.len() => stay.push(unit),
            _ => {}
        }
    }
    (stay, go)
}

/// How many heads each layer keeps, by index among its `stays`, so that they keep `budget` in all or fewer, and the
/// least sum of errors: exact, by dynamic programming over layers.
pub(super) fn allocate(layers: &[Vec<Stay>], budget: usize) -> Vec<usize> {
    let most: usize = layers.iter().map(|stays| stays.iter().map(|s| s.kept.len()).max().unwrap_or(0)).sum();
    let budget = budget.min(most);
    // best[n]: least error of the layers so far with n heads at most; choices[l][n]: which stay of layer l it takes.
    let mut best = vec![0.0f64; budget + 1];
    let mut choices: Vec<Vec<Option<usize>>> = Vec::with_capacity(layers.len());
    for stays in layers {
        let mut next = vec![f64::INFINITY; budget + 1];
        let mut choice = vec![None; budget + 1];
        for (index, stay) in stays.iter().enumerate() {
            for n in stay.kept.len()..=budget {
                let error = best[n - stay.kept.len()] + stay.error;
                if error < next[n] {
                    (next[n], choice[n]) = (error, Some(index));
                }
            }
        }
        best = next;
        choices.push(choice);
    }
    let mut left = budget;
    let mut chosen = vec![0; layers.len()];
    for (layer, (stays, choice)) in layers.iter().zip(&choices).enumerate().rev() {
        // Where the budget is too small for one head in every layer, each keeps its least.
        let fewest = stays.len().saturating_sub(1);
        let index = choice.get(left).copied().flatten().unwrap_or(fewest);
        chosen[layer] = index;
        left = left.saturating_sub(stays.get(index).map_or(0, |s| s.kept.len()));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestSite, legal_sets};
    use super::*;

    #[test]
    fn rises_are_those_of_least_squares_on_the_features() {
        for with_bias in [false, true] {
            let case = TestSite::new(5, 3, with_bias, 1);
            let mut sweep = case.sweep();
            assert!(sweep.error() < 1e-12);
            for gone in [vec![1], vec![3, 4]] {
                for h in sweep.heads().to_vec() {
                    let kept: Vec<usize> = sweep.heads().iter().copied().filter(|k| *k != h).collect();
                    let (found, expected) = (sweep.error() + sweep.rise(&[h]).unwrap(), case.error(&kept));
                    assert!((found - expected).abs() < 1e-7 * case.power(), "{found} {expected}");
                }
                sweep.remove(&gone).unwrap();
                assert!((sweep.error() - case.error(sweep.heads())).abs() < 1e-7 * case.power());
            }
        }
    }

    #[test]
    fn greedy_with_swaps_finds_the_best_of_all_sets() {
        let (mut same, mut all) = (0, 0);
        for seed in 0..6 {
            let case = TestSite::new(6, 2, true, seed);
            let whole = case.sweep();
            for stay in stays(&whole, 6, false).unwrap() {
                let number = stay.kept.len();
                let best = legal_sets(6, 6).into_iter().filter(|set| set.len() == number);
                let best = best.map(|set| case.error(&set)).fold(f64::INFINITY, f64::min);
                let found = improve(&whole, 6, stay.clone()).unwrap();
                assert!((found.error - case.error(&found.kept)).abs() < 1e-7 * case.power());
                assert!(found.error <= stay.error && best <= found.error + 1e-7 * case.power());
                all += 1;
                same += usize::from(found.error <= best + 1e-7 * case.power());
            }
        }
        // Swaps of one head end in a local optimum, which here is nearly always the best.
        assert!(10 * same >= 9 * all, "{same} of {all}");
    }

    #[test]
    fn key_value_groups_stay_even() {
        for seed in 0..3 {
            let case = TestSite::new(6, 2, false, seed);
            let whole = case.sweep();
            for (kv_heads, numbers) in [(3, vec![6, 4, 3, 2, 1]), (2, vec![6, 4, 3, 2, 1])] {
                let legal = legal_sets(6, kv_heads);
                let found = stays(&whole, kv_heads, false).unwrap();
                assert_eq!(found.iter().map(|s| s.kept.len()).collect::<Vec<_>>(), numbers);
                for stay in found {
                    let better = improve(&whole, kv_heads, stay.clone()).unwrap();
                    assert!(legal.contains(&stay.kept) && legal.contains(&better.kept), "{better:?}");
                    let best = legal.iter().filter(|set| set.len() == stay.kept.len()).map(|set| case.error(set));
                    let best = best.fold(f64::INFINITY, f64::min);
                    assert!(best <= better.error + 1e-7 * case.power() && better.error <= 1.5 * best + 1e-9);
                }
            }
            assert!(stays(&whole, 3, true).unwrap().last().unwrap().kept.is_empty());
        }
    }

    #[test]
    fn a_budget_goes_where_it_saves_most() {
        let stay = |n: usize, error: f64| Stay { kept: (0..n).collect(), error };
        let layers = [
            vec![stay(3, 0.0), stay(2, 5.0), stay(1, 6.0)],
            vec![stay(3, 0.0), stay(2, 1.0), stay(1, 9.0)],
            vec![stay(4, 0.0), stay(2, 0.5)],
        ];
        let all = |budget: usize| -> f64 {
            let mut best = f64::INFINITY;
            for a in &layers[0] {
                for b in &layers[1] {
                    for c in &layers[2] {
                        if a.kept.len() + b.kept.len() + c.kept.len() <= budget {
                            best = best.min(a.error + b.error + c.error);
                        }
                    }
                }
            }
            best
        };
        for budget in 4..=12 {
            let chosen = allocate(&layers, budget);
            let error: f64 = layers.iter().zip(&chosen).map(|(l, i)| l[*i].error).sum();
            let heads: usize = layers.iter().zip(&chosen).map(|(l, i)| l[*i].kept.len()).sum();
            assert!(heads <= budget && error == all(budget), "{budget}: {chosen:?}");
        }
        assert_eq!(allocate(&layers, 2), [2, 2, 1]);
    }
}
