//! The first rows of an input as they stand in it, and what the model makes of their columns: to be looked at before anything
//! is computed.

use std::path::Path;

use serde_json::Value;

use super::audio::recordings;
use super::columns::{Form, TableColumns};
use super::images::{ENDINGS, class_of, files_in};
use super::intake::Intake;
use super::pairs::choose;
use super::prompts::embeds;
use super::reader::LineBlocks;
use super::settings::{DataColumns, Input};
use super::spool::Spool;
use super::table::TableReader;
use crate::error::{Error, Result};
use crate::task::Ticket;
use crate::words::counted;

/// The first rows of an input.
#[derive(Clone, Debug)]
pub struct InputPreview {
    /// What stands in each row, from left to right.
    pub columns: Vec<PreviewColumn>,
    /// The cells of the first rows, one for each column.
    pub rows: Vec<Vec<String>>,
    /// What a row is to the model: `a pair of texts with a label`; empty where the rows cannot be read.
    pub reads_as: String,
    /// Why the rows cannot be read as they are.
    pub fault: Option<Error>,
}

/// A column of the first rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewColumn {
    /// Its name, or its number from 1 where it has none.
    pub name: String,
    /// What it is to the model: `text`, `label`; `None` where it is not read.
    pub role: Option<&'static str>,
}

impl InputPreview {
    /// The first `count` rows of `input`, for the model in `folder`; `None` of inputs that have no rows to look at.
    ///
    /// # Errors
    /// Where the input cannot be read at all.
    pub fn of(input: &Input, folder: &Path, intake: &Intake, count: usize, ticket: &Ticket) -> Result<Option<Self>> {
        let spool = Spool::of(input, None, ticket)?;
        let copy = spool.as_ref().map_or_else(|| input.clone(), |spool| spool.input(input));
        let (path, named) = (copy.path(), input.path());
        match input {
            Input::Data { .. } if path.is_dir() => Ok(None),
            Input::Data { columns, .. } => Self::of_table((path, named), columns, folder, intake, count).map(Some),
            Input::Pairs { columns, .. } => Self::of_pairs(path, *columns, count).map(Some),
            Input::Images(folder) => Self::of_images(folder, intake, count),
            Input::Audio { .. } => Self::of_recordings(path, named, intake, count).map(Some),
            Input::Text(_) | Input::Tokens(_) | Input::Inputs(_) => Ok(None),
        }
    }

    fn of_table(
        (path, named): (&Path, &Path),
        asked: &DataColumns,
        folder: &Path,
        intake: &Intake,
        count: usize,
    ) -> Result<Self> {
        let mut table = TableReader::open(path, named, !asked.are_numbers())?;
        let mut read = Vec::new();
        for row in table.by_ref().take(count) {
            read.push(row?.cells);
        }
        let first = read.first().ok_or_else(|| Error::new("the file holds no row").at(named))?;
        let names: Vec<String> = match table.columns() {
            [] => first.keys().cloned().collect(),
            known => known.to_vec(),
        };
        let known = TableColumns { names: &names, asked, intake, embeds: embeds(folder) };
        let found = known.form().and_then(|form| {
            let label = known.label(&form)?;
            known.check_asked(&form, label.as_ref())?;
            Ok((label, form))
        });
        let (label, form, fault) = match found {
            Ok((label, form)) => (label, Some(form), None),
            Err(error) => (None, None, Some(error)),
        };
        let role = |name: &String| match label.as_ref() == Some(name) {
            true => Some("label"),
            false => form.as_ref().and_then(|form| form.role(name)),
        };
        let columns = names.iter().map(|name| PreviewColumn { name: name.clone(), role: role(name) }).collect();
        let cell = |name: &String, row: &serde_json::Map<String, Value>| row.get(name).map(written).unwrap_or_default();
        let rows = read.iter().map(|row| names.iter().map(|name| cell(name, row)).collect()).collect();
        let with_label = if label.is_some() { " with a label" } else { "" };
        let reads_as = form.map(|form| format!("{}{with_label}", form.in_words())).unwrap_or_default();
        Ok(Self { columns, rows, reads_as, fault })
    }

