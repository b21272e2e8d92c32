//! Plans from analyses.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

use super::budget::{Share, equal_shares, most_valuable, nearest};
use super::layer::{LayerChoice, PlanLayer};
use super::request::{check_amount, evidence_notes, is_unknown};
use super::{Amount, Plan, PlanRequest, Shape};
use crate::analysis::{Analysis, Rank};
use crate::error::{Error, Result};
use crate::network::Site;
use crate::words::counted;

/// Which heads stay, by one method. Layers that share weights get the same heads, and every layer a number that
/// surgery can leave: in layers whose query heads share key/value heads each that stays serves equally many.
///
/// Where every layer has its number, that is the same for all methods, which then choose the best legal set of so many
/// heads. A share of the whole model is spent where the highest scores are by methods whose scores compare between
/// layers; by the others (votes, groups, cosines) as the same share of every layer.
pub fn propose(analysis: &Analysis, request: &PlanRequest) -> Result<Plan> {
    check_amount(analysis.sites.iter().map(|s| s.heads), request)?;
    if request.method().needs_moments() {
        return Err(Error::new(format!("{} needs the second moments beside the analysis", request.ranking))
            .hint("analyze again with --moments"));
    }
    let mut rng = Xoshiro256Plus::seed_from_u64(request.seed);
    let shape = Shape::from(analysis);
    let all: Vec<PlanLayer<'_>> =
        shape.shared().iter().map(|class| PlanLayer::new(analysis, class, request)).collect::<Result<_>>()?;
    // Layers that are spared take no part in the amount.
    let (spared, layers): (Vec<PlanLayer<'_>>, Vec<PlanLayer<'_>>) =
        all.into_iter().partition(|layer| request.spares(&layer.passes));
    let mut notes = Vec::new();
    let numbers: Option<Vec<usize>> = match request.amount {
        Amount::Groups => Some(layers.iter().map(|l| nearest(&l.legal, l.groups as f64)).collect()),
        Amount::Keep(n) => Some(layers.iter().map(|l| nearest(&l.legal, n as f64)).collect()),
        Amount::LayerRatio(ratio) => Some(layers.iter().map(|l| nearest(&l.legal, ratio * l.heads() as f64)).collect()),
        Amount::Ratio(ratio) if !request.method().compares_layers() => {
            let shares: Vec<Share> = layers.iter().map(PlanLayer::share).collect();
            Some(equal_shares(&shares, wanted(&layers, ratio)))
        }
        Amount::Ratio(_) | Amount::Threshold(_) => None,
    };
    let chosen: Vec<LayerChoice> = match (numbers, request.amount) {
        (Some(numbers), _) => {
            layers.iter().zip(numbers).map(|(layer, n)| layer.choose(n, &mut rng)).collect::<Result<_>>()?
        }
        (None, Amount::Ratio(ratio)) => spend(&layers, wanted(&layers, ratio), &mut rng)?,
        (None, amount) => {
            let least = if let Amount::Threshold(least) = amount { least } else { 0.0 };
            layers.iter().map(|layer| layer.above(least, &mut rng)).collect::<Result<_>>()?
        }
    };
    if let Amount::Ratio(ratio) = request.amount {
        let (wanted, kept) = (wanted(&layers, ratio), chosen.iter().map(|c| c.kept.len()).sum::<usize>());
        if kept > wanted {
            notes.push(format!("{kept} heads stay instead of {wanted}, since every layer keeps at least one"));
        } else if kept < wanted {
            notes.push(format!(
                "{kept} heads stay instead of {wanted}, the most that every layer's key/value heads allow"
            ));
        }
    }
    if let Amount::Keep(n) = request.amount {
        let other: BTreeSet<usize> = chosen
            .iter()
            .zip(&layers)
            .map(|(c, l)| (c.kept.len(), l.heads()))
            .filter(|(k, h)| *k != n.min(*h))
            .map(|(k, _)| k)
            .collect();
        for number in other {
            notes.push(format!(
                "{number} heads of a layer stay instead of {n}, so that key/value heads serve equally many"
            ));
        }
    }
    if request.least() == 1 && matches!(request.amount, Amount::LayerRatio(_) | Amount::Threshold(_)) {
        let raised = match request.amount {
            // Half a head rounds up.
            Amount::LayerRatio(ratio) => layers.iter().filter(|l| ratio * (l.heads() as f64) < 0.5).count(),
            Amount::Threshold(_) => chosen.iter().filter(|c| c.is_below).count(),
            _ => 0,
        };
        if raised > 0 {
            let all = counted(layers.len(), "layers");
            notes.push(format!("in {raised} of {all} no head would stay: every layer keeps at least one"));
        }
    }
    // Where nothing is removed, nothing is to be doubted.
    if layers.iter().zip(&chosen).any(|(layer, choice)| choice.kept.len() < layer.heads()) {
        notes.extend(evidence_notes(analysis, request));
    }
    notes.extend(ties(&chosen));
    if layers.iter().zip(&chosen).any(|(l, c)| l.lacks_votes(c.kept.len())) {
        notes.push(
            "this analysis, of an older release, holds votes for one number of groups alone: analyze again for those of as \
             many groups as heads stay"
                .to_owned(),
        );
    }
    let mut plan = Plan {
        method: request.ranking.to_string(),
        amount: Some(request.amount),
        seed: request.method().is_random().then_some(request.seed),
        fingerprint: Some(analysis.model.fingerprint.clone()),
        allow_empty: request.allow_empty,
        chosen_on: request.method().chosen_on(analysis),
        notes,
        spared: sites_of(&spared, |_| true),
        untold: sites_of(&spared, |layer| is_unknown(&layer.passes)),
        ..Plan::default()
    };
    let whole = spared.iter().map(|l| l.choose(l.heads(), &mut rng)).collect::<Result<Vec<_>>>()?;
    let chosen = layers.iter().zip(chosen).chain(spared.iter().zip(whole));
    for (layer, LayerChoice { kept, ranks, .. }) in chosen {
        for pass in &layer.passes {
            plan.kept.set(pass.site, kept.iter().copied());
            plan.heads.insert(pass.site, layer.heads());
            plan.scores.insert(pass.site, ranks.iter().map(|r| r.score).collect());
            if let Some(map) = layer.maps().next() {
                plan.groups.insert(pass.site, map.groups.clone());
            }
        }
    }
    plan.notes.extend(plan.spared_words());
    Ok(plan)
}

