//! Numbers against numbers: what stands between two axes, independent of the painter.

use super::axis::Axis;
use super::ink::Ink;
use super::palette::{GROUP_COLORS, Marker};

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// In units of a figure, which are points of the window.
    pub width: f64,
    /// Interrupted rather than solid.
    pub is_dashed: bool,
}

impl Line {
    pub const fn solid(width: f64) -> Self {
        Self { width, is_dashed: false }
    }

    pub const fn dashed(width: f64) -> Self {
        Self { width, is_dashed: true }
    }

    /// The line of the `n`-th of several series: dashed where its color is near that of a solid one. In every other round of
    /// the colors, which repeat, it is the other way round.
    pub const fn nth(n: usize, width: f64) -> Self {
        let is_near = matches!(n % GROUP_COLORS, 3 | 5 | 6 | 8 | 9);
        Self { width, is_dashed: is_near != ((n / GROUP_COLORS) % 2 == 1) }
    }
}

/// How a point is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Dot(Marker),
    Hollow(Marker),
    /// A ring around what lies there.
    Ring,
}

/// Points that belong together, with a line through them, marks on them, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend; without one it has none.
    pub name: String,
    /// `[x, y]`; NaN interrupts the line.
    pub points: Vec<[f64; 2]>,
    pub ink: Ink,
    /// The line through the points.
    pub line: Option<Line>,
    /// The marks on the points.
    pub mark: Option<Mark>,
}

/// An interval around a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Its name in the legend.
    pub name: String,
    /// `[x, low, high]`, ascending in x.
    pub points: Vec<[f64; 3]>,
    /// Its color, which is painted faintly.
    pub ink: Ink,
}

/// Bars of one color.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// Their name in the legend.
    pub name: String,
    /// `[place, value]`: a bar stands at `place` and reaches from 0 to `value`.
    pub bars: Vec<[f64; 2]>,
    pub ink: Ink,
    /// Bars lie, places are on the y axis.
    pub is_horizontal: bool,
    /// Which of how many bars that stand side by side at a place they are: `(0, 1)` where they stand alone.
    pub lane: (usize, usize),
}

impl Bars {
    /// How far the bars of a lane stand from their place, for bars that are `width` wide together.
    pub fn shift(&self, width: f64) -> f64 {
        let (lane, lanes) = self.lane;
        self.lane_width(width) * (lane as f64 - (lanes as f64 - 1.0) / 2.0)
    }

    /// The width of one bar where all of a place are `width` wide together.
    pub fn lane_width(&self, width: f64) -> f64 {
        width / self.lane.1 as f64
    }
}

/// A value that matters, or an event: a line across the plot with its name beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub name: String,
    pub value: f64,
    /// True for a vertical line at an x, false for a horizontal one at a y.
    pub is_vertical: bool,
    pub ink: Ink,
    /// How it is drawn.
    pub line: Line,
}

/// Words beside a point or a bar; left out where there is no room.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The point, or the end of the bar.
    pub at: [f64; 2],
    pub text: String,
    pub side: LabelSide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSide {
    /// Above the point, within the step of a bar.
    Above,
    /// To the right of it.
    Right,
    /// On whichever side is free.
    Free,
}

/// One pair of axes and what is drawn between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// What it shows, for those who do not see it.
    pub title: String,
    /// What they are told beside its values; may be empty.
    pub remark: String,
    pub x: Axis,
    pub y: Axis,
    pub bands: Vec<Band>,
    /// Drawn on the bands.
    pub bars: Vec<Bars>,
    /// Drawn on the bars.
    pub limits: Vec<Limit>,
    pub series: Vec<Series>,
    /// Words beside points and bars.
    pub labels: Vec<Label>,
    /// A map: distances on both axes have one scale, and places on them no meaning, so that nothing is written there.
    pub is_map: bool,
}

/// One line of a legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    pub sample: LegendSymbol,
}

/// What stands before the words of a legend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LegendSymbol {
    Fill(Ink),
    Band(Ink),
    /// A line, marks, or both.
    Series(Ink, Option<Line>, Option<Mark>),
}

