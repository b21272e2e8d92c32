//! What each picture shows, taken from an analysis and, where there is one, a plan.

use super::caption::Caption;
use super::groups::GroupMap;
use super::layers::LayerBars;
use super::measure::{Measure, mean_margin};
use super::number::Unit;
use super::overview::{Overview, OverviewRow, Paint};
use super::raster::Grid;
use super::scores::GroupScores;
use super::settling::Settling;
use super::similarity::{Likeness, Similarity, distance};
use super::view::HeadColor;
use super::votes::VoteBars;
use crate::analysis::{Analysis, Distances, Gram, Metric, Points, SiteAnalysis, plane};
use crate::error::{Error, Result};
use crate::network::FeatureMap;
use crate::plan::{Amount, Method, Plan};
use crate::words::{counted, noun};

/// An analysis looked at through one feature map, with the heads that stay.
#[derive(Clone, Copy, Debug)]
pub struct Lens<'a> {
    /// What was found out.
    pub analysis: &'a Analysis,
    /// The map that is looked at.
    pub feature: FeatureMap,
    /// Which heads stay; without a plan those that the analysis' votes keep.
    pub plan: Option<&'a Plan>,
}

impl<'a> Lens<'a> {
    /// Looks through `feature`, or through `output` where it was analyzed, or through the first map that was.
    ///
    /// # Errors
    /// Where the analysis does not hold the map, or none at all, or where the plan is for other layers.
    pub fn new(analysis: &'a Analysis, feature: Option<FeatureMap>, plan: Option<&'a Plan>) -> Result<Self> {
        let held: Vec<FeatureMap> = FeatureMap::ALL
            .iter()
            .copied()
            .filter(|map| analysis.sites.iter().any(|s| s.features.contains_key(map)))
            .collect();
        let first = held.first().copied().ok_or_else(|| Error::new("this analysis holds no feature map"))?;
        let usual = if held.contains(&FeatureMap::Output) { FeatureMap::Output } else { first };
        let feature = feature.unwrap_or(usual);
        if !held.contains(&feature) {
            let names: Vec<&str> = held.iter().map(|m| m.name()).collect();
            return Err(Error::new(format!("this analysis does not hold the feature map {feature}")).hint(format!(
                "analyze again with --feature {feature}, or choose another: it holds {}",
                names.join(", ")
            )));
        }
        if let Some(plan) = plan {
            plan.validate(analysis)?;
        }
        Ok(Self { analysis, feature, plan })
    }

    /// Heads of a layer that stay.
    pub fn kept(&self, site: &SiteAnalysis) -> Vec<usize> {
        self.plan.map_or_else(|| site.kept.clone(), |plan| plan.kept_at(site.site, site.heads))
    }

    fn groups(&self, site: &SiteAnalysis) -> Vec<usize> {
        site.features.get(&self.feature).map_or_else(|| vec![0; site.heads], |f| f.groups.clone())
    }

    /// The line under a title: model, what was looked at, how much was read.
    fn subtitle(&self, parts: &[String]) -> String {
        let model = &self.analysis.model;
        let name = std::path::Path::new(&model.path).file_name().map(|n| n.to_string_lossy().into_owned());
        let mut words: Vec<String> = name.into_iter().chain([model.family.clone()]).filter(|w| !w.is_empty()).collect();
        words.dedup();
        words.extend(parts.iter().cloned());
        let count = |n: u64, many: &str| format!("{} {}", Unit::Count.format(n as f64), noun(n, many));
        let read = count(self.analysis.tokens, self.analysis.unit().noun());
        words.push(format!("{read} in {}", count(self.analysis.batches, "batches")));
        words.join(" · ")
    }

    fn kept_note(&self) -> String {
        match self.plan {
            Some(plan) => format!("Kept heads are those of the plan (method: {}).", plan.method),
            None => "Kept heads are those with the most votes, as many as the layer has groups.".to_owned(),
        }
    }

    /// What must be said about likeness under this map.
    fn likeness_notes(&self, mut caption: Caption) -> Caption {
        let map = self.feature;
        if map.is_basis_dependent() {
            caption = caption.note(format!(
                "Likeness of {map} maps depends on a basis that each head is free to choose; attention and residual maps \
                 do not."
            ));
        }
        if self.analysis.sites.iter().any(|s| s.features.get(&map).is_some_and(|f| f.kv_shared)) {
            caption = caption.note(format!(
                "Heads that share a key/value head have equal {map} maps by construction, not by redundancy."
            ));
        }
        caption
    }

