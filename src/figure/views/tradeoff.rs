//! Quality against what a model costs: every measured choice of heads, and those that none beats.

use super::MethodCurve;
use crate::figure::axis::{Axis, extent};
use crate::figure::export::Figure;
use crate::figure::number::Unit;
use crate::figure::page::{Caption, Page};
use crate::figure::palette::{GroupStyle, Marker};
use crate::figure::plot::{Chart, Series};
use crate::figure::scene::{Point, Stroke};
use crate::figure::table::Table;
use crate::figure::theme::Theme;

/// Quality against what a model costs.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeOff {
    /// Words around it.
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
    /// The whole model.
    pub whole: Option<Point>,
    /// What no other point beats in both, ordered by cost.
    pub front: Vec<Point>,
}

/// The method that is chance.
const RANDOM: &str = "random";
/// Above this ratio of largest to smallest, quality has a logarithmic axis.
const LOG_ABOVE: f64 = 20.0;

impl TradeOff {
    /// Draws it.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let mut page = Page::new(720.0, &self.caption, theme);
        let chart = self.chart(theme);
        page.legend(&chart.legend());
        let outer = page.take(360.0);
        chart.draw(&mut page.scene, outer, theme);
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn chart(&self, theme: &Theme) -> Chart {
        let all = || self.methods.iter().flat_map(|m| &m.points).chain(self.whole.as_ref());
        let x = padded(extent(all().map(|p| p[0])).unwrap_or((0.0, 1.0)));
        let (low, high) = extent(all().map(|p| p[1])).unwrap_or((0.0, 1.0));
        let y = if low > 0.0 && high / low > LOG_ABOVE {
            Axis::log(self.measure.clone(), self.unit, (low, high), 6)
        } else {
            Axis::linear(self.measure.clone(), self.unit, (low, high), 6)
        };
        let mut chart = Chart::new(Axis::linear(self.price.clone(), Unit::Count, x, 6), y);
        chart.series.push(Series {
            name: "not beaten".to_owned(),
            points: self.front.clone(),
            stroke: Stroke { color: theme.muted, width: 1.5, dash: Some([5.0, 4.0]) },
            marker: None,
        });
        // Chance is drawn first and grey, so that it hides no method; others look as they do in the curves.
        let (random, chosen): (Vec<_>, Vec<_>) = self.methods.iter().partition(|m| m.name == RANDOM);
        let marks = |method: &MethodCurve, color, marker| {
            // A gap after every point: marks without a line.
            let points = method.points.iter().flat_map(|p| [*p, [f64::NAN; 2]]).collect();
            Series { name: method.name.clone(), points, stroke: Stroke::solid(color, 2.0), marker: Some(marker) }
        };
        chart.series.extend(random.iter().map(|m| marks(m, theme.reference, Marker::Circle)));
        chart.series.extend(chosen.iter().enumerate().map(|(i, m)| {
            let style = GroupStyle::of(theme, i);
            marks(m, style.color, style.marker)
        }));
        chart.series.extend(self.whole.map(|at| Series {
            name: "all heads".to_owned(),
            points: vec![at],
            stroke: Stroke::solid(theme.ink, 2.0),
            marker: Some(Marker::Circle),
        }));
        chart
    }

    fn table(&self) -> Table {
        let [price, quality] = &self.columns;
        let mut table = Table::new(["method".to_owned(), price.clone(), quality.clone(), "not_beaten".to_owned()]);
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