/// How strongly a band covers what lies behind it.
pub const BAND_OPACITY: f64 = 0.22;
/// Share of its step that a bar is wide.
pub const BAR_WIDTH: f64 = 0.72;

impl Plot {
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self {
            title: title.into(),
            remark: String::new(),
            x,
            y,
            bands: Vec::new(),
            bars: Vec::new(),
            limits: Vec::new(),
            series: Vec::new(),
            labels: Vec::new(),
            is_map: false,
        }
    }

    /// What the legend says, each name once. Limits have their names beside their lines.
    pub fn legend(&self) -> Vec<Entry> {
        let series = self.series.iter().map(|s| (&s.name, LegendSymbol::Series(s.ink, s.line, s.mark)));
        let bands = self.bands.iter().map(|b| (&b.name, LegendSymbol::Band(b.ink)));
        let bars = self.bars.iter().map(|b| (&b.name, LegendSymbol::Fill(b.ink)));
        let mut entries: Vec<Entry> = Vec::new();
        for (name, sample) in bars.chain(series).chain(bands) {
            if !name.is_empty() && entries.iter().all(|e| e.name != *name) {
                entries.push(Entry { name: name.clone(), sample });
            }
        }
        entries
    }

    /// The values that lie nearest to `x`, a line for each series and band.
    pub fn words_at(&self, x: f64) -> Vec<String> {
        let near = |x0: f64| if x0.is_finite() { (self.x.position(x0) - self.x.position(x)).abs() } else { f64::NAN };
        let series = self.series.iter().filter_map(|s| {
            let points = s.points.iter().filter(|p| near(p[0]).is_finite() && p[1].is_finite());
            let [x, y] = points.min_by(|a, b| near(a[0]).total_cmp(&near(b[0])))?;
            Some(self.point_words(&s.name, *x, &self.y.unit.format(*y)))
        });
        let bands = self.bands.iter().filter_map(|b| {
            let [x, low, high] = b.points.iter().min_by(|a, b| near(a[0]).total_cmp(&near(b[0])))?;
            let range = format!("{} to {}", self.y.unit.format(*low), self.y.unit.format(*high));
            Some(self.point_words(&b.name, *x, &range))
        });
        series.chain(bands).collect()
    }

    fn point_words(&self, name: &str, x: f64, value: &str) -> String {
        let name = if name.is_empty() { &self.y.label } else { name };
        let place = self.x.unit.format(x);
        if self.x.label.is_empty() {
            format!("{name}: {value} at {place}")
        } else {
            format!("{name}: {value} at {} {place}", self.x.label)
        }
    }

    /// The last value of every series and every limit, for those who do not see the plot.
    pub fn spoken(&self) -> String {
        let last = self.series.iter().filter_map(|s| {
            let [x, y] = s.points.iter().rev().find(|p| p[1].is_finite())?;
            Some(self.point_words(&s.name, *x, &self.y.unit.format(*y)))
        });
        let limits = self.limits.iter().filter(|l| !l.name.is_empty()).map(|l| l.name.clone());
        let values = last.chain(limits).collect::<Vec<_>>().join("; ");
        let parts = [&self.y.label, &self.remark, &values].map(String::as_str);
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(". ")
    }

    /// Every number that is drawn, limits included; what leads from one point to another is none.
    pub fn numbers(&self) -> Vec<f64> {
        let series = self.series.iter().filter(|s| !matches!(s.ink, Ink::Tie(_)));
        let series = series.flat_map(|s| s.points.iter().flatten());
        let bands = self.bands.iter().flat_map(|b| b.points.iter().flatten());
        let bars = self.bars.iter().flat_map(|b| b.bars.iter().map(|bar| &bar[1]));
        let limits = self.limits.iter().map(|l| &l.value);
        series.chain(bands).chain(bars).chain(limits).copied().filter(|v| v.is_finite()).collect()
    }
}

