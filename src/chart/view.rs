//! Pictures of an analysis by name: what the command line, the window and every export ask for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use super::similarity::Likeness;
use crate::analysis::{Analysis, SiteAnalysis};
use crate::error::{Error, Result};

/// What the color of a head says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HeadColor {
    /// The group of the head in its layer.
    #[default]
    Group,
    Measure(Measure),
    /// What the head does, by its name.
    Kind,
    /// Nothing but kept or pruned.
    State,
}

/// A picture of an analysis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnalysisView {
    /// Every head of the model.
    Overview(HeadColor),
    /// The heads of a layer against each other.
    Redundancy(Likeness),
    /// Map, silhouettes and number of groups of a layer.
    Groups,
    /// The vote of a layer.
    Votes,
    /// How good groupings are against their number.
    Scores,
    /// When the vote stood.
    Settling,
}

impl AnalysisView {
    /// Every view that `analysis` can fill.
    pub fn available(analysis: &Analysis) -> Vec<Self> {
        let measures = Measure::available(analysis).into_iter().map(HeadColor::Measure);
        let likenesses = Likeness::ALL.iter().copied();
        let has_cka = analysis.sites.iter().any(|s| s.cka.is_some());
        let likenesses = likenesses.filter(|l| *l != Likeness::Cka || has_cka);
        let kinds = analysis.sites.iter().any(SiteAnalysis::has_kinds).then_some(HeadColor::Kind);
        [HeadColor::Group, HeadColor::State]
            .into_iter()
            .chain(kinds)
            .chain(measures)
            .map(Self::Overview)
            .chain(likenesses.map(Self::Redundancy))
            .chain([Self::Groups, Self::Scores, Self::Votes, Self::Settling])
            .collect()
    }

    /// True where the picture is of one layer, or small ones of all.
    pub fn is_per_site(&self) -> bool {
        matches!(self, Self::Redundancy(_) | Self::Groups | Self::Votes)
    }
}

impl fmt::Display for AnalysisView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overview(HeadColor::Group) => f.write_str("overview"),
            Self::Overview(HeadColor::State) => f.write_str("overview-kept"),
            Self::Overview(HeadColor::Kind) => f.write_str("overview-kinds"),
            Self::Overview(HeadColor::Measure(measure)) => write!(f, "overview-{measure}"),
            Self::Redundancy(Likeness::Cosine) => f.write_str("redundancy"),
            Self::Redundancy(likeness) => write!(f, "redundancy-{}", likeness.name()),
            Self::Groups => f.write_str("groups"),
            Self::Scores => f.write_str("scores"),
            Self::Votes => f.write_str("votes"),
            Self::Settling => f.write_str("settling"),
        }
    }
}

impl FromStr for AnalysisView {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let likeness = |name: &str| Likeness::ALL.iter().copied().find(|l| l.name() == name);
        let (word, detail) = text.split_once('-').map_or((text, None), |(word, detail)| (word, Some(detail)));
        match (word, detail) {
            ("overview", None | Some("groups")) => Ok(Self::Overview(HeadColor::Group)),
            ("overview", Some("kept")) => Ok(Self::Overview(HeadColor::State)),
            ("overview", Some("kinds")) => Ok(Self::Overview(HeadColor::Kind)),
            ("overview", Some(measure)) if !measure.is_empty() => {
                Ok(Self::Overview(HeadColor::Measure(Measure::named(measure))))
            }
            ("redundancy", None) => Ok(Self::Redundancy(Likeness::Cosine)),
            ("redundancy", Some(name)) => likeness(name).map(Self::Redundancy).ok_or_else(|| unknown(text)),
            ("groups", None) => Ok(Self::Groups),
            ("scores", None) => Ok(Self::Scores),
            ("votes", None) => Ok(Self::Votes),
            ("settling", None) => Ok(Self::Settling),
            _ => Err(unknown(text)),
        }
    }
}

fn unknown(text: &str) -> Error {
    Error::usage(format!("'{text}' is no view")).hint(
        "choose overview, overview-kept, overview-kinds, overview-MEASURE (votes, margin, redundancy, silhouette, energy, importance, ..), redundancy, \
         redundancy-distance, redundancy-cka, groups, scores, votes or settling",
    )
}
