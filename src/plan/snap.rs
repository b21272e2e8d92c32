//! What makes a plan legal for real removal ([method](crate::method), section 7).

use super::{Plan, Shape, SiteShape};
use crate::error::Result;
use crate::words::counted;

/// The nearest plan that surgery can carry out, and in sentences what had to change.
///
/// Layers that share weights get the same heads. Where several query heads read one key/value head, every key/value
/// head that stays serves the same number of query heads: of all such choices with no more heads than planned, the
/// one that keeps most of what the planned heads were ranked by (their number, where the plan holds no scores), then
/// most planned heads, then most score, then fewest key/value heads. A layer that loses every head against the
/// plan's own rule, or a head that does not exist, is refused.
pub fn snap(shape: impl Into<Shape>, plan: &Plan) -> Result<(Plan, Vec<String>)> {
    let shape = shape.into();
    plan.fits(&shape)?;
    let mut plan = plan.clone();
    let mut notes = Vec::new();
    for class in shape.shared() {
        let Some(mut choice) = Choice::of(&class, &plan) else { continue };
        let names: Vec<String> = class.iter().map(|s| s.site.to_string()).collect();
        let names = names.join(", ");
        if choice.agree() {
            notes.push(format!("{names} read the same weights, so all of them keep heads {}", list(&choice.kept)));
        }
        let planned = choice.kept.clone();
        if choice.make_even() {
            notes.push(format!(
                "{names}: heads {} instead of {}, so that {}",
                list(&choice.kept),
                list(&planned),
                served(&choice)
            ));
        }
        let gone: Vec<usize> = planned.into_iter().filter(|h| !choice.kept.contains(h)).collect();
        for site in &class {
            if !gone.is_empty() {
                let evened = plan.evened.entry(site.site).or_default();
                evened.extend(&gone);
                evened.sort_unstable();
                evened.dedup();
            }
            plan.kept.set(site.site, choice.kept.iter().copied());
            plan.heads.insert(site.site, site.heads);
            if let Some(scores) = &choice.scores {
                plan.scores.insert(site.site, scores.clone());
            }
        }
    }
    plan.validate(&shape)?;
    if !notes.is_empty() {
        plan.explained.clear();
    }
    plan.notes.extend(notes.iter().cloned());
    Ok((plan, notes))
}

/// What the plan wants of one stored layer.
struct Choice {
    site: SiteShape,
    /// The kept heads of each pass, for passes that the plan does not name `None`.
    wanted: Vec<Option<Vec<usize>>>,
    /// Mean scores over the named passes, where all of them have some.
    scores: Option<Vec<f64>>,
    kept: Vec<usize>,
}

impl Choice {
    /// `None` where the plan names no pass of the layer.
    fn of(class: &[SiteShape], plan: &Plan) -> Option<Self> {
        let site = *class.first()?;
        let wanted: Vec<_> = class.iter().map(|s| plan.kept.get(s.site).map(<[usize]>::to_vec)).collect();
        let kept = wanted.iter().flatten().next()?.clone();
        let named = class.iter().filter(|s| plan.kept.names(s.site));
        let scores: Option<Vec<&Vec<f64>>> =
            named.map(|s| plan.scores.get(&s.site).filter(|scores| scores.len() == site.heads)).collect();
        let mean = |all: Vec<&Vec<f64>>| {
            (0..site.heads).map(|h| all.iter().map(|s| s[h]).sum::<f64>() / all.len() as f64).collect()
        };
        Some(Self { site, wanted, scores: scores.map(mean), kept })
    }

    /// Gives all passes the same heads: as many as the pass that keeps most, those that rank best over the passes. Those
    /// that the plan does not name follow the named ones. True where something had to change.
    fn agree(&mut self) -> bool {
        if self.wanted.iter().all(|w| w.as_ref() == Some(&self.kept)) {
            return false;
        }
        if self.wanted.iter().flatten().all(|w| *w == self.kept) {
            return true;
        }
        let count = self.wanted.iter().flatten().map(Vec::len).max().unwrap_or(0);
        let rank = |h: usize| {
            let score = self.scores.as_ref().map_or(0.0, |s| s[h]);
            (score, self.wanted.iter().flatten().filter(|w| w.contains(&h)).count())
        };
        let mut order: Vec<usize> = (0..self.site.heads).collect();
        order.sort_by(|a, b| {
            let (a, b) = (rank(*a), rank(*b));
            b.0.total_cmp(&a.0).then(b.1.cmp(&a.1))
        });
        order.truncate(count);
        order.sort_unstable();
        self.kept = order;
        true
    }

