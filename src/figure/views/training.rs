//! Measures of a training run over its steps, one plot below the other.

use crate::figure::axis::{Axis, extent};
use crate::figure::export::Figure;
use crate::figure::font::{self, Weight};
use crate::figure::number::Unit;
use crate::figure::page::{Caption, Page, SMALL};
use crate::figure::palette::GroupStyle;
use crate::figure::plot::{Chart, Limit, Series};
use crate::figure::scene::{Anchor, Level, Point, Rect, Stroke, Text};
use crate::figure::table::Table;
use crate::figure::theme::Theme;

/// Measures on a common axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlot {
    /// What they measure: `Loss per token`.
    pub label: String,
    /// How they are written.
    pub unit: Unit,
    /// Names and `[step, value]`, ascending; values that were not finite interrupt a line.
    pub series: Vec<(String, Vec<Point>)>,
}

/// A training run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingCurves {
    /// Words around it.
    pub caption: Caption,
    /// The plots from top to bottom.
    pub plots: Vec<TrainingPlot>,
    /// Steps at which something happened: the vote, the beginning of fine-tuning.
    pub events: Vec<(f64, String)>,
}

/// Height of one plot.
const PLOT: f64 = 168.0;
/// Lines are drawn with at most this many buckets of points.
const BUCKETS: usize = 600;

impl TrainingCurves {
    /// Draws it.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let mut page = Page::new(760.0, &self.caption, theme);
        let steps = self.plots.iter().flat_map(|p| &p.series).flat_map(|(_, points)| points).map(|p| p[0]);
        let (first, last) = extent(steps.chain(self.events.iter().map(|e| e.0))).unwrap_or((0.0, 1.0));
        let range = (first.min(0.0), last);
        // Room on the right for the names of lines.
        let names = self.plots.iter().flat_map(|p| &p.series).map(|(n, _)| font::width(n, SMALL, Weight::Regular));
        let names = names.fold(0.0, f64::max).min(170.0) + 24.0;
        for (i, plot) in self.plots.iter().enumerate() {
            let is_last = i + 1 == self.plots.len();
            let outer = page.take(if is_last { PLOT + 16.0 } else { PLOT });
            let (low, high) = extent(plot.series.iter().flat_map(|(_, p)| p).map(|p| p[1])).unwrap_or((0.0, 1.0));
            let x = Axis::exact(if is_last { "step" } else { "" }, Unit::Count, range, 8);
            let mut chart = Chart::new(x, Axis::linear(plot.label.clone(), plot.unit, (low, high), 4));
            chart.limits.extend(self.events.iter().map(|(step, name)| Limit {
                name: if i == 0 { name.clone() } else { String::new() },
                value: *step,
                is_vertical: true,
                stroke: Stroke::dashed(theme.accent, 1.0),
            }));
            chart.series.extend(plot.series.iter().enumerate().map(|(k, (_, points))| Series {
                name: String::new(),
                points: thinned(points, BUCKETS),
                stroke: Stroke::solid(GroupStyle::of(theme, k).color, 1.75),
                marker: (points.len() <= 24).then_some(GroupStyle::of(theme, k).marker),
            }));
            // Plots below each other line up although their ticks differ in width.
            let widest = self.plots.iter().map(y_width).fold(0.0, f64::max);
            let shift = widest - y_width(plot);
            let inner = Rect::new(outer.x + shift, outer.y, outer.w - names - shift, outer.h);
            let drawn = chart.draw(&mut page.scene, inner, theme);
            let ends: Vec<(f64, f64)> = plot
                .series
                .iter()
                .map(|(_, points)| {
                    points.iter().rev().find(|p| p[1].is_finite()).map_or(f64::NAN, |p| drawn.down(p[1]))
                })
                .enumerate()
                .map(|(k, y)| (y, k as f64))
                .collect();
            let places = spread(&ends, drawn.area.y + 4.0, drawn.area.bottom() - 4.0, SMALL + 4.0);
            for (k, y) in places.into_iter().filter(|(k, _)| !plot.series[*k].0.is_empty()) {
                let name = font::shortened(&plot.series[k].0, names - 20.0, SMALL, Weight::Regular);
                let style = GroupStyle::of(theme, k);
                let x = drawn.area.right() + 10.0;
                page.scene.marks(vec![[x, y]], style.marker, 3.4, style.color);
                page.scene.text(Text::new(name, [x + 8.0, y], SMALL, theme.ink).anchored(Anchor::Start, Level::Middle));
            }
        }
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["measure", "series", "step", "value"]);
        for plot in &self.plots {
            for (name, points) in &plot.series {
                for [step, value] in points {
                    table.push([plot.label.as_str().into(), name.as_str().into(), (*step).into(), (*value).into()]);
                }
            }
        }
        for (step, name) in &self.events {
            table.push(["event".into(), name.as_str().into(), (*step).into()]);
        }
        table
    }
}