    /// Every head of the model.
    pub fn overview(&self, color: &HeadColor) -> Overview {
        let measure = match color {
            HeadColor::Measure(measure) => Some(measure),
            HeadColor::Group | HeadColor::Kind | HeadColor::State => None,
        };
        let analysis = self.analysis;
        let measures = Measure::available(analysis);
        let rows: Vec<OverviewRow> = analysis
            .sites
            .iter()
            .map(|site| OverviewRow {
                site: site.site,
                heads: site.heads,
                kv_heads: site.kv_heads,
                groups: self.groups(site),
                values: measure.map_or_else(Vec::new, |m| m.values(site, self.feature, analysis.batches)),
                measured: measures.iter().map(|m| m.values(site, self.feature, analysis.batches)).collect(),
                kept: Some(self.kept(site)),
                kinds: match site.has_kinds() {
                    true => (0..site.heads).map(|head| site.kind(head).map(|(kind, _)| kind)).collect(),
                    false => Vec::new(),
                },
                redundant: site.evidence.as_ref().and_then(|evidence| evidence.verdict()),
                order: (0..site.heads).collect(),
            })
            .collect();
        let uses_map = *color == HeadColor::Group || measure.is_some_and(Measure::needs_feature);
        let mut parts = Vec::new();
        if uses_map {
            parts.push(self.feature.to_string());
        }
        let (title, paint, note) = match measure {
            None if *color == HeadColor::State => ("Heads kept and pruned".to_owned(), Paint::Kept, None),
            None if *color == HeadColor::Kind => {
                let note = "A head has the name of the kind whose share of its attention is largest, among those that reach \
                            their threshold. Kinds overlap, so that the shares of a head need not sum to 1.";
                ("Heads by what they do".to_owned(), Paint::Kinds, Some(note.to_owned()))
            }
            None => {
                parts.push(self.metric().to_owned());
                let note =
                    "Groups are numbered within each layer; equal numbers in different layers have nothing in common.";
                ("Heads by group".to_owned(), Paint::Groups, Some(note.to_owned()))
            }
            Some(measure) => {
                let scale = measure.scale(rows.iter().flat_map(|r| r.values.iter().copied()));
                let title = format!("Heads by {}", measure.label().to_lowercase());
                let (label, column) = (measure.label(), measure.name().to_owned());
                let paint = Paint::Values { label, column, unit: measure.unit(), scale };
                (title, paint, Some(format!("{}.", measure.meaning())))
            }
        };
        let mut caption = Caption::new(title, self.subtitle(&parts));
        if let Some(note) = note {
            caption = caption.note(note);
        }
        caption = caption.note(self.kept_note());
        if uses_map {
            caption = self.likeness_notes(caption);
        }
        let layers = match color {
            HeadColor::Group => LayerBars::groups(analysis, self.feature),
            HeadColor::Kind => LayerBars::kinds(analysis),
            HeadColor::State => LayerBars::kept(analysis, |site| self.kept(site).len()),
            HeadColor::Measure(measure) => LayerBars::measured(analysis, measure, self.feature, |site| self.kept(site)),
        };
        if let Some(bars) = &layers {
            caption = caption.note(format!("Bars: {}. {}.", bars.label.to_lowercase(), bars.meaning));
        }
        Overview { caption, rows, paint, layers, measures }
    }

    /// The heads of a layer against each other.
    ///
    /// # Errors
    /// Where the analysis does not hold what is asked for.
    pub fn similarity(&self, site: &SiteAnalysis, likeness: Likeness) -> Result<Similarity> {
        let heads = site.heads;
        let matrix = match likeness {
            Likeness::Cka => {
                let cka = site.cka.as_ref().ok_or_else(|| {
                    Error::new("this analysis holds no CKA").hint("analyze again with --cka, or look at cosines")
                })?;
                Grid::from_rows(cka)
            }
            Likeness::Cosine | Likeness::Distance => {
                let (gram, metric) = (&self.feature_of(site)?.gram, self.analysis.settings.metric);
                Grid::from_fn(heads, heads, |i, j| match likeness {
                    Likeness::Cosine => gram.cosine(i, j).unwrap_or(f64::NAN),
                    _ => distance(gram, metric, i, j),
                })
            }
        };
        let map = if likeness == Likeness::Cka { FeatureMap::Output } else { self.feature };
        let what = match (likeness, self.analysis.settings.metric) {
            (Likeness::Cosine, _) => "cosine".to_owned(),
            (Likeness::Distance, Metric::Euclidean) => "distance".to_owned(),
            (Likeness::Distance, Metric::Cosine) => "distance of unit maps".to_owned(),
            (Likeness::Cka, _) => "linear CKA".to_owned(),
        };
        let parts = [map.to_string(), what];
        let mut caption = Caption::new(format!("Redundancy of the heads of {}", site.site), self.subtitle(&parts));
        // CKA does not change with the basis.
        if likeness != Likeness::Cka {
            caption = self.likeness_notes(caption);
        }
        Ok(Similarity {
            caption: caption.note(self.kept_note()),
            site: site.site.to_string(),
            matrix,
            likeness,
            groups: self.groups(site),
            kept: Some(self.kept(site)),
            by_index: false,
            tree: None,
        })
    }

