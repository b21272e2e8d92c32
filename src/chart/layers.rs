//! One number per attention layer beside its heads: what the colors of the heads come to.

use super::measure::Measure;
use super::number::Unit;
use crate::analysis::{Analysis, HeadKind, SiteAnalysis};
use crate::network::FeatureMap;

/// A bar for each attention layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerBars {
    /// The words over the bars.
    pub label: String,
    /// What the number says, as a sentence without its full stop.
    pub meaning: String,
    /// The name of the column in the table, e.g. `layer_kept_share`.
    pub column: String,
    /// How the number is written.
    pub unit: Unit,
    /// One for each layer from top to bottom, NaN where there is none.
    pub values: Vec<f64>,
    /// What chance would give, layer by layer; empty where that says nothing.
    pub chance: Vec<f64>,
    /// Where bars end, so that those of all layers can be compared.
    pub high: f64,
}

/// What a bar is about, before there are layers.
struct BarKind {
    label: &'static str,
    meaning: &'static str,
    column: &'static str,
    unit: Unit,
    /// Where bars end where the number has a largest value.
    high: Option<f64>,
}

impl LayerBars {
    fn of(kind: BarKind, values: Vec<f64>, chance: Vec<f64>) -> Option<Self> {
        let found = || values.iter().chain(&chance).copied().filter(|v| v.is_finite());
        found().next()?;
        let largest = found().fold(0.0, f64::max);
        let high = kind.high.unwrap_or(if largest > 0.0 { largest } else { 1.0 });
        Some(Self {
            label: kind.label.to_owned(),
            meaning: kind.meaning.to_owned(),
            column: kind.column.to_owned(),
            unit: kind.unit,
            values,
            chance,
            high,
        })
    }

    /// The length of a bar as a share of the longest that there can be; `None` where there is no number.
    pub fn length(value: f64, high: f64) -> Option<f64> {
        (value.is_finite() && high > 0.0).then(|| (value / high).clamp(0.0, 1.0))
    }

    /// How many heads of each layer stay.
    pub(super) fn kept(analysis: &Analysis, kept: impl Fn(&SiteAnalysis) -> usize) -> Option<Self> {
        let kind = BarKind {
            label: "Heads kept",
            meaning: "Heads of the layer that stay, as a share of all it has",
            column: "layer_kept_share",
            unit: Unit::Share,
            high: Some(1.0),
        };
        let share = |site: &SiteAnalysis| kept(site) as f64 / site.heads as f64;
        Self::of(kind, analysis.sites.iter().map(share).collect(), Vec::new())
    }

    /// How many heads of each layer do something that has a name.
    pub(super) fn kinds(analysis: &Analysis) -> Option<Self> {
        let kind = BarKind {
            label: "Heads of a known kind",
            meaning: "Heads of the layer of which some kind reaches its threshold",
            column: "layer_heads_of_known_kind",
            unit: Unit::Count,
            high: analysis.sites.iter().map(|site| site.heads as f64).reduce(f64::max),
        };
        let count = |site: &SiteAnalysis| match site.has_kinds() {
            true => (0..site.heads).filter(|head| site.kind(*head).is_some()).count() as f64,
            false => f64::NAN,
        };
        Self::of(kind, analysis.sites.iter().map(count).collect(), Vec::new())
    }

    /// How well groups describe the heads of each layer: beside chance where that was weighed, else by silhouette.
    pub(super) fn groups(analysis: &Analysis, map: FeatureMap) -> Option<Self> {
        let evidence = |site: &SiteAnalysis| site.features.get(&map).and_then(|f| f.evidence);
        if analysis.sites.iter().any(|site| evidence(site).is_some()) {
            let kind = BarKind {
                label: "Explained by groups",
                meaning: "Share of the differences between the heads of a layer that its groups explain; the mark is what \
                          groups of heads that read different sequences explain, that is chance",
                column: "layer_explained_share",
                unit: Unit::Share,
                high: Some(1.0),
            };
            let of = |f: fn(&crate::analysis::MapEvidence) -> f64| -> Vec<f64> {
                analysis.sites.iter().map(|site| evidence(site).as_ref().map_or(f64::NAN, f)).collect()
            };
            return Self::of(kind, of(|e| e.explained.observed), of(|e| e.explained.null_mean));
        }
        let kind = BarKind {
            label: "Mean silhouette",
            meaning: "How much closer heads are to their own group than to the next, as a mean over the layer: 1 clear \
                      groups, 0 none",
            column: "layer_silhouette",
            unit: Unit::Plain,
            high: Some(1.0),
        };
        let mean = |site: &SiteAnalysis| site.features.get(&map).and_then(|f| f.mean_silhouette).unwrap_or(f64::NAN);
        Self::of(kind, analysis.sites.iter().map(mean).collect(), Vec::new())
    }

