//! A folder of documents, queries, and which document answers which query (BEIR's layout).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::Value;

use super::example::{Example, SourceContent, TokenRow};
use super::intake::Intake;
use super::judged::Relevance;
use super::origin::{Examples, Origin, Total};
use super::prompts::SentencePrompts;
use super::table::TableReader;
use super::text::check_ids;
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};
use crate::task::Ticket;
use crate::words::counted;

/// Texts that are tokenized together, on all cores.
const BLOCK: usize = 256;

/// Documents and queries of a folder, all of their texts held.
pub(super) struct RetrievalFolder {
    files: Vec<PathBuf>,
    texts: Arc<Vec<String>>,
    relevance: Relevance,
    tokenizer: Arc<TextTokenizer>,
    length: usize,
    notes: Vec<String>,
}

impl RetrievalFolder {
    /// Reads `corpus.jsonl`, `queries.jsonl` and `qrels.tsv` of a folder.
    ///
    /// # Errors
    /// Where one is missing or names what is not there.
    pub(super) fn open(
        folder: &Path,
        tokenizer: Arc<TextTokenizer>,
        prompts: &SentencePrompts,
        intake: &Intake,
        length: usize,
        ticket: &Ticket,
    ) -> Result<Self> {
        let [corpus, queries] = ["corpus.jsonl", "queries.jsonl"].map(|name| folder.join(name));
        let qrels = [folder.join("qrels.tsv"), folder.join("qrels/test.tsv")];
        let qrels = qrels.iter().find(|path| path.is_file()).unwrap_or(&qrels[0]).clone();
        for path in [&corpus, &queries, &qrels] {
            if !path.is_file() {
                return Err(Error::new("the folder lacks a file of retrieval")
                    .at(path)
                    .hint("it holds corpus.jsonl, queries.jsonl and qrels.tsv"));
            }
        }
        ticket.stage("read documents", None, "texts");
        let (documents, mut texts) = named_texts(&corpus, ticket)?;
        let (names, asked) = named_texts(&queries, ticket)?;
        let place = |names: &[String]| -> HashMap<String, usize> {
            names.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect()
        };
        let (by_document, by_query) = (place(&documents), place(&names));
        let mut found: Vec<HashMap<usize, u32>> = vec![HashMap::new(); names.len()];
        for row in TableReader::open(&qrels, &qrels, false)? {
            let row = row?;
            let fault = |what: String| Error::new(what).within(format_args!("row {}", row.number)).at(&qrels);
            let cells: Vec<&str> = row.cells.values().filter_map(Value::as_str).map(str::trim).collect();
            // TREC's own form has a column that says nothing behind the query.
            let (query, document, grade) = match cells.as_slice() {
                [query, document, grade] | [query, _, document, grade] => (*query, *document, *grade),
                _ => return Err(fault("it has no query, document and grade".to_owned())),
            };
            let Ok(grade) = grade.parse::<i64>() else {
                if row.number == 1 {
                    continue;
                }
                return Err(fault(format!("'{grade}' is no grade")));
            };
            let at = |known: &HashMap<String, usize>, name: &str, file: &str| {
                known.get(name).copied().ok_or_else(|| fault(format!("{file} has no '{name}'")))
            };
            let (query, document) =
                (at(&by_query, query, "queries.jsonl")?, at(&by_document, document, "corpus.jsonl")?);
            if let (Ok(grade @ 1..), Some(judged)) = (u32::try_from(grade), found.get_mut(query)) {
                judged.insert(document, grade);
            }
        }
        let mut relevance = Relevance { documents, queries: Vec::new(), judged: Vec::new() };
        texts.iter_mut().for_each(|text| *text = format!("{}{text}", prompts.document));
        for ((name, text), judged) in names.into_iter().zip(asked).zip(found) {
            if !judged.is_empty() {
                relevance.queries.push(name);
                relevance.judged.push(judged);
                texts.push(format!("{}{text}", prompts.query));
            }
        }
        if relevance.queries.is_empty() {
            return Err(Error::new("no query has a document that answers it").at(&qrels));
        }
        let own = Self {
            files: vec![corpus, queries, qrels],
            texts: Arc::new(texts),
            relevance,
            tokenizer,
            length,
            notes: Vec::new(),
        };
        let mut cut = 0u64;
        for block in own.texts.chunks(BLOCK) {
            for (row, is_cut) in rows(block, &own.tokenizer, length)? {
                check_ids(&row.ids, intake.source_tokens()?)?;
                cut += u64::from(is_cut);
            }
            ticket.advance(block.len() as u64)?;
        }
        let notes = (cut > 0).then(|| format!("{} cut to {length} tokens", counted(cut, "texts")));
        Ok(Self { notes: notes.into_iter().collect(), ..own })
    }
}

/// Names and texts of an object in each line; titles stand before texts.
fn named_texts(path: &Path, ticket: &Ticket) -> Result<(Vec<String>, Vec<String>)> {
    let (mut names, mut texts) = (Vec::new(), Vec::new());
    for row in TableReader::open(path, path, true)? {
        let row = row?;
        let fault = |what: &str| Error::new(what).within(format_args!("row {}", row.number)).at(path);
        let cell = |name: &str| match row.cells.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let name = cell("_id").or_else(|| cell("id")).ok_or_else(|| fault("it has no '_id'"))?;
        let text = cell("text").ok_or_else(|| fault("it has no 'text'"))?;
        let title = cell("title").filter(|title| !title.is_empty());
        texts.push(title.map_or_else(|| text.clone(), |title| format!("{title} {text}")).trim().to_owned());
        names.push(name);
        ticket.advance(1)?;
    }
    if names.is_empty() {
        return Err(Error::new("the file holds no row").at(path));
    }
    Ok((names, texts))
}

/// Texts as sequences, and whether each was cut.
fn rows(texts: &[String], tokenizer: &TextTokenizer, length: usize) -> Result<Vec<(TokenRow, bool)>> {
    let row = |text: &String| {
        let one = tokenizer.pair(text, None, length)?;
        Ok((TokenRow::full(one.ids), one.is_cut))
    };
    texts.par_iter().map(row).collect()
}

impl Origin for RetrievalFolder {
    fn examples(&self) -> Result<Examples> {
        let (texts, tokenizer, length) = (Arc::clone(&self.texts), Arc::clone(&self.tokenizer), self.length);
        let all = (0..texts.len()).step_by(BLOCK).flat_map(move |from| {
            let block = texts.get(from..(from + BLOCK).min(texts.len())).unwrap_or(&[]);
            match rows(block, &tokenizer, length) {
                Ok(rows) => {
                    rows.into_iter().map(|(row, _)| Ok(Example::new(SourceContent::Tokens(row)))).collect::<Vec<_>>()
                }
                Err(error) => vec![Err(error)],
            }
        });
        Ok(Box::new(all))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.texts.len() as u64))
    }

    fn longest(&self) -> usize {
        self.length
    }

    fn relevance(&self) -> Option<&Relevance> {
        Some(&self.relevance)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    fn describe(&self) -> String {
        let Relevance { documents, queries, .. } = &self.relevance;
        let (documents, queries) = (counted(documents.len(), "documents"), counted(queries.len(), "queries"));
        format!("{documents} and {queries}, up to {} tokens", self.length)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
