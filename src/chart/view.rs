//! Pictures of an analysis by name: what the command line, the window and every export ask for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use super::similarity::Likeness;
use crate::analysis::{Analysis, SiteAnalysis, baseline};
use crate::error::{Error, Result};

/// The names of all views of an analysis. Not every analysis can fill each of them.
pub const ANALYSIS_VIEWS: &str = "overview, overview-kept, overview-kinds, overview-MEASURE (MEASURE being votes, margin, redundancy, \
    silhouette, energy, importance, magnitude, confidence, entropy, replaceability or a kind of head), redundancy, redundancy-distance, \
    redundancy-cka, groups, scores, votes, settling";

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

    /// Refuses a view that `analysis` cannot fill, with how it could and those that it can.
    ///
    /// # Errors
    /// A wrong request where no analysis has such a measure; otherwise where this one lacks it.
    pub(super) fn check(&self, analysis: &Analysis) -> Result<()> {
        let available = Self::available(analysis);
        if available.contains(self) {
            return Ok(());
        }
        let can = format!("this one can show {}", available.iter().map(Self::to_string).collect::<Vec<_>>().join(", "));
        let rerun = match self {
            Self::Overview(HeadColor::Kind) => Some("analyze again without --no-kinds".to_owned()),
            Self::Overview(HeadColor::Measure(measure)) => baseline::rerun(measure.name()),
            Self::Redundancy(Likeness::Cka) => Some("analyze again with --cka".to_owned()),
            _ => None,
        };
        Err(match rerun {
            Some(rerun) => {
                Error::new(format!("this analysis does not hold what {self} shows")).hint(format!("{rerun}; {can}"))
            }
            None => Error::usage(format!("no analysis has what '{self}' names")).hint(can),
        })
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
    Error::usage(format!("'{text}' is no view")).hint(format!("choose from {ANALYSIS_VIEWS}"))
}
