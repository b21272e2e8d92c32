//! One stored layer: how its heads stand by a method, and the best set of so many of them.

use rand::Rng;
use rand::seq::SliceRandom;

use super::budget::{Share, legal_numbers};
use super::method::lacks_score;
use super::{Method, PlanRequest, Ranking, SiteShape};
use crate::analysis::{
    Analysis, Ballot, FeatureAnalysis, Gram, Grouping, Points, Rank, SiteAnalysis, best_of_groups, norm_shares,
    normalized_by_layer, settled,
};
use crate::error::{Error, Result};

/// The layers that read one stored layer's weights: they keep the same heads, so they are ranked as one.
pub(super) struct PlanLayer<'a> {
    analysis: &'a Analysis,
    shape: SiteShape,
    ranking: Ranking,
    pub passes: Vec<&'a SiteAnalysis>,
    /// As many as the layer has groups.
    pub groups: usize,
    /// Numbers of heads that can stay.
    pub legal: Vec<usize>,
    /// Scores of methods that do not depend on how many heads stay; mean over the passes.
    fixed: Option<Vec<f64>>,
}

/// The heads of a layer that stay, and how all stood.
pub(super) struct LayerChoice {
    pub kept: Vec<usize>,
    pub ranks: Vec<Rank>,
    /// Whether no head reached the threshold that was asked for.
    pub is_below: bool,
}

impl<'a> PlanLayer<'a> {
    /// The passes of `class`.
    pub(super) fn new(analysis: &'a Analysis, class: &[SiteShape], request: &PlanRequest) -> Result<Self> {
        let ranking = request.ranking;
        let passes: Vec<&SiteAnalysis> = class.iter().filter_map(|s| analysis.site(s.site)).collect();
        let shape = *class.first().ok_or_else(|| Error::new("the analysis holds no layer"))?;
        for pass in &passes {
            if pass.heads != shape.heads {
                return Err(Error::new(format!("{} shares weights with a layer of other size", pass.site)));
            }
            ranking.check_layer(pass)?;
        }
        let kept = |p: &&SiteAnalysis| match ranking.map {
            Some(_) => maps(p, ranking).map(|f| f.kept.len()).max().unwrap_or(1),
            None => p.kept.len(),
        };
        Ok(Self {
            groups: passes.iter().map(kept).max().unwrap_or(1).max(1),
            legal: legal_numbers(&shape, request.least()),
            fixed: fixed_scores(&passes, shape.heads, ranking.method)?,
            analysis,
            shape,
            ranking,
            passes,
        })
    }

    /// The number of query heads.
    pub(super) fn heads(&self) -> usize {
        self.shape.heads
    }

