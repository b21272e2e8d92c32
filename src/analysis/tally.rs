//! Sums over batches: everything an analysis is made of, and all that merging adds.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::quality::Distances;
use super::rank::{at_least_one, best, best_of_groups};
use super::votes::{Ballot, add, vote};
use super::{
    Analysis, AnalysisSettings, Baseline, BatchGrams, CurvePoint, FeatureAnalysis, Gram, Grouping, ModelInfo, Points,
    SiteAnalysis, adjusted_rand,
};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, NetworkSpec, Site};

/// Most samples of the history of votes.
const SAMPLES: usize = 64;

/// Sums of one feature map of one layer.
#[derive(Clone, Debug)]
struct FeatureTally {
    gram: Gram,
    /// Votes for the number of groups that was asked for, or found on each batch.
    ballot: Ballot,
    /// Votes for every number of groups from 1 on; empty where a part has none.
    by_groups: Vec<Ballot>,
    /// Groups of the last batch.
    latest: Vec<usize>,
    /// Groups of the batches at checkpoints; fewer than these where a part has none.
    partitions: Vec<Vec<usize>>,
}

impl FeatureTally {
    fn new(heads: usize) -> Self {
        let none = Ballot::zeros(heads);
        let by_groups = vec![none.clone(); heads];
        Self { gram: Gram::zeros(heads), by_groups, ballot: none, latest: Vec::new(), partitions: Vec::new() }
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.gram.add(&other.gram)?;
        self.ballot.add(&other.ballot);
        if self.by_groups.len() == other.by_groups.len() {
            self.by_groups.iter_mut().zip(&other.by_groups).for_each(|(sum, more)| sum.add(more));
        } else {
            // Votes of some of the batches are no votes of all.
            self.by_groups.clear();
        }
        self.latest.clone_from(&other.latest);
        self.partitions.extend(other.partitions.iter().cloned());
        Ok(())
    }
}

/// Sums of one layer.
#[derive(Clone, Debug)]
struct SiteTally {
    /// An analysis of nothing: the layer's shape.
    shape: SiteAnalysis,
    /// Groups asked for; `None` where they are to be found.
    groups: Option<usize>,
    features: BTreeMap<FeatureMap, FeatureTally>,
    /// Votes over all feature maps, at each checkpoint.
    history: Vec<Vec<u64>>,
}

impl SiteTally {
    fn votes(&self) -> Vec<u64> {
        let mut votes = vec![0; self.shape.heads];
        for feature in self.features.values() {
            add(&mut votes, &feature.ballot.votes);
        }
        votes
    }
}

/// Sums of a whole analysis.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    settings: AnalysisSettings,
    sites: Vec<SiteTally>,
    batches: u64,
    tokens: u64,
    checkpoints: Vec<u64>,
    stride: u64,
}

/// A layer of which nothing was analyzed yet.
fn without_results(site: Site, heads: usize, kv_heads: usize, head_dim: usize, stored_layer: usize) -> SiteAnalysis {
    SiteAnalysis {
        site,
        heads,
        kv_heads,
        head_dim,
        stored_layer,
        features: BTreeMap::new(),
        votes: Vec::new(),
        kept: Vec::new(),
        margin: None,
        history: Vec::new(),
        cka: None,
        baselines: BTreeMap::new(),
        evidence: None,
    }
}

impl Tally {
    /// An empty tally for every attention layer; refuses settings that cannot be met.
    pub(super) fn new(spec: &NetworkSpec, settings: &AnalysisSettings) -> Result<Self> {
        if settings.features.is_empty() {
            return Err(Error::usage("no feature map is chosen").hint("choose at least one, for example output"));
        }
        let names: Vec<Site> = spec.sites().iter().map(|(site, _)| *site).collect();
        settings.groups.check(&names)?;
        let sites = spec.sites().into_iter().map(|(site, attention)| {
            let stored = spec.stored_layer(site).unwrap_or(site.layer);
            let shape = without_results(site, attention.heads, attention.kv_heads, attention.head_dim, stored);
            Ok(SiteTally {
                groups: settings.groups.at(site, attention.heads)?,
                features: settings.features.iter().map(|f| (*f, FeatureTally::new(attention.heads))).collect(),
                history: Vec::new(),
                shape,
            })
        });
        Ok(Self {
            sites: sites.collect::<Result<_>>()?,
            settings: settings.clone(),
            batches: 0,
            tokens: 0,
            checkpoints: Vec::new(),
            stride: 1,
        })
    }

