//! How good groupings are against their number: inertia (its elbow), mean silhouette, Dunn index.

use super::axis::{Axis, extent};
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::palette::Marker;
use super::plot::{Limit, Line, Mark, Plot, Series};
use super::table::Table;
use crate::analysis::CurvePoint;

/// Scores of groupings against the number of groups, layer by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupScores {
    pub caption: Caption,
    /// Each layer's best groupings, by number of groups ascending.
    pub layers: Vec<(String, Vec<CurvePoint>)>,
}

/// Layers named one by one; beyond, colors repeat and only the table tells them apart.
const NAMED: usize = 24;
/// With more numbers of groups than this, points are too close to be marked.
const MARKED: usize = 40;

/// What a plot shows of a grouping, given the inertia of one group.
type GroupingScore = fn(&CurvePoint, f64) -> Option<f64>;

/// The three scores; inertia is a share of that of one group, so that layers compare.
const SCORES: [(&str, GroupingScore); 3] = [
    ("Inertia as a share of that of one group (look for the elbow)", |p, one| (one > 0.0).then(|| p.inertia / one)),
    ("Mean silhouette (higher is better)", |p, _| p.mean_silhouette),
    ("Dunn index (higher is better)", |p, _| p.dunn),
];

impl GroupScores {
    /// A plot for each score that some layer has.
    pub fn plots(&self) -> Vec<Plot> {
        SCORES.iter().filter_map(|(label, score)| self.plot(label, *score)).collect()
    }

    fn plot(&self, label: &str, score: GroupingScore) -> Option<Plot> {
        let most = self.layers.iter().flat_map(|(_, points)| points).map(|p| p.groups).max().unwrap_or(1);
        let lines: Vec<Vec<[f64; 2]>> = self.layers.iter().map(|(_, points)| line(points, score)).collect();
        let range = extent(lines.iter().flatten().map(|p| p[1]))?;
        let x = Axis::integers("number of groups", 1, most.max(2), 12);
        let mut plot = Plot::new(label, x, Axis::linear(label, Unit::Plain, range, 4));
        let rest = self.layers.len().saturating_sub(NAMED);
        plot.series.extend(lines.into_iter().enumerate().map(|(i, points)| Series {
            name: match i {
                i if i < NAMED => self.layers[i].0.clone(),
                NAMED => format!("and {rest} more layers"),
                _ => String::new(),
            },
            points,
            ink: Ink::Nth(i),
            line: Some(Line::nth(i, 1.75)),
            mark: (most <= MARKED).then_some(Mark::Dot(Marker::nth(i))),
        }));
        Some(plot)
    }

    /// Every number of the plots.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["site", "groups", "inertia", "inertia_share", "mean_silhouette", "dunn"]);
        for (name, points) in &self.layers {
            let one = inertia_of_one(points);
            for p in points {
                table.push([
                    name.as_str().into(),
                    p.groups.into(),
                    p.inertia.into(),
                    (one > 0.0).then(|| p.inertia / one).into(),
                    p.mean_silhouette.into(),
                    p.dunn.into(),
                ]);
            }
        }
        table
    }
}

/// One layer's mean silhouette and Dunn index against the number of groups, with a line at `groups`; scores that no
/// grouping has are left out.
pub(super) fn of_layer(points: &[CurvePoint], groups: usize) -> Vec<Plot> {
    let scores: [(&str, usize, GroupingScore); 2] =
        [("Mean silhouette", 0, |p, _| p.mean_silhouette), ("Dunn index", 3, |p, _| p.dunn)];
    let plot = |(name, color, score): (&str, usize, GroupingScore)| {
        let points = line(points, score);
        let (first, last) = extent(points.iter().map(|p| p[0]))?;
        let (low, high) = extent(points.iter().map(|p| p[1]))?;
        let x = Axis::integers("number of groups", first as usize, last as usize, 6);
        let y = Axis::linear(name, Unit::Plain, (low.min(0.0), high), 4);
        let mut plot = Plot::new(format!("{name} against the number of groups"), x, y);
        plot.limits.push(Limit {
            name: String::new(),
            value: groups as f64,
            is_vertical: true,
            ink: Ink::Accent,
            line: Line::dashed(1.0),
        });
        let mark = (points.len() <= 24).then_some(Mark::Dot(Marker::nth(color)));
        let line = Some(Line::solid(1.75));
        plot.series.push(Series { name: String::new(), points, ink: Ink::Nth(color), line, mark });
        Some(plot)
    };
    scores.into_iter().filter_map(plot).collect()
}

fn inertia_of_one(points: &[CurvePoint]) -> f64 {
    points.iter().find(|p| p.groups == 1).map_or(0.0, |p| p.inertia)
}

/// One score of a layer's groupings.
fn line(points: &[CurvePoint], score: GroupingScore) -> Vec<[f64; 2]> {
    let one = inertia_of_one(points);
    points.iter().filter_map(|p| Some([p.groups as f64, score(p, one)?])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inertia_begins_at_one_and_every_score_has_its_place() {
        let point = |groups: usize| CurvePoint {
            groups,
            inertia: 8.0 / groups as f64,
            mean_silhouette: (groups > 1).then(|| 0.5 - groups as f64 / 20.0),
            dunn: (1 < groups && groups < 8).then(|| groups as f64 / 4.0),
        };
        let layer = |i: usize| (format!("encoder.{i}"), (1..=8).map(point).collect::<Vec<_>>());
        for layers in [1, 6, 30] {
            let caption = Caption::new("How many groups", "a model");
            let scores = GroupScores { caption, layers: (0..layers).map(layer).collect() };
            assert_eq!(scores.table().len(), 8 * layers);
            let plots = scores.plots();
            assert_eq!(plots.len(), 3);
            assert_eq!(plots[0].legend().len(), layers.min(NAMED + 1));
            // 8 / 8, 4 / 8, ..; a silhouette needs two groups, a Dunn index a group with two heads.
            assert_eq!(plots[0].series[0].points[..2], [[1.0, 1.0], [2.0, 0.5]]);
            assert_eq!(plots[1].series[0].points.len(), 7);
            assert_eq!(plots[2].series[0].points.len(), 6);
            assert_eq!(plots[2].series[0].points[0], [2.0, 0.5]);
        }
        assert_eq!(of_layer(&layer(0).1, 3).iter().map(|p| p.limits[0].value).collect::<Vec<_>>(), [3.0, 3.0]);
    }
}
