//! Rows of a table in another order, and only those that are wanted.

use std::cmp::Ordering;

use super::table::{Cell, Table};
use crate::error::{Error, Result};

/// Which rows of a table are looked at, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sift {
    /// The column by which rows are sorted, and whether from the largest down; as they are written without.
    pub by: Option<(usize, bool)>,
    /// What rows must hold: words that some cell contains, or comparisons such as `votes>0.2`; all of them.
    pub wanted: String,
}

/// One thing that is asked of a row.
#[derive(Clone, Debug, PartialEq)]
enum SiftCondition {
    /// Some cell contains it, in lower case.
    Holds(String),
    /// The cell of a column compares so with a number, or contains a word.
    Compares { column: usize, how: SiftSign, with: String, number: Option<f64> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SiftSign {
    AtLeast,
    AtMost,
    More,
    Less,
    Not,
    Equal,
}

/// Signs of comparisons; those of two letters first, so that their first letter is not taken for them.
const SIGNS: [(&str, SiftSign); 6] = [
    (">=", SiftSign::AtLeast),
    ("<=", SiftSign::AtMost),
    ("!=", SiftSign::Not),
    (">", SiftSign::More),
    ("<", SiftSign::Less),
    ("=", SiftSign::Equal),
];

impl Table {
    /// The places of the rows that `sift` asks for, in its order. Cells without a number come last.
    ///
    /// # Errors
    /// Where a comparison names no column, or compares with no number.
    pub fn sifted(&self, sift: &Sift) -> Result<Vec<usize>> {
        let conditions = self.conditions(&sift.wanted)?;
        let is_wanted = |place: &usize| {
            conditions.is_empty() || self.row(*place).is_some_and(|row| conditions.iter().all(|c| c.is_met(&row)))
        };
        let mut places: Vec<usize> = (0..self.len()).filter(is_wanted).collect();
        if let Some((column, is_down)) = sift.by.filter(|(column, _)| *column < self.columns().len()) {
            let cell =
                |place: usize| self.row(place).and_then(|row| row.into_iter().nth(column)).unwrap_or(Cell::Empty);
            let mut keyed: Vec<(Cell, usize)> = places.into_iter().map(|place| (cell(place), place)).collect();
            keyed.sort_by(|(a, _), (b, _)| in_order(a, b, is_down));
            places = keyed.into_iter().map(|(_, place)| place).collect();
        }
        Ok(places)
    }

    /// Rows as text to paste into a spreadsheet: a line of names, then the rows; cells are parted by tabs.
    pub fn to_tsv(&self, places: impl IntoIterator<Item = usize>) -> String {
        let plain = |text: String| text.replace(['\t', '\n', '\r'], " ");
        let mut out = self.columns().iter().map(|name| plain(name.clone())).collect::<Vec<_>>().join("\t");
        for row in places.into_iter().filter_map(|place| self.row(place)) {
            out.push('\n');
            out.push_str(&row.iter().map(|cell| plain(cell.text())).collect::<Vec<_>>().join("\t"));
        }
        out
    }

    fn conditions(&self, wanted: &str) -> Result<Vec<SiftCondition>> {
        wanted.split_whitespace().map(|word| self.condition(word)).collect()
    }

    fn condition(&self, word: &str) -> Result<SiftCondition> {
        let sign = SIGNS.iter().filter_map(|(sign, how)| Some((word.find(sign)?, *sign, *how)));
        let Some((at, sign, how)) = sign.min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len()))) else {
            return Ok(SiftCondition::Holds(word.to_lowercase()));
        };
        let (name, with) = (&word[..at], &word[at + sign.len()..]);
        // A comparison that is still being typed asks for nothing.
        if name.is_empty() || with.is_empty() {
            return Ok(SiftCondition::Holds(String::new()));
        }
        let asked = name.to_lowercase();
        let column = self.columns().iter().position(|column| column.to_lowercase() == asked).ok_or_else(|| {
            Error::usage(format!("there is no column {name}")).hint(format!("columns: {}", self.columns().join(", ")))
        })?;
        let share = with.strip_suffix('%');
        let number = share.unwrap_or(with).parse::<f64>().ok().map(|n| if share.is_some() { n / 100.0 } else { n });
        if number.is_none() && !matches!(how, SiftSign::Equal | SiftSign::Not) {
            return Err(Error::usage(format!("{with} is no number")).hint("write for example votes>0.2 or kept=1"));
        }
        Ok(SiftCondition::Compares { column, how, with: with.to_lowercase(), number })
    }
}