    /// How many batches were added so far.
    pub(super) fn batches(&self) -> u64 {
        self.batches
    }

    /// Adds one batch: its Gram matrices, and the votes of every layer and feature map on them.
    pub(super) fn add_batch(&mut self, grams: &BatchGrams, tokens: u64) -> Result<()> {
        let settings = self.settings.clone();
        let work = |site: &mut SiteTally| -> Result<()> {
            let grams = grams
                .get(&site.shape.site)
                .ok_or_else(|| Error::new(format!("{} was not reached by the batch", site.shape.site)))?;
            for (feature, tally) in &mut site.features {
                let gram = grams
                    .get(feature)
                    .ok_or_else(|| Error::new(format!("the {feature} map of {} was not formed", site.shape.site)))?;
                let (ballot, by_groups, latest) = ballots(gram, site.groups, &settings)?;
                tally.add(&FeatureTally { gram: gram.clone(), ballot, by_groups, latest, partitions: Vec::new() })?;
            }
            Ok(())
        };
        self.sites.par_iter_mut().try_for_each(work)?;
        self.batches += 1;
        self.tokens += tokens;
        if self.batches.is_multiple_of(self.stride) {
            self.checkpoint();
            if self.checkpoints.len() > SAMPLES {
                self.thin();
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self) {
        self.checkpoints.push(self.batches);
        for site in &mut self.sites {
            site.history.push(site.votes());
            site.features.values_mut().for_each(|f| f.partitions.push(f.latest.clone()));
        }
    }

    /// Drops every other sample, counted from the end, so that the last stays.
    fn thin(&mut self) {
        let stays = |index: usize, length: usize| (length - 1 - index).is_multiple_of(2);
        let keep = |index: usize| stays(index, self.checkpoints.len());
        for site in &mut self.sites {
            site.history = retain(&site.history, keep);
            for feature in site.features.values_mut() {
                // Those of a part that has none do not match the checkpoints.
                match feature.partitions.len() == self.checkpoints.len() {
                    true => feature.partitions = retain(&feature.partitions, keep),
                    false => feature.partitions.clear(),
                }
            }
        }
        self.checkpoints = retain(&self.checkpoints, keep);
        self.stride *= 2;
    }

    /// Adds what another part of the corpus gave, as if its batches came after those of `self`.
    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        for (site, more) in self.sites.iter_mut().zip(&other.sites) {
            let before = site.votes();
            site.history.extend(more.history.iter().map(|votes| {
                let mut votes = votes.clone();
                add(&mut votes, &before);
                votes
            }));
            for (feature, tally) in &mut site.features {
                let more = more.features.get(feature).ok_or_else(|| Error::new("analyses of different features"))?;
                tally.add(more)?;
            }
        }
        self.checkpoints.extend(other.checkpoints.iter().map(|b| b + self.batches));
        self.batches += other.batches;
        self.tokens += other.tokens;
        while self.checkpoints.len() > SAMPLES {
            self.thin();
        }
        Ok(())
    }

    /// The sums behind an analysis.
    pub(super) fn of(analysis: &Analysis) -> Result<Self> {
        let settings = &analysis.settings;
        let sites = analysis.sites.iter().map(|site| {
            let feature = |f: &FeatureAnalysis| {
                let heads = site.heads;
                let padded = |values: &[f64]| if values.is_empty() { vec![0.0; heads] } else { values.to_vec() };
                let ballot = Ballot {
                    votes: f.votes.clone(),
                    margins: padded(&f.margins),
                    cosines: padded(&f.scores),
                    tied: f.tied_votes,
                };
                let by_groups = f.by_groups.clone();
                let latest = f.partitions.last().cloned().unwrap_or_default();
                FeatureTally { gram: f.gram.clone(), ballot, by_groups, latest, partitions: f.partitions.clone() }
            };
            Ok(SiteTally {
                groups: settings.groups.at(site.site, site.heads)?,
                features: site.features.iter().map(|(name, f)| (*name, feature(f))).collect(),
                history: site.history.clone(),
                shape: without_results(site.site, site.heads, site.kv_heads, site.head_dim, site.stored_layer),
            })
        });
        Ok(Self {
            sites: sites.collect::<Result<_>>()?,
            settings: settings.clone(),
            batches: analysis.batches,
            tokens: analysis.tokens,
            checkpoints: analysis.checkpoints.clone(),
            stride: 1,
        })
    }

    /// The analysis of what was added so far.
    pub(super) fn finish(mut self, model: &ModelInfo) -> Result<Analysis> {
        if self.batches == 0 {
            return Err(Error::new("there was no input to analyze").hint("give a text or token list that is not empty"));
        }
        if self.checkpoints.last() != Some(&self.batches) {
            self.checkpoint();
        }
        let settings = self.settings;
        let sites: Vec<SiteAnalysis> =
            self.sites.into_par_iter().map(|site| finish_site(site, self.batches, &settings)).collect::<Result<_>>()?;
        let agree = |index: usize| {
            let same = |site: &&SiteAnalysis| site.kept_by(&site.history[index], self.batches) == site.kept;
            sites.iter().filter(same).count() as f64 / sites.len() as f64
        };
        Ok(Analysis {
            model: ModelInfo { sites: sites.len(), heads: sites.iter().map(|s| s.heads).sum(), ..model.clone() },
            settled: (0..self.checkpoints.len()).map(agree).collect(),
            settings,
            reading: None,
            merged: Vec::new(),
            tokens: self.tokens,
            batches: self.batches,
            sites,
            checkpoints: self.checkpoints,
            evidence: None,
            not_compared: None,
            notes: Vec::new(),
        })
    }
}

fn retain<T: Clone>(values: &[T], keep: impl Fn(usize) -> bool) -> Vec<T> {
    values.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, v)| v.clone()).collect()
}