    /// What `measure` comes to in each layer, where `kept` says which heads of a layer stay.
    pub(super) fn measured(
        analysis: &Analysis,
        measure: &Measure,
        map: FeatureMap,
        kept: impl Fn(&SiteAnalysis) -> Vec<usize>,
    ) -> Option<Self> {
        let sites = || analysis.sites.iter();
        match measure {
            Measure::VoteShare => {
                let kind = BarKind {
                    label: "Votes of kept heads",
                    meaning: "Share of the layer's votes that went to heads that stay; the mark is what as many heads would \
                              get if votes were drawn by lot",
                    column: "layer_kept_vote_share",
                    unit: Unit::Share,
                    high: Some(1.0),
                };
                let share = |site: &SiteAnalysis| {
                    let all: u64 = site.votes.iter().sum();
                    let of_kept: u64 = kept(site).iter().filter_map(|head| site.votes.get(*head)).sum();
                    if all > 0 { of_kept as f64 / all as f64 } else { f64::NAN }
                };
                let chance = sites().map(|site| kept(site).len() as f64 / site.heads as f64);
                Self::of(kind, sites().map(share).collect(), chance.collect())
            }
            Measure::Margin => {
                let kind = BarKind {
                    label: "Mean winning margin",
                    meaning: "How much closer the winners of a layer were to the hidden unit than the runners-up, over all \
                              votes: 0 ties, 1 no rival",
                    column: "layer_margin",
                    unit: Unit::Plain,
                    high: Some(1.0),
                };
                let mean = |site: &SiteAnalysis| {
                    let Some(feature) = site.features.get(&map) else { return f64::NAN };
                    let votes: u64 = feature.votes.iter().sum();
                    if votes > 0 { feature.margins.iter().sum::<f64>() / votes as f64 } else { f64::NAN }
                };
                Self::of(kind, sites().map(mean).collect(), Vec::new())
            }
            Measure::Energy => {
                let kind = BarKind {
                    label: "Largest share of a head",
                    meaning: "Share of the layer's squared norm that its loudest head carries; the mark is an equal share",
                    column: "layer_largest_norm_share",
                    unit: Unit::Share,
                    high: Some(1.0),
                };
                let largest = |site: &SiteAnalysis| {
                    measure.values(site, map, analysis.batches).into_iter().fold(f64::NAN, f64::max)
                };
                Self::of(kind, sites().map(largest).collect(), sites().map(|s| 1.0 / s.heads as f64).collect())
            }
            Measure::Baseline(name) if let Some(wanted) = HeadKind::named(name) => {
                let kind = BarKind {
                    label: "Heads of this kind",
                    meaning: "Heads of the layer of which this is the clearest kind and reaches its threshold",
                    column: "layer_heads_of_kind",
                    unit: Unit::Count,
                    high: sites().map(|site| site.heads as f64).reduce(f64::max),
                };
                let count = |site: &SiteAnalysis| {
                    let is_wanted = |head: &usize| site.kind(*head).is_some_and(|(kind, _)| kind == wanted);
                    (0..site.heads).filter(is_wanted).count() as f64
                };
                Self::of(kind, sites().map(count).collect(), Vec::new())
            }
            Measure::Redundancy | Measure::Silhouette | Measure::Baseline(_) => {
                let of_one = *measure == Measure::Redundancy || *measure == Measure::Silhouette;
                let kind = BarKind {
                    label: "Mean of the layer",
                    meaning: "Mean over the heads of the layer that have this number",
                    column: "layer_mean",
                    unit: measure.unit(),
                    high: (of_one || measure.unit() == Unit::Share).then_some(1.0),
                };
                let mean = |site: &SiteAnalysis| {
                    let values = measure.values(site, map, analysis.batches);
                    let known: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
                    if known.is_empty() { f64::NAN } else { known.iter().sum::<f64>() / known.len() as f64 }
                };
                Self::of(kind, sites().map(mean).collect(), Vec::new())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_end_where_numbers_can_end_and_say_nothing_where_there_is_none() {
        let kind = |high| BarKind { label: "x", meaning: "y", column: "z", unit: Unit::Plain, high };
        let bars = LayerBars::of(kind(None), vec![0.5, f64::NAN, 2.0], Vec::new()).unwrap();
        assert_eq!(bars.high, 2.0);
        let lengths: Vec<_> = bars.values.iter().map(|v| LayerBars::length(*v, bars.high)).collect();
        assert_eq!(lengths, [Some(0.25), None, Some(1.0)]);
        assert_eq!(LayerBars::of(kind(Some(1.0)), vec![0.5], vec![0.2]).unwrap().high, 1.0);
        assert_eq!(LayerBars::of(kind(None), vec![f64::NAN], Vec::new()), None);
        // Less than nothing has no length: a mean silhouette can be negative.
        assert_eq!(LayerBars::length(-0.2, 1.0), Some(0.0));
    }
}
