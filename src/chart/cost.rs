//! What a plan saves: every measure of cost before and after.

use super::caption::Caption;
use super::number::Unit;
use super::table::Table;

#[derive(Clone, Debug, PartialEq)]
pub struct CostRow {
    /// What is measured: `Parameters without embeddings`.
    pub name: String,
    /// How it is written.
    pub unit: Unit,
    pub before: f64,
    /// After; NaN where it was not measured.
    pub after: f64,
    /// The least that pruning heads could ever reach, where that is known.
    pub least: Option<f64>,
    /// True for speed and the like.
    pub more_is_better: bool,
    /// What it means, in a sentence without its full stop; may be empty.
    pub meaning: String,
}

/// What a plan saves.
#[derive(Clone, Debug, PartialEq)]
pub struct CostBars {
    pub caption: Caption,
    /// The measures from top to bottom.
    pub rows: Vec<CostRow>,
}

impl CostBars {
    /// Every number of the picture.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["measure", "unit", "before", "after", "after_share", "least"]);
        for row in &self.rows {
            let unit = match row.unit {
                Unit::Plain => "",
                Unit::Share => "share",
                Unit::Count => "count",
                Unit::Bytes => "bytes",
            };
            table.push([
                row.name.as_str().into(),
                unit.into(),
                row.before.into(),
                row.after.into(),
                row.ratio().into(),
                row.least.into(),
            ]);
        }
        table
    }
}

impl CostRow {
    /// A measure of which less is better.
    pub fn new(name: impl Into<String>, unit: Unit, before: f64, after: f64) -> Self {
        Self { name: name.into(), unit, before, after, least: None, more_is_better: false, meaning: String::new() }
    }

    /// The same, of which more is better.
    #[must_use]
    pub fn more_is_better(mut self) -> Self {
        self.more_is_better = true;
        self
    }

    /// The same with what it means.
    #[must_use]
    pub fn meaning(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }

    /// After as a share of before; NaN where there is none.
    pub fn ratio(&self) -> f64 {
        if self.before > 0.0 { self.after / self.before } else { f64::NAN }
    }

    /// Whether the change is one for the worse.
    pub fn is_worse(&self) -> bool {
        if self.more_is_better { self.after < self.before } else { self.after > self.before }
    }

    /// Both values in words.
    pub fn values(&self) -> String {
        format!("{} → {}", self.unit.format(self.before), self.unit.format(self.after))
    }

    /// The change in words.
    pub fn change(&self) -> String {
        Unit::change(self.before, self.after).unwrap_or_else(|| "–".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_for_the_worse_where_less_is_better() {
        let row = |before, after| CostRow::new("weights", Unit::Bytes, before, after);
        assert!(row(96.6e6, 538e6).is_worse() && !row(538e6, 96.6e6).is_worse());
        assert!(!row(1.0, 1.0).is_worse() && !row(1.0, f64::NAN).is_worse());
        assert!(row(2.0, 1.0).more_is_better().is_worse() && !row(1.0, 2.0).more_is_better().is_worse());
    }
}
