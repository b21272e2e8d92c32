//! Files with named columns: JSON Lines, CSV, TSV, Parquet, SQuAD's own JSON, and tagged words line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::parquet_rows::ParquetRows;
use super::reader::not_utf8;
use super::squad::SquadRows;
use crate::checkpoint::{UniqueKeys, open_file};
use crate::error::{Error, Result};
use crate::words::counted;

/// No row of a data set comes near so many bytes.
const LONGEST_ROW: u64 = 1 << 26;

/// One row: its number in the file, counted from 1, and its cells by the names of their columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub number: u64,
    pub cells: Map<String, Value>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowFormat {
    /// An object in each line.
    JsonLines,
    /// Commas or semicolons between cells, which quotes may surround.
    Commas,
    /// Tabs between cells; quotes are letters like any other, as in GLUE's files.
    Tabs,
    /// A word and its tag in each line, a blank line between sentences (CoNLL).
    Words,
    /// Columns of binary values.
    Parquet,
    /// One document of articles with questions.
    Squad,
}

/// Endings of the files that are read.
const ENDINGS: &str = ".jsonl, .csv, .tsv, .parquet, .conll, or .json as SQuAD is published";

/// Columns of tagged words.
pub(super) const WORDS: &str = "tokens";
pub(super) const TAGS: &str = "tags";

/// Whether what is named is no file with a name of its own: standard input, or a pipe.
fn is_pipe(named: &Path) -> bool {
    named == Path::new("-") || named.starts_with("/dev") || std::fs::metadata(named).is_ok_and(|about| !about.is_file())
}

/// The ending that a file would have by how it begins; empty where that tells nothing.
fn sniffed(path: &Path) -> Result<&'static str> {
    let place = |e: std::io::Error| Error::from(e).at(path);
    let mut start = Vec::new();
    let file = open_file(path).map_err(place)?;
    BufReader::new(file.take(LONGEST_ROW)).read_until(b'\n', &mut start).map_err(place)?;
    let line = start.trim_ascii();
    let is_row = |row: &Map<String, Value>| !row.get("data").is_some_and(Value::is_array);
    let is_whole = || serde_json::from_slice(line).is_ok_and(|row| is_row(&row));
    Ok(match line {
        _ if line.starts_with(b"PAR1") => "parquet",
        [b'{', ..] if is_whole() => "jsonl",
        [b'{', ..] => "json",
        _ if line.contains(&b'\t') => "tsv",
        _ if line.contains(&b',') => "csv",
        _ => "",
    })
}

/// Reads rows one after the other.
pub(super) struct TableReader {
    path: PathBuf,
    file: BufReader<File>,
    format: RowFormat,
    /// What stands between cells that quotes may surround.
    separator: char,
    columns: Vec<String>,
    /// The rows themselves, where they are not read line by line.
    parquet: Option<ParquetRows>,
    squad: Option<SquadRows>,
    line: u64,
}

impl TableReader {
    /// Opens a file, which is what its ending says. Columns have the names of the first row, or numbers from 1 where
    /// `has_header` is false.
    pub(super) fn open(path: &Path, named: &Path, has_header: bool) -> Result<Self> {
        let ending = |path: &Path| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        let mut kind = ending(named);
        if kind == "gz" {
            kind = ending(Path::new(named.file_stem().unwrap_or_default()));
        }
        if kind.is_empty() && is_pipe(named) {
            kind = sniffed(path)?.to_owned();
        }
        let format = match kind.as_str() {
            "jsonl" | "ndjson" => RowFormat::JsonLines,
            "csv" => RowFormat::Commas,
            "tsv" | "tab" => RowFormat::Tabs,
            "conll" | "iob" | "bio" => RowFormat::Words,
            "parquet" => RowFormat::Parquet,
            "json" => RowFormat::Squad,
            other => {
                let what = match other {
                    "" => "a table says by the ending of its name how it is written, and this name has none".to_owned(),
                    _ => format!("'.{other}' says of no table how it is written"),
                };
                return Err(Error::new(what).at(named).hint(format!("give {ENDINGS}")));
            }
        };
        let file = open_file(path).map_err(|e| Error::from(e).at(path))?;
        let file = BufReader::with_capacity(1 << 18, file);
        let parquet = (format == RowFormat::Parquet).then(|| ParquetRows::open(path)).transpose();
        let parquet = parquet.map_err(|e| e.at(path))?;
        let squad = (format == RowFormat::Squad).then(|| SquadRows::open(path, named)).transpose()?;
        let columns = match &parquet {
            Some(rows) => rows.columns.clone(),
            None => squad.as_ref().map(|_| SquadRows::columns()).unwrap_or_default(),
        };
        let mut reader =
            Self { path: path.to_path_buf(), file, format, separator: ',', columns, parquet, squad, line: 0 };
        if has_header && matches!(format, RowFormat::Commas | RowFormat::Tabs) {
            let header = reader.cells()?.ok_or_else(|| Error::new("the file is empty").at(path))?;
            reader.columns = header.into_iter().map(|name| name.trim().to_owned()).collect();
            let twice =
                |at: &usize| !reader.columns[*at].is_empty() && reader.columns[..*at].contains(&reader.columns[*at]);
            if let Some(at) = (0..reader.columns.len()).find(twice) {
                let what = format!("two columns have the name '{}'", reader.columns[at]);
                return Err(Error::new(what).at(path).hint("rename one of them"));
            }
        }
        Ok(reader)
    }

