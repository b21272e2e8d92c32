//! Rows of a table become examples of a task: texts, pairs of texts, tagged words, questions with endings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::asked::AskedQuestion;
use super::columns::{Form, TableColumns};
use super::example::{Example, SourceContent, TokenRow};
use super::intake::Intake;
use super::judged::TextQuestion;
use super::labels::{GivenLabel, choice_number};
use super::origin::{AskedQuestions, Examples, Origin, TextQuestions, Total};
use super::passages::{LENGTH, Passage};
use super::prompts::SentencePrompts;
use super::questions::QuestionSet;
use super::settings::{CorpusSettings, DataColumns};
use super::table::{Row, TableReader};
use super::task_intake::IGNORED;
use super::text::{UsualLength, check_ids, usual_length};
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};
use crate::network::{ProblemType, TaskKind};
use crate::task::Ticket;
use crate::words::counted;

/// Rows that are tokenized together, on all cores.
const BLOCK: usize = 256;

/// A file of labeled rows; every row was seen to be one.
pub(super) struct DataFile {
    reader: DataReader,
    rows: u64,
    /// Sequences of all rows.
    sequences: u64,
    choices: usize,
    /// How alike the two texts of each row are, where rows are such pairs.
    likenesses: Option<Vec<f64>>,
    notes: Vec<String>,
}

#[derive(Clone)]
struct DataReader {
    path: PathBuf,
    /// As the user named it.
    named: PathBuf,
    has_header: bool,
    form: Form,
    label: Option<String>,
    tokenizer: Arc<TextTokenizer>,
    intake: Intake,
    length: usize,
    /// The length that was asked for.
    asked_length: Option<usize>,
    /// What stands before sentences.
    prompt: String,
    /// What the file calls the numbers of its classes, where the model has all of these.
    class_names: Option<Vec<String>>,
}