/// The layers of those classes of `layers` that `are` so.
fn sites_of(layers: &[PlanLayer<'_>], are: impl Fn(&PlanLayer<'_>) -> bool) -> Vec<Site> {
    layers.iter().filter(|layer| are(layer)).flat_map(|layer| layer.passes.iter().map(|pass| pass.site)).collect()
}

/// Heads of the whole model that a share is.
fn wanted(layers: &[PlanLayer<'_>], ratio: f64) -> usize {
    (ratio * layers.iter().map(PlanLayer::heads).sum::<usize>() as f64).round() as usize
}

/// Spends one budget over the whole model where the highest scores are.
fn spend(layers: &[PlanLayer<'_>], total: usize, rng: &mut impl Rng) -> Result<Vec<LayerChoice>> {
    let ranks: Vec<Vec<Rank>> = layers.iter().map(|l| l.ranks(l.heads(), rng)).collect::<Result<_>>()?;
    let numbers = if layers.iter().all(|l| l.legal.last() == Some(&l.legal.len()) || l.legal.len() == l.heads() + 1) {
        highest(layers, &ranks, total)
    } else {
        let worth = |(layer, ranks): (&PlanLayer<'_>, &Vec<Rank>)| {
            let of = |n: &usize| (*n, layer.best_set(ranks, *n).iter().map(|h| ranks[*h].score).sum());
            layer.legal.iter().map(of).collect::<Vec<(usize, f64)>>()
        };
        let least: usize = layers.iter().filter_map(|l| l.legal.first()).sum();
        most_valuable(&layers.iter().zip(&ranks).map(worth).collect::<Vec<_>>(), total.max(least))
    };
    let choose = |((layer, ranks), n): ((&PlanLayer<'_>, Vec<Rank>), usize)| LayerChoice {
        kept: layer.best_set(&ranks, n),
        ranks,
        is_below: false,
    };
    Ok(layers.iter().zip(ranks).zip(numbers).map(choose).collect())
}

/// How many heads of each layer are among the `total` highest of the model, where any number can stay.
fn highest(layers: &[PlanLayer<'_>], ranks: &[Vec<Rank>], total: usize) -> Vec<usize> {
    let mut order: Vec<(usize, usize)> =
        layers.iter().enumerate().flat_map(|(l, layer)| (0..layer.heads()).map(move |h| (l, h))).collect();
    order.sort_by(|a, b| ranks[b.0][b.1].order(&ranks[a.0][a.1]));
    // Every layer has its least first.
    let mut numbers: Vec<usize> = layers.iter().map(|l| l.legal.first().copied().unwrap_or(0)).collect();
    let mut spare: Vec<usize> = numbers.clone();
    let mut left = total.saturating_sub(numbers.iter().sum());
    for (l, _) in order {
        if spare[l] > 0 {
            spare[l] -= 1;
        } else if left > 0 {
            numbers[l] += 1;
            left -= 1;
        }
    }
    numbers
}

/// In words, how often equal scores stood at the cut, and what settled it.
fn ties(chosen: &[LayerChoice]) -> Option<String> {
    let (mut layers, mut by) = (0, [0usize; 3]);
    for LayerChoice { kept, ranks, .. } in chosen {
        let dropped = || (0..ranks.len()).filter(|h| !kept.contains(h));
        let equal =
            |h: usize, other: usize| ranks[h].class == ranks[other].class && ranks[h].score == ranks[other].score;
        let mut any = false;
        for head in kept {
            let rivals = dropped().filter(|other| equal(*head, *other));
            let Some(rival) = rivals.max_by(|a, b| ranks[*a].order(&ranks[*b])) else { continue };
            any = true;
            let (own, rival) = (&ranks[*head], &ranks[rival]);
            let how = if own.margin != rival.margin {
                0
            } else if own.norm != rival.norm {
                1
            } else {
                2
            };
            by[how] += 1;
        }
        layers += usize::from(any);
    }
    let words = ["margin", "share of the norm", "index"];
    let parts: Vec<String> =
        by.iter().zip(words).filter(|(n, _)| **n > 0).map(|(n, word)| format!("{n} by {word}")).collect();
    let total: usize = by.iter().sum();
    (total > 0).then(|| {
        let (heads, were) = match total {
            1 => ("1 head that stays".to_owned(), "was"),
            many => (format!("{many} heads that stay"), "were"),
        };
        format!("{heads} of {} {were} chosen among equals: {}", counted(layers, "layers"), parts.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Method, Ranking};
    use std::collections::BTreeMap;

    use super::*;
    use crate::analysis::{
        AnalysisSettings, Ballot, Baseline, FeatureAnalysis, Gram, Metric, ModelInfo, Points, SiteAnalysis,
    };
    use crate::network::FeatureMap;

    fn site(name: &str) -> Site {
        name.parse().unwrap()
    }

    /// Heads on a line at `places`, grouped into two, with these votes of ten batches.
    fn layer(name: &str, stored: usize, places: &[f64], votes: &[u64]) -> SiteAnalysis {
        let heads = places.len();
        let values = (0..heads * heads).map(|k| places[k / heads] * places[k % heads]).collect();
        let gram = Gram::from_rows(heads, values).unwrap();
        let grouping = Points::new(&gram, Metric::Euclidean).group(2, 0).unwrap();
        let kept: Vec<usize> = (0..2).collect();
        let feature = FeatureAnalysis {
            gram,
            groups: grouping.labels.clone(),
            inertia: grouping.inertia,
            silhouette: None,
            mean_silhouette: None,
            dunn: None,
            dead: grouping.dead,
            curve: Vec::new(),
            votes: votes.to_vec(),
            margins: Vec::new(),
            tied_votes: 0,
            scores: votes.iter().map(|v| *v as f64 / 2.0).collect(),
            by_groups: Vec::new(),
            partitions: Vec::new(),
            stability: None,
            evidence: None,
            kept: kept.clone(),
            kept_per_group: Vec::new(),
            kv_shared: false,
        };
        let importance = (0..heads).map(|h| (h + 1) as f64 * if name.ends_with('0') { 1.0 } else { 100.0 }).collect();
        SiteAnalysis {
            site: site(name),
            heads,
            kv_heads: heads,
            head_dim: 1,
            stored_layer: stored,
            features: [(FeatureMap::Output, feature)].into(),
            votes: votes.to_vec(),
            kept,
            margin: None,
            history: Vec::new(),
            cka: None,
            baselines: [("importance".to_owned(), Baseline::means(importance, 1))].into(),
            evidence: None,
        }
    }

    fn analysis(sites: Vec<SiteAnalysis>) -> Analysis {
        Analysis {
            model: ModelInfo { fingerprint: "f".to_owned(), ..ModelInfo::default() },
            settings: AnalysisSettings::default(),
            reading: None,
            merged: Vec::new(),
            tokens: 1,
            batches: 10,
            sites,
            checkpoints: Vec::new(),
            settled: Vec::new(),
            evidence: None,
            not_compared: None,
            notes: Vec::new(),
        }
    }

    fn two_layers() -> Analysis {
        analysis(vec![
            layer("encoder.0", 0, &[1.0, 1.1, 1.2, 9.0, 9.1], &[1, 9, 8, 2, 0]),
            layer("encoder.1", 1, &[5.0, 5.1, 9.0, 9.1, 9.2], &[4, 0, 0, 3, 3]),
        ])
    }

    fn kept(analysis: &Analysis, method: Method, amount: Amount) -> BTreeMap<String, Vec<usize>> {
        let plan = propose(analysis, &PlanRequest { seed: 5, ..PlanRequest::new(method, amount) }).unwrap();
        plan.validate(analysis).unwrap();
        plan.kept.into_iter().map(|(site, kept)| (site.to_string(), kept)).collect()
    }

    fn map(first: &[usize], second: &[usize]) -> BTreeMap<String, Vec<usize>> {
        [("encoder.0".to_owned(), first.to_vec()), ("encoder.1".to_owned(), second.to_vec())].into()
    }

    #[test]
    fn every_method_and_amount_keeps_what_it_says() {
        let all = two_layers();
        // Heads 3 and 4 of the second layer have equal votes; the norm of 4 is larger.
        assert_eq!(kept(&all, Method::Votes, Amount::Groups), map(&[1, 2], &[0, 4]));
        // The winner of each group: {0, 1, 2} and {3, 4}; {0, 1} and {2, 3, 4}.
        assert_eq!(kept(&all, Method::PerGroup, Amount::Groups), map(&[1, 3], &[0, 4]));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(3)), map(&[1, 2, 3], &[0, 3, 4]));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(5)), map(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]));
        let more = propose(&all, &PlanRequest::new(Method::Votes, Amount::Keep(6))).unwrap_err().to_string();
        assert!(more.contains("cannot keep 6 heads: no layer has more than 5"), "{more}");
        // Half of ten heads stay, half of each layer: votes do not compare between layers.
        assert_eq!(kept(&all, Method::Votes, Amount::Ratio(0.5)), map(&[1, 2, 3], &[0, 4]));
        assert_eq!(kept(&all, Method::Score, Amount::Ratio(0.5)), map(&[1, 2, 3], &[0, 4]));
        // Three of five per layer.
        assert_eq!(kept(&all, Method::PerGroup, Amount::Ratio(0.6))["encoder.0"].len(), 3);
        // In each layer, 2.5 rounded.
        assert_eq!(kept(&all, Method::Votes, Amount::LayerRatio(0.5)), map(&[1, 2, 3], &[0, 3, 4]));
        assert_eq!(kept(&all, Method::Votes, Amount::LayerRatio(0.0)), map(&[1], &[0]));
        // Shares 0.4 and more; at least the best.
        assert_eq!(kept(&all, Method::Votes, Amount::Threshold(0.4)), map(&[1, 2], &[0]));
        assert_eq!(kept(&all, Method::Votes, Amount::Threshold(0.85)), map(&[1], &[0]));
        // Importance 1..5 and 100..500: raw ranks the second layer above all of the first.
        assert_eq!(kept(&all, Method::Importance, Amount::Ratio(0.6)), map(&[4], &[0, 1, 2, 3, 4]));
        assert_eq!(kept(&all, Method::ImportanceNormalized, Amount::Ratio(0.6)), map(&[2, 3, 4], &[2, 3, 4]));
        assert_eq!(kept(&all, Method::Importance, Amount::Threshold(0.8)), map(&[3, 4], &[3, 4]));
    }

    #[test]
    fn one_map_alone_or_several_together() {
        let mut all = two_layers();
        // A second map, in which the first and the last heads of a layer win.
        for site in &mut all.sites {
            let mut other = layer("encoder.9", 9, &[1.0, 1.0, 9.0, 9.0, 9.0], &[7, 0, 0, 0, 6]).features;
            let other = other.remove(&FeatureMap::Output).unwrap();
            site.votes.iter_mut().zip(&other.votes).for_each(|(sum, v)| *sum += v);
            site.features.insert(FeatureMap::Value, other);
        }
        let kept = |ranking: &str, amount| {
            let plan = propose(&all, &PlanRequest::new(ranking.parse::<Ranking>().unwrap(), amount)).unwrap();
            assert_eq!(plan.method, ranking);
            plan.kept.into_iter().map(|(site, kept)| (site.to_string(), kept)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(kept("votes:output", Amount::Keep(2)), map(&[1, 2], &[0, 4]));
        assert_eq!(kept("votes:value", Amount::Keep(2)), map(&[0, 4], &[0, 4]));
        assert_eq!(kept("score:value", Amount::Keep(2)), map(&[0, 4], &[0, 4]));
        // Votes 8, 9, 8, 2, 6 and 11, 0, 0, 3, 9; of the two with 8 the second has the larger norms.
        assert_eq!(kept("votes", Amount::Keep(2)), map(&[1, 2], &[0, 4]));
        // Groups {0, 1} and {2, 3, 4} of the second map.
        assert_eq!(kept("per-group:value", Amount::Groups), map(&[0, 4], &[0, 4]));
        let lacking = PlanRequest::new("votes:key".parse::<Ranking>().unwrap(), Amount::Groups);
        assert!(propose(&all, &lacking).unwrap_err().to_string().contains("it holds value, output"));
    }

    #[test]
    fn layers_without_evidence_are_left_alone_where_the_amount_is_nobodys() {
        let mut all = two_layers();
        let evidence =
            |found: bool| serde_json::from_value(serde_json::json!({"found": found, "sentence": "x"})).unwrap();
        (all.sites[0].evidence, all.sites[1].evidence) = (Some(evidence(false)), Some(evidence(true)));
        let plan = |method, amount, without_evidence| {
            let plan = propose(&all, &PlanRequest { without_evidence, ..PlanRequest::new(method, amount) }).unwrap();
            let kept: Vec<usize> = plan.kept.iter().map(|(_, kept)| kept.len()).collect();
            (kept, plan.spared.iter().map(Site::to_string).collect::<Vec<_>>())
        };
        let alone = vec!["encoder.0".to_owned()];
        assert_eq!(plan(Method::Votes, Amount::Groups, None), (vec![5, 2], alone.clone()));
        assert_eq!(plan(Method::Votes, Amount::Groups, Some(true)), (vec![2, 2], Vec::new()));
        // A number that somebody names is for every layer.
        assert_eq!(plan(Method::Votes, Amount::Keep(3), None), (vec![3, 3], Vec::new()));
        // A share is one of the layers that are left: 0.6 of five heads, not of ten.
        for method in [Method::Votes, Method::Importance] {
            assert_eq!(plan(method, Amount::Ratio(0.6), Some(false)), (vec![5, 3], alone.clone()), "{method}");
        }
        assert_eq!(plan(Method::Importance, Amount::LayerRatio(0.4), Some(false)), (vec![5, 2], alone));
    }

    #[test]
    fn a_plan_without_an_amount_says_what_is_not_known() {
        let mut all = two_layers();
        let notes =
            |all: &Analysis, amount| propose(all, &PlanRequest::new(Method::Votes, amount)).unwrap().notes.join("; ");
        assert!(notes(&all, Amount::Groups).contains("not known of 2 of 2 layers, since the analysis does not say"));
        assert!(!notes(&all, Amount::Keep(2)).contains("not known"));
        let few = serde_json::json!({"found": false, "too_few": true, "sentence": "x"});
        all.sites.iter_mut().for_each(|s| s.evidence = Some(serde_json::from_value(few.clone()).unwrap()));
        assert!(notes(&all, Amount::Groups).contains("not known of 2 of 2 layers, since too few tokens were read"));
    }

    #[test]
    fn a_layer_keeps_a_head_unless_it_may_be_emptied() {
        let all = two_layers();
        let plan = propose(&all, &PlanRequest::new(Method::Votes, Amount::Ratio(0.0))).unwrap();
        assert_eq!(plan.kept.iter().map(|(_, kept)| kept.len()).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(plan.notes[..1], ["2 heads stay instead of 0, since every layer keeps at least one"]);
        let request = PlanRequest { allow_empty: true, ..PlanRequest::new(Method::Votes, Amount::Ratio(0.0)) };
        let plan = propose(&all, &request).unwrap();
        assert!(plan.kept.iter().all(|(_, kept)| kept.is_empty()));
        plan.validate(&all).unwrap();
    }

    #[test]
    fn random_plans_follow_their_seed() {
        let all = two_layers();
        let plan = |method, seed| {
            propose(&all, &PlanRequest { seed, ..PlanRequest::new(method, Amount::Keep(2)) }).unwrap().kept
        };
        assert_eq!(plan(Method::Random, 1), plan(Method::Random, 1));
        let mut seen = std::collections::BTreeSet::new();
        let mut counts = [0; 5];
        for seed in 0..200 {
            let kept = plan(Method::Random, seed);
            assert!(kept.iter().all(|(_, k)| k.len() == 2));
            for h in kept.get(site("encoder.0")).unwrap() {
                counts[*h] += 1;
            }
            seen.insert(kept);
            // One of {0, 1, 2} and one of {3, 4}.
            let plan = plan(Method::RandomInGroup, seed);
            let grouped = plan.get(site("encoder.0")).unwrap();
            assert!(grouped[0] < 3 && grouped[1] >= 3, "{grouped:?}");
        }
        // All of the 10 x 10 choices are about equally likely; each head is in 40 % of them.
        assert!(seen.len() > 70 && counts.iter().all(|c| (50..110).contains(c)), "{counts:?}");
    }

    #[test]
    fn passes_of_one_stored_layer_are_ranked_as_one() {
        let all = analysis(vec![
            layer("encoder.0", 0, &[1.0, 1.1, 1.2, 9.0, 9.1], &[1, 9, 8, 2, 0]),
            layer("encoder.1", 0, &[5.0, 5.1, 9.0, 9.1, 9.2], &[4, 0, 0, 9, 3]),
        ]);
        // Votes 5, 9, 8, 11, 3.
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(2)), map(&[1, 3], &[1, 3]));
        assert_eq!(kept(&all, Method::Votes, Amount::Ratio(0.6)), map(&[1, 2, 3], &[1, 2, 3]));
        assert_eq!(kept(&all, Method::Random, Amount::Keep(2))["encoder.0"].len(), 2);
    }

    /// Votes for every number of groups, from the numbers of votes of the heads.
    fn with_votes(site: &mut SiteAnalysis, by_groups: &[&[u64]]) {
        for feature in site.features.values_mut() {
            feature.by_groups =
                by_groups.iter().map(|votes| Ballot { votes: votes.to_vec(), ..Ballot::zeros(votes.len()) }).collect();
        }
    }

    #[test]
    fn votes_are_those_for_as_many_groups_as_heads_stay() {
        let mut all = two_layers();
        let groups: [&[u64]; 5] =
            [&[0, 0, 10, 0, 0], &[1, 9, 8, 2, 0], &[9, 1, 0, 10, 10], &[10, 0, 10, 10, 10], &[10, 10, 10, 10, 10]];
        all.sites.iter_mut().for_each(|site| with_votes(site, &groups));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(1)), map(&[2], &[2]));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(2)), map(&[1, 2], &[1, 2]));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(3)), map(&[0, 3, 4], &[0, 3, 4]));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(4)), map(&[0, 2, 3, 4], &[0, 2, 3, 4]));
        let plan = propose(&all, &PlanRequest::new(Method::Votes, Amount::Keep(3))).unwrap();
        assert_eq!(plan.scores[&site("encoder.0")], [0.9, 0.1, 0.0, 1.0, 1.0]);
        assert_eq!(plan.notes, Vec::<String>::new());
        // An older analysis has votes for one number of groups, and the plan says what that means.
        let old = propose(&two_layers(), &PlanRequest::new(Method::Votes, Amount::Keep(3))).unwrap();
        assert!(old.notes.iter().any(|n| n.contains("of an older release")), "{:?}", old.notes);
        let own = propose(&two_layers(), &PlanRequest::new(Method::Votes, Amount::Groups)).unwrap();
        assert!(own.notes.iter().all(|n| !n.contains("older")), "{:?}", own.notes);
    }

    #[test]
    fn equal_heads_at_the_cut_are_counted_and_settled_by_margin_and_norm() {
        let mut all = two_layers();
        // Nobody but head 0 has votes; margins favor head 1 of the first layer.
        let votes: [&[u64]; 5] = [&[10, 0, 0, 0, 0]; 5];
        all.sites.iter_mut().for_each(|site| with_votes(site, &votes));
        for feature in all.sites[0].features.values_mut() {
            feature.by_groups[2].margins[1] = 0.5;
        }
        let plan = propose(&all, &PlanRequest::new(Method::Votes, Amount::Keep(3))).unwrap();
        assert_eq!(plan.kept.get(site("encoder.0")).unwrap(), [0, 1, 4]);
        assert_eq!(plan.kept.get(site("encoder.1")).unwrap(), [0, 3, 4]);
        assert_eq!(
            plan.notes,
            ["4 heads that stay of 2 layers were chosen among equals: 1 by margin, 3 by share of the norm"]
        );
    }

    #[test]
    fn every_method_keeps_the_same_legal_number_where_heads_share_keys() {
        let places: Vec<f64> = (0..9).map(|h| 1.0 + f64::from(h) * f64::from(h)).collect();
        let votes = [0, 5, 0, 9, 0, 1, 1, 1, 3];
        let mut all = analysis((0..4).map(|l| layer(&format!("decoder.{l}"), l, &places, &votes)).collect());
        all.sites.iter_mut().for_each(|site| site.kv_heads = 3);
        let plan = |method: Method, amount: Amount| {
            let plan = propose(&all, &PlanRequest { seed: 3, ..PlanRequest::new(method, amount) }).unwrap();
            // Surgery can carry it out as it is.
            assert_eq!(super::super::snap(&all, &plan).unwrap().1, Vec::<String>::new());
            plan
        };
        let methods = [
            Method::Votes,
            Method::PerGroup,
            Method::Score,
            Method::Importance,
            Method::ImportanceNormalized,
            Method::Random,
            Method::RandomInGroup,
        ];
        for method in methods {
            // 4.5 of 9 are 5, which is as near to 4 as to 6.
            for (amount, number) in [
                (Amount::LayerRatio(0.5), 4),
                (Amount::LayerRatio(0.67), 6),
                (Amount::Keep(3), 3),
                (Amount::Keep(5), 4),
                (Amount::Keep(9), 9),
            ] {
                let found = plan(method, amount);
                assert!(
                    found.kept.iter().all(|(_, kept)| kept.len() == number),
                    "{method} {amount:?}: {:?}",
                    found.kept
                );
            }
            // Three quarters of 36 are 27: freed heads go to other layers.
            let found = plan(method, Amount::Ratio(0.75));
            assert_eq!(found.kept.heads(), 27, "{method}: {:?}", found.kept);
        }
        // Of all sets of three: one key/value head with votes 9, 0, 1 against heads 1, 3, 8 of all three.
        assert_eq!(plan(Method::Votes, Amount::Keep(3)).kept.get(site("decoder.0")).unwrap(), [1, 3, 8]);
        // Two of each of two: 5 and 0, 9 and 1, 3 and 1.
        assert_eq!(plan(Method::Votes, Amount::Keep(4)).kept.get(site("decoder.0")).unwrap(), [1, 2, 3, 5]);
        assert!(plan(Method::Votes, Amount::Keep(5)).notes[0].starts_with("4 heads of a layer stay instead of 5"));
    }

    #[test]
    fn impossible_requests_are_refused() {
        let all = two_layers();
        for (method, amount, part) in [
            (Method::Votes, Amount::Keep(0), "cannot keep 0 heads"),
            (Method::Votes, Amount::Ratio(1.5), "no share of heads"),
            (Method::Votes, Amount::Ratio(f64::NAN), "no share of heads"),
            (Method::Random, Amount::Threshold(0.5), "no scores"),
            (Method::PerGroup, Amount::Threshold(0.5), "no scores"),
            (Method::Magnitude, Amount::Keep(1), "holds no magnitude"),
            (Method::Confidence, Amount::Keep(1), "holds no confidence"),
        ] {
            let error = propose(&all, &PlanRequest::new(method, amount)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
