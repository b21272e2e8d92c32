//! One number per head: what colors can show of an analysis.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::number::Unit;
use super::palette::ColorMap;
use super::raster::Scale;
use crate::analysis::{Analysis, Gram, HeadKind, SiteAnalysis, baseline};
use crate::network::{FeatureMap, Site};
use crate::words::sentence_case;

/// A number per head.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// Votes as a share of all that a head could win.
    VoteShare,
    Margin,
    /// Largest absolute cosine to another head of the layer.
    Redundancy,
    Silhouette,
    /// Share of the layer's squared norm.
    Energy,
    /// A score that does not come from votes, by its name: `importance`, `magnitude`, `confidence`, `entropy`.
    Baseline(String),
}

impl Measure {
    /// Those that every analysis has.
    pub(super) const OWN: [Self; 5] = [Self::VoteShare, Self::Margin, Self::Redundancy, Self::Silhouette, Self::Energy];

    /// The word used on the command line and as the name of a column.
    pub fn name(&self) -> &str {
        match self {
            Self::VoteShare => "votes",
            Self::Margin => "margin",
            Self::Redundancy => "redundancy",
            Self::Silhouette => "silhouette",
            Self::Energy => "energy",
            Self::Baseline(name) => name,
        }
    }

    /// The measure of this name: one of its own words, otherwise a score of that name.
    pub fn named(name: &str) -> Self {
        Self::OWN.into_iter().find(|m| m.name() == name).unwrap_or_else(|| Self::Baseline(name.to_owned()))
    }

    /// The words shown to people.
    pub fn label(&self) -> String {
        match self {
            Self::VoteShare => "Vote share".to_owned(),
            Self::Margin => "Winning margin".to_owned(),
            Self::Redundancy => "Redundancy".to_owned(),
            Self::Silhouette => "Silhouette".to_owned(),
            Self::Energy => "Share of norm".to_owned(),
            Self::Baseline(name) if name == baseline::ENTROPY => "Attention entropy".to_owned(),
            Self::Baseline(name) if let Some(kind) = HeadKind::named(name) => kind.label().to_owned(),
            Self::Baseline(name) => sentence_case(name),
        }
    }

    /// What the number says, as a sentence without its full stop.
    pub fn meaning(&self) -> &'static str {
        match self {
            Self::VoteShare => {
                "Votes of the head as a share of all it could win: one per batch and feature map. Those of a layer sum to its number \
                 of groups"
            }
            Self::Margin => {
                "How much closer to the hidden unit a winning head was than the runner-up: 0 a tie, 1 no rival"
            }
            Self::Redundancy => {
                "Largest absolute cosine to another head of its layer: 1 means another head does the same, or the opposite"
            }
            Self::Silhouette => {
                "How much closer the head is to its own group than to the next: 1 well placed, below 0 misplaced"
            }
            Self::Energy => "Share of the layer's squared norm that the head's map carries",
            Self::Baseline(name) => match name.as_str() {
                "importance" => {
                    "Mean absolute derivative of the loss with respect to the head's gate (Michel et al. 2019)"
                }
                "confidence" => "Mean largest attention weight (Voita et al. 2019)",
                "magnitude" => "Norm of the head's weights",
                baseline::REPLACEABILITY => {
                    "Share of what the head adds that the other heads of its layer can say: 1 means it is not missed"
                }
                baseline::ENTROPY => {
                    "Mean entropy of the attention in nats: 0 looks at one token, the logarithm of the length at all alike"
                }
                name if let Some(kind) = HeadKind::named(name) => kind.meaning(),
                _ => "A score that does not come from votes; more means more important",
            },
        }
    }

    /// How the number is written.
    pub fn unit(&self) -> Unit {
        match self {
            Self::VoteShare | Self::Energy => Unit::Share,
            Self::Baseline(name) if name == baseline::REPLACEABILITY => Unit::Share,
            _ if self.is_kind() => Unit::Share,
            _ => Unit::Plain,
        }
    }

    /// True where it is how much of a kind a head is.
    pub fn is_kind(&self) -> bool {
        matches!(self, Self::Baseline(name) if HeadKind::named(name).is_some())
    }

    /// True where the number depends on the feature map that is looked at.
    pub fn needs_feature(&self) -> bool {
        !matches!(self, Self::VoteShare | Self::Baseline(_))
    }

    /// The colors of these numbers: from 0 where they cannot be negative, about 0 where they can.
    pub fn scale(&self, values: impl IntoIterator<Item = f64>) -> Scale {
        let (low, high) = super::axis::extent(values).unwrap_or((0.0, 1.0));
        match self {
            _ if self.is_kind() => Scale::new(ColorMap::Viridis, 0.0, 1.0),
            Self::Margin | Self::Redundancy => Scale::new(ColorMap::Viridis, 0.0, 1.0),
            Self::Baseline(name) if name == baseline::REPLACEABILITY => Scale::new(ColorMap::Viridis, 0.0, 1.0),
            // A silhouette of 0 lies between two groups: the middle means something even where none is negative.
            _ if low < 0.0 || *self == Self::Silhouette => {
                let reach = low.abs().max(high.abs());
                let reach = if reach > 0.0 { reach } else { 1.0 };
                Scale::new(ColorMap::BlueRed, -reach, reach)
            }
            _ => Scale::new(ColorMap::Viridis, 0.0, if high > 0.0 { high } else { 1.0 }),
        }
    }

    /// Measures that `analysis` has.
    pub fn available(analysis: &Analysis) -> Vec<Self> {
        let mut names: Vec<&String> = analysis.sites.iter().flat_map(|s| s.baselines.keys()).collect();
        names.sort();
        names.dedup();
        Self::OWN.into_iter().chain(names.into_iter().cloned().map(Self::Baseline)).collect()
    }

    /// The measure for every head of a layer, on one feature map where it depends on one; NaN where there is none.
    pub fn values(&self, site: &SiteAnalysis, map: FeatureMap, batches: u64) -> Vec<f64> {
        let missing = || vec![f64::NAN; site.heads];
        let feature = site.features.get(&map);
        match self {
            Self::VoteShare => site.vote_shares(batches),
            Self::Margin => feature.filter(|f| f.margins.len() == site.heads).map_or_else(missing, |f| {
                f.margins.iter().zip(&f.votes).map(|(sum, votes)| mean_margin(*sum, *votes)).collect()
            }),
            Self::Redundancy => feature.map_or_else(missing, |f| redundancy(&f.gram)),
            Self::Silhouette => feature.map_or_else(missing, |f| {
                let live = |h: usize, s: f64| if f.dead.contains(&h) { f64::NAN } else { s };
                let values = f.silhouette.as_ref();
                values.map_or_else(missing, |v| v.iter().enumerate().map(|(h, s)| live(h, *s)).collect())
            }),
            Self::Energy => feature.map_or_else(missing, |f| energy(&f.gram)),
            Self::Baseline(name) => site.baselines.get(name).map_or_else(missing, |b| b.values.clone()),
        }
    }

    /// The measure for every head of the model.
    pub fn of_model(&self, analysis: &Analysis, map: FeatureMap) -> Vec<(Site, Vec<f64>)> {
        analysis.sites.iter().map(|s| (s.site, self.values(s, map, analysis.batches))).collect()
    }
}