impl SiftCondition {
    fn is_met(&self, row: &[Cell]) -> bool {
        match self {
            Self::Holds(word) => row.iter().any(|cell| cell.text().to_lowercase().contains(word)),
            Self::Compares { column, how, with, number } => {
                let Some(cell) = row.get(*column) else { return false };
                let (Some(value), Some(number)) = (value(cell), *number) else {
                    let holds = cell.text().to_lowercase().contains(with);
                    return if *how == SiftSign::Not { !holds } else { *how == SiftSign::Equal && holds };
                };
                match how {
                    SiftSign::AtLeast => value >= number,
                    SiftSign::AtMost => value <= number,
                    SiftSign::More => value > number,
                    SiftSign::Less => value < number,
                    SiftSign::Not => value != number,
                    SiftSign::Equal => value == number,
                }
            }
        }
    }
}

/// The number of a cell; `None` where it holds none.
fn value(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Number(number) => (!number.is_nan()).then_some(*number),
        Cell::Count(count) => Some(*count as f64),
        Cell::Text(_) | Cell::Empty => None,
    }
}

/// Numbers before words before nothing, each in its order, from the largest down where `is_down`.
fn in_order(a: &Cell, b: &Cell, is_down: bool) -> Ordering {
    let turned = |order: Ordering| if is_down { order.reverse() } else { order };
    match (value(a), value(b)) {
        (Some(a), Some(b)) => turned(a.total_cmp(&b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => match (a, b) {
            (Cell::Text(a), Cell::Text(b)) => turned(natural(a, b)),
            (Cell::Text(_), _) => Ordering::Less,
            (_, Cell::Text(_)) => Ordering::Greater,
            _ => Ordering::Equal,
        },
    }
}

/// Words in which numbers count as numbers: `encoder.9` before `encoder.10`.
fn natural(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(bool, String)> {
        let mut parts: Vec<(bool, String)> = Vec::new();
        for c in text.chars() {
            match parts.last_mut() {
                Some((is_number, part)) if *is_number == c.is_ascii_digit() => part.push(c),
                _ => parts.push((c.is_ascii_digit(), c.to_string())),
            }
        }
        parts
    };
    let (a, b) = (parts(a), parts(b));
    for ((of_a, left), (of_b, right)) in a.iter().zip(&b) {
        let order = match (*of_a && *of_b).then(|| left.parse::<u64>().ok().zip(right.parse::<u64>().ok())).flatten() {
            Some((left, right)) => left.cmp(&right),
            None => left.cmp(right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["site", "head", "votes"]);
        for (site, head, votes) in [("encoder.10", 0, 0.5), ("encoder.9", 3, f64::NAN), ("encoder.9", 1, 0.25)] {
            table.push([Cell::from(site), Cell::from(head as usize), Cell::from(votes)]);
        }
        table
    }

    fn sifted(by: Option<(usize, bool)>, wanted: &str) -> Vec<usize> {
        table().sifted(&Sift { by, wanted: wanted.to_owned() }).unwrap()
    }

    #[test]
    fn rows_are_sorted_by_number_and_by_name() {
        assert_eq!(sifted(None, ""), [0, 1, 2]);
        assert_eq!(sifted(Some((0, false)), ""), [1, 2, 0], "9 stands before 10");
        assert_eq!(sifted(Some((1, true)), ""), [1, 2, 0]);
        // What has no number comes last, whichever way.
        assert_eq!(sifted(Some((2, false)), ""), [2, 0, 1]);
        assert_eq!(sifted(Some((2, true)), ""), [0, 2, 1]);
        assert_eq!(sifted(Some((7, true)), ""), [0, 1, 2]);
    }

    #[test]
    fn rows_are_filtered_by_words_and_comparisons() {
        assert_eq!(sifted(None, "Encoder.9"), [1, 2]);
        assert_eq!(sifted(None, "votes>=0.25 encoder.9"), [2]);
        assert_eq!(sifted(None, "votes<50%"), [2]);
        assert_eq!(sifted(None, "site=encoder.10"), [0]);
        assert_eq!(sifted(None, "site!=encoder.10 head<2"), [2]);
        assert_eq!(sifted(None, "votes>"), [0, 1, 2], "still being typed");
        let failing =
            |wanted: &str| table().sifted(&Sift { by: None, wanted: wanted.to_owned() }).unwrap_err().to_string();
        assert!(failing("vote>1").contains("no column vote"), "{}", failing("vote>1"));
        assert!(failing("votes>many").contains("many is no number"));
    }

    #[test]
    fn copied_rows_have_their_names_and_every_digit() {
        let mut table = table();
        table.push([Cell::from("a\tb"), Cell::Empty, Cell::from(0.1 + 0.2)]);
        assert_eq!(table.to_tsv([2, 3]), "site\thead\tvotes\nencoder.9\t1\t0.25\na b\t\t0.30000000000000004");
    }
}