    /// Names of the columns, where the file begins with them.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What the numbers of a column of classes are called, where the file says so.
    pub(super) fn class_names(&self, column: &str) -> Option<&[String]> {
        self.parquet.as_ref()?.classes.get(column).map(Vec::as_slice)
    }

    /// The next line without its end; `None` at the end of the file.
    fn text_line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = Read::take(&mut self.file, LONGEST_ROW).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if read as u64 == LONGEST_ROW {
            return Err(Error::new(format!("line {} is too long to be a row", self.line)));
        }
        let text = String::from_utf8(bytes);
        let mut text = text.map_err(|_| not_utf8(&self.path, format!("line {} is not UTF-8", self.line)))?;
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        if self.line == 1
            && let Some(rest) = text.strip_prefix('\u{feff}')
        {
            text = rest.to_owned();
        }
        Ok(Some(text))
    }

    /// The cells of the next row that is not blank.
    fn cells(&mut self) -> Result<Option<Vec<String>>> {
        loop {
            let Some(line) = self.text_line()? else { return Ok(None) };
            if line.trim().is_empty() {
                continue;
            }
            return Ok(Some(match self.format {
                RowFormat::Commas => {
                    // Programs write semicolons where numbers have commas.
                    if self.line == 1 && !line.contains(',') && line.contains(';') {
                        self.separator = ';';
                    }
                    self.quoted(line)?
                }
                _ => line.split('\t').map(str::to_owned).collect(),
            }));
        }
    }

    /// Cells between separators; what quotes surround may hold separators and ends of lines, and quotes twice.
    fn quoted(&mut self, mut line: String) -> Result<Vec<String>> {
        let first = self.line;
        while line.matches('"').count() % 2 == 1 {
            let Some(more) = self.text_line()? else {
                return Err(Error::new(format!("a quote of line {first} is not closed")));
            };
            if (line.len() + more.len()) as u64 > LONGEST_ROW {
                return Err(Error::new(format!("a quote of line {first} is not closed")));
            }
            line = format!("{line}\n{more}");
        }
        let (mut cells, mut cell, mut inside) = (Vec::new(), String::new(), false);
        let mut rest = line.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if inside && rest.peek() == Some(&'"') => {
                    rest.next();
                    cell.push('"');
                }
                '"' if inside => inside = false,
                '"' if cell.is_empty() => inside = true,
                c if c == self.separator && !inside => cells.push(std::mem::take(&mut cell)),
                c => cell.push(c),
            }
        }
        cells.push(cell);
        Ok(cells)
    }

    fn row(&mut self) -> Result<Option<Row>> {
        match self.format {
            RowFormat::Parquet => {
                let Some(rows) = &mut self.parquet else { return Ok(None) };
                self.line += 1;
                Ok(rows.read()?.map(|cells| Row { number: self.line, cells }))
            }
            RowFormat::Squad => {
                let Some(rows) = &mut self.squad else { return Ok(None) };
                self.line += 1;
                let row = rows.read().map_err(|e| e.within(format_args!("row {}", self.line)))?;
                Ok(row.map(|cells| Row { number: self.line, cells }))
            }
            RowFormat::JsonLines => self.object(),
            RowFormat::Words => self.sentence(),
            RowFormat::Commas | RowFormat::Tabs => {
                let Some(cells) = self.cells()? else { return Ok(None) };
                let number = self.line;
                if !self.columns.is_empty() && cells.len() != self.columns.len() {
                    let what = format!(
                        "row {number} has {}, the first row {}",
                        counted(cells.len(), "cells"),
                        self.columns.len()
                    );
                    return Err(Error::new(what));
                }
                let name = |index: usize| self.columns.get(index).cloned().unwrap_or_else(|| (index + 1).to_string());
                let cells = cells.into_iter().enumerate().map(|(i, cell)| (name(i), Value::String(cell))).collect();
                Ok(Some(Row { number, cells }))
            }
        }
    }

    fn object(&mut self) -> Result<Option<Row>> {
        loop {
            let Some(line) = self.text_line()? else { return Ok(None) };
            if line.trim().is_empty() {
                continue;
            }
            let number = self.line;
            let read = serde_json::from_str(&line).map(|UniqueKeys(cells)| cells);
            let cells = read.map_err(|error| {
                let text = error.to_string().replace(" at line 1 column", " at column");
                Error::new(format!("row {number}: {text}"))
                    .hint("each line is an object like {\"text\": \"..\", \"label\": 1}")
            })?;
            return Ok(Some(Row { number, cells }));
        }
    }

    fn sentence(&mut self) -> Result<Option<Row>> {
        let (mut words, mut tags, mut number) = (Vec::new(), Vec::new(), 0);
        while let Some(line) = self.text_line()? {
            let mut parts = line.split_whitespace();
            match (parts.next(), parts.next_back()) {
                (None, _) if words.is_empty() => {}
                (None, _) => break,
                (Some("-DOCSTART-"), _) => {}
                (Some(word), Some(tag)) => {
                    number = if words.is_empty() { self.line } else { number };
                    words.push(Value::String(word.to_owned()));
                    tags.push(Value::String(tag.to_owned()));
                }
                (Some(word), None) => {
                    return Err(Error::new(format!("line {} holds '{word}' without a tag", self.line)));
                }
            }
        }
        let cells = [(WORDS.to_owned(), Value::Array(words)), (TAGS.to_owned(), Value::Array(tags))];
        Ok((number > 0).then(|| Row { number, cells: cells.into_iter().collect() }))
    }
}

