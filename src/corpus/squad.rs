//! SQuAD as it is published (Rajpurkar et al. 2016, 2018): one JSON document of articles, their paragraphs and the questions
//! that these answer. Rows are those of the same set in columns.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::checkpoint::open_file;
use crate::error::{Error, Result};

/// Bytes of the largest document that is read, all of it at once; the published ones have some 40 million.
const LARGEST: u64 = 1 << 29;

/// The columns of its rows.
const COLUMNS: [&str; 5] = ["id", "title", "context", "question", "answers"];

#[derive(Deserialize)]
struct SquadFile {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<AskedOfText>,
}

#[derive(Deserialize)]
struct AskedOfText {
    #[serde(default)]
    id: Value,
    question: String,
    #[serde(default)]
    answers: Vec<SpanOfText>,
    /// Version 2: the text does not say; what might be taken for an answer then stands elsewhere.
    #[serde(default)]
    is_impossible: bool,
}

#[derive(Deserialize)]
struct SpanOfText {
    text: String,
    /// Characters of the context before the answer.
    answer_start: u64,
}

/// The questions of a document, one by one.
pub(super) struct SquadRows {
    articles: Vec<Article>,
    /// The article, the paragraph and the question that comes next.
    next: [usize; 3],
}

impl SquadRows {
    /// Reads the document at `path`, which the user called `named`.
    ///
    /// # Errors
    /// Where it is another document, or too large.
    pub(super) fn open(path: &Path, named: &Path) -> Result<Self> {
        let place = |e: std::io::Error| Error::from(e).at(named);
        let lines = "write an object in each line (.jsonl)";
        let file = open_file(path).map_err(place)?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(place)?;
        if bytes.len() as u64 > LARGEST {
            return Err(Error::new("the document is too large to be read at once").at(named).hint(lines));
        }
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let found: SquadFile = serde_json::from_slice(text).map_err(|error| {
            Error::new(format!("of JSON documents SQuAD's alone are read, which this is not: {error}"))
                .at(named)
                .hint(lines)
        })?;
        Ok(Self { articles: found.data, next: [0; 3] })
    }

    /// Names of the columns of its rows.
    pub(super) fn columns() -> Vec<String> {
        COLUMNS.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The next question as a row.
    ///
    /// # Errors
    /// Where it has no answer and is not said to have none.
    pub(super) fn read(&mut self) -> Result<Option<Map<String, Value>>> {
        loop {
            let [article, paragraph, question] = &mut self.next;
            let Some(own) = self.articles.get(*article) else { return Ok(None) };
            let Some(text) = own.paragraphs.get(*paragraph) else {
                self.next = [*article + 1, 0, 0];
                continue;
            };
            let Some(asked) = text.qas.get(*question) else {
                self.next = [*article, *paragraph + 1, 0];
                continue;
            };
            *question += 1;
            if asked.answers.is_empty() && !asked.is_impossible {
                return Err(Error::new(format!("the question '{}' has no answers", asked.question.trim()))
                    .hint("of a question without an answer SQuAD says is_impossible"));
            }
            let answers = if asked.is_impossible { &[][..] } else { &asked.answers };
            let (texts, starts): (Vec<&str>, Vec<u64>) =
                answers.iter().map(|answer| (answer.text.as_str(), answer.answer_start)).unzip();
            let answers = json!({"text": texts, "answer_start": starts});
            let cells: [Value; 5] =
                [asked.id.clone(), json!(own.title), json!(text.context), json!(asked.question), answers];
            return Ok(Some(COLUMNS.iter().map(|name| (*name).to_owned()).zip(cells).collect()));
        }
    }
}