    /// The groups of a layer: those that were found, or others to look at.
    ///
    /// # Errors
    /// Where the layer was not analyzed on this map.
    pub fn group_map(&self, site: &SiteAnalysis, others: Option<&[usize]>) -> Result<GroupMap> {
        let feature = self.feature_of(site)?;
        let space = Points::new(&feature.gram, self.analysis.settings.metric);
        let points = plane(space.gram());
        let groups = others.unwrap_or(&feature.groups);
        let (silhouette, mean_silhouette, dunn) = match others {
            Some(groups) => {
                let distances = Distances::new(space.gram());
                let silhouette = distances.silhouettes(groups).unwrap_or_default();
                (silhouette, distances.mean_silhouette(groups), distances.dunn(groups))
            }
            None if feature.silhouette.is_some() => {
                let silhouette = Measure::Silhouette.values(site, self.feature, self.analysis.batches);
                (silhouette, feature.mean_silhouette, feature.dunn)
            }
            None => (Vec::new(), feature.mean_silhouette, feature.dunn),
        };
        let count = groups.iter().max().map_or(0, |g| g + 1);
        let mut parts = vec![self.feature.to_string(), self.metric().to_owned()];
        parts.push(counted(count, "groups"));
        let caption = Caption::new(format!("Groups of the heads of {}", site.site), self.subtitle(&parts))
            .note("The map is a projection to two dimensions (classical scaling): heads are at least as far apart as they look.");
        let evidence = site.evidence.as_ref().filter(|_| others.is_none());
        let caption = evidence.iter().fold(caption, |caption, e| caption.note(format!("Redundancy: {}.", e.sentence)));
        Ok(GroupMap {
            caption: self.likeness_notes(caption.note(self.kept_note())),
            site: site.site.to_string(),
            share_kept: kept_by(&points, space.gram()),
            points,
            groups: groups.to_vec(),
            silhouette,
            mean_silhouette,
            dunn,
            curve: feature.curve.clone(),
            kept: Some(self.kept(site)),
        })
    }

    /// How good groupings of some layers are against their number.
    pub fn scores(&self, sites: &[&SiteAnalysis]) -> GroupScores {
        let layer = |site: &&SiteAnalysis| {
            let curve = site.features.get(&self.feature).map_or_else(Vec::new, |f| f.curve.clone());
            (site.site.to_string(), curve)
        };
        let parts = [self.feature.to_string(), self.metric().to_owned()];
        let caption = Caption::new("How many groups", self.subtitle(&parts))
            .note("Each point is the best grouping into so many groups. Inertia always falls; where it stops falling fast is its elbow.");
        GroupScores { caption: self.likeness_notes(caption), layers: sites.iter().map(layer).collect() }
    }

