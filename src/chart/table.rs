//! The numbers of a picture as rows and columns, written as CSV (RFC 4180).

use std::fmt;
use std::sync::Arc;

/// One entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    /// A measurement; NaN is written as an empty field.
    Number(f64),
    /// A count or an index.
    Count(u64),
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Count(u64::from(flag))
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// Rows that stand below each other.
#[derive(Clone)]
enum Block {
    /// As they were given.
    Held(Vec<Vec<Cell>>),
    /// Written when they are looked at: how many, and what writes one.
    Made(usize, Arc<dyn Fn(usize) -> Vec<Cell> + Send + Sync>),
}

impl Block {
    fn len(&self) -> usize {
        match self {
            Self::Held(rows) => rows.len(),
            Self::Made(count, _) => *count,
        }
    }

    fn row(&self, place: usize) -> Option<Vec<Cell>> {
        match self {
            Self::Held(rows) => rows.get(place).cloned(),
            Self::Made(count, make) => (place < *count).then(|| make(place)),
        }
    }
}

/// Rows under named columns.
#[derive(Clone, Default)]
pub struct Table {
    columns: Vec<String>,
    /// Each with the number of rows before it.
    blocks: Vec<(usize, Block)>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("columns", &self.columns).field("rows", &self.len()).finish_non_exhaustive()
    }
}

impl Table {
    /// A table without rows. Column names say their unit, e.g. `kv_cache_bytes`.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), blocks: Vec::new() }
    }

    /// A table of `count` rows that `row` writes when they are looked at: the pairs of all heads of a large model are
    /// millions of rows, of which a window shows fifty.
    pub fn made<S: Into<String>>(
        columns: impl IntoIterator<Item = S>,
        count: usize,
        row: impl Fn(usize) -> Vec<Cell> + Send + Sync + 'static,
    ) -> Self {
        Self { blocks: vec![(0, Block::Made(count, Arc::new(row)))], ..Self::new(columns) }
    }

    /// Adds a row; it is cut or filled up to the number of columns.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = row.into_iter().collect();
        row.resize(self.columns.len(), Cell::Empty);
        match self.blocks.last_mut() {
            Some((_, Block::Held(rows))) => rows.push(row),
            _ => self.blocks.push((self.len(), Block::Held(vec![row]))),
        }
    }

    /// Adds the rows of a table with the same columns.
    pub fn append(&mut self, other: Self) {
        for (_, block) in other.blocks {
            self.blocks.push((self.len(), block));
        }
    }

    /// Tables of different things as one, for a file that holds every number: all of their columns, in which a row leaves
    /// empty what its own table does not have.
    #[must_use]
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<Self> = parts.into_iter().collect();
        let mut columns: Vec<String> = Vec::new();
        for name in parts.iter().flat_map(|part| &part.columns) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let mut whole = Self::new(columns);
        for part in &parts {
            let own: Vec<Option<usize>> =
                whole.columns.iter().map(|name| part.columns.iter().position(|own| own == name)).collect();
            for row in part.rows() {
                let cell = |place: &Option<usize>| place.and_then(|at| row.get(at).cloned()).unwrap_or(Cell::Empty);
                whole.push(own.iter().map(cell).collect::<Vec<_>>());
            }
        }
        whole
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.blocks.last().map_or(0, |(before, block)| before + block.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row, as long as there are columns.
    pub fn row(&self, place: usize) -> Option<Vec<Cell>> {
        let behind = self.blocks.partition_point(|(before, _)| *before <= place);
        let (before, block) = self.blocks.get(behind.checked_sub(1)?)?;
        block.row(place - before)
    }

    pub fn rows(&self) -> impl Iterator<Item = Vec<Cell>> + '_ {
        (0..self.len()).filter_map(|place| self.row(place))
    }

    /// The table as CSV: a line of names, then the rows; lines end in CR LF, fields are quoted where they need it,
    /// numbers are written with as many digits as tell them apart.
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        line(&mut out, self.columns.iter().map(|name| quoted(name)));
        for row in self.rows() {
            line(&mut out, row.iter().map(field));
        }
        out
    }
}

fn line(out: &mut String, fields: impl Iterator<Item = String>) {
    for (i, field) in fields.enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&field);
    }
    out.push_str("\r\n");
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => quoted(text),
        cell => cell.text(),
    }
}

impl Cell {
    /// As it is written into a file: numbers with as many digits as tell them apart, nothing for nothing.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) if number.is_nan() => String::new(),
            // Plain digits where they are short, an exponent where they would run on.
            Self::Number(number) if *number != 0.0 && !(1e-5..1e16).contains(&number.abs()) => format!("{number:e}"),
            Self::Number(number) => number.to_string(),
            Self::Count(count) => count.to_string(),
            Self::Empty => String::new(),
        }
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_as_in_rfc_4180() {
        let mut table = Table::new(["token", "say \"what\"", "a,b"]);
        table.push(["\"x\"".into(), "two\r\nlines".into(), Cell::from(" plain ")]);
        assert_eq!(table.to_csv(), "token,\"say \"\"what\"\"\",\"a,b\"\r\n\"\"\"x\"\"\",\"two\r\nlines\", plain \r\n");
    }

    #[test]
    fn blocks_of_rows_stand_below_each_other() {
        let made = |first: usize| Table::made(["n"], 3, move |place| vec![Cell::from(first + place)]);
        let mut table = made(0);
        table.append(Table::new(["n"]));
        table.push([Cell::from(3usize)]);
        table.append(made(4));
        table.push([Cell::from(7usize)]);
        table.push([Cell::from(8usize)]);
        let all: Vec<Cell> = table.rows().flatten().collect();
        assert_eq!(all, (0..9).map(|n: usize| Cell::from(n)).collect::<Vec<_>>());
        assert_eq!((table.len(), table.row(9)), (9, None));
        assert_eq!((Table::default().len(), Table::default().row(0)), (0, None));
    }

    #[test]
    fn joined_tables_share_the_columns_of_one_name() {
        let mut heads = Table::new(["site", "head"]);
        heads.push(["a".into(), Cell::from(1usize)]);
        let mut batches = Table::new(["site", "batches"]);
        batches.push(["all".into(), Cell::from(7usize)]);
        let whole = Table::joined([heads, batches]);
        assert_eq!(whole.to_csv(), "site,head,batches\r\na,1,\r\nall,,7\r\n");
    }

    #[test]
    fn numbers_round_trip_and_gaps_stay_empty() {
        let mut table = Table::new(["a", "b", "c", "d"]);
        let values = [0.1 + 0.2, 1e-300, -2.5e20, f64::NAN];
        table.push(values.map(Cell::from));
        table.push([Cell::from(7usize), Cell::from(None::<f64>), Cell::from(true)]);
        let csv = table.to_csv();
        let rows: Vec<Vec<&str>> = csv.split_terminator("\r\n").map(|l| l.split(',').collect()).collect();
        for (text, value) in rows[1].iter().zip(values).take(3) {
            assert_eq!(text.parse::<f64>().unwrap(), value);
        }
        assert_eq!(rows[1][3], "");
        assert_eq!(rows[2], ["7", "", "1", ""]);
    }
}
