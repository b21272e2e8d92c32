//! The vote of one layer: how often each head was chosen, how clearly, and when the result stood.

use super::axis::Axis;
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::plot::{Bars, Label, LabelSide, Limit, Line, Plot};
use super::settling;
use super::table::{Cell, Table};

/// The vote of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct VoteBars {
    pub caption: Caption,
    /// `encoder.0` and so on, for the table.
    pub site: String,
    /// Votes of each head as a share of all that it could win, 0 to 1: those of a layer sum to the number of votes of a batch and
    /// map, which is that of groups.
    pub shares: Vec<f64>,
    /// Mean margin of each head's wins, 0 (tied) to 1 (no rival), NaN without wins; may be empty.
    pub margins: Vec<f64>,
    pub kept: Vec<usize>,
    /// Shares at or above stay, where a threshold decides.
    pub threshold: Option<f64>,
    /// The share that every head would have if chance voted.
    pub chance: Option<f64>,
    /// `[batches, share of layers whose kept heads equal the final ones]`; may be empty.
    pub settled: Vec<[f64; 2]>,
}

impl VoteBars {
    /// The votes, with the limits that matter. The axis is that of the votes and of chance: a threshold that is dragged
    /// does not move what it is held against.
    pub fn shares_plot(&self) -> Plot {
        let high = self.shares.iter().chain(&self.chance).copied().filter(|v| v.is_finite()).fold(0.02, f64::max);
        let y = Axis::linear("Votes won of those possible", Unit::Share, (0.0, high.min(1.0)), 5);
        let mut plot = self.bars(format!("Votes of {}", self.site), &self.shares, y);
        let limit = |name: &str, value: f64, ink, line| Limit {
            name: format!("{name} {}", Unit::Share.format(value)),
            value,
            is_vertical: false,
            ink,
            line,
        };
        plot.limits.extend(self.chance.map(|v| limit("chance", v, Ink::Muted, Line::dashed(1.25))));
        plot.limits.extend(self.threshold.map(|v| limit("threshold", v, Ink::Accent, Line::solid(1.75))));
        plot
    }

    /// How clearly each head won; `None` where none won on its own.
    pub fn margins_plot(&self) -> Option<Plot> {
        let y = Axis::exact("Mean winning margin: 0 tied, 100 % without a rival", Unit::Share, (0.0, 1.0), 2);
        let is_there = self.margins.iter().any(|m| m.is_finite());
        is_there.then(|| self.bars(format!("Winning margins of {}", self.site), &self.margins, y))
    }

    /// How soon the vote of the model stood; `None` where one batch was read.
    pub fn settled_plot(&self) -> Option<Plot> {
        (self.settled.len() > 1).then(|| settling::plot(&self.settled))
    }

    /// A plot with a bar for each head.
    fn bars(&self, title: String, values: &[f64], y: Axis) -> Plot {
        let x = Axis::integers("head", 0, values.len().saturating_sub(1), 32);
        let unit = y.unit;
        let mut plot = Plot::new(title, x, y);
        for (name, wanted, ink) in [("kept", true, Ink::Kept), ("pruned", false, Ink::Pruned)] {
            let bars = values.iter().enumerate().filter(|(h, v)| self.keeps(*h) == wanted && v.is_finite());
            let bars = bars.map(|(head, value)| [head as f64, *value]).collect();
            plot.bars.push(Bars { name: name.to_owned(), bars, ink, is_horizontal: false, lane: (0, 1) });
        }
        let label = |(head, value): (usize, &f64)| Label {
            at: [head as f64, *value],
            text: unit.format(*value),
            side: LabelSide::Above,
        };
        plot.labels = values.iter().enumerate().filter(|(_, v)| v.is_finite()).map(label).collect();
        plot
    }

    fn keeps(&self, head: usize) -> bool {
        self.kept.contains(&head)
    }

    /// Every number of the picture: a row for each head, then one for each number of batches.
    pub fn table(&self) -> Table {
        Table::joined(self.tables().into_iter().map(|(_, table)| table))
    }

    /// The same as tables of one thing each: heads, and how soon the vote settled.
    pub fn tables(&self) -> Vec<(&'static str, Table)> {
        let mut heads = Table::new(["site", "head", "vote_share", "mean_margin", "kept", "chance", "threshold"]);
        for (head, share) in self.shares.iter().enumerate() {
            heads.push([
                self.site.as_str().into(),
                head.into(),
                (*share).into(),
                self.margins.get(head).copied().into(),
                self.keeps(head).into(),
                self.chance.into(),
                self.threshold.into(),
            ]);
        }
        let mut batches = Table::new(["site", "batches", "settled_share"]);
        for [count, share] in &self.settled {
            batches.push(["all".into(), Cell::Count(*count as u64), (*share).into()]);
        }
        vec![("Heads", heads), ("Batches", batches)]
    }
}
