//! Plans from analyses.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

use super::{Amount, Method, Plan, Ranking, Shape};
use crate::analysis::{
    Analysis, FeatureAnalysis, Gram, Grouping, Points, SiteAnalysis, baseline, normalised_by_layer, top, top_of_groups,
};
use crate::error::{Error, Result};

/// What a plan is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// What heads are ranked by.
    pub ranking: Ranking,
    /// How many stay.
    pub amount: Amount,
    /// Seed of the random methods.
    pub seed: u64,
    /// Whether a layer may lose every head.
    pub allow_empty: bool,
}

impl Request {
    /// With seed 0, and at least one head in every layer.
    pub fn new(ranking: impl Into<Ranking>, amount: Amount) -> Self {
        Self { ranking: ranking.into(), amount, seed: 0, allow_empty: false }
    }

    fn method(&self) -> Method {
        self.ranking.method
    }

    fn least(&self) -> usize {
        usize::from(!self.allow_empty)
    }
}

/// The layers that read one stored layer's weights: they keep the same heads, so they are ranked as one.
struct Layer<'a> {
    passes: Vec<&'a SiteAnalysis>,
    ranking: Ranking,
    heads: usize,
    /// As many as the layer has groups.
    groups: usize,
    scores: Vec<f64>,
    /// Heads that have a signal in at least one feature map, or all where none has.
    alive: Vec<usize>,
}

impl<'a> Layer<'a> {
    /// This share of its heads, rounded.
    fn share(&self, ratio: f64) -> usize {
        (ratio * self.heads as f64).round() as usize
    }

    /// What the maps showed that count.
    fn maps(&self) -> impl Iterator<Item = &'a FeatureAnalysis> {
        let ranking = self.ranking;
        self.passes.iter().flat_map(move |pass| maps(pass, ranking))
    }
}

/// The feature maps of a site that count under a ranking.
fn maps(site: &SiteAnalysis, ranking: Ranking) -> impl Iterator<Item = &FeatureAnalysis> {
    site.features.iter().filter(move |(map, _)| ranking.map.is_none_or(|wanted| wanted == **map)).map(|(_, f)| f)
}

/// Which heads stay, by one method. Layers that share weights get the same heads; key/value groups are not looked
/// at: see [`super::snap`].
pub fn propose(analysis: &Analysis, request: &Request) -> Result<Plan> {
    check_amount(request)?;
    let mut rng = Xoshiro256Plus::seed_from_u64(request.seed);
    let mut layers = Vec::new();
    for class in Shape::from(analysis).shared() {
        let passes: Vec<_> = class.iter().filter_map(|s| analysis.site(s.site)).collect();
        layers.push(layer(analysis, passes, request.ranking, &mut rng)?);
    }
    let mut notes = Vec::new();
    let kept: Vec<Vec<usize>> = match request.amount {
        Amount::Groups => each(&layers, request, analysis, &mut rng, |l| l.groups)?,
        Amount::Keep(n) => each(&layers, request, analysis, &mut rng, |_| n)?,
        Amount::Ratio(ratio) if picks_by_group(request.method()) => {
            each(&layers, request, analysis, &mut rng, |l| l.share(ratio))?
        }
        Amount::LayerRatio(ratio) => each(&layers, request, analysis, &mut rng, |l| l.share(ratio))?,
        Amount::Ratio(ratio) => {
            let heads: usize = layers.iter().map(|l| l.heads).sum();
            let wanted = heads - (ratio * heads as f64).round() as usize;
            let (kept, gone) = lowest_gone(&layers, wanted, request.least());
            if gone < wanted {
                notes.push(format!("{gone} heads go instead of {wanted}, since every layer keeps at least one"));
            }
            kept
        }
        Amount::Threshold(least) => layers.iter().map(|l| above(l, request, least)).collect(),
    };
    let mut plan = Plan {
        method: request.ranking.to_string(),
        amount: Some(request.amount),
        seed: request.method().is_random().then_some(request.seed),
        fingerprint: Some(analysis.model.fingerprint.clone()),
        allow_empty: request.allow_empty,
        notes,
        ..Plan::default()
    };
    for (layer, kept) in layers.iter().zip(kept) {
        for pass in &layer.passes {
            plan.kept.set(pass.site, kept.iter().copied());
            plan.heads.insert(pass.site, layer.heads);
            plan.scores.insert(pass.site, layer.scores.clone());
            if let Some(map) = layer.maps().next() {
                plan.groups.insert(pass.site, map.groups.clone());
            }
        }
    }
    Ok(plan)
}