    /// What the maps showed that count, of every pass.
    pub(super) fn maps(&self) -> impl Iterator<Item = &'a FeatureAnalysis> {
        let ranking = self.ranking;
        self.passes.clone().into_iter().flat_map(move |pass| maps(pass, ranking))
    }

    /// What a budget must know.
    pub(super) fn share(&self) -> Share {
        let unexplained = |groups: usize| {
            let of = |f: &FeatureAnalysis| {
                let inertia = |groups| f.curve.iter().find(|p| p.groups == groups).map(|p| p.inertia);
                match (inertia(groups), inertia(1)) {
                    (Some(now), Some(all)) if all > 0.0 => now / all,
                    _ => 0.0,
                }
            };
            settled(self.maps().map(of).sum::<f64>() / self.maps().count() as f64)
        };
        Share {
            heads: self.heads(),
            legal: self.legal.clone(),
            unexplained: (1..=self.heads()).map(unexplained).collect(),
        }
    }

    /// Whether votes for `groups` groups are wanted and not there.
    pub(super) fn lacks_votes(&self, groups: usize) -> bool {
        matches!(self.ranking.method, Method::Votes | Method::PerGroup | Method::Score)
            && groups != self.groups
            && groups < self.heads()
            && self.maps().any(|f| f.by_groups.is_empty())
    }

    /// The best `number` heads by the method.
    pub(super) fn choose(&self, number: usize, rng: &mut impl Rng) -> Result<LayerChoice> {
        let mut ranks = self.ranks(number, rng)?;
        if number > 0 && self.ranking.method.picks_by_group() {
            let grouping = self.grouping(number)?;
            let winners = match self.ranking.method {
                Method::RandomInGroup => {
                    let groups = grouping.live_members();
                    groups.iter().filter_map(|members| members.choose(rng).copied()).collect()
                }
                _ => best_of_groups(&ranks, &grouping),
            };
            // Those that stand for a group go before all others.
            winners.into_iter().for_each(|h| ranks[h].class += 1);
        }
        Ok(LayerChoice { kept: self.best_set(&ranks, number), ranks, is_below: false })
    }

    /// Heads at or above a threshold, at least the best one.
    pub(super) fn above(&self, least: f64, rng: &mut impl Rng) -> Result<LayerChoice> {
        let ranks = self.ranks(self.groups, rng)?;
        let largest = ranks.iter().map(|r| r.score).fold(0.0, f64::max);
        // Scores without a natural scale count as shares of the layer's largest.
        let is_relative =
            matches!(self.ranking.method, Method::Importance | Method::ImportanceNormalized | Method::Magnitude);
        let scale = if is_relative && largest > 0.0 { largest } else { 1.0 };
        let mut kept: Vec<usize> =
            (0..self.heads()).filter(|h| ranks[*h].class == 0 && ranks[*h].score / scale >= least).collect();
        let is_below = kept.is_empty();
        if is_below {
            kept = self.best_set(&ranks, self.legal.first().copied().unwrap_or(0));
        }
        Ok(LayerChoice { kept, ranks, is_below })
    }

    /// How the heads stand where `number` of them stay: votes and cosines are those for as many groups.
    pub(super) fn ranks(&self, number: usize, rng: &mut impl Rng) -> Result<Vec<Rank>> {
        let heads = self.heads();
        let dead = |h: usize| self.passes.iter().all(|p| maps(p, self.ranking).all(|f| f.dead.contains(&h)));
        let all_dead = (0..heads).all(dead);
        let maps: Vec<&FeatureAnalysis> = self.maps().collect();
        let norms: Vec<Vec<f64>> = maps.iter().map(|f| norm_shares(&f.gram)).collect();
        let norm = |h: usize| settled(norms.iter().map(|n| n[h]).sum::<f64>() / norms.len() as f64);
        let votes = (maps.len() as u64 * self.analysis.batches) as f64;
        let ballots: Vec<Ballot> = maps.iter().map(|f| ballot(f, number)).collect();
        // What each batch and map that counts gave, on average.
        let mean = |of: &dyn Fn(&Ballot) -> Option<f64>| ballots.iter().filter_map(of).sum::<f64>() / votes;
        let (mut scores, mut margins) = (vec![0.0; heads], vec![0.0; heads]);
        match self.ranking.method {
            Method::Votes | Method::PerGroup => {
                for h in 0..heads {
                    scores[h] = mean(&|b| b.votes.get(h).map(|v| *v as f64));
                    margins[h] = mean(&|b| b.margins.get(h).copied());
                }
            }
            Method::Score => {
                for h in 0..heads {
                    scores[h] = settled(mean(&|b| b.cosines.get(h).copied()));
                }
            }
            Method::Random | Method::RandomInGroup => scores = (0..heads).map(|_| rng.r#gen()).collect(),
            _ => {
                if let Some(fixed) = &self.fixed {
                    scores.clone_from(fixed);
                }
            }
        }
        let rank = |h: usize| Rank {
            class: -i64::from(!all_dead && dead(h)),
            score: scores[h],
            margin: settled(margins[h]),
            norm: norm(h),
        };
        Ok((0..heads).map(rank).collect())
    }

    /// The best set of exactly `number` heads that surgery can leave: every key/value head that stays serves equally
    /// many. Of sets that stand equal the one with fewer key/value heads, which saves more.
    pub(super) fn best_set(&self, ranks: &[Rank], number: usize) -> Vec<usize> {
        let (kv_heads, repeat) = (self.shape.kv_heads, self.shape.queries_per_kv());
        let mut found: Option<(Rank, Vec<usize>)> = None;
        // Most query heads per key/value head first: that is fewest key/value heads.
        for each in (1..=repeat).rev().filter(|each| number.is_multiple_of(*each) && number / each <= kv_heads) {
            let mut groups: Vec<(Rank, Vec<usize>)> = (0..kv_heads)
                .map(|kv| {
                    let heads = crate::analysis::best(ranks, kv * repeat..(kv + 1) * repeat, each);
                    (heads.iter().fold(Rank::default(), |sum, h| sum.plus(ranks[*h])), heads)
                })
                .collect();
            groups.sort_by(|a, b| b.0.order(&a.0));
            groups.truncate(number / each);
            let sum = groups.iter().fold(Rank::default(), |sum, (rank, _)| sum.plus(*rank));
            if found.as_ref().is_none_or(|(best, _)| sum.order(best).is_gt()) {
                found = Some((sum, groups.into_iter().flat_map(|(_, heads)| heads).collect()));
            }
        }
        let mut kept = found.map(|(_, kept)| kept).unwrap_or_default();
        kept.sort_unstable();
        kept
    }

    /// Groups of the layer over the whole corpus, the feature maps that count (and passes) with equal weight.
    pub(super) fn grouping(&self, groups: usize) -> Result<Grouping> {
        let settings = &self.analysis.settings;
        let grams: Vec<&Gram> = self.maps().map(|f| &f.gram).collect();
        let joint;
        let gram = match grams.as_slice() {
            [single] => *single,
            several => {
                let mut sum = Gram::zeros(self.heads());
                for gram in several {
                    let trace: f64 = (0..self.heads()).map(|h| gram.norm2(h)).sum();
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
}

/// Votes of a map for `number` groups; where an older analysis has none, those it has.
pub(super) fn ballot(feature: &FeatureAnalysis, number: usize) -> Ballot {
    match number.checked_sub(1).and_then(|place| feature.by_groups.get(place)) {
        Some(ballot) => ballot.clone(),
        None => Ballot {
            votes: feature.votes.clone(),
            tied: feature.tied_votes,
            margins: feature.margins.clone(),
            cosines: feature.scores.clone(),
        },
    }
}

/// The feature maps of a site that count under a ranking.
fn maps(site: &SiteAnalysis, ranking: Ranking) -> impl Iterator<Item = &FeatureAnalysis> {
    site.features.iter().filter(move |(map, _)| ranking.map.is_none_or(|wanted| wanted == **map)).map(|(_, f)| f)
}

/// Scores that do not depend on how many heads stay, averaged over the passes; none for methods that vote or draw.
fn fixed_scores(passes: &[&SiteAnalysis], heads: usize, method: Method) -> Result<Option<Vec<f64>>> {
    let Some(name) = method.baseline() else { return Ok(None) };
    let mut sums = vec![0.0; heads];
    for pass in passes {
        let values = pass.baselines.get(name).map(|b| b.values.clone()).ok_or_else(|| lacks_score(name))?;
        let values = if method == Method::ImportanceNormalized { normalized_by_layer(&values) } else { values };
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / passes.len() as f64);
    }
    Ok(Some(sums))
}
