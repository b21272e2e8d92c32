//! Quality against the share of heads kept, every method beside a random control.

use super::axis::{Axis, extent};
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::palette::Marker;
use super::plot::{Band, Limit, Line, Mark, Plot, Series};
use super::table::{Cell, Table};

/// One method of choosing heads.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodCurve {
    pub name: String,
    /// `[share of heads kept, quality]`, ascending.
    pub points: Vec<[f64; 2]>,
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

/// A choice of heads that no other beats in both size and quality.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontPoint {
    /// The method that made it, or the whole model.
    pub method: String,
    /// Share of heads kept, 0 to 1.
    pub kept: f64,
    pub quality: f64,
}

/// Quality against the share of heads kept.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityCurves {
    pub caption: Caption,
    /// What quality is, with its direction: `Perplexity (lower is better)`.
    pub measure: String,
    /// The name of its column in the table, e.g. `perplexity`.
    pub column: String,
    /// How it is written.
    pub unit: Unit,
    pub curves: Vec<MethodCurve>,
    /// The control, ascending in the share kept; may be empty.
    pub random: Vec<RandomPoint>,
    /// What the band of the control is: `random, range of 5 draws`.
    pub random_name: String,
    /// Quality of the whole model.
    pub whole: Option<f64>,
    /// Choices that no other beats, by the heads they keep.
    pub front: Vec<FrontPoint>,
    /// Share of heads that the plan being edited keeps.
    pub plan: Option<f64>,
}

/// Above this ratio of largest to smallest, the axis is logarithmic.
const LOG_ABOVE: f64 = 20.0;
/// The name of the choices that no other beats.
pub(super) const FRONT: &str = "Pareto front";

/// An axis of quality: logarithmic where the values span more than one order of magnitude.
pub(super) fn axis(label: &str, unit: Unit, values: impl IntoIterator<Item = f64>) -> Axis {
    let (low, high) = extent(values).unwrap_or((0.0, 1.0));
    if low > 0.0 && high / low > LOG_ABOVE {
        Axis::log(label, unit, (low, high), 6)
    } else {
        Axis::linear(label, unit, (low, high), 6)
    }
}

impl QualityCurves {
    pub fn plot(&self) -> Plot {
        let random = self.random.iter().flat_map(|r| [r.mean, r.low, r.high]);
        let front = self.front.iter().map(|p| p.quality);
        let values = self.curves.iter().flat_map(|c| &c.points).map(|p| p[1]).chain(random).chain(front);
        let y = axis(&self.measure, self.unit, values.chain(self.whole));
        let x = Axis::exact("share of heads kept", Unit::Share, (0.0, 1.0), 5);
        let mut plot = Plot::new(self.caption.title.clone(), x, y);
        if !self.front.is_empty() {
            plot.remark = format!("{FRONT}: {}", self.front_words());
        }
        if !self.random.is_empty() {
            plot.bands.push(Band {
                name: self.random_name.clone(),
                points: self.random.iter().map(|r| [r.kept, r.low, r.high]).collect(),
                ink: Ink::Reference,
            });
            plot.series.push(Series {
                name: "random, mean".to_owned(),
                points: self.random.iter().map(|r| [r.kept, r.mean]).collect(),
                ink: Ink::Reference,
                line: Some(Line::dashed(1.75)),
                mark: None,
            });
        }
        plot.limits.extend(self.whole.map(|value| Limit {
            name: format!("all heads {}", self.unit.format(value)),
            value,
            is_vertical: false,
            ink: Ink::Muted,
            line: Line::dashed(1.0),
        }));
        plot.limits.extend(self.plan.map(|value| Limit {
            name: "this plan".to_owned(),
            value,
            is_vertical: true,
            ink: Ink::Accent,
            line: Line::solid(1.25),
        }));
        plot.series.extend(self.curves.iter().enumerate().map(|(i, curve)| Series {
            name: curve.name.clone(),
            points: curve.points.clone(),
            ink: Ink::Nth(i),
            line: Some(Line::nth(i, 2.0)),
            mark: Some(Mark::Dot(Marker::nth(i))),
        }));
        if !self.front.is_empty() {
            plot.series.push(Series {
                name: FRONT.to_owned(),
                points: self.front.iter().map(|p| [p.kept, p.quality]).collect(),
                ink: Ink::Front,
                line: None,
                mark: Some(Mark::Ring),
            });
        }
        plot
    }

    /// The Pareto front in words.
    fn front_words(&self) -> String {
        let point = |p: &FrontPoint| {
            format!("{}: {} with {} of the heads", p.method, self.unit.format(p.quality), Unit::Share.format(p.kept))
        };
        self.front.iter().map(point).collect::<Vec<_>>().join("; ")
    }

    /// Every number of the plot.
    pub fn table(&self) -> Table {
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
        for p in &self.front {
            table.push([format!("{FRONT}: {}", p.method).into(), p.kept.into(), p.quality.into()]);
        }
        if let Some(kept) = self.plan {
            table.push(["this plan".into(), kept.into()]);
        }
        table
    }
}