/// The mean of margins that sum to `sum` over so many votes; NaN without one. What is left of a tie by rounding is a tie.
pub(super) fn mean_margin(sum: f64, votes: u64) -> f64 {
    match sum / votes as f64 {
        _ if votes == 0 => f64::NAN,
        mean if mean.abs() < 1e-9 => 0.0,
        mean => mean,
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Largest absolute cosine of each head to another; NaN for a head without a direction or without neighbors.
fn redundancy(gram: &Gram) -> Vec<f64> {
    let heads = gram.heads();
    let largest = |i: usize| {
        let others = (0..heads).filter(|j| *j != i).filter_map(|j| gram.cosine(i, j));
        others.map(f64::abs).fold(f64::NAN, f64::max)
    };
    (0..heads).map(largest).collect()
}

fn energy(gram: &Gram) -> Vec<f64> {
    let total: f64 = (0..gram.heads()).map(|h| gram.norm2(h)).sum();
    (0..gram.heads()).map(|h| if total > 0.0 { gram.norm2(h) / total } else { f64::NAN }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundancy_is_the_nearest_head_whatever_its_sign() {
        // Heads (2, 0), (-1, 0), (0, 3), (0, 0): cosines -1 and 0; the last has no direction.
        let gram = Gram::from_rows(4, vec![4., -2., 0., 0., -2., 1., 0., 0., 0., 0., 9., 0., 0., 0., 0., 0.]).unwrap();
        let found = redundancy(&gram);
        assert_eq!(&found[..3], [1.0, 1.0, 0.0]);
        assert!(found[3].is_nan());
        assert_eq!(energy(&gram), [4.0 / 14.0, 1.0 / 14.0, 9.0 / 14.0, 0.0]);
        assert!(redundancy(&Gram::zeros(1))[0].is_nan());
    }

    #[test]
    fn names_lead_back_to_their_measure() {
        for measure in Measure::OWN {
            assert_eq!(Measure::named(measure.name()), measure);
        }
        assert_eq!(Measure::named("importance"), Measure::Baseline("importance".to_owned()));
    }

    #[test]
    fn scales_begin_at_zero_unless_numbers_are_negative() {
        let scale = Measure::VoteShare.scale([0.1, 0.4, f64::NAN]);
        assert_eq!((scale.map, scale.low, scale.high), (ColorMap::Viridis, 0.0, 0.4));
        let scale = Measure::Baseline("x".to_owned()).scale([-3.0, 1.0]);
        assert_eq!((scale.map, scale.low, scale.high), (ColorMap::BlueRed, -3.0, 3.0));
        let scale = Measure::Silhouette.scale([0.1, 0.2]);
        assert_eq!((scale.low, scale.high), (-0.2, 0.2));
        assert_eq!(Measure::Energy.scale([]).high, 1.0);
    }
}
