//! How good groupings are against their number: inertia (its elbow), mean silhouette, Dunn index.

use crate::analysis::CurvePoint;
use crate::figure::axis::{Axis, extent};
use crate::figure::export::Figure;
use crate::figure::number::Unit;
use crate::figure::page::{Caption, Page, Sample};
use crate::figure::palette::GroupStyle;
use crate::figure::plot::{Chart, Series};
use crate::figure::scene::{Point, Stroke};
use crate::figure::table::Table;
use crate::figure::theme::Theme;

/// Scores of groupings against the number of groups, layer by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupScores {
    /// Words around it.
    pub caption: Caption,
    /// Each layer's best groupings, by number of groups ascending.
    pub layers: Vec<(String, Vec<CurvePoint>)>,
}

/// Layers named one by one; beyond, colours repeat and only the table tells them apart.
const NAMED: usize = 24;
/// Height of one plot.
const HEIGHT: f64 = 170.0;

/// What a plot shows of a grouping.
type Score = fn(&CurvePoint, f64) -> Option<f64>;

/// The three scores; inertia is a share of that of one group, so that layers compare.
const SCORES: [(&str, Score); 3] = [
    ("Inertia as a share of that of one group (look for the elbow)", |p, one| (one > 0.0).then(|| p.inertia / one)),
    ("Mean silhouette (higher is better)", |p, _| p.mean_silhouette),
    ("Dunn index (higher is better)", |p, _| p.dunn),
];

impl GroupScores {
    /// Draws it.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let mut page = Page::new(720.0, &self.caption, theme);
        let style = |i: usize| GroupStyle::of(theme, i);
        let named = self.layers.iter().take(NAMED).enumerate();
        let mut entries: Vec<(Sample, String)> = named
            .map(|(i, (name, _))| {
                (Sample::Line(Stroke::solid(style(i).color, 1.75), Some(style(i).marker)), name.clone())
            })
            .collect();
        if self.layers.len() > NAMED {
            let rest = format!("and {} more layers", self.layers.len() - NAMED);
            entries.push((Sample::Line(Stroke::solid(style(NAMED).color, 1.75), Some(style(NAMED).marker)), rest));
        }
        page.legend(&entries);
        let most = self.layers.iter().flat_map(|(_, points)| points).map(|p| p.groups).max().unwrap_or(1);
        for (label, score) in SCORES {
            let lines: Vec<Vec<Point>> = self.layers.iter().map(|(_, points)| line(points, score)).collect();
            let Some(range) = extent(lines.iter().flatten().map(|p| p[1])) else { continue };
            let x = Axis::integers("number of groups", 1, most.max(2), 12);
            let mut chart = Chart::new(x, Axis::linear(label, Unit::Plain, range, 4));
            chart.series.extend(lines.into_iter().enumerate().map(|(i, points)| Series {
                name: String::new(),
                points,
                stroke: Stroke::solid(style(i).color, 1.75),
                marker: (most <= 40).then_some(style(i).marker),
            }));
            let outer = page.take(HEIGHT);
            chart.draw(&mut page.scene, outer, theme);
            page.y += 10.0;
        }
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["site", "groups", "inertia", "mean_silhouette", "dunn"]);
        for (name, points) in &self.layers {
            for p in points {
                table.push([
                    name.as_str().into(),
                    p.groups.into(),
                    p.inertia.into(),
                    p.mean_silhouette.into(),
                    p.dunn.into(),
                ]);
            }
        }
        table
    }
}

/// One score of a layer's groupings.
fn line(points: &[CurvePoint], score: Score) -> Vec<Point> {
    let one = points.iter().find(|p| p.groups == 1).map_or(0.0, |p| p.inertia);
    points.iter().filter_map(|p| Some([p.groups as f64, score(p, one)?])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::views::gallery::check;

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
            let scores = GroupScores {
                caption: Caption::new("How many groups", "a model"),
                layers: (0..layers).map(layer).collect(),
            };
            for theme in Theme::ALL {
                let figure = scores.figure(theme);
                check(&format!("scores-{layers}-{}", theme.name), &figure);
                assert_eq!(figure.table().len(), 8 * layers);
            }
        }
        let points = layer(0).1;
        // 8 / 8, 4 / 8, ..; a silhouette needs two groups, a Dunn index a group with two heads.
        assert_eq!(line(&points, SCORES[0].1)[..2], [[1.0, 1.0], [2.0, 0.5]]);
        assert_eq!(line(&points, SCORES[1].1).len(), 7);
        assert_eq!(line(&points, SCORES[2].1).len(), 6);
        assert_eq!(line(&points, SCORES[2].1)[0], [2.0, 0.5]);
    }
}
