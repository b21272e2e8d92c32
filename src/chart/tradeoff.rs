//! Quality against what a model costs: every measured choice of heads, and those that none beats.

use super::axis::{Axis, extent};
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::palette::Marker;
use super::plot::{Line, Mark, Plot, Series};
use super::quality::{FRONT, MethodCurve, axis};
use super::table::Table;

/// Quality against what a model costs.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeOff {
    pub caption: Caption,
    /// What a model costs, with its direction.
    pub price: String,
    /// Names of the columns of cost and quality in the table.
    pub columns: [String; 2],
    /// What quality is, with its direction.
    pub measure: String,
    /// How quality is written.
    pub unit: Unit,
    /// `[cost, quality]` of every choice, by method.
    pub methods: Vec<MethodCurve>,
    pub whole: Option<[f64; 2]>,
    /// What no other point beats in both, ordered by cost.
    pub front: Vec<[f64; 2]>,
}

/// The method that is chance.
const RANDOM: &str = "random";

impl TradeOff {
    pub fn plot(&self) -> Plot {
        let all = || self.methods.iter().flat_map(|m| &m.points).chain(self.whole.as_ref());
        let x = padded(extent(all().map(|p| p[0])).unwrap_or((0.0, 1.0)));
        let y = axis(&self.measure, self.unit, all().map(|p| p[1]));
        let mut plot = Plot::new(self.caption.title.clone(), Axis::linear(self.price.clone(), Unit::Count, x, 6), y);
        plot.series.push(Series {
            name: FRONT.to_owned(),
            points: self.front.clone(),
            ink: Ink::Front,
            line: Some(Line::dashed(1.5)),
            mark: None,
        });
        // Chance is drawn first and gray, so that it hides no method; others look as they do in the curves.
        let (random, chosen): (Vec<_>, Vec<_>) = self.methods.iter().partition(|m| m.name == RANDOM);
        let marks = |method: &MethodCurve, ink, marker| Series {
            name: method.name.clone(),
            points: method.points.clone(),
            ink,
            line: None,
            mark: Some(Mark::Dot(marker)),
        };
        plot.series.extend(random.iter().map(|m| marks(m, Ink::Reference, Marker::Circle)));
        plot.series.extend(chosen.iter().enumerate().map(|(i, m)| marks(m, Ink::Nth(i), Marker::nth(i))));
        plot.series.extend(self.whole.map(|at| Series {
            name: "all heads".to_owned(),
            points: vec![at],
            ink: Ink::Muted,
            line: None,
            mark: Some(Mark::Dot(Marker::Square)),
        }));
        plot
    }

    /// Every number of the plot.
    pub fn table(&self) -> Table {
        let [price, quality] = &self.columns;
        let mut table = Table::new(["method".to_owned(), price.clone(), quality.clone(), "pareto_front".to_owned()]);
        let whole = self.whole.map(|at| ("whole model", at));
        let points = self.methods.iter().flat_map(|m| m.points.iter().map(|p| (m.name.as_str(), *p)));
        for (name, [x, y]) in whole.into_iter().chain(points) {
            table.push([name.into(), x.into(), y.into(), self.front.contains(&[x, y]).into()]);
        }
        table
    }
}

/// Room around the outermost marks; something to see where all are at one place.
fn padded((low, high): (f64, f64)) -> (f64, f64) {
    let room = if high > low { (high - low) * 0.04 } else { (high.abs() * 0.05).max(1.0) };
    (low - room, high + room)
}
