//! The groups of one layer: where the heads lie, how well they belong, how many groups there should be.

use super::axis::{Axis, extent};
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::palette::Marker;
use super::plot::{Bars, Label, LabelSide, Limit, Line, Mark, Plot, Series};
use super::scores;
use super::table::{Cell, Table};
use crate::analysis::CurvePoint;

/// The groups of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMap {
    pub caption: Caption,
    /// `encoder.0` and so on, for the table.
    pub site: String,
    /// Where each head lies in the plane that keeps distances best (classical MDS); any unit.
    pub points: Vec<[f64; 2]>,
    /// Share of the squared distances that the plane keeps, 0 to 1.
    pub share_kept: f64,
    /// Group of each head.
    pub groups: Vec<usize>,
    /// Silhouette coefficient of each head, -1 to 1; empty where there is one group.
    pub silhouette: Vec<f64>,
    /// Their mean over the heads that have one, or that of the analysis.
    pub mean_silhouette: Option<f64>,
    /// Dunn index of the grouping.
    pub dunn: Option<f64>,
    /// The best grouping for each number of groups; may be empty.
    pub curve: Vec<CurvePoint>,
    /// Heads that stay; `None` before anything is decided.
    pub kept: Option<Vec<usize>>,
}

/// Heads beyond this many have no numbers beside their points.
pub(super) const NUMBERED: usize = 48;