    fn of_pairs(path: &Path, asked: Option<(usize, usize)>, count: usize) -> Result<Self> {
        let mut lines = Vec::new();
        let mut blocks = LineBlocks::open(path)?;
        while let Some(block) = blocks.read()? {
            let more = block.into_iter().map(|(_, line)| line).filter(|line| !line.trim().is_empty());
            lines.extend(more.take(count - lines.len()));
            if lines.len() == count {
                break;
            }
        }
        let first = lines.first().ok_or_else(|| Error::new("the file holds no pair").at(path))?;
        let (chosen, fault) = match choose(first, asked) {
            Ok(columns) => (Some(columns), None),
            Err(error) => (None, Some(error)),
        };
        let role = |at: usize| match chosen {
            Some((source, _)) if at == source => Some("source"),
            Some((_, target)) if at == target => Some("target"),
            _ => None,
        };
        let width = lines.iter().map(|line| line.split('\t').count()).max().unwrap_or(0);
        let column = |at: usize| PreviewColumn { name: (at + 1).to_string(), role: role(at) };
        let cells = |line: &String| {
            let mut cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            cells.resize(width, String::new());
            cells
        };
        Ok(Self {
            columns: (0..width).map(column).collect(),
            rows: lines.iter().map(cells).collect(),
            reads_as: if chosen.is_some() { "a source and its target".to_owned() } else { String::new() },
            fault,
        })
    }

    fn of_images(folder: &Path, intake: &Intake, count: usize) -> Result<Option<Self>> {
        let (mut files, mut classes) = files_in(folder, &ENDINGS)?;
        files.sort();
        classes.sort();
        let labels = |class: &Path| intake.task.as_ref().and_then(|task| class_of(task, class));
        let has_labels = classes.iter().any(|class| labels(class).is_some());
        let mut rows: Vec<Vec<String>> = files.iter().take(count).map(|file| vec![name(file), String::new()]).collect();
        // Some of every class, so that their names are seen.
        let each = count.saturating_sub(rows.len()).div_ceil(classes.len().max(1)).max(1);
        for class in &classes {
            let said = match labels(class) {
                Some(label) => format!("{} (class {label})", name(class)),
                None => name(class),
            };
            let mut files = files_in(class, &ENDINGS)?.0;
            files.sort();
            rows.extend(files.iter().take(each).map(|file| vec![name(file), said.clone()]));
            if rows.len() >= count {
                break;
            }
        }
        rows.truncate(count);
        let columns = vec![
            PreviewColumn { name: "file".to_owned(), role: Some("image") },
            PreviewColumn { name: "folder".to_owned(), role: has_labels.then_some("label") },
        ];
        let reads_as = match (has_labels, classes.len()) {
            (true, count) => format!("an image with a label, {}", counted(count, "folders")),
            (false, _) => "an image".to_owned(),
        };
        Ok((!rows.is_empty()).then_some(Self { columns, rows, reads_as, fault: None }))
    }