fn check_amount(request: &Request) -> Result<()> {
    match request.amount {
        Amount::Keep(0) if !request.allow_empty => {
            Err(Error::usage("a layer cannot keep 0 heads").hint("keep at least 1, or allow empty layers"))
        }
        Amount::Ratio(ratio) | Amount::LayerRatio(ratio) if !(0.0..=1.0).contains(&ratio) => {
            Err(Error::usage(format!("{ratio} is no share of heads")).hint("give a number from 0 to 1"))
        }
        Amount::Threshold(least) if !least.is_finite() => Err(Error::usage(format!("{least} is no threshold"))),
        Amount::Threshold(_) if picks_by_group(request.method()) || request.method() == Method::Random => {
            Err(Error::usage(format!("{} has no scores that a threshold could cut", request.ranking))
                .hint("give a number of heads or a ratio"))
        }
        _ => Ok(()),
    }
}

fn picks_by_group(method: Method) -> bool {
    matches!(method, Method::PerGroup | Method::RandomInGroup)
}

/// Ranks the heads of a layer; scores of several passes are averaged.
fn layer<'a>(
    analysis: &Analysis,
    passes: Vec<&'a SiteAnalysis>,
    ranking: Ranking,
    rng: &mut impl Rng,
) -> Result<Layer<'a>> {
    let heads = passes.first().map_or(0, |p| p.heads);
    let mut scores = vec![0.0; heads];
    for pass in &passes {
        if pass.heads != heads {
            return Err(Error::new(format!("{} shares weights with a layer of other size", pass.site)));
        }
        if let Some(map) = ranking.map.filter(|map| !pass.features.contains_key(map)) {
            let held: Vec<&str> = pass.features.keys().map(|m| m.name()).collect();
            return Err(Error::usage(format!("this analysis does not hold the feature map {map}"))
                .hint(format!("it holds {}", held.join(", "))));
        }
        for (sum, score) in scores.iter_mut().zip(scores_of(analysis, pass, ranking)?) {
            *sum += score / passes.len() as f64;
        }
    }
    if ranking.method == Method::Random {
        scores = (0..heads).map(|_| rng.r#gen()).collect();
    }
    let dead = |h: &usize| passes.iter().all(|p| maps(p, ranking).all(|f| f.dead.contains(h)));
    let mut alive: Vec<usize> = (0..heads).filter(|h| !dead(h)).collect();
    if alive.is_empty() {
        alive = (0..heads).collect();
    }
    let kept = |p: &&SiteAnalysis| match ranking.map {
        Some(_) => maps(p, ranking).map(|f| f.kept.len()).max().unwrap_or(1),
        None => p.kept.len(),
    };
    let groups = passes.iter().map(kept).max().unwrap_or(1).max(1);
    Ok(Layer { passes, ranking, heads, groups, scores, alive })
}

fn scores_of(analysis: &Analysis, site: &SiteAnalysis, ranking: Ranking) -> Result<Vec<f64>> {
    let baseline = |name: &str| {
        site.baselines.get(name).map(|b| b.values.clone()).ok_or_else(|| {
            Error::usage(format!("this analysis holds no {name} of heads"))
                .hint(format!("analyse the model again with {name}, or choose another method"))
        })
    };
    // The mean of what each batch gave, over the maps that count.
    let mean = |of: &dyn Fn(&FeatureAnalysis, usize) -> f64| -> Vec<f64> {
        let most = (analysis.batches * maps(site, ranking).count() as u64).max(1) as f64;
        (0..site.heads).map(|h| maps(site, ranking).map(|f| of(f, h)).sum::<f64>() / most).collect()
    };
    Ok(match ranking.method {
        Method::Votes | Method::PerGroup => mean(&|f, h| f.votes.get(h).copied().unwrap_or(0) as f64),
        Method::Score => mean(&|f, h| f.scores.get(h).copied().unwrap_or(0.0)),
        Method::Importance => baseline(baseline::IMPORTANCE)?,
        Method::ImportanceNormalised => normalised_by_layer(&baseline(baseline::IMPORTANCE)?),
        Method::Magnitude => baseline(baseline::MAGNITUDE)?,
        Method::Confidence => baseline(baseline::CONFIDENCE)?,
        Method::Random | Method::RandomInGroup => vec![0.0; site.heads],
    })
}

