//! Quality curves and trade-offs, from measured points.

use std::fmt;

use strum::{IntoStaticStr, VariantArray};

use super::caption::Caption;
use super::number::Unit;
use super::picture::Picture;
use super::quality::{FrontPoint, MethodCurve, QualityCurves, RandomPoint};
use super::tradeoff::TradeOff;
use crate::corpus::InputUnit;
use crate::error::{Error, Result};
use crate::evaluation::curve::{CurveRow, CurveSeries, Curves, Gauge};
use crate::plan::{Cost, Method, Ranking};
use crate::words::{counted, noun, sentence_case};

/// What a trade-off sets quality against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Price {
    /// Parameters that are left.
    Parameters,
    Flops,
    /// Measured tokens per second.
    Speed,
}

impl Price {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    fn name(self) -> &'static str {
        self.into()
    }

    fn label(self, unit: InputUnit, length: usize) -> String {
        match (self, unit) {
            (Self::Parameters, _) => "Parameters (fewer is better)".to_owned(),
            (Self::Flops, InputUnit::Tokens) => format!("FLOPs per token at length {length} (fewer is better)"),
            // Images have a length of their own.
            (Self::Flops, InputUnit::Images) => "FLOPs per patch (fewer is better)".to_owned(),
            (Self::Flops, _) => "FLOPs per position (fewer is better)".to_owned(),
            (Self::Speed, _) => format!("{} per second, measured (more is better)", sentence_case(unit.noun())),
        }
    }

    fn of(self, cost: &Cost, tokens_per_sec: Option<f64>) -> Option<f64> {
        match self {
            Self::Parameters => Some(cost.parameters as f64),
            Self::Flops => Some(cost.flops_per_token as f64),
            Self::Speed => tokens_per_sec,
        }
    }
}

/// A picture of quality curves, with the measure where it is not the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CurveView {
    /// Quality against the share of heads kept.
    Quality(Option<Gauge>),
    /// Quality against what a model costs.
    Pareto(Price, Option<Gauge>),
}

impl fmt::Display for CurveView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gauge = match self {
            Self::Quality(gauge) => {
                f.write_str("quality")?;
                gauge
            }
            Self::Pareto(price, gauge) => {
                write!(f, "pareto-{}", price.name())?;
                gauge
            }
        };
        gauge.map_or(Ok(()), |gauge| write!(f, "-{gauge}"))
    }
}

impl CurveView {
    /// Every view, by the usual measure.
    pub const ALL: [Self; 4] = [
        Self::Quality(None),
        Self::Pareto(Price::Parameters, None),
        Self::Pareto(Price::Flops, None),
        Self::Pareto(Price::Speed, None),
    ];

    /// The view of this name; `None` where the first word names a picture of something else.
    pub fn named(text: &str) -> Option<Result<Self>> {
        let mut words = text.split('-');
        let price = match words.next()? {
            "quality" => None,
            "pareto" => {
                let word = words.next();
                match Price::ALL.iter().copied().find(|p| Some(p.name()) == word) {
                    Some(price) => Some(price),
                    None => {
                        let error = Error::usage(format!("'{text}' is no view"));
                        return Some(Err(error.hint("choose pareto-parameters, pareto-flops or pareto-speed")));
                    }
                }
            }
            _ => return None,
        };
        let gauge = match words.next() {
            None => None,
            Some(word) => match word.parse() {
                Ok(gauge) => Some(gauge),
                Err(error) => return Some(Err(error)),
            },
        };
        if words.next().is_some() {
            return Some(Err(Error::usage(format!("'{text}' is no view"))));
        }
        Some(Ok(price.map_or(Self::Quality(gauge), |price| Self::Pareto(price, gauge))))
    }

    /// What it shows of `curves`.
    ///
    /// # Errors
    /// Where the curves hold no point, or not what is asked for.
    pub fn picture(self, curves: &Curves) -> Result<Picture> {
        match self {
            Self::Quality(gauge) => Ok(Picture::Quality(QualityCurves::of(curves, gauge)?)),
            Self::Pareto(price, gauge) => Ok(Picture::TradeOff(TradeOff::of(curves, price, gauge)?)),
        }
    }
}

/// The measure that is asked for, or the usual one.
fn gauge(curves: &Curves, wanted: Option<Gauge>) -> Result<Gauge> {
    let gauge = wanted.unwrap_or_else(|| curves.gauge());
    if curves.points.is_empty() {
        return Err(Error::new("no point was measured yet"));
    }
    let is_there = curves.points.iter().any(|p| gauge.of(&p.effect).is_some());
    is_there.then_some(gauge).ok_or_else(|| {
        let held = Gauge::ALL.iter().filter(|g| curves.points.iter().any(|p| g.of(&p.effect).is_some()));
        let held: Vec<String> = held.map(|gauge| gauge.to_string()).collect();
        Error::new(format!("these curves hold no {gauge}"))
            .hint(format!("look at one that they hold: {}", held.join(", ")))
    })
}

fn unit(gauge: Gauge) -> Unit {
    if gauge.is_share() { Unit::Share } else { Unit::Plain }
}

