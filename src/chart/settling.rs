//! When the vote stood: for the whole model and for every layer.

use super::axis::{Axis, extent};
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::palette::Marker;
use super::plot::{Limit, Line, Mark, Plot, Series};
use super::table::Table;

/// How the vote of a model settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Settling {
    pub caption: Caption,
    /// `[batches, share of layers whose kept heads equal the final ones]`, ascending.
    pub settled: Vec<[f64; 2]>,
    /// Each layer, and after which of these batches it kept its final heads.
    pub layers: Vec<(String, Vec<bool>)>,
}

/// The first sample from which on the share is 1.
fn settled_after(settled: &[[f64; 2]]) -> Option<f64> {
    let unsettled = settled.iter().rposition(|p| p[1] < 1.0);
    settled.get(unsettled.map_or(0, |i| i + 1)).map(|p| p[0])
}

/// The share of layers against batches.
pub(super) fn plot(settled: &[[f64; 2]]) -> Plot {
    let (first, last) = extent(settled.iter().map(|p| p[0])).unwrap_or((0.0, 1.0));
    let x = Axis::exact("batches", Unit::Count, (first.min(1.0), last), 6);
    let label = "Layers whose kept heads equal the final ones";
    let mut plot = Plot::new("How soon the vote settled", x, Axis::exact(label, Unit::Share, (0.0, 1.0), 4));
    plot.limits.extend(settled_after(settled).map(|value| Limit {
        name: format!("settled after {}", Unit::Count.format(value)),
        value,
        is_vertical: true,
        ink: Ink::Accent,
        line: Line::dashed(1.25),
    }));
    plot.series.push(Series {
        name: String::new(),
        points: settled.to_vec(),
        ink: Ink::Nth(0),
        line: Some(Line::solid(1.75)),
        mark: (settled.len() <= 40).then_some(Mark::Dot(Marker::Circle)),
    });
    plot
}

impl Settling {
    /// The share of layers that have settled.
    pub fn plot(&self) -> Plot {
        plot(&self.settled)
    }

    /// Every number of the picture.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["site", "batches", "settled"]);
        for [batches, share] in &self.settled {
            table.push(["all".into(), (*batches).into(), (*share).into()]);
        }
        for (name, settled) in &self.layers {
            for (point, is_settled) in self.settled.iter().zip(settled) {
                table.push([name.as_str().into(), point[0].into(), (*is_settled).into()]);
            }
        }
        table
    }
}
