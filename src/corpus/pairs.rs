//! Sentence pairs between tabs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::example::Example;
use super::intake::{Intake, TokenLimits};
use super::origin::{Examples, Origin, Total};
use super::reader::LineBlocks;
use super::settings::CorpusSettings;
use super::text::{check_ids, sequence_length};
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};
use crate::task::Ticket;
use crate::words::counted;

/// A file of pairs; every line was seen to have its columns.
pub(super) struct PairFile {
    reader: PairReader,
    pairs: u64,
    /// Lines of which a side is empty.
    halves: u64,
}

#[derive(Clone)]
struct PairReader {
    path: PathBuf,
    /// Columns of source and target, counted from 0.
    columns: (usize, usize),
    tokenizer: Arc<TextTokenizer>,
    /// That of the targets.
    target: Arc<TextTokenizer>,
    intake: Intake,
    length: usize,
}

impl PairFile {
    pub(super) fn open(
        path: &Path,
        (columns, language): (Option<(usize, usize)>, Option<&str>),
        tokenizer: Arc<TextTokenizer>,
        intake: &Intake,
        settings: &CorpusSettings,
        ticket: &Ticket,
    ) -> Result<Self> {
        if intake.target.is_none() || intake.task.is_some() {
            let what = "pairs are for encoder-decoder models, which this is not";
            return Err(Error::usage(what).hint("give --text"));
        }
        let length = sequence_length(settings, intake, &tokenizer)?;
        let mut blocks = LineBlocks::open(path)?;
        ticket.stage("check pairs", None, "lines");
        let (mut chosen, mut pairs, mut halves) = (None, 0, 0);
        while let Some(block) = blocks.read()? {
            for (number, line) in block.iter().filter(|(_, line)| !line.trim().is_empty()) {
                let columns = match chosen {
                    Some(columns) => columns,
                    None => *chosen.insert(choose(line, columns).map_err(|e| e.at(path))?),
                };
                match cells(*number, line, columns).map_err(|e| e.at(path))? {
                    Some(_) => pairs += 1,
                    None => halves += 1,
                }
            }
            ticket.advance(block.len() as u64)?;
        }
        let Some(columns) = chosen.filter(|_| pairs > 0) else {
            return Err(Error::new("the file holds no pair").at(path).hint("each line is source, tab, target"));
        };
        let writer = tokenizer.target();
        let target = Arc::new(writer.writing(language)?.unwrap_or_else(|| writer.clone()));
        let reader =
            PairReader { path: path.to_path_buf(), columns, tokenizer, target, intake: intake.clone(), length };
        Ok(Self { reader, pairs, halves })
    }
}

impl Origin for PairFile {
    fn examples(&self) -> Result<Examples> {
        let blocks = LineBlocks::open(&self.reader.path)?;
        Ok(Box::new(PairLines { reader: self.reader.clone(), blocks, ready: Vec::new().into_iter() }))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.pairs))
    }

    fn longest(&self) -> usize {
        self.reader.length
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.reader.path.clone()]
    }

    fn notes(&self) -> Vec<String> {
        let halves = (self.halves > 0)
            .then(|| format!("{} without a source or a target left out", counted(self.halves, "lines")));
        halves.into_iter().collect()
    }

    fn describe(&self) -> String {
        let (source, target) = self.reader.columns;
        let length = self.reader.length;
        format!("{} pairs of columns {} and {}, cut at {length} tokens", self.pairs, source + 1, target + 1)
    }
}

/// Columns counted from 0: those asked for, else the last two.
pub(super) fn choose(line: &str, wanted: Option<(usize, usize)>) -> Result<(usize, usize)> {
    let count = line.split('\t').count();
    match wanted {
        Some((source, target)) if source > 0 && target > 0 => Ok((source - 1, target - 1)),
        Some(_) => Err(Error::usage("columns are counted from 1")),
        None if count >= 2 => Ok((count - 2, count - 1)),
        None => Err(Error::new("the first line has no tab").hint("each line is source, tab, target")),
    }
}

/// Source and target of a line; `None` where one of them is empty.
fn cells(number: u64, line: &str, (source, target): (usize, usize)) -> Result<Option<(&str, &str)>> {
    let cell = |index: usize| {
        line.split('\t').nth(index).map(str::trim).ok_or_else(|| {
            let count = line.split('\t').count();
            let count = counted(count, "columns");
            Error::new(format!("line {number} has {count}, but column {} is needed", index + 1))
        })
    };
    let (source, target) = (cell(source)?, cell(target)?);
    Ok((!source.is_empty() && !target.is_empty()).then_some((source, target)))
}

impl PairReader {
    fn examples(&self, block: &[(u64, String)]) -> Result<Vec<Example>> {
        let lines = block.iter().filter(|(_, line)| !line.trim().is_empty());
        let pairs: Vec<(&str, &str)> =
            lines.filter_map(|(number, line)| cells(*number, line, self.columns).transpose()).collect::<Result<_>>()?;
        let (sources, targets): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
        let limits = |side: Option<&TokenLimits>| side.map_or(usize::MAX, |l| l.vocabulary);
        let vocabulary = limits(self.intake.source_tokens().ok()).min(limits(self.intake.target.as_ref()));
        let limits = TokenLimits { vocabulary, max_length: None };
        let sources = self.tokenizer.encode_all(&sources)?;
        let targets = self.target.encode_all(&targets)?;
        let mut examples = Vec::with_capacity(sources.len());
        for (source, target) in sources.iter().zip(&targets) {
            check_ids(source, &limits)?;
            check_ids(target, &limits)?;
            // What does not fit is cut off, the special tokens stay; one place is left for the end token.
            let cut =
                |tokenizer: &TextTokenizer, ids: &[u32], length| tokenizer.wrap_pieces(ids, length).into_iter().next();
            let target = cut(&self.target, target, self.length - 1);
            if let (Some(source), Some(target)) = (cut(&self.tokenizer, source, self.length), target) {
                examples.push(Example::pair(source, target, &self.intake));
            }
        }
        Ok(examples)
    }
}

struct PairLines {
    reader: PairReader,
    blocks: LineBlocks,
    ready: std::vec::IntoIter<Example>,
}

impl PairLines {
    fn read(&mut self) -> Result<Option<Example>> {
        loop {
            if let Some(example) = self.ready.next() {
                return Ok(Some(example));
            }
            let Some(block) = self.blocks.read()? else { return Ok(None) };
            self.ready = self.reader.examples(&block)?.into_iter();
        }
    }
}

impl Iterator for PairLines {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(|e| e.at(&self.reader.path)).transpose()
    }
}