/// Groups the heads on one batch and lets the groups vote: as many groups as are asked for (or found, without a number),
/// and every number of them; with the group of every head.
fn ballots(
    gram: &Gram,
    groups: Option<usize>,
    settings: &AnalysisSettings,
) -> Result<(Ballot, Vec<Ballot>, Vec<usize>)> {
    let points = Points::new(gram, settings.metric).by(settings.clustering);
    let seed = settings.seed;
    let mut each = points.group_each(seed)?;
    let own = match groups {
        Some(groups) => points.group(groups, seed)?,
        None => points.clearest(&each, seed)?,
    };
    // A number that was asked for got the more patient search.
    if let Some(same) = groups.and_then(|groups| each.get_mut(groups - 1)) {
        same.clone_from(&own);
    }
    let mut by_groups: Vec<Ballot> = each.iter().map(|grouping| vote(&points, gram, grouping)).collect();
    // More groups than heads with a signal are as many as these.
    let last = by_groups.last().cloned().unwrap_or_else(|| Ballot::zeros(gram.heads()));
    by_groups.resize(gram.heads(), last);
    Ok((vote(&points, gram, &own), by_groups, own.labels))
}

fn finish_site(tally: SiteTally, batches: u64, settings: &AnalysisSettings) -> Result<SiteAnalysis> {
    let votes = tally.votes();
    let kv_shared = tally.shape.kv_heads < tally.shape.heads;
    let mut site = SiteAnalysis { votes, history: tally.history, ..tally.shape };
    for (name, feature) in tally.features {
        let mut found = finish_feature(feature, tally.groups, batches, settings)?;
        found.kv_shared = kv_shared && name.is_shared_in_kv_group();
        site.features.insert(name, found);
    }
    site.kept = site.kept_by(&site.votes, batches);
    let others = (0..site.heads).filter(|h| !site.kept.contains(h)).map(|h| site.votes[h]).max();
    let weakest = site.kept.iter().map(|h| site.votes[*h]).min();
    site.margin = weakest.zip(others).map(|(kept, other)| kept.saturating_sub(other));
    Ok(site)
}