impl Series {
    /// The points that are drawn of those between `low` and `high`: all of a few, of many those that show.
    pub fn drawn(&self, low: f64, high: f64) -> Vec<[f64; 2]> {
        if self.points.len() <= 4 * BUCKETS {
            return self.points.clone();
        }
        // One more at each side, so that the line does not end inside the plot.
        let first = self.points.iter().position(|p| p[0] >= low).unwrap_or(0).saturating_sub(1);
        let last = self.points.iter().rposition(|p| p[0] <= high).map_or(self.points.len(), |i| i + 2);
        thinned(self.points.get(first..last.min(self.points.len())).unwrap_or_default(), BUCKETS)
    }
}

/// Lines are drawn with at most this many buckets of points: more than a screen has columns would not be seen.
const BUCKETS: usize = 600;

/// First, lowest, highest and last point of every bucket: a long noisy line keeps its peaks. Lines of up to four points
/// a bucket stay whole.
fn thinned(points: &[[f64; 2]], buckets: usize) -> Vec<[f64; 2]> {
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
    use super::super::number::Unit;
    use super::super::theme::Theme;
    use super::*;

    #[test]
    fn thinning_keeps_peaks_and_ends() {
        let mut points: Vec<[f64; 2]> = (0..10_000).map(|i| [i as f64, (i % 7) as f64]).collect();
        points[5003][1] = 99.0;
        points[7777][1] = -99.0;
        let thin = thinned(&points, 100);
        assert!(thin.len() <= 400 && thin.contains(&[5003.0, 99.0]) && thin.contains(&[7777.0, -99.0]));
        assert_eq!((thin[0], thin[thin.len() - 1]), (points[0], points[9999]));
        assert!(thin.windows(2).all(|w| w[0][0] < w[1][0]));
        assert_eq!(thinned(&points[..300], 100), points[..300]);
    }

    #[test]
    fn two_rounds_of_colors_are_told_apart_by_their_lines() {
        let theme = Theme::ALL[0];
        let drawn = |n: usize| (Ink::Nth(n).color(theme), Line::nth(n, 1.0).is_dashed);
        for n in 0..2 * GROUP_COLORS {
            assert!((0..n).all(|other| drawn(other) != drawn(n)), "{n}");
        }
    }

    #[test]
    fn lines_of_colors_that_resemble_each_other_differ() {
        // Twice what tells two groups apart, whose cells are larger than a line.
        const AT_ONCE: f64 = 0.12;
        for theme in Theme::ALL {
            let color = |n: usize| Ink::Nth(n).color(theme);
            for n in 0..GROUP_COLORS {
                for other in 0..n {
                    let is_apart = color(n).distance(color(other)) > AT_ONCE;
                    let differs = Line::nth(n, 1.0).is_dashed != Line::nth(other, 1.0).is_dashed;
                    assert!(is_apart || differs, "{} series {other} and {n}", theme.name);
                }
            }
        }
    }

    #[test]
    fn words_are_of_the_nearest_points() {
        let x = Axis::exact("step", Unit::Count, (0.0, 100.0), 5);
        let mut plot = Plot::new("Loss", x, Axis::exact("Loss", Unit::Plain, (0.0, 9.0), 5));
        let line = |name: &str, points: &[[f64; 2]]| Series {
            name: name.to_owned(),
            points: points.to_vec(),
            ink: Ink::Nth(0),
            line: Some(Line::solid(1.0)),
            mark: None,
        };
        plot.series.push(line("training", &[[10.0, 5.0], [20.0, f64::NAN], [30.0, 4.0]]));
        plot.series.push(line("", &[[100.0, 1.0]]));
        plot.bands.push(Band { name: "random".to_owned(), points: vec![[0.0, 1.0, 2.0]], ink: Ink::Reference });
        let words = plot.words_at(22.0);
        assert_eq!(words, ["training: 4 at step 30", "Loss: 1 at step 100", "random: 1 to 2 at step 0"]);
        assert_eq!(plot.legend().len(), 2);
        assert_eq!(plot.spoken(), "Loss. training: 4 at step 30; Loss: 1 at step 100");
    }
}