/// Width of the widest label on the axis of `plot`.
fn y_width(plot: &TrainingPlot) -> f64 {
    let (low, high) = extent(plot.series.iter().flat_map(|(_, p)| p).map(|p| p[1])).unwrap_or((0.0, 1.0));
    let labels = Axis::linear("", plot.unit, (low, high), 4).tick_labels();
    labels.iter().map(|t| font::width(t, SMALL, Weight::Regular)).fold(0.0, f64::max).ceil()
}

/// Where the names of lines go: near `(y, index)`, but `gap` apart and between `top` and `bottom`. Lines without an end
/// come last.
fn spread(ends: &[(f64, f64)], top: f64, bottom: f64, gap: f64) -> Vec<(usize, f64)> {
    let mut order: Vec<(usize, f64)> =
        ends.iter().map(|(y, k)| (*k as usize, if y.is_finite() { y.clamp(top, bottom) } else { bottom })).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mut floor = top;
    for entry in &mut order {
        entry.1 = entry.1.max(floor);
        floor = entry.1 + gap;
    }
    // What was pushed out below moves the ones above it up.
    let mut ceiling = bottom;
    for entry in order.iter_mut().rev() {
        entry.1 = entry.1.min(ceiling);
        ceiling = entry.1 - gap;
    }
    order
}

/// First, lowest, highest and last point of every bucket: a long noisy line keeps its peaks.
fn thinned(points: &[Point], buckets: usize) -> Vec<Point> {
    if points.len() <= 4 * buckets {
        return points.to_vec();
    }
    let size = points.len().div_ceil(buckets);
    let mut out = Vec::with_capacity(4 * buckets);
    for bucket in points.chunks(size) {
        let value = |i: &usize| bucket[*i][1];
        let finite = || (0..bucket.len()).filter(|i| bucket[*i][1].is_finite());
        let low = finite().min_by(|a, b| value(a).total_cmp(&value(b)));
        let high = finite().max_by(|a, b| value(a).total_cmp(&value(b)));
        let mut chosen: Vec<usize> = [Some(0), low, high, Some(bucket.len() - 1)].into_iter().flatten().collect();
        chosen.sort_unstable();
        chosen.dedup();
        out.extend(chosen.into_iter().map(|i| bucket[i]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_peaks_and_ends() {
        let mut points: Vec<Point> = (0..10_000).map(|i| [i as f64, (i % 7) as f64]).collect();
        points[5003][1] = 99.0;
        points[7777][1] = -99.0;
        let thin = thinned(&points, 100);
        assert!(thin.len() <= 400 && thin.contains(&[5003.0, 99.0]) && thin.contains(&[7777.0, -99.0]));
        assert_eq!((thin[0], thin[thin.len() - 1]), (points[0], points[9999]));
        assert!(thin.windows(2).all(|w| w[0][0] < w[1][0]));
        assert_eq!(thinned(&points[..300], 100), points[..300]);
    }

    #[test]
    fn names_of_lines_keep_apart() {
        let places = spread(&[(50.0, 0.0), (51.0, 1.0), (f64::NAN, 2.0), (99.0, 3.0)], 0.0, 100.0, 12.0);
        assert_eq!(places.iter().map(|p| p.0).collect::<Vec<_>>(), [0, 1, 3, 2]);
        assert!(places.windows(2).all(|w| w[1].1 - w[0].1 >= 12.0 - 1e-9));
        assert!(places.iter().all(|p| (0.0..=100.0).contains(&p.1)));
    }
}