impl GroupMap {
    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.iter().max().map_or(0, |g| g + 1)
    }

    /// Whether a head stays; each does before anything is decided.
    pub fn keeps(&self, head: usize) -> bool {
        self.kept.as_ref().is_none_or(|k| k.contains(&head))
    }

    /// The map: a series for each group, filled where heads stay, hollow where they go, each head tied to the middle of
    /// its group.
    pub fn map_plot(&self) -> Plot {
        let axis = |i: usize| {
            let range = extent(self.points.iter().map(|p| p[i])).unwrap_or((0.0, 1.0));
            Axis::exact("", Unit::Plain, range, 4)
        };
        let mut plot = Plot::new(format!("Map of the heads of {}", self.site), axis(0), axis(1));
        plot.is_map = true;
        for group in 0..self.group_count() {
            let heads: Vec<usize> = (0..self.points.len()).filter(|h| self.groups.get(*h) == Some(&group)).collect();
            let at = |head: &usize| self.points[*head];
            let n = heads.len() as f64;
            let middle = heads.iter().map(at).fold([0.0; 2], |[x, y], p| [x + p[0] / n, y + p[1] / n]);
            if heads.len() > 1 {
                plot.series.push(Series {
                    name: String::new(),
                    points: heads.iter().flat_map(|h| [middle, at(h), [f64::NAN; 2]]).collect(),
                    ink: Ink::Tie(group),
                    line: Some(Line::solid(1.0)),
                    mark: None,
                });
            }
            for (keeps, mark) in [(true, Mark::Dot(Marker::nth(group))), (false, Mark::Hollow(Marker::nth(group)))] {
                let points: Vec<[f64; 2]> = heads.iter().filter(|h| self.keeps(**h) == keeps).map(at).collect();
                if !points.is_empty() {
                    let name = if keeps { format!("group {group}") } else { format!("group {group}, pruned") };
                    plot.series.push(Series { name, points, ink: Ink::Nth(group), line: None, mark: Some(mark) });
                }
            }
        }
        if self.points.len() <= NUMBERED {
            let label =
                |(head, at): (usize, &[f64; 2])| Label { at: *at, text: head.to_string(), side: LabelSide::Free };
            plot.labels = self.points.iter().enumerate().map(label).collect();
        }
        plot
    }

    /// Heads from top to bottom of the silhouettes: by group, the best first.
    pub fn silhouette_order(&self) -> Vec<usize> {
        let value = |h: usize| self.silhouette.get(h).copied().unwrap_or(f64::NAN);
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order
            .sort_by(|a, b| self.groups[*a].cmp(&self.groups[*b]).then(value(*b).total_cmp(&value(*a))).then(a.cmp(b)));
        order
    }

    /// Bars sorted by group and value: the shape of each group's block is the classical silhouette plot. `None` where
    /// there is one group.
    pub fn silhouette_plot(&self) -> Option<Plot> {
        if self.silhouette.is_empty() {
            return None;
        }
        // Places count upwards, the order downwards.
        let order: Vec<usize> = self.silhouette_order().into_iter().rev().collect();
        let low = self.silhouette.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::min);
        let x = Axis::exact("", Unit::Plain, (if low < -0.02 { -1.0 } else { 0.0 }, 1.0), 4);
        let y = Axis::named("", order.iter().map(usize::to_string).collect());
        let mut plot = Plot::new(format!("Silhouettes of {}", self.site), x, y);
        let places = || order.iter().enumerate().map(|(place, head)| (place as f64, *head));
        for group in 0..self.group_count() {
            let bars = places().filter(|(_, h)| self.groups[*h] == group && self.silhouette[*h].is_finite());
            plot.bars.push(Bars {
                name: format!("group {group}"),
                bars: bars.map(|(place, h)| [place, self.silhouette[h]]).collect(),
                ink: Ink::Nth(group),
                is_horizontal: true,
                lane: (0, 1),
            });
        }
        let is_alone = |h: usize| self.groups.iter().filter(|g| **g == self.groups[h]).count() == 1;
        plot.labels.extend(places().filter(|(_, h)| is_alone(*h)).map(|(place, _)| Label {
            at: [0.0, place],
            text: "alone in its group: 0".to_owned(),
            side: LabelSide::Right,
        }));
        plot.limits.extend(self.mean_silhouette.map(|mean| Limit {
            name: format!("mean {}", Unit::Plain.labels(&[mean], 0.01).concat()),
            value: mean,
            is_vertical: true,
            ink: Ink::Muted,
            line: Line::dashed(1.0),
        }));
        Some(plot)
    }

    /// Mean silhouette and Dunn index against the number of groups.
    pub fn number_plots(&self) -> Vec<Plot> {
        scores::of_layer(&self.curve, self.group_count())
    }

    /// Every number of the picture: a row for each head, then one for each number of groups.
    pub fn table(&self) -> Table {
        Table::joined(self.tables().into_iter().map(|(_, table)| table))
    }

    /// The same as tables of one thing each: heads, and how good groupings into other numbers of groups are.
    pub fn tables(&self) -> Vec<(&'static str, Table)> {
        let mut heads = Table::new(["site", "head", "group", "x", "y", "silhouette", "kept"]);
        for (head, group) in self.groups.iter().enumerate() {
            let [x, y] = self.points.get(head).copied().unwrap_or([f64::NAN; 2]);
            heads.push([
                self.site.as_str().into(),
                head.into(),
                (*group).into(),
                x.into(),
                y.into(),
                self.silhouette.get(head).copied().into(),
                self.kept.as_ref().map(|k| k.contains(&head)).into(),
            ]);
        }
        let mut numbers = Table::new(["site", "groups", "mean_silhouette", "dunn"]);
        let mut push = |groups: usize, mean: Option<f64>, dunn: Option<f64>| {
            numbers.push([self.site.as_str().into(), groups.into(), mean.into(), Cell::from(dunn)]);
        };
        let (shown, mean, dunn) = (self.group_count(), self.mean_silhouette, self.dunn);
        if !self.curve.iter().any(|p| (p.groups, p.mean_silhouette, p.dunn) == (shown, mean, dunn)) {
            push(shown, mean, dunn);
        }
        for p in &self.curve {
            push(p.groups, p.mean_silhouette, p.dunn);
        }
        vec![("Heads", heads), ("Numbers of groups", numbers)]
    }
}