impl DataFile {
    /// Recognizes the columns and reads every row once, so that a fault in the last one is found before the work begins.
    pub(super) fn open(
        (path, named): (&Path, &Path),
        columns: &DataColumns,
        tokenizer: Arc<TextTokenizer>,
        intake: &Intake,
        sentences: Option<&SentencePrompts>,
        settings: &CorpusSettings,
        ticket: &Ticket,
    ) -> Result<Self> {
        let has_header = !columns.are_numbers();
        let mut table = TableReader::open(path, named, has_header)?;
        let first = table.next().transpose()?.ok_or_else(|| Error::new("the file holds no row").at(named))?;
        let names: Vec<String> = match table.columns() {
            [] => first.cells.keys().cloned().collect(),
            named => named.to_vec(),
        };
        let found = TableColumns { names: &names, asked: columns, intake, embeds: sentences.is_some() };
        let form = found.form().map_err(|e| e.at(named))?;
        let label = found.label(&form).map_err(|e| e.at(named))?;
        found.check_asked(&form, label.as_ref()).map_err(|e| e.at(named))?;
        let unused_labels = found.unused_labels(&form, label.as_ref());
        let usual = match (&form, sentences.and_then(|sentences| sentences.length)) {
            (Form::Answers { .. }, _) => UsualLength::AtMost(LENGTH),
            (Form::Sentences { .. }, Some(length)) => UsualLength::Named(length),
            _ => UsualLength::OfText,
        };
        let length = usual_length(settings, intake, &tokenizer, usual)?;
        let prompt = sentences.map(|sentences| sentences.sentence.clone()).unwrap_or_default();
        let task = intake.task.as_ref();
        let class_names = label.as_deref().and_then(|label| table.class_names(label));
        let known = |name: &String| task.is_some_and(|task| task.labels.find(name).is_some());
        let class_names = class_names.filter(|names| names.iter().all(known)).map(<[String]>::to_vec);
        let (path, named) = (path.to_path_buf(), named.to_path_buf());
        let (intake, asked_length) = (intake.clone(), settings.seq_len);
        let mut reader = DataReader {
            path,
            named,
            has_header,
            form,
            label,
            tokenizer,
            intake,
            length,
            asked_length,
            prompt,
            class_names,
        };
        ticket.stage("check data", None, "rows");
        let (mut rows, mut choices, mut cut, mut numbers, mut longest) = (0, 1, 0u64, false, None);
        let (mut sequences, mut likenesses, mut scored) = (0, Vec::new(), false);
        let mut blocks = RowBlocks::open(&reader)?;
        while let Some(block) = blocks.read()? {
            for read in reader.examples(&block)? {
                choices = choices.max(read.choices());
                cut += u64::from(read.is_cut);
                longest = longest.max(read.longest);
                scored |= read.example.is_scored();
                sequences += 1;
            }
            if matches!(reader.form, Form::Sentences { .. }) && reader.label.is_some() {
                for row in &block {
                    likenesses.push(
                        reader
                            .likeness(row)
                            .map_err(|e| e.within(format_args!("row {}", row.number)).at(&reader.named))?,
                    );
                }
            }
            numbers |= block.iter().any(|row| reader.is_number(row));
            rows += block.len() as u64;
            ticket.advance(block.len() as u64)?;
        }
        // Questions are as long as the model reads, and what they need counts.
        reader.length = longest.unwrap_or(length);
        let length = reader.length;
        let mut notes: Vec<String> = unused_labels.into_iter().collect();
        if cut > 0 {
            notes.push(format!("{} cut to {length} tokens", counted(cut, "rows")));
        }
        if let Some(task) = &reader.intake.task {
            match &reader.label {
                None => notes.push(format!(
                    "no column of labels is known (--label-column) among {}, so nothing is scored",
                    names.join(", ")
                )),
                Some(label) if !scored => {
                    notes.push(format!("'{label}' has no label in any row, so nothing is scored"));
                }
                Some(label) => {
                    let asks = [TaskKind::MultipleChoice, TaskKind::QuestionAnswering].contains(&task.kind);
                    let is_class = task.problem != ProblemType::Regression && !asks;
                    if numbers && is_class && !task.labels.are_numbers() {
                        let names = task.labels.names().iter().enumerate().take(8);
                        let names: Vec<String> = names.map(|(n, name)| format!("{n} is {name}")).collect();
                        notes.push(format!(
                            "'{label}' holds numbers, which are read as the model's own: {}; data sets may number otherwise",
                            names.join(", ")
                        ));
                    }
                }
            }
        }
        let likenesses = Some(likenesses).filter(|all| !all.is_empty());
        if matches!(reader.form, Form::Sentences { .. }) && likenesses.is_none() {
            notes.push(format!(
                "no column of scores of likeness is known (--label-column) among {}, so nothing is scored",
                names.join(", ")
            ));
        }
        Ok(Self { reader, rows, sequences, choices, likenesses, notes })
    }
}

impl Origin for DataFile {
    fn examples(&self) -> Result<Examples> {
        let blocks = RowBlocks::open(&self.reader)?;
        Ok(Box::new(DataRows { reader: self.reader.clone(), blocks, ready: Vec::new().into_iter() }))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.sequences))
    }

    fn likenesses(&self) -> Option<&[f64]> {
        self.likenesses.as_deref()
    }

    fn text_questions(&self) -> Result<Option<TextQuestions>> {
        if !matches!(self.reader.form, Form::Answers { .. }) {
            return Ok(None);
        }
        let reader = self.reader.clone();
        let table = TableReader::open(&reader.path, &reader.named, reader.has_header)?;
        Ok(Some(Box::new(table.map(move |row| {
            let row = row?;
            reader.text_question(&row).map_err(|e| e.within(format_args!("row {}", row.number)).at(&reader.named))
        }))))
    }

    fn longest(&self) -> usize {
        self.reader.length
    }

    fn choices(&self) -> usize {
        self.choices
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.reader.path.clone()]
    }

    fn describe(&self) -> String {
        let DataReader { form, label, length, .. } = &self.reader;
        let what = match form {
            Form::Texts { text, pair: None } => format!("'{text}'"),
            Form::Texts { text, pair: Some(pair) } => format!("pairs of '{text}' and '{pair}'"),
            Form::Words { words } => format!("words in '{words}'"),
            Form::Sentences { first, second } => format!("'{first}' beside '{second}'"),
            Form::Answers { question, text, .. } => format!("'{question}' with windows of '{text}'"),
            Form::Asked(set) => format!("questions of {}", set.name()),
            Form::Choices { beginning, endings, .. } => {
                format!("'{beginning}' with endings in '{}'", endings.join("', '"))
            }
        };
        let label = match (form, label) {
            (Form::Asked(_), _) => String::new(),
            (_, Some(label)) => format!(", labels in '{label}'"),
            (_, None) => ", no labels".to_owned(),
        };
        format!("{} of {what}{label}, up to {length} tokens", counted(self.rows, "rows"))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn questions(&self) -> Result<Option<AskedQuestions>> {
        let Form::Asked(set) = self.reader.form else { return Ok(None) };
        let reader = self.reader.clone();
        let table = TableReader::open(&reader.path, &reader.named, reader.has_header)?;
        Ok(Some(Box::new(table.map(move |row| {
            let row = row?;
            reader.question(set, &row).map_err(|e| e.within(format_args!("row {}", row.number)).at(&reader.named))
        }))))
    }
}

