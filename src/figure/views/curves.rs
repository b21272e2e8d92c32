//! Quality against the share of heads kept, every method beside a random control.

use crate::figure::axis::{Axis, extent};
use crate::figure::export::Figure;
use crate::figure::number::Unit;
use crate::figure::page::{Caption, Page};
use crate::figure::palette::GroupStyle;
use crate::figure::plot::{Band, Chart, Limit, Series};
use crate::figure::scene::{Point, Stroke};
use crate::figure::table::{Cell, Table};
use crate::figure::theme::Theme;

/// One method of choosing heads.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodCurve {
    /// The method's name.
    pub name: String,
    /// `[share of heads kept, quality]`, ascending.
    pub points: Vec<Point>,
}

/// What heads drawn at random give at one share kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomPoint {
    /// Share of heads kept, 0 to 1.
    pub kept: f64,
    /// Mean quality of the draws.
    pub mean: f64,
    /// Lower end of the band.
    pub low: f64,
    /// Upper end of the band.
    pub high: f64,
}

/// Quality against the share of heads kept.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityCurves {
    /// Words around it.
    pub caption: Caption,
    /// What quality is, with its direction: `Perplexity (lower is better)`.
    pub measure: String,
    /// The name of its column in the table, e.g. `perplexity`.
    pub column: String,
    /// How it is written.
    pub unit: Unit,
    /// The methods.
    pub curves: Vec<MethodCurve>,
    /// The control, ascending in the share kept; may be empty.
    pub random: Vec<RandomPoint>,
    /// What the band of the control is: `random, range of 5 draws`.
    pub random_name: String,
    /// Quality of the whole model.
    pub whole: Option<f64>,
}

/// Above this ratio of largest to smallest, the axis is logarithmic.
const LOG_ABOVE: f64 = 20.0;

impl QualityCurves {
    /// Draws it.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let mut page = Page::new(720.0, &self.caption, theme);
        let chart = self.chart(theme);
        page.legend(&chart.legend());
        let outer = page.take(340.0);
        chart.draw(&mut page.scene, outer, theme);
        let view = self.clone();
        page.finish(move || view.table())
    }

    /// The axis of quality, with about so many ticks.
    pub fn axis(&self, ticks: usize) -> Axis {
        let random = self.random.iter().flat_map(|r| [r.mean, r.low, r.high]);
        let values = self.curves.iter().flat_map(|c| &c.points).map(|p| p[1]).chain(random).chain(self.whole);
        let (low, high) = extent(values).unwrap_or((0.0, 1.0));
        if low > 0.0 && high / low > LOG_ABOVE {
            Axis::log(self.measure.clone(), self.unit, (low, high), ticks)
        } else {
            Axis::linear(self.measure.clone(), self.unit, (low, high), ticks)
        }
    }

    fn chart(&self, theme: &Theme) -> Chart {
        let x = Axis::exact("share of heads kept", Unit::Share, (0.0, 1.0), 5);
        let mut chart = Chart::new(x, self.axis(6));
        if !self.random.is_empty() {
            chart.bands.push(Band {
                name: self.random_name.clone(),
                points: self.random.iter().map(|r| [r.kept, r.low, r.high]).collect(),
                color: theme.reference,
            });
        }
        chart.limits.extend(self.whole.map(|value| Limit {
            name: format!("all heads {}", self.unit.format(value)),
            value,
            is_vertical: false,
            stroke: Stroke::dashed(theme.muted, 1.0),
        }));
        if !self.random.is_empty() {
            chart.series.push(Series {
                name: "random, mean".to_owned(),
                points: self.random.iter().map(|r| [r.kept, r.mean]).collect(),
                stroke: Stroke { color: theme.reference, width: 1.75, dash: Some([5.0, 4.0]) },
                marker: None,
            });
        }
        chart.series.extend(self.curves.iter().enumerate().map(|(i, curve)| {
            let style = GroupStyle::of(theme, i);
            let stroke = Stroke::solid(style.color, 2.0);
            Series { name: curve.name.clone(), points: curve.points.clone(), stroke, marker: Some(style.marker) }
        }));
        chart
    }

    fn table(&self) -> Table {
        let column = &self.column;
        let names = ["method".to_owned(), "heads_kept_share".to_owned(), column.clone()];
        let mut table = Table::new(names.into_iter().chain([format!("{column}_low"), format!("{column}_high")]));
        if let Some(value) = self.whole {
            table.push(["whole model".into(), 1.0.into(), value.into()]);
        }
        for curve in &self.curves {
            for [kept, value] in &curve.points {
                table.push([curve.name.as_str().into(), (*kept).into(), (*value).into()]);
            }
        }
        for r in &self.random {
            table.push(["random".into(), r.kept.into(), r.mean.into(), r.low.into(), Cell::from(r.high)]);
        }
        table
    }
}
