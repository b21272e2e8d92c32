//! From an analysis to a picture: what the command line and the window's export share.

mod inputs;
mod quality;
mod saving;
mod training;

use std::fmt;
use std::str::FromStr;

use super::export::Figure;
use super::measure::Measure;
use super::page::Caption;
use super::theme::Theme;
use super::views::{GroupMap, Likeness, Order, Similarity, VoteBars};
use crate::analysis::{Analysis, SiteAnalysis};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Site};
use crate::plan::Plan;

pub use inputs::Lens;
pub use quality::{CurveView, Price};

/// A picture of an analysis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Every head of the model, by group or by a measure.
    Overview(Option<Measure>),
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

impl View {
    /// Every view that `analysis` can fill.
    pub fn available(analysis: &Analysis) -> Vec<Self> {
        let measures = Measure::available(analysis).into_iter().map(Some);
        let likenesses = Likeness::ALL.into_iter();
        let has_cka = analysis.sites.iter().any(|s| s.cka.is_some());
        let likenesses = likenesses.filter(|l| *l != Likeness::Cka || has_cka);
        std::iter::once(None)
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

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overview(None) => f.write_str("overview"),
            Self::Overview(Some(measure)) => write!(f, "overview-{measure}"),
            Self::Redundancy(Likeness::Cosine) => f.write_str("redundancy"),
            Self::Redundancy(likeness) => write!(f, "redundancy-{}", likeness.name()),
            Self::Groups => f.write_str("groups"),
            Self::Scores => f.write_str("scores"),
            Self::Votes => f.write_str("votes"),
            Self::Settling => f.write_str("settling"),
        }
    }
}

impl FromStr for View {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let likeness = |name: &str| Likeness::ALL.into_iter().find(|l| l.name() == name);
        let (word, detail) = text.split_once('-').map_or((text, None), |(word, detail)| (word, Some(detail)));
        match (word, detail) {
            ("overview", None | Some("groups")) => Ok(Self::Overview(None)),
            ("overview", Some(measure)) if !measure.is_empty() => Ok(Self::Overview(Some(Measure::named(measure)))),
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
        "choose overview, overview-MEASURE (votes, margin, redundancy, silhouette, energy, importance, ..), redundancy, \
         redundancy-distance, redundancy-cka, groups, scores, votes or settling",
    )
}

/// Which picture of an analysis.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What it shows.
    pub view: View,
    /// Of which layer; without one, of all.
    pub site: Option<Site>,
    /// Through which feature map; without one, through `output` or else the first that was analysed.
    pub feature: Option<FeatureMap>,
    /// Which heads stay; without a plan those that the votes keep.
    pub plan: Option<&'a Plan>,
    /// On which background.
    pub theme: &'a Theme,
    /// In which order heads stand; without one the overview by index and the redundancy by group.
    pub order: Option<Order>,
    /// Other groups of the heads of the layer, in place of those that the analysis found.
    pub groups: Option<&'a [usize]>,
}

impl Request<'_> {
    /// All layers, the usual feature map, the votes' own choice, on white.
    pub fn new(view: View) -> Self {
        Self { view, site: None, feature: None, plan: None, theme: &Theme::LIGHT, order: None, groups: None }
    }
}

/// Draws a picture of `analysis`.
///
/// # Errors
/// A wrong request where the analysis lacks the layer, feature map or measure; otherwise where the plan does not fit.
pub fn build(analysis: &Analysis, request: &Request<'_>) -> Result<Figure> {
    let lens = Lens::new(analysis, request.feature, request.plan)?;
    let sites = chosen(analysis, request.site)?;
    let theme = request.theme;
    match &request.view {
        View::Overview(measure) => {
            if let Some(measure) = measure {
                known(analysis, measure)?;
            }
            let mut overview = lens.overview(measure.as_ref());
            overview.sort(request.order.unwrap_or(Order::Index));
            if let Some(site) = request.site {
                overview.rows.retain(|row| row.name == site.to_string());
            }
            Ok(overview.figure(theme))
        }
        View::Redundancy(likeness) => {
            let by_index = request.order == Some(Order::Index);
            let layer = |s: &&SiteAnalysis| Ok(lens.similarity(s, *likeness)?.ordered(by_index));
            let layers: Vec<Similarity> = sites.iter().map(layer).collect::<Result<_>>()?;
            Ok(match layers.as_slice() {
                [one] => one.figure(theme),
                all => {
                    Similarity::tiles(&common(all.iter().map(|l| &l.caption), "Redundancy of the heads"), all, theme)
                }
            })
        }
        View::Groups => {
            let layer = |s: &&SiteAnalysis| lens.group_map(s, request.groups.filter(|g| g.len() == s.heads));
            let layers: Vec<GroupMap> = sites.iter().map(layer).collect::<Result<_>>()?;
            Ok(match layers.as_slice() {
                [one] => one.figure(theme),
                all => {
                    let caption = common(all.iter().map(|l| &l.caption), "Groups of the heads");
                    GroupMap::tiles(&caption.note("The number beside a layer is its mean silhouette."), all, theme)
                }
            })
        }
        View::Scores => Ok(lens.scores(&sites).figure(theme)),
        View::Votes => {
            let layers: Vec<VoteBars> = sites.iter().map(|s| lens.votes(s)).collect();
            Ok(match layers.as_slice() {
                [one] => one.figure(theme),
                all => VoteBars::tiles(&common(all.iter().map(|l| &l.caption), "Votes for the heads"), all, theme),
            })
        }
        View::Settling => {
            let mut settling = lens.settling();
            if let Some(site) = request.site {
                settling.layers.retain(|(name, _)| *name == site.to_string());
            }
            Ok(settling.figure(theme))
        }
    }
}

fn chosen(analysis: &Analysis, site: Option<Site>) -> Result<Vec<&SiteAnalysis>> {
    let Some(site) = site else { return Ok(analysis.sites.iter().collect()) };
    let found = analysis.site(site).ok_or_else(|| {
        let names: Vec<String> = analysis.sites.iter().map(|s| s.site.to_string()).collect();
        let list = match names.as_slice() {
            [first, .., last] if names.len() > 6 => format!("{first} to {last}"),
            names => names.join(", "),
        };
        Error::usage(format!("this analysis has no layer {site}")).hint(format!("it has {list}"))
    })?;
    Ok(vec![found])
}

fn known(analysis: &Analysis, measure: &Measure) -> Result<()> {
    let available = Measure::available(analysis);
    if available.contains(measure) {
        return Ok(());
    }
    let names: Vec<&str> = available.iter().map(Measure::name).collect();
    Err(Error::usage(format!("this analysis has no measure '{measure}'")).hint(format!("it has {}", names.join(", "))))
}

/// The words for all layers at once: notes that hold for every one of them, and what their subtitles agree in.
fn common<'a>(captions: impl Iterator<Item = &'a Caption> + Clone, title: &str) -> Caption {
    let mut all = captions.clone();
    let Some(first) = all.next() else { return Caption::new(title, "") };
    let parts: Vec<&str> = first.subtitle.split(" · ").collect();
    let agreed = parts.into_iter().filter(|part| captions.clone().all(|c| c.subtitle.split(" · ").any(|p| p == *part)));
    let notes = first.notes.iter().filter(|note| captions.clone().all(|c| c.notes.contains(note)));
    Caption {
        title: format!("{title} of every layer"),
        subtitle: agreed.collect::<Vec<_>>().join(" · "),
        notes: notes.cloned().collect(),
    }
}

#[cfg(test)]
mod tests;