/// An example, and whether its text was too long.
struct ReadRow {
    example: Example,
    is_cut: bool,
    /// Tokens of the longest ending of a question with its beginning.
    longest: Option<usize>,
}

impl From<(TokenRow, bool)> for ReadRow {
    fn from((row, is_cut): (TokenRow, bool)) -> Self {
        Self { example: Example::new(SourceContent::Tokens(row)), is_cut, longest: None }
    }
}

impl ReadRow {
    fn choices(&self) -> usize {
        if let SourceContent::Choices(rows) = &self.example.content { rows.len() } else { 1 }
    }
}

impl DataReader {
    fn examples(&self, rows: &[Row]) -> Result<Vec<ReadRow>> {
        let read: Vec<Vec<ReadRow>> = rows
            .par_iter()
            .map(|row| self.sequences(row).map_err(|e| e.within(format_args!("row {}", row.number)).at(&self.named)))
            .collect::<Result<_>>()?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Everything that is read of a row.
    fn sequences(&self, row: &Row) -> Result<Vec<ReadRow>> {
        match &self.form {
            Form::Sentences { first, second } => [first, second]
                .into_iter()
                .map(|name| {
                    let sentence = format!("{}{}", self.prompt, text(&row.cells, name)?);
                    Ok(ReadRow::from(self.tokens(&sentence, None)?))
                })
                .collect(),
            Form::Answers { .. } => {
                let passage = Passage::of(&row.cells, &self.form)?;
                let mut read = Vec::new();
                for window in passage.windows(&self.tokenizer, self.length)? {
                    let ends = passage.ends(&window);
                    let mut row = ReadRow::from((self.typed(window.ids, window.types)?, false));
                    row.example.labels = Some(ends.to_vec());
                    read.push(row);
                }
                Ok(read)
            }
            _ => Ok(vec![self.example(row)?]),
        }
    }

    /// How alike the two texts of a row are.
    fn likeness(&self, row: &Row) -> Result<f64> {
        let name = self.label.as_deref().unwrap_or_default();
        let number = match row.cells.get(name) {
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|n| n.is_finite()).ok_or_else(|| Error::new(format!("'{name}' is no number")))
    }

    /// What a row asks of a text, with the places of the tokens of every window.
    fn text_question(&self, row: &Row) -> Result<TextQuestion> {
        let passage = Passage::of(&row.cells, &self.form)?;
        let windows = passage.windows(&self.tokenizer, self.length)?.into_iter().map(|window| window.places).collect();
        Ok(TextQuestion { text: passage.text, answers: passage.answers, windows })
    }

    fn is_number(&self, row: &Row) -> bool {
        let cell = self.label.as_ref().and_then(|label| row.cells.get(label));
        match cell {
            _ if self.class_names.is_some() => false,
            Some(Value::Number(_)) => true,
            Some(Value::String(text)) => text.trim().parse::<u32>().is_ok(),
            Some(Value::Array(list)) => list.iter().any(Value::is_number),
            _ => false,
        }
    }

    /// The question of a row with all of its endings.
    fn question(&self, set: QuestionSet, row: &Row) -> Result<AskedQuestion> {
        let longest = self.asked_length.or(self.intake.source_tokens()?.max_length);
        set.question(&row.cells)?.asked(&self.tokenizer, &self.intake, longest)
    }

    fn example(&self, row: &Row) -> Result<ReadRow> {
        let text = |name: &String| text(&row.cells, name);
        let (mut example, is_cut, firsts) = match &self.form {
            Form::Texts { text: first, pair } => {
                let (first, second) = (text(first)?, pair.as_ref().map(text).transpose()?);
                let (tokens, is_cut) = self.tokens(&first, second.as_deref())?;
                (self.of_row(tokens), is_cut, None)
            }
            Form::Words { words } => {
                let list = row.cells.get(words).and_then(Value::as_array);
                let list = list.and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
                let list = list.filter(|list| !list.is_empty());
                let list = list.ok_or_else(|| Error::new(format!("'{words}' is no list of words")))?;
                let (ids, firsts) = self.tokenizer.words(&list, self.length)?;
                check_ids(&ids, self.intake.source_tokens()?)?;
                let seen = firsts.iter().flatten().max().map_or(0, |last| last + 1);
                (self.of_row(TokenRow::full(ids)), seen < list.len(), Some((firsts, list.len())))
            }
            Form::Asked(set) => {
                let asked = self.question(*set, row)?;
                let (is_cut, longest) = (asked.is_cut, Some(asked.longest()));
                return Ok(ReadRow { example: asked.example()?, is_cut, longest });
            }
            Form::Sentences { .. } | Form::Answers { .. } => unreachable!("rows of several sequences are read as such"),
            Form::Choices { beginning, middle, endings } => {
                let begin = text(beginning)?;
                let middle = middle.as_ref().map(text).transpose()?;
                let endings = endings_of(&row.cells, endings)?;
                let (mut rows, mut any_cut) = (Vec::with_capacity(endings.len()), false);
                for ending in endings {
                    let second = middle.as_ref().map_or_else(|| ending.clone(), |middle| format!("{middle} {ending}"));
                    let (tokens, is_cut) = self.tokens(&begin, Some(&second))?;
                    any_cut |= is_cut;
                    rows.push(tokens);
                }
                (Example::new(SourceContent::Choices(rows)), any_cut, None)
            }
        };
        let label = self.label.as_ref().and_then(|label| Some((label, row.cells.get(label)?)));
        if let (Some(task), Some((name, cell))) = (&self.intake.task, label) {
            let given = given(cell).ok_or_else(|| Error::new(format!("'{name}' holds no label")))?;
            let given = match &self.class_names {
                Some(names) => given.named(names),
                None => given,
            };
            match firsts {
                Some((firsts, words)) => example.labels = Some(self.tags(&given, &firsts, words)?),
                None if task.kind == TaskKind::MultipleChoice => {
                    let given = match &given {
                        GivenLabel::Name(text) => choice_number(text).map_or(given, |n| GivenLabel::Number(n as f64)),
                        _ => given,
                    };
                    example.set_task_label(&given, task)?;
                }
                None => example.set_task_label(&given, task)?,
            }
        } else if let (Some(_), Some(name)) = (&self.intake.task, &self.label) {
            return Err(Error::new(format!("there is no '{name}'")));
        }
        Ok(ReadRow { example, is_cut, longest: None })
    }

    fn of_row(&self, row: TokenRow) -> Example {
        match (&self.intake.target, &self.intake.task) {
            (None, _) => Example::new(SourceContent::Tokens(row)),
            _ => Example::of_text(row.ids, &self.intake),
        }
    }

    /// A text or two as the tokenizer joins them, and whether they had to be cut.
    fn tokens(&self, first: &str, second: Option<&str>) -> Result<(TokenRow, bool)> {
        let pair = self.tokenizer.pair(first, second, self.length)?;
        if second.is_some() {
            return Ok((self.typed(pair.ids, pair.types)?, pair.is_cut));
        }
        check_ids(&pair.ids, self.intake.source_tokens()?)?;
        Ok((TokenRow::full(pair.ids), pair.is_cut))
    }

    /// A sequence of two texts, with types where the model knows some.
    fn typed(&self, ids: Vec<u32>, types: Vec<u32>) -> Result<TokenRow> {
        check_ids(&ids, self.intake.source_tokens()?)?;
        let most = self.intake.types.checked_sub(1).filter(|most| *most > 0);
        let types = most.map(|most| {
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            types.iter().map(|kind| (*kind).min(most)).collect()
        });
        Ok(TokenRow { types, ..TokenRow::full(ids) })
    }

    /// Tags of words at the first piece of each; other pieces are not scored.
    fn tags(&self, given: &GivenLabel, firsts: &[Option<usize>], words: usize) -> Result<Vec<Option<u32>>> {
        let task = self.intake.task.as_ref().ok_or_else(|| Error::new("the model has no labels"))?;
        let of_words: Vec<Option<u32>> = match (given, given.numbers()) {
            (_, Some(numbers)) => numbers.iter().map(|n| task.class_at(*n)).collect::<Result<_>>()?,
            (GivenLabel::Names(names), _) => names.iter().map(|n| task.class(n).map(Some)).collect::<Result<_>>()?,
            _ => {
                return Err(Error::new("the tags are no list")
                    .hint(format!("give one per word, {IGNORED} where nothing is scored")));
            }
        };
        if of_words.len() != words {
            return Err(Error::new(format!("{} tags do not fit {words} words", of_words.len())));
        }
        Ok(firsts.iter().map(|word| word.and_then(|word| of_words.get(word).copied().flatten())).collect())
    }
}

/// The text in a cell.
fn text(cells: &Map<String, Value>, name: &str) -> Result<String> {
    match cells.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
        Some(Value::String(_)) => Err(Error::new(format!("'{name}' is empty"))),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(Error::new(format!("'{name}' is no text"))),
        None => Err(Error::new(format!("there is no '{name}'"))),
    }
}