    /// The vote of a layer over all feature maps.
    pub fn votes(&self, site: &SiteAnalysis) -> VoteBars {
        let analysis = self.analysis;
        let shares = site.vote_shares(analysis.batches);
        let sums = |h: usize| {
            let per_map = site.features.values().filter(|f| f.margins.len() == site.heads);
            per_map.fold((0.0, 0), |(sum, votes), f| (sum + f.margins[h], votes + f.votes[h]))
        };
        let mean = |h: usize| {
            let (sum, votes) = sums(h);
            mean_margin(sum, votes)
        };
        let maps: Vec<&str> = site.features.keys().map(|m| m.name()).collect();
        let ties: u64 = site.features.values().map(|f| f.tied_votes).sum();
        let all: u64 = site.votes.iter().sum();
        let mut caption = Caption::new(
            format!("Votes for the heads of {}", site.site),
            self.subtitle(&[maps.join(", "), self.metric().to_owned()]),
        )
        .note(
            "A share is of the votes that the head could win, one of each batch and feature map. Every group of a batch has a vote, so \
             the shares of a layer sum to the mean number of groups of its batches, not to 100 %.",
        );
        if ties > 0 && all > 0 {
            let share = Unit::Share.format(ties as f64 / all as f64);
            caption =
                caption.note(format!("{share} of the votes were tied and went to the head with the larger norm."));
        }
        if let Some(size) = analysis.settings.batch_size {
            caption = caption.note(format!(
                "Votes are cast by batches of {} and depend on how the input is cut into them.",
                counted(size, "sequences")
            ));
        }
        if site.margin == Some(0) && self.plan.is_none() {
            caption = caption.note("The weakest kept head has no more votes than the strongest pruned one.");
        }
        VoteBars {
            caption: caption.note(self.kept_note()),
            site: site.site.to_string(),
            margins: (0..site.heads).map(mean).collect(),
            kept: self.kept(site),
            threshold: self.threshold(),
            chance: (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64),
            settled: self.settled(),
            shares,
        }
    }

    /// When the vote stood.
    pub fn settling(&self) -> Settling {
        let layer = |site: &SiteAnalysis| {
            let equal = |votes: &Vec<u64>| site.kept_by(votes, self.analysis.batches) == site.kept;
            (site.site.to_string(), site.history.iter().map(equal).collect())
        };
        let caption = Caption::new("How soon the vote settled", self.subtitle(&[self.metric().to_owned()]))
            .note("Thick: the heads with the most votes so far are the final ones; thin: they are not. The mark is where this lasts.");
        Settling { caption, settled: self.settled(), layers: self.analysis.sites.iter().map(layer).collect() }
    }

    fn settled(&self) -> Vec<[f64; 2]> {
        self.analysis.checkpoints.iter().zip(&self.analysis.settled).map(|(b, share)| [*b as f64, *share]).collect()
    }

    /// The share of votes that the plan asks for, where it decides by one.
    fn threshold(&self) -> Option<f64> {
        // Beside heads that a person fixed, it decides about the others.
        let plan = self.plan.filter(|p| [Method::Votes.name(), "manual"].contains(&p.method.as_str()))?;
        match plan.amount {
            Some(Amount::Threshold(value)) => Some(value),
            _ => None,
        }
    }

    fn metric(&self) -> &'static str {
        self.analysis.settings.metric.name()
    }

    fn feature_of(&self, site: &'a SiteAnalysis) -> Result<&'a crate::analysis::FeatureAnalysis> {
        site.features
            .get(&self.feature)
            .ok_or_else(|| Error::new(format!("{} was not analyzed on {} maps", site.site, self.feature)))
    }
}

/// Share of the squared distances to the mean that a plane keeps.
fn kept_by(points: &[[f64; 2]], gram: &Gram) -> f64 {
    let heads = gram.heads();
    let sum: f64 = (0..heads).map(|i| gram.row(i).iter().sum::<f64>()).sum();
    let total = (0..heads).map(|i| gram.norm2(i)).sum::<f64>() - sum / heads as f64;
    let inside: f64 = points.iter().map(|p| p[0] * p[0] + p[1] * p[1]).sum();
    if total > 0.0 { (inside / total).clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_keeps_all_of_what_lies_in_a_plane() {
        // (1, 0, 0), (-1, 0, 0), (0, 2, 0): all in a plane; with (0, 0, 3) in place of the last coordinate's 0 not.
        let flat = [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, -2.0, 0.0]];
        let tall = [[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [0.0, 2.0, -1.0], [0.0, -2.0, -1.0]];
        let share = |rows: &[[f64; 3]]| {
            let dot = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let values = rows.iter().flat_map(|a| rows.iter().map(move |b| dot(a, b))).collect();
            let gram = Gram::from_rows(4, values).unwrap();
            kept_by(&plane(&gram), &gram)
        };
        assert!((share(&flat) - 1.0).abs() < 1e-9);
        // Variances 2, 8 and 4 about a mean of 0: the largest two of 14.
        assert!((share(&tall) - 12.0 / 14.0).abs() < 1e-9, "{}", share(&tall));
    }
}
