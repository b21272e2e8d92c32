//! Every picture as one type: built once from results, painted by the window or written to a file.

use super::attention::AttentionMaps;
use super::caption::Caption;
use super::cost::CostBars;
use super::groups::GroupMap;
use super::lens::Lens;
use super::overview::{Order, Overview};
use super::plot::Plot;
use super::quality::QualityCurves;
use super::repair::RepairBars;
use super::scores::GroupScores;
use super::settling::Settling;
use super::side_by_side::SideBySide;
use super::similarity::Similarity;
use super::table::Table;
use super::tradeoff::TradeOff;
use super::training::TrainingCurves;
use super::view::AnalysisView;
use super::votes::VoteBars;
use crate::analysis::{Analysis, SiteAnalysis};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Site};
use crate::plan::Plan;

/// What a picture shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// Every head of the model.
    Overview(Overview),
    /// Two of them beside each other.
    SideBySide(Box<SideBySide>),
    /// The heads of a layer against each other.
    Similarity(Similarity),
    /// The same for every layer, small.
    Similarities(Caption, Vec<Similarity>),
    /// The groups of a layer.
    Groups(GroupMap),
    /// The same for every layer, small.
    GroupMaps(Caption, Vec<GroupMap>),
    /// How good groupings are against their number.
    Scores(GroupScores),
    /// The vote of a layer.
    Votes(VoteBars),
    /// The same for every layer, small.
    VoteBars(Caption, Vec<VoteBars>),
    /// When the vote stood.
    Settling(Settling),
    /// Quality against the share of heads kept.
    Quality(QualityCurves),
    /// Quality against what a model costs.
    TradeOff(TradeOff),
    /// What a plan saves.
    Cost(CostBars),
    /// What each layer loses, without repair and with it.
    Repair(RepairBars),
    Training(TrainingCurves),
    Attention(AttentionMaps),
}

impl Picture {
    /// The words around it.
    pub fn caption(&self) -> &Caption {
        match self {
            Self::Overview(view) => &view.caption,
            Self::SideBySide(view) => &view.caption,
            Self::Similarity(view) => &view.caption,
            Self::Groups(view) => &view.caption,
            Self::Similarities(caption, _) | Self::GroupMaps(caption, _) | Self::VoteBars(caption, _) => caption,
            Self::Scores(view) => &view.caption,
            Self::Votes(view) => &view.caption,
            Self::Settling(view) => &view.caption,
            Self::Quality(view) => &view.caption,
            Self::TradeOff(view) => &view.caption,
            Self::Cost(view) => &view.caption,
            Self::Repair(view) => &view.caption,
            Self::Training(view) => &view.caption,
            Self::Attention(view) => &view.caption,
        }
    }

    /// Every number that it shows.
    pub fn table(&self) -> Table {
        fn all(tables: impl Iterator<Item = Table>) -> Table {
            tables
                .reduce(|mut all, next| {
                    all.append(next);
                    all
                })
                .unwrap_or_default()
        }
        match self {
            Self::Overview(view) => view.table(),
            Self::SideBySide(view) => view.table(),
            Self::Similarity(view) => view.table(),
            Self::Similarities(_, layers) => all(layers.iter().map(Similarity::table)),
            Self::Groups(view) => view.table(),
            Self::GroupMaps(_, layers) => all(layers.iter().map(GroupMap::table)),
            Self::Scores(view) => view.table(),
            Self::Votes(view) => view.table(),
            Self::VoteBars(_, layers) => all(layers.iter().map(VoteBars::table)),
            Self::Settling(view) => view.table(),
            Self::Quality(view) => view.table(),
            Self::TradeOff(view) => view.table(),
            Self::Cost(view) => view.table(),
            Self::Repair(view) => view.table(),
            Self::Training(view) => view.table(),
            Self::Attention(view) => view.table(),
        }
    }

    /// The same numbers as tables of one thing each, with what it is, for those who read them on a screen.
    pub fn tables(&self) -> Vec<(&'static str, Table)> {
        let mut tables = match self {
            Self::Groups(view) => view.tables(),
            Self::Votes(view) => view.tables(),
            _ => vec![("", self.table())],
        };
        if tables.len() > 1 {
            tables.retain(|(_, table)| !table.is_empty());
        }
        tables
    }