    /// Makes every key/value head that stays serve the same number of query heads. True where that took a change.
    fn make_even(&mut self) -> bool {
        let mut read = vec![0usize; self.site.kv_heads];
        for head in &self.kept {
            if let Some(count) = read.get_mut(head / self.site.queries_per_kv()) {
                *count += 1;
            }
        }
        read.retain(|n| *n > 0);
        if read.windows(2).all(|pair| pair[0] == pair[1]) {
            return false;
        }
        self.kept = nearest(&self.site, &self.kept, self.scores.as_deref());
        true
    }
}

/// How many query heads the key/value heads of an even choice serve, in words.
fn served(choice: &Choice) -> String {
    let mut read: Vec<usize> = choice.kept.iter().map(|h| h / choice.site.queries_per_kv()).collect();
    read.dedup();
    let each = choice.kept.len().checked_div(read.len()).unwrap_or(0);
    let each = counted(each, "query heads");
    match read.len() {
        1 => format!("the one key/value head left serves {each}"),
        n => format!("each of {n} key/value heads serves {each}"),
    }
}

fn list(heads: &[usize]) -> String {
    heads.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

/// How good a choice is: score of planned heads, their number, score of all. Compared in this order.
#[derive(Clone, Copy, Debug, Default)]
struct Worth {
    planned: f64,
    heads: usize,
    all: f64,
}

impl Worth {
    fn plus(self, other: Self) -> Self {
        Self { planned: self.planned + other.planned, heads: self.heads + other.heads, all: self.all + other.all }
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.planned.total_cmp(&other.planned).then(self.heads.cmp(&other.heads)).then(self.all.total_cmp(&other.all))
    }
}

/// The best even choice with no more heads than `kept`.
fn nearest(site: &SiteShape, kept: &[usize], scores: Option<&[f64]>) -> Vec<usize> {
    let repeat = site.queries_per_kv();
    // Scores may be negative (cosines); what counts is which are larger.
    let lowest = scores.map_or(0.0, |s| s.iter().copied().fold(0.0, f64::min));
    let worth = |h: usize| {
        let score = scores.map_or(0.0, |s| s[h] - lowest);
        let planned = kept.contains(&h);
        Worth { planned: if planned { score } else { 0.0 }, heads: usize::from(planned), all: score }
    };
    let mut best: Option<(Worth, usize, Vec<usize>)> = None;
    for per_kv in 1..=repeat {
        // The best `per_kv` heads of every group, best groups first.
        let mut groups: Vec<(Worth, Vec<usize>)> = (0..site.kv_heads)
            .map(|kv| {
                let mut heads: Vec<usize> = (kv * repeat..(kv + 1) * repeat).collect();
                heads.sort_by(|a, b| worth(*b).order(&worth(*a)));
                heads.truncate(per_kv);
                (heads.iter().fold(Worth::default(), |sum, h| sum.plus(worth(*h))), heads)
            })
            .collect();
        groups.sort_by(|a, b| b.0.order(&a.0));
        let mut sum = Worth::default();
        let mut chosen = Vec::new();
        for (count, (value, heads)) in groups.into_iter().enumerate() {
            if chosen.len() + heads.len() > kept.len() {
                break;
            }
            sum = sum.plus(value);
            chosen.extend(heads);
            let kv = count + 1;
            let better = best
                .as_ref()
                .is_none_or(|(most, fewest, _)| sum.order(most).then(fewest.cmp(&kv)) == std::cmp::Ordering::Greater);
            if better {
                best = Some((sum, kv, chosen.clone()));
            }
        }
    }
    let mut chosen = best.map_or_else(Vec::new, |(_, _, chosen)| chosen);
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Site;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256Plus;

    fn site(name: &str) -> Site {
        name.parse().unwrap()
    }

    fn layer(name: &str, heads: usize, kv_heads: usize, stored: usize) -> SiteShape {
        SiteShape { site: site(name), heads, kv_heads, stored }
    }

    fn plan(kept: &[(&str, &[usize])], scores: &[(&str, &[f64])]) -> Plan {
        let mut plan = Plan::from_mask(kept.iter().map(|(s, k)| (site(s), k.to_vec())).collect());
        plan.scores = scores.iter().map(|(s, v)| (site(s), v.to_vec())).collect();
        plan
    }

    /// All even subsets with at most as many heads as planned, by brute force.
    fn best_worth(shape: &SiteShape, kept: &[usize], scores: &[f64]) -> (f64, usize, f64) {
        let repeat = shape.heads / shape.kv_heads;
        let mut best = (-1.0, 0, 0.0);
        for bits in 1u32..1 << shape.heads {
            let chosen: Vec<usize> = (0..shape.heads).filter(|h| bits >> h & 1 == 1).collect();
            let mut counts = vec![0; shape.kv_heads];
            for h in &chosen {
                counts[h / repeat] += 1;
            }
            counts.retain(|c| *c > 0);
            if chosen.len() > kept.len() || counts.iter().any(|c| *c != counts[0]) {
                continue;
            }
            let planned: Vec<usize> = chosen.iter().copied().filter(|h| kept.contains(h)).collect();
            let sum = |heads: &[usize]| heads.iter().map(|h| scores[*h]).sum::<f64>();
            let worth = (sum(&planned), planned.len(), sum(&chosen));
            if worth > best {
                best = worth;
            }
        }
        best
    }

    #[test]
    fn an_uneven_plan_becomes_the_best_even_one() {
        let mut rng = Xoshiro256Plus::seed_from_u64(4);
        let mut changed = 0;
        for (heads, kv_heads) in [(8, 2), (8, 4), (6, 2), (9, 3), (8, 1), (4, 4)] {
            let shape = Shape::from_iter([layer("decoder.0", heads, kv_heads, 0)]);
            for _ in 0..60 {
                // Whole numbers, so that sums compare exactly; some equal.
                let scores: Vec<f64> = (0..heads).map(|_| f64::from(rng.gen_range(0..6u8))).collect();
                let mut kept: Vec<usize> = (0..heads).filter(|_| rng.gen_bool(0.5)).collect();
                if kept.is_empty() {
                    kept.push(0);
                }
                let wanted = plan(&[("decoder.0", &kept)], &[("decoder.0", &scores)]);
                let (snapped, notes) = snap(&shape, &wanted).unwrap();
                let found = snapped.kept.get(site("decoder.0")).unwrap();
                assert_eq!(notes.is_empty(), *found == kept);
                changed += notes.len();
                let planned: Vec<usize> = found.iter().copied().filter(|h| kept.contains(h)).collect();
                let sum = |heads: &[usize]| heads.iter().map(|h| scores[*h]).sum::<f64>();
                let worth = (sum(&planned), planned.len(), sum(found));
                assert_eq!(worth, best_worth(&shape.sites()[0], &kept, &scores), "{kept:?} {scores:?} {found:?}");
                // Legal plans stay as they are.
                assert_eq!(snap(&shape, &snapped).unwrap().1, Vec::<String>::new());
            }
        }
        assert!(changed > 100);
    }

    #[test]
    fn without_scores_most_planned_heads_stay_and_the_note_says_so() {
        let shape = Shape::from_iter([layer("decoder.2", 8, 2, 2)]);
        let (snapped, notes) = snap(&shape, &plan(&[("decoder.2", &[0, 1, 2, 6])], &[])).unwrap();
        assert_eq!(snapped.kept.get(site("decoder.2")).unwrap(), [0, 1, 2]);
        assert_eq!(
            notes,
            ["decoder.2: heads 0 1 2 instead of 0 1 2 6, so that the one key/value head left serves 3 query heads"]
        );
        assert_eq!(snapped.notes, notes);
        assert_eq!(snapped.evened[&site("decoder.2")], [6]);
    }

    #[test]
    fn passes_that_share_weights_agree() {
        let shape = Shape::from_iter((0..3).map(|i| layer(&format!("encoder.{i}"), 4, 4, 0)));
        let scores: [(&str, &[f64]); 3] = [
            ("encoder.0", &[0.9, 0.1, 0.0, 0.0]),
            ("encoder.1", &[0.0, 0.1, 0.9, 0.0]),
            ("encoder.2", &[0.0, 0.8, 0.2, 0.0]),
        ];
        let kept: [(&str, &[usize]); 3] = [("encoder.0", &[0, 1]), ("encoder.1", &[1, 2]), ("encoder.2", &[1])];
        let (snapped, notes) = snap(&shape, &plan(&kept, &scores)).unwrap();
        // Sums 0.9, 1.0, 1.1, 0: two heads, as many as the largest pass keeps.
        assert!(snapped.kept.iter().all(|(_, k)| k == [1, 2]), "{:?}", snapped.kept);
        assert_eq!(notes.len(), 1);
        // A plan that names one pass means all.
        let (snapped, _) = snap(&shape, &plan(&[("encoder.1", &[3])], &[])).unwrap();
        assert_eq!(snapped.kept.sites(), 3);
        assert!(snapped.kept.iter().all(|(_, k)| k == [3]));
    }

    #[test]
    fn heads_that_do_not_exist_are_refused() {
        let shape = Shape::from_iter([layer("decoder.0", 8, 2, 0)]);
        assert!(snap(&shape, &plan(&[("decoder.0", &[1, 9])], &[])).is_err());
        assert!(snap(&shape, &plan(&[("decoder.1", &[1])], &[])).is_err());
        assert!(snap(&shape, &plan(&[("decoder.0", &[])], &[])).is_err());
    }
}
