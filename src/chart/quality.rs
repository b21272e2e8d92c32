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

/// By what share of the span of the methods the control may widen the axis at one end; what lies farther out is cut.
const WIDENED: f64 = 0.5;
/// By what share it widens the axis where it is cut, so that it is seen to go on.
const CUT: f64 = 0.15;

/// One end of an axis over `own` values, which has room for `other` values where they reach not far beyond it; whether they are
/// cut. All in the units that the axis is even in.
fn cut_end(own: f64, other: f64, span: f64) -> (f64, bool) {
    let beyond = (other - own).abs();
    if beyond <= WIDENED * span { (other, false) } else { (own + CUT * span * (other - own).signum(), true) }
}

impl QualityCurves {
    /// The axis of quality, made for the methods: draws of random heads may be many times as bad, and would leave the
    /// methods a flat line. Also in words how far what is cut reaches.
    fn quality_axis(&self) -> (Axis, Vec<String>) {
        let front = self.front.iter().map(|p| p.quality);
        let own = self.curves.iter().flat_map(|c| &c.points).map(|p| p[1]).chain(front).chain(self.whole);
        let random = || self.random.iter().flat_map(|r| [r.mean, r.low, r.high]);
        let all = extent(own.clone().chain(random()));
        let (Some((low, high)), Some((least, most))) = (extent(own), all) else {
            return (axis(&self.measure, self.unit, random()), Vec::new());
        };
        let is_log = low > 0.0 && high / low > LOG_ABOVE && least > 0.0;
        let even = |value: f64| if is_log { value.ln() } else { value };
        let span = even(high) - even(low);
        if span <= 0.0 {
            return (axis(&self.measure, self.unit, [least, most]), Vec::new());
        }
        let end = |own: f64, other: f64| match own == other {
            true => (own, false),
            false => {
                let (end, is_cut) = cut_end(even(own), even(other), span);
                (if is_log { end.exp() } else { end }, is_cut)
            }
        };
        let ((bottom, is_below), (top, is_above)) = (end(low, least), end(high, most));
        let words = |is_cut: bool, way: &str, value: f64| is_cut.then(|| format!("{way} {}", self.unit.format(value)));
        let cut = [words(is_below, "down to", least), words(is_above, "up to", most)];
        (axis(&self.measure, self.unit, [bottom, top]), cut.into_iter().flatten().collect())
    }

    pub fn plot(&self) -> Plot {
        let (y, cut) = self.quality_axis();
        let x = Axis::exact("share of heads kept", Unit::Share, (0.0, 1.0), 5);
        let mut plot = Plot::new(self.caption.title.clone(), x, y);
        if !self.front.is_empty() {
            plot.remark = format!("{FRONT}: {}", self.front_words());
        }
        if !self.random.is_empty() {
            plot.bands.push(Band {
                name: match cut.is_empty() {
                    true => self.random_name.clone(),
                    false => format!("{}, {}, cut", self.random_name, cut.join(" and ")),
                },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(methods: &[f64], random: [f64; 3]) -> QualityCurves {
        let [low, mean, high] = random;
        let points = methods.iter().enumerate().map(|(i, v)| [0.25 * (i + 1) as f64, *v]).collect();
        QualityCurves {
            caption: Caption::new("Quality", ""),
            measure: "Perplexity (lower is better)".to_owned(),
            column: "perplexity".to_owned(),
            unit: Unit::Plain,
            curves: vec![MethodCurve { name: "votes".to_owned(), points }],
            random: vec![RandomPoint { kept: 0.25, mean, low, high }],
            random_name: "random, range of 5 draws".to_owned(),
            whole: methods.last().copied(),
            front: Vec::new(),
            plan: None,
        }
    }

    #[test]
    fn random_heads_that_are_far_worse_are_cut_and_said_to_be() {
        let far = curves(&[30.0, 14.0, 11.0, 10.0], [90.0, 800.0, 3227.0]).plot();
        assert!(far.y.high < 40.0 && far.y.high > 30.0, "{:?}", far.y);
        assert_eq!(
            far.bands[0].name,
            "random, range of 5 draws, up to 3 227, cut".replace("3 227", &Unit::Plain.format(3227.0))
        );
        assert!(far.legend().iter().any(|entry| entry.name.ends_with(", cut")));
        // Of a share, of which more is better, they lie below.
        let below = curves(&[0.8, 0.85, 0.9], [0.1, 0.2, 0.3]).plot();
        assert!(below.y.low > 0.7 && below.bands[0].name.contains("down to"), "{:?}", below.bands);
        // What is near is shown whole.
        let near = curves(&[30.0, 14.0, 11.0, 10.0], [32.0, 35.0, 38.0]).plot();
        assert!(near.y.high >= 38.0 && !near.bands[0].name.contains("cut"), "{:?}", near.y);
        // Methods over many orders of magnitude have an axis of ratios, on which more is near.
        let wide = curves(&[900.0, 90.0, 10.0], [90.0, 800.0, 3227.0]).plot();
        assert!(wide.y.is_log && wide.y.high > 3226.0 && !wide.bands[0].name.contains("cut"), "{:?}", wide.y);
    }
}