fn finish_feature(
    tally: FeatureTally,
    groups: Option<usize>,
    batches: u64,
    settings: &AnalysisSettings,
) -> Result<FeatureAnalysis> {
    let points = Points::new(&tally.gram, settings.metric).by(settings.clustering);
    let seed = settings.seed;
    let groups = match groups {
        Some(groups) => groups,
        None => points.group_auto(seed)?.live_groups().max(1),
    };
    let grouping = points.group_thoroughly(groups, seed)?;
    let distances = points.live_distances();
    let heads = tally.gram.heads();
    let silhouette = distances.silhouettes(&points.live_labels(&grouping)).map(|live| {
        let mut all = vec![0.0; heads];
        for (head, s) in points.live().iter().zip(live) {
            all[*head] = s;
        }
        all
    });
    let own = curve_point(&points, &distances, &grouping);
    let mut curve = Vec::new();
    for count in 1..=points.live().len() {
        let point = match count == own.groups {
            true => own,
            false => curve_point(&points, &distances, &points.group_lightly(count, seed)?),
        };
        curve.push(point);
    }
    let agreements: Vec<f64> = tally
        .partitions
        .iter()
        .filter(|labels| labels.len() == heads)
        .map(|labels| adjusted_rand(labels, &grouping.labels))
        .collect();
    // One batch is the whole.
    let several = agreements.len() > 1 && agreements.len() == tally.partitions.len();
    let stability = several.then(|| agreements.iter().sum::<f64>() / agreements.len() as f64);
    let Ballot { votes, tied, margins, cosines } = tally.ballot;
    let mut found = FeatureAnalysis {
        groups: grouping.labels.clone(),
        inertia: grouping.inertia,
        silhouette,
        mean_silhouette: own.mean_silhouette,
        dunn: own.dunn,
        dead: grouping.dead.clone(),
        curve,
        kept: Vec::new(),
        kept_per_group: Vec::new(),
        votes,
        margins,
        tied_votes: tied,
        scores: cosines,
        by_groups: tally.by_groups,
        partitions: tally.partitions,
        stability,
        evidence: None,
        kv_shared: false,
        gram: tally.gram.clone(),
    };
    let ranks = found.ranks(&found.votes, batches);
    found.kept = at_least_one(best(&ranks, points.live().iter().copied(), grouping.live_groups()));
    found.kept_per_group = at_least_one(best_of_groups(&ranks, &grouping));
    Ok(found)
}

fn curve_point(points: &Points<'_>, distances: &Distances, grouping: &Grouping) -> CurvePoint {
    let labels = points.live_labels(grouping);
    CurvePoint {
        groups: grouping.live_groups(),
        inertia: grouping.inertia,
        mean_silhouette: distances.mean_silhouette(&labels),
        dunn: distances.dunn(&labels),
    }
}

/// The baselines that both have, over the samples of both.
pub(super) fn join_baselines(
    first: &BTreeMap<String, Baseline>,
    second: &BTreeMap<String, Baseline>,
) -> BTreeMap<String, Baseline> {
    first.iter().filter_map(|(name, a)| Some((name.clone(), a.joined(second.get(name)?)))).collect()
}

/// Names of sites in their order, to compare two tallies.
pub(super) fn site_names(analysis: &Analysis) -> Vec<(Site, usize)> {
    analysis.sites.iter().map(|s| (s.site, s.heads)).collect()
}