    fn of_recordings(path: &Path, named: &Path, intake: &Intake, count: usize) -> Result<Self> {
        let found = recordings(path, named)?;
        let said = if intake.task.is_some() { "label" } else { "transcript" };
        let has_text = found.iter().any(|one| one.text.is_some() || one.class.is_some());
        let columns = vec![
            PreviewColumn { name: "file".to_owned(), role: Some("recording") },
            PreviewColumn { name: said.to_owned(), role: has_text.then_some(said) },
        ];
        let row = |one: &super::audio::Recording| {
            vec![name(&one.file), one.text.clone().or_else(|| one.class.clone()).unwrap_or_default()]
        };
        let rows = found.iter().take(count).map(row).collect();
        let with = if has_text { format!(" with a {said}") } else { String::new() };
        Ok(Self { columns, rows, reads_as: format!("a recording{with}"), fault: None })
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A cell as a person reads it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(all) => all.iter().map(written).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

impl Form {
    /// What a column is to the model.
    fn role(&self, name: &str) -> Option<&'static str> {
        let is = |column: &String| column == name;
        match self {
            Self::Texts { text, .. } if is(text) => Some("text"),
            Self::Texts { pair: Some(pair), .. } if is(pair) => Some("second text"),
            Self::Sentences { first, .. } if is(first) => Some("first sentence"),
            Self::Sentences { second, .. } if is(second) => Some("second sentence"),
            Self::Words { words } if is(words) => Some("words"),
            Self::Answers { question, .. } if is(question) => Some("question"),
            Self::Answers { text, .. } if is(text) => Some("text"),
            Self::Answers { answers, .. } if is(answers) => Some("answers"),
            Self::Choices { beginning, .. } if is(beginning) => Some("beginning"),
            Self::Choices { middle: Some(middle), .. } if is(middle) => Some("middle"),
            Self::Choices { endings, .. } if endings.iter().any(is) => Some("ending"),
            Self::Asked(set) if set.columns().contains(&name) => Some("question"),
            _ => None,
        }
    }

    /// What a row is, in words.
    fn in_words(&self) -> String {
        match self {
            Self::Texts { pair: None, .. } => "a text".to_owned(),
            Self::Texts { pair: Some(_), .. } => "a pair of texts".to_owned(),
            Self::Sentences { .. } => "two sentences whose likeness is judged".to_owned(),
            Self::Words { .. } => "a sentence of words".to_owned(),
            Self::Answers { .. } => "a question and a text that answers it".to_owned(),
            Self::Asked(set) => format!("a question of {} with its endings", set.name()),
            Self::Choices { .. } => "a beginning with its endings".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    fn look(model: &str, input: &Input) -> InputPreview {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
        let intake = Intake::of(&Model::open(&folder).unwrap()).unwrap();
        InputPreview::of(input, &folder, &intake, 3, &Ticket::default()).unwrap().expect("rows")
    }

    fn roles(found: &InputPreview) -> Vec<(&str, Option<&'static str>)> {
        found.columns.iter().map(|column| (column.name.as_str(), column.role)).collect()
    }

    #[test]
    fn columns_are_told_as_they_will_be_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("rows.tsv");
        std::fs::write(&path, "id\tsentence\tlabel\n1\tone\tausten\n2\ttwo\tausten\n3\tthree\tx\n4\tfour\tx\n")
            .unwrap();
        let data = |columns| Input::Data { path: path.clone(), columns };
        let found = look("sample_models/books/classifier", &data(DataColumns::default()));
        assert_eq!(roles(&found), [("id", None), ("sentence", Some("text")), ("label", Some("label"))]);
        assert_eq!(found.rows, [["1", "one", "austen"], ["2", "two", "austen"], ["3", "three", "x"]]);
        assert_eq!((found.reads_as.as_str(), found.fault.is_none()), ("a text with a label", true));
        // What was asked for goes before what is known by its name.
        let asked = DataColumns { text: Some("id".to_owned()), ..DataColumns::default() };
        let found = look("sample_models/books/classifier", &data(asked));
        assert_eq!(roles(&found)[..2], [("id", Some("text")), ("sentence", None)]);
        // Where no column is known, the rows are there to choose from.
        let path = scratch.path().join("unknown.csv");
        std::fs::write(&path, "a,b\n1,2\n").unwrap();
        let found = look("sample_models/books/classifier", &Input::Data { path, columns: DataColumns::default() });
        assert!(found.fault.unwrap().to_string().contains("the columns are a, b"));
        assert_eq!((found.columns.len(), found.rows.len(), found.reads_as.as_str()), (2, 1, ""));
    }

    #[test]
    fn pairs_and_questions_are_told_too() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("pairs.tsv");
        std::fs::write(&path, "7\tone\teins\n\n8\ttwo\tzwei\n").unwrap();
        let pairs = Input::Pairs { path, columns: None, language: None };
        let found = look("tests/fixtures/bart", &pairs);
        assert_eq!(roles(&found), [("1", None), ("2", Some("source")), ("3", Some("target"))]);
        assert_eq!(found.rows, [["7", "one", "eins"], ["8", "two", "zwei"]]);
        let path = scratch.path().join("piqa.jsonl");
        std::fs::write(&path, "{\"goal\": \"g\", \"sol1\": \"a\", \"sol2\": \"b\", \"label\": 1}\n").unwrap();
        let data = Input::Data { path, columns: DataColumns::default() };
        let found = look("sample_models/austen-plain", &data);
        assert_eq!(found.reads_as, "a question of piqa with its endings");
        assert_eq!(roles(&found).iter().filter(|(_, role)| role.is_some()).count(), 3);
        // A text has no rows.
        let text = Input::Text(scratch.path().join("piqa.jsonl"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain");
        let intake = Intake::of(&Model::open(&folder).unwrap()).unwrap();
        assert!(InputPreview::of(&text, &folder, &intake, 3, &Ticket::default()).unwrap().is_none());
    }

    #[test]
    fn folders_of_images_are_told_by_their_classes() {
        let scratch = tempfile::tempdir().unwrap();
        for class in ["cats", "dogs"] {
            std::fs::create_dir(scratch.path().join(class)).unwrap();
            for n in 0..3 {
                std::fs::write(scratch.path().join(format!("{class}/{n}.png")), "").unwrap();
            }
        }
        let found = look("tests/fixtures/vit", &Input::Images(scratch.path().to_path_buf()));
        assert_eq!(roles(&found), [("file", Some("image")), ("folder", None)]);
        assert_eq!(found.rows, [["0.png", "cats"], ["1.png", "cats"], ["0.png", "dogs"]]);
    }
}