fn caption(curves: &Curves, title: &str) -> Caption {
    let model = std::path::Path::new(&curves.model.path).file_name().map(|n| n.to_string_lossy().into_owned());
    let mut parts: Vec<String> = model.into_iter().chain([curves.model.family.clone()]).collect();
    parts.dedup();
    parts.push(curves.reading.input.clone());
    if let Some(whole) = curves.whole {
        parts.push(format!(
            "{} {}",
            Unit::Count.format(whole.tokens as f64),
            noun(whole.tokens, curves.reading.unit.noun())
        ));
    }
    let caption = Caption::new(title, parts.join(" · "))
        .note("Every point is the model itself with the other heads masked, on the same input.");
    let caption = match curves.is_layerwise() {
        true => caption.note("Every layer keeps the same share of its heads."),
        false => caption
            .note("Shares are of all heads: methods whose scores compare layers spend them where heads score highest."),
    };
    let is_repaired = curves.points.iter().any(|p| p.repair.repairs());
    let caption = match is_repaired {
        true => {
            caption.note("With refit the heads that stay have new output projections, from what the analysis read.")
        }
        false => caption,
    };
    curves.notes.iter().fold(caption, |caption, note| caption.note(format!("{}.", sentence_case(note))))
}

impl QualityCurves {
    /// Quality against the share of heads kept; random heads become a band from the least to the largest draw.
    ///
    /// # Errors
    /// Where no point was measured, or none by this measure.
    pub fn of(curves: &Curves, wanted: Option<Gauge>) -> Result<Self> {
        let gauge = gauge(curves, wanted)?;
        let place = |row: &CurveRow<'_>| Some([row.mean(|p| p.kept_share), row.quality(gauge)?.mean]);
        // Random heads that were not repaired are the band.
        let control = CurveSeries::from(Ranking::from(Method::Random));
        let methods = curves.series().into_iter().filter(|series| *series != control).map(|series| {
            let rows = curves.curve(series);
            let draws = rows.iter().map(|r| r.points.len()).max().unwrap_or(1);
            let name = if draws > 1 { format!("{series}, mean of {draws}") } else { series.to_string() };
            MethodCurve { name, points: rows.iter().filter_map(place).collect() }
        });
        let random = curves.curve(control);
        let draws = random.iter().map(|r| r.points.len()).max().unwrap_or(0);
        let band = |row: &CurveRow<'_>| {
            let spread = row.quality(gauge)?;
            let kept = row.mean(|p| p.kept_share);
            Some(RandomPoint { kept, mean: spread.mean, low: spread.low, high: spread.high })
        };
        Ok(Self {
            caption: caption(curves, "Quality against heads kept"),
            measure: curves.label(gauge),
            column: gauge.name().to_owned(),
            unit: unit(gauge),
            curves: methods.collect(),
            random: random.iter().filter_map(band).collect(),
            random_name: format!("{}, range of {}", curves.control(), counted(draws, "draws")),
            whole: curves.whole.and_then(|w| gauge.of(&w.effect)),
            front: front(curves, gauge),
            plan: None,
        })
    }
}

/// What no other choice beats in both heads and quality.
fn front(curves: &Curves, gauge: Gauge) -> Vec<FrontPoint> {
    let whole = curves.whole.map_or(1, |w| w.cost.heads) as f64;
    let named = |series: Option<CurveSeries>| series.map_or_else(|| "whole model".to_owned(), |s| s.to_string());
    let front = curves.front(gauge, |cost, _| Some(cost.heads as f64), false);
    let point = |(series, heads, quality)| FrontPoint { method: named(series), kept: heads / whole, quality };
    front.into_iter().map(point).collect()
}

impl TradeOff {
    /// Quality against what a model costs, with the points that no other beats.
    ///
    /// # Errors
    /// Where no point was measured, none by this measure, or speed was not.
    pub fn of(curves: &Curves, price: Price, wanted: Option<Gauge>) -> Result<Self> {
        let gauge = gauge(curves, wanted)?;
        let methods = curves.series().into_iter().map(|series| {
            let points = curves.curve(series).into_iter().rev().flat_map(|row| row.points);
            let place = |p: &crate::evaluation::curve::MeasuredPoint| {
                Some([price.of(&p.cost, p.tokens_per_sec)?, gauge.of(&p.effect)?])
            };
            let points: Vec<_> = points.filter_map(place).collect();
            MethodCurve { name: series.to_string(), points }
        });
        let methods: Vec<MethodCurve> = methods.filter(|m| !m.points.is_empty()).collect();
        if methods.is_empty() {
            return Err(Error::new(format!("these curves hold no {}", price.name()))
                .hint("measure again with pillars curve --speed"));
        }
        let front = curves.front(gauge, |cost, speed| price.of(cost, speed), price == Price::Speed);
        let whole =
            |w: crate::evaluation::curve::Whole| Some([price.of(&w.cost, w.tokens_per_sec)?, gauge.of(&w.effect)?]);
        let note = "The line joins what no other point beats in both; random draws take part in it.";
        Ok(Self {
            caption: caption(curves, "What quality costs").note(note),
            price: price.label(curves.reading.unit, curves.length),
            columns: [price.name().to_owned(), gauge.name().to_owned()],
            measure: curves.label(gauge),
            unit: unit(gauge),
            methods,
            whole: curves.whole.and_then(whole),
            front: front.into_iter().map(|(_, x, y)| [x, y]).collect(),
        })
    }
}