fn endings_of(cells: &Map<String, Value>, names: &[String]) -> Result<Vec<String>> {
    let endings: Vec<String> = match names {
        [one] if cells.get(one).is_some_and(|cell| !cell.is_string()) => {
            // Some have the texts of a list under a key of their own.
            let list = cells.get(one).map(|cell| cell.get("text").unwrap_or(cell));
            let list = list.and_then(Value::as_array).and_then(|list| {
                list.iter().map(|ending| ending.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            });
            list.ok_or_else(|| Error::new(format!("'{one}' is no list of texts")))?
        }
        names => names.iter().map(|name| text(cells, name)).collect::<Result<_>>()?,
    };
    if endings.len() < 2 {
        return Err(Error::new("a question needs two endings or more"));
    }
    Ok(endings)
}

/// A cell as a label.
fn given(cell: &Value) -> Option<GivenLabel> {
    Some(match cell {
        Value::Bool(yes) => GivenLabel::Number(f64::from(u8::from(*yes))),
        Value::Number(number) => GivenLabel::Number(number.as_f64()?),
        Value::String(text) if text.trim().is_empty() => return None,
        Value::String(text) => GivenLabel::Name(text.trim().to_owned()),
        other => serde_json::from_value(other.clone()).ok()?,
    })
}

struct RowBlocks {
    table: TableReader,
    named: PathBuf,
}

impl RowBlocks {
    fn open(reader: &DataReader) -> Result<Self> {
        Ok(Self {
            table: TableReader::open(&reader.path, &reader.named, reader.has_header)?,
            named: reader.named.clone(),
        })
    }

    fn read(&mut self) -> Result<Option<Vec<Row>>> {
        let block = self.table.by_ref().take(BLOCK).collect::<Result<Vec<_>>>();
        let block = block.map_err(|e| e.at(&self.named))?;
        Ok((!block.is_empty()).then_some(block))
    }
}

struct DataRows {
    reader: DataReader,
    blocks: RowBlocks,
    ready: std::vec::IntoIter<ReadRow>,
}

impl DataRows {
    fn read(&mut self) -> Result<Option<Example>> {
        loop {
            if let Some(row) = self.ready.next() {
                return Ok(Some(row.example));
            }
            let Some(block) = self.blocks.read()? else { return Ok(None) };
            self.ready = self.reader.examples(&block)?.into_iter();
        }
    }
}

impl Iterator for DataRows {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