/// The heads that stay where every layer has its number.
fn each(
    layers: &[Layer<'_>],
    request: &Request,
    analysis: &Analysis,
    rng: &mut impl Rng,
    number: impl Fn(&Layer<'_>) -> usize,
) -> Result<Vec<Vec<usize>>> {
    let mut kept = Vec::with_capacity(layers.len());
    for layer in layers {
        let number = number(layer).max(request.least()).min(layer.heads);
        let mut chosen = match request.method() {
            _ if number == 0 => Vec::new(),
            Method::PerGroup => top_of_groups(&layer.scores, &grouping(layer, analysis, number)?),
            Method::RandomInGroup => {
                let groups = grouping(layer, analysis, number)?.live_members();
                groups.iter().filter_map(|members| members.choose(rng).copied()).collect()
            }
            _ => ranked(layer, number),
        };
        if chosen.is_empty() && number > 0 {
            // Every head of the layer is dead: one is as good as another.
            chosen = ranked(layer, 1);
        }
        chosen.sort_unstable();
        kept.push(chosen);
    }
    Ok(kept)
}

/// The `number` best heads; dead ones only where the others do not suffice.
fn ranked(layer: &Layer<'_>, number: usize) -> Vec<usize> {
    let mut kept = top(&layer.scores, layer.alive.iter().copied(), number);
    let spare = (0..layer.heads).filter(|h| !layer.alive.contains(h)).take(number - kept.len());
    kept.extend(spare);
    kept.sort_unstable();
    kept
}

/// Groups of a layer over the whole corpus, the feature maps that count (and passes) with equal weight.
fn grouping(layer: &Layer<'_>, analysis: &Analysis, groups: usize) -> Result<Grouping> {
    let settings = &analysis.settings;
    let grams: Vec<&Gram> = layer.maps().map(|f| &f.gram).collect();
    let joint;
    let gram = match grams.as_slice() {
        [single] => *single,
        several => {
            let mut sum = Gram::zeros(layer.heads);
            for gram in several {
                let trace: f64 = (0..layer.heads).map(|h| gram.norm2(h)).sum();
                if trace > 0.0 {
                    sum.add(&gram.scaled(trace.recip()))?;
                }
            }
            joint = sum;
            &joint
        }
    };
    Points::new(gram, settings.metric).by(settings.clustering).group_thoroughly(groups, settings.seed)
}

/// Removes the `wanted` lowest-ranked heads of the whole model, leaving `least` in every layer; also says how many went.
fn lowest_gone(layers: &[Layer<'_>], wanted: usize, least: usize) -> (Vec<Vec<usize>>, usize) {
    let mut order: Vec<(f64, usize, usize)> = Vec::new();
    for (l, layer) in layers.iter().enumerate() {
        let value = |h: usize| if layer.alive.contains(&h) { layer.scores[h] } else { f64::NEG_INFINITY };
        order.extend((0..layer.heads).map(|h| (value(h), l, h)));
    }
    // Of equal heads the later ones go first, as the lowest index wins elsewhere.
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
    let mut kept: Vec<Vec<usize>> = layers.iter().map(|l| (0..l.heads).collect()).collect();
    let mut gone = 0;
    for (_, l, h) in order {
        if gone == wanted {
            break;
        }
        if kept[l].len() > least {
            kept[l].retain(|k| *k != h);
            gone += 1;
        }
    }
    (kept, gone)
}

/// Heads at or above a threshold, at least the best one.
fn above(layer: &Layer<'_>, request: &Request, least: f64) -> Vec<usize> {
    let largest = layer.scores.iter().copied().fold(0.0, f64::max);
    // Scores without a natural scale count as shares of the layer's largest.
    let is_relative = matches!(request.method(), Method::Importance | Method::ImportanceNormalised | Method::Magnitude);
    let scale = if is_relative && largest > 0.0 { largest } else { 1.0 };
    let kept: Vec<usize> = layer.alive.iter().copied().filter(|h| layer.scores[*h] / scale >= least).collect();
    if kept.is_empty() { ranked(layer, request.least()) } else { kept }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::analysis::{Baseline, FeatureAnalysis, Metric, ModelInfo, Settings};
    use crate::network::{FeatureMap, Site};

    fn site(name: &str) -> Site {
        name.parse().unwrap()
    }

    /// Heads on a line at `places`, grouped into two, with these votes of ten batches.
    fn layer(name: &str, stored: usize, places: &[f64], votes: &[u64]) -> SiteAnalysis {
        let heads = places.len();
        let values = (0..heads * heads).map(|k| places[k / heads] * places[k % heads]).collect();
        let gram = Gram::from_rows(heads, values).unwrap();
        let grouping = Points::new(&gram, Metric::Euclidean).group(2, 0).unwrap();
        let kept = top(votes, 0..heads, 2);
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
            baselines: [("importance".to_owned(), Baseline { values: importance, samples: 1 })].into(),
        }
    }

    fn analysis(sites: Vec<SiteAnalysis>) -> Analysis {
        Analysis {
            model: ModelInfo { fingerprint: "f".to_owned(), ..ModelInfo::default() },
            settings: Settings::default(),
            tokens: 1,
            batches: 10,
            sites,
            checkpoints: Vec::new(),
            settled: Vec::new(),
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
        let plan = propose(analysis, &Request { seed: 5, ..Request::new(method, amount) }).unwrap();
        plan.validate(analysis).unwrap();
        plan.kept.into_iter().map(|(site, kept)| (site.to_string(), kept)).collect()
    }

    fn map(first: &[usize], second: &[usize]) -> BTreeMap<String, Vec<usize>> {
        [("encoder.0".to_owned(), first.to_vec()), ("encoder.1".to_owned(), second.to_vec())].into()
    }

    #[test]
    fn every_method_and_amount_keeps_what_it_says() {
        let all = two_layers();
        assert_eq!(kept(&all, Method::Votes, Amount::Groups), map(&[1, 2], &[0, 3]));
        // The winner of each group: {0, 1, 2} and {3, 4}; {0, 1} and {2, 3, 4}.
        assert_eq!(kept(&all, Method::PerGroup, Amount::Groups), map(&[1, 3], &[0, 3]));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(3)), map(&[1, 2, 3], &[0, 3, 4]));
        assert_eq!(kept(&all, Method::Votes, Amount::Keep(99)), map(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]));
        // Half of ten heads go: votes 0, 0, 0, 1, 2 are lowest.
        assert_eq!(kept(&all, Method::Votes, Amount::Ratio(0.5)), map(&[1, 2], &[0, 3, 4]));
        assert_eq!(kept(&all, Method::Score, Amount::Ratio(0.5)), map(&[1, 2], &[0, 3, 4]));
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
        assert_eq!(kept(&all, Method::ImportanceNormalised, Amount::Ratio(0.6)), map(&[2, 3, 4], &[2, 3, 4]));
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
            let plan = propose(&all, &Request::new(ranking.parse::<Ranking>().unwrap(), amount)).unwrap();
            assert_eq!(plan.method, ranking);
            plan.kept.into_iter().map(|(site, kept)| (site.to_string(), kept)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(kept("votes:output", Amount::Keep(2)), map(&[1, 2], &[0, 3]));
        assert_eq!(kept("votes:value", Amount::Keep(2)), map(&[0, 4], &[0, 4]));
        assert_eq!(kept("score:value", Amount::Keep(2)), map(&[0, 4], &[0, 4]));
        // Votes 8, 9, 8, 2, 6 and 11, 0, 0, 3, 9.
        assert_eq!(kept("votes", Amount::Keep(2)), map(&[0, 1], &[0, 4]));
        // Groups {0, 1} and {2, 3, 4} of the second map.
        assert_eq!(kept("per-group:value", Amount::Groups), map(&[0, 4], &[0, 4]));
        let lacking = Request::new("votes:key".parse::<Ranking>().unwrap(), Amount::Groups);
        assert!(propose(&all, &lacking).unwrap_err().to_string().contains("it holds value, output"));
    }

    #[test]
    fn a_layer_keeps_a_head_unless_it_may_be_emptied() {
        let all = two_layers();
        let plan = propose(&all, &Request::new(Method::Votes, Amount::Ratio(0.0))).unwrap();
        assert_eq!(plan.kept.iter().map(|(_, kept)| kept.len()).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(plan.notes, ["8 heads go instead of 10, since every layer keeps at least one"]);
        let request = Request { allow_empty: true, ..Request::new(Method::Votes, Amount::Ratio(0.0)) };
        let plan = propose(&all, &request).unwrap();
        assert!(plan.kept.iter().all(|(_, kept)| kept.is_empty()));
        plan.validate(&all).unwrap();
    }

    #[test]
    fn random_plans_follow_their_seed() {
        let all = two_layers();
        let plan =
            |method, seed| propose(&all, &Request { seed, ..Request::new(method, Amount::Keep(2)) }).unwrap().kept;
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
            let error = propose(&all, &Request::new(method, amount)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