impl Iterator for TableReader {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row().map_err(|e| e.at(&self.path)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, text: &str) -> Result<Vec<(u64, Value)>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        TableReader::open(&path, &path, true)?.map(|row| row.map(|r| (r.number, Value::Object(r.cells)))).collect()
    }

    #[test]
    fn every_way_of_writing_gives_the_same_rows() {
        let json = |a: &str, b: &str| serde_json::json!({"text": a, "label": b});
        let want = [(2, json("one, \"two\"", "yes")), (4, json("three\nfour", "no"))];
        let csv = "\u{feff}text,label\r\n\"one, \"\"two\"\"\",yes\r\n\r\n\"three\nfour\",no\n";
        let found = rows("a.csv", csv).unwrap();
        assert_eq!((&found[0], &found[1].1), (&want[0], &want[1].1));
        // As programs write it where numbers have commas.
        let semicolons = "text;label\n\"one, \"\"two\"\"\";yes\n";
        assert_eq!(rows("a.csv", semicolons).unwrap()[0].1, want[0].1);
        assert_eq!(rows("a.tsv", "text\tlabel\none, \"two\"\tyes\n").unwrap(), want[..1]);
        let line = format!("\n{}\n", want[0].1);
        assert_eq!(rows("a.jsonl", &line).unwrap(), want[..1]);
        let words =
            rows("a.conll", "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nno DT O O\n").unwrap();
        assert_eq!(words[0], (3, serde_json::json!({"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]})));
        assert_eq!(words[1].1["tokens"], serde_json::json!(["no"]));
    }

    #[test]
    fn parquet_gives_what_was_written() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parquet");
        for name in ["rows.parquet", "rows.gzip.parquet"] {
            let path = folder.join(name);
            let mut reader = TableReader::open(&path, &path, true).unwrap();
            assert_eq!(reader.columns(), ["text", "label", "score", "tokens", "answers"]);
            assert_eq!(reader.class_names("label"), Some(&["neg".to_owned(), "pos".to_owned()][..]));
            assert_eq!(reader.class_names("tags"), None);
            let rows: Vec<Row> = reader.by_ref().collect::<Result<_>>().unwrap();
            let lines = std::fs::read_to_string(folder.join("rows.jsonl")).unwrap();
            let want: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(rows.len(), want.len());
            for (row, want) in rows.into_iter().zip(want) {
                assert_eq!(Value::Object(row.cells), want, "{name}");
            }
        }
        // Every cut, and every tenth byte changed, is an error or other rows, and no more.
        let whole = std::fs::read(folder.join("rows.parquet")).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.parquet");
        for at in (0..whole.len()).step_by(10) {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            for bytes in [&whole[..at], &changed] {
                std::fs::write(&path, bytes).unwrap();
                if let Ok(reader) = TableReader::open(&path, &path, true) {
                    let _ = reader.take(100).count();
                }
            }
        }
    }

    #[test]
    fn bad_rows_are_named_by_their_number() {
        let fault = |name: &str, text: &str| rows(name, text).unwrap_err().to_string();
        assert!(fault("a.csv", "a,b\n1,2\n3\n").contains("row 3 has 1 cell, the first row 2"));
        // The last of two would win without a word.
        assert!(fault("a.csv", "a,b,b\n1,2,3\n").contains("two columns have the name 'b'"));
        assert!(fault("a.csv", "a,b\n1,\"2\n3\n").contains("a quote of line 2 is not closed"));
        assert!(fault("a.jsonl", "{\"a\": 1}\n{\"a\": }\n").contains("row 2:"));
        assert!(fault("a.jsonl", "{\"a\": 1, \"b\": 2, \"a\": 3}\n").contains("row 1: the key 'a' stands twice"));
        assert!(fault("a.conll", "EU O\nword\n").contains("line 2 holds 'word' without a tag"));
        assert!(fault("a.parquet", "PAR1").contains("not a Parquet file"));
        let docx = fault("a.docx", "x");
        assert!(docx.contains("'.docx'") && docx.contains(".json as SQuAD"), "{docx}");
        for other in ["{\"data\": [{\"text\": \"a\"}]}", "[{\"text\": \"a\"}]", "{\"data\"", ""] {
            let error = fault("a.json", other);
            assert!(error.contains("SQuAD's alone") && error.contains("a.json") && error.contains(".jsonl"), "{error}");
        }
    }

    #[test]
    fn squad_as_it_is_published_has_the_rows_of_its_columns() {
        let document = serde_json::json!({"version": "v2.0", "data": [
            {"title": "A", "paragraphs": [
                {"context": "one two", "qas": [
                    {"id": "1", "question": "Which?", "answers": [{"text": "two", "answer_start": 4}], "is_impossible": false},
                    {"id": "2", "question": "Why?", "answers": [], "is_impossible": true,
                     "plausible_answers": [{"text": "one", "answer_start": 0}]}]},
                {"context": "unasked", "qas": []}]},
            {"title": "B", "paragraphs": [
                {"context": "three", "qas": [{"id": "3", "question": "What?", "answers": [{"text": "three", "answer_start": 0}]}]}]}]});
        let row = |id: &str, title: &str, context: &str, question: &str, answers: Value| serde_json::json!({"id": id, "title": title, "context": context, "question": question, "answers": answers});
        let want = [
            row("1", "A", "one two", "Which?", serde_json::json!({"text": ["two"], "answer_start": [4]})),
            row("2", "A", "one two", "Why?", serde_json::json!({"text": [], "answer_start": []})),
            row("3", "B", "three", "What?", serde_json::json!({"text": ["three"], "answer_start": [0]})),
        ];
        let found = rows("dev-v2.0.json", &document.to_string()).unwrap();
        assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(found.into_iter().map(|(_, row)| row).eq(want));
        // A question that is neither answered nor said to have no answer.
        let mut silent = document;
        silent["data"][1]["paragraphs"][0]["qas"][0]["answers"] = serde_json::json!([]);
        let error = rows("dev.json", &silent.to_string()).unwrap_err().to_string();
        assert!(error.contains("row 3: the question 'What?' has no answers"), "{error}");
    }
}