    /// Every plot with axes in it.
    pub fn plots(&self) -> Vec<Plot> {
        let votes = |view: &VoteBars| {
            let shares = std::iter::once(view.shares_plot());
            shares.chain(view.margins_plot()).chain(view.settled_plot()).collect::<Vec<_>>()
        };
        let groups = |view: &GroupMap| {
            let map = std::iter::once(view.map_plot());
            map.chain(view.silhouette_plot()).chain(view.number_plots()).collect::<Vec<_>>()
        };
        match self {
            Self::Groups(view) => groups(view),
            Self::GroupMaps(_, layers) => layers.iter().flat_map(groups).collect(),
            Self::Scores(view) => view.plots(),
            Self::Votes(view) => votes(view),
            Self::VoteBars(_, layers) => layers.iter().flat_map(votes).collect(),
            Self::Settling(view) => vec![view.plot()],
            Self::Quality(view) => vec![view.plot()],
            Self::TradeOff(view) => vec![view.plot()],
            Self::Repair(view) => vec![view.plot()],
            Self::Training(view) => view.plots(),
            Self::Overview(_)
            | Self::SideBySide(_)
            | Self::Similarity(_)
            | Self::Similarities(..)
            | Self::Cost(_)
            | Self::Attention(_) => Vec::new(),
        }
    }
}

/// Which picture of an analysis.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub view: AnalysisView,
    /// Of which layer; without one, of all.
    pub site: Option<Site>,
    /// Through which feature map; without one, through `output` or else the first that was analyzed.
    pub feature: Option<FeatureMap>,
    /// Which heads stay; without a plan those that the votes keep.
    pub plan: Option<&'a Plan>,
    /// In which order heads stand; without one the overview by index and the redundancy by group.
    pub order: Option<Order>,
    /// Other groups of the heads of the layer, in place of those that the analysis found.
    pub groups: Option<&'a [usize]>,
}

impl Request<'_> {
    /// All layers, the usual feature map, the votes' own choice.
    pub fn new(view: AnalysisView) -> Self {
        Self { view, site: None, feature: None, plan: None, order: None, groups: None }
    }
}

/// What a picture of `analysis` shows.
///
/// # Errors
/// A wrong request where the analysis is of no such layer, or there is no such measure; otherwise where the analysis lacks what is to
/// be shown, or the plan does not fit.
pub fn build(analysis: &Analysis, request: &Request<'_>) -> Result<Picture> {
    request.view.check(analysis)?;
    let lens = Lens::new(analysis, request.feature, request.plan)?;
    let sites = chosen(analysis, request.site)?;
    match &request.view {
        AnalysisView::Overview(color) => {
            let mut overview = lens.overview(color);
            overview.sort(request.order.unwrap_or(Order::Index));
            if let Some(site) = request.site {
                overview.rows.retain(|row| row.site == site);
            }
            Ok(Picture::Overview(overview))
        }
        AnalysisView::Redundancy(likeness) => {
            let by_index = request.order == Some(Order::Index);
            let layer = |s: &&SiteAnalysis| Ok(lens.similarity(s, *likeness)?.ordered(by_index));
            let layers: Vec<Similarity> = sites.iter().map(layer).collect::<Result<_>>()?;
            Ok(one_or_all(
                layers,
                |layer| Picture::Similarity(layer.with_tree()),
                |layers| {
                    let caption = common(layers.iter().map(|l| &l.caption), "Redundancy of the heads");
                    Picture::Similarities(caption, layers)
                },
            ))
        }
        AnalysisView::Groups => {
            let layer = |s: &&SiteAnalysis| lens.group_map(s, request.groups.filter(|g| g.len() == s.heads));
            let layers: Vec<GroupMap> = sites.iter().map(layer).collect::<Result<_>>()?;
            Ok(one_or_all(layers, Picture::Groups, |layers| {
                // Small pictures show no curve.
                let layers: Vec<GroupMap> =
                    layers.into_iter().map(|layer| GroupMap { curve: Vec::new(), ..layer }).collect();
                let caption = common(layers.iter().map(|l| &l.caption), "Groups of the heads");
                Picture::GroupMaps(caption.note("The number beside a layer is its mean silhouette."), layers)
            }))
        }
        AnalysisView::Scores => Ok(Picture::Scores(lens.scores(&sites))),
        AnalysisView::Votes => {
            let layers: Vec<VoteBars> = sites.iter().map(|s| lens.votes(s)).collect();
            Ok(one_or_all(layers, Picture::Votes, |layers| {
                let small = |layer: VoteBars| VoteBars { settled: Vec::new(), margins: Vec::new(), ..layer };
                let layers: Vec<VoteBars> = layers.into_iter().map(small).collect();
                let caption = common(layers.iter().map(|l| &l.caption), "Votes for the heads");
                Picture::VoteBars(caption, layers)
            }))
        }
        AnalysisView::Settling => {
            let mut settling = lens.settling();
            if let Some(site) = request.site {
                settling.layers.retain(|(name, _)| *name == site.to_string());
            }
            Ok(Picture::Settling(settling))
        }
    }
}

/// One layer large, several small.
fn one_or_all<T>(mut layers: Vec<T>, one: impl FnOnce(T) -> Picture, all: impl FnOnce(Vec<T>) -> Picture) -> Picture {
    match layers.pop() {
        Some(layer) if layers.is_empty() => one(layer),
        last => all(layers.into_iter().chain(last).collect()),
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
