//! JSON Lines of token ids.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::example::{Example, SourceContent, TokenRow};
use super::intake::Intake;
use super::labels::GivenLabel;
use super::origin::{Examples, Origin, Total};
use crate::checkpoint::{open_file, twice};
use crate::error::{Error, Result};
use crate::network::TaskKind;
use crate::task::Ticket;
use crate::words::counted;

#[derive(Default)]
struct TokenLine {
    input_ids: Vec<i64>,
    attention_mask: Option<Vec<i64>>,
    token_type_ids: Option<Vec<i64>>,
    position_ids: Option<Vec<i64>>,
    decoder_input_ids: Option<Vec<i64>>,
    decoder_attention_mask: Option<Vec<i64>>,
    labels: Option<GivenLabel>,
    start_positions: Option<i64>,
    end_positions: Option<i64>,
    /// Keys that are none of these.
    others: Vec<String>,
}

/// Keys that tokenizers write and that no model reads.
const IRRELEVANT: [&str; 5] =
    ["special_tokens_mask", "offset_mapping", "length", "overflow_to_sample_mapping", "num_truncated_tokens"];

impl<'de> Deserialize<'de> for TokenLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = TokenLine;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with input_ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenLine, A::Error> {
                let (mut line, mut ids) = (TokenLine::default(), None);
                let mut seen = BTreeSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(de::Error::custom(twice(&key)));
                    }
                    match key.as_str() {
                        "input_ids" => ids = Some(map.next_value()?),
                        "attention_mask" => line.attention_mask = map.next_value()?,
                        "token_type_ids" => line.token_type_ids = map.next_value()?,
                        "position_ids" => line.position_ids = map.next_value()?,
                        "decoder_input_ids" => line.decoder_input_ids = map.next_value()?,
                        "decoder_attention_mask" => line.decoder_attention_mask = map.next_value()?,
                        "labels" | "label" => line.labels = map.next_value()?,
                        "start_positions" => line.start_positions = map.next_value()?,
                        "end_positions" => line.end_positions = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            if !IRRELEVANT.contains(&key.as_str()) {
                                line.others.push(key);
                            }
                        }
                    }
                }
                line.input_ids = ids.ok_or_else(|| de::Error::missing_field("input_ids"))?;
                Ok(line)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A file of token lists, checked whole when it is opened.
pub(super) struct TokenLines {
    path: PathBuf,
    intake: Intake,
    sequences: u64,
    longest: usize,
    notes: Vec<String>,
}

impl TokenLines {
    pub(super) fn open(path: &Path, intake: &Intake, ticket: &Ticket) -> Result<Self> {
        intake.source_tokens()?;
        let (mut sequences, mut longest) = (0, 0);
        ticket.stage("check tokens", None, "lines");
        let mut lines = TokenLineReader::open(path, intake)?;
        for example in lines.by_ref() {
            longest = longest.max(example?.length());
            sequences += 1;
            ticket.advance(1)?;
        }
        if sequences == 0 {
            return Err(Error::new("the file holds no line of tokens").at(path));
        }
        let notes = unused_note(&lines.unused).into_iter().collect();
        Ok(Self { path: path.to_path_buf(), intake: intake.clone(), sequences, longest, notes })
    }
}

/// What to say of keys or tensors that the model has no use for.
pub(super) fn unused_note(names: &BTreeSet<String>) -> Option<String> {
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    (!list.is_empty()).then(|| format!("not used, as this model does not read it: {}", list.join(", ")))
}

impl Origin for TokenLines {
    fn examples(&self) -> Result<Examples> {
        Ok(Box::new(TokenLineReader::open(&self.path, &self.intake)?))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.sequences))
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn describe(&self) -> String {
        format!("{} of up to {}", counted(self.sequences, "sequences"), counted(self.longest, "tokens"))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

struct TokenLineReader {
    path: PathBuf,
    intake: Intake,
    file: BufReader<File>,
    number: u64,
    buffer: Vec<u8>,
    /// Keys that were read over.
    unused: BTreeSet<String>,
}

impl TokenLineReader {
    fn open(path: &Path, intake: &Intake) -> Result<Self> {
        let file = open_file(path).map_err(|e| Error::from(e).at(path))?;
        let file = BufReader::with_capacity(1 << 18, file);
        Ok(Self {
            path: path.to_path_buf(),
            intake: intake.clone(),
            file,
            number: 0,
            buffer: Vec::new(),
            unused: BTreeSet::new(),
        })
    }
}

impl Iterator for TokenLineReader {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.buffer.clear();
            match self.file.read_until(b'\n', &mut self.buffer) {
                Ok(0) => return None,
                Ok(_) => self.number += 1,
                Err(error) => return Some(Err(Error::from(error).at(&self.path))),
            }
            let mut line = self.buffer.trim_ascii();
            if self.number == 1 {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            if !line.is_empty() {
                let named = |e: Error| e.within(format_args!("line {}", self.number)).at(&self.path);
                return Some(read(line, &self.intake, &mut self.unused).map_err(named));
            }
        }
    }
}

/// One line as an example. A decoder reads `decoder_input_ids`, or the labels moved right by one behind the start token.
fn read(line: &[u8], intake: &Intake, unused: &mut BTreeSet<String>) -> Result<Example> {
    let line: TokenLine = serde_json::from_slice(line).map_err(|error| {
        // serde counts lines within the one line that it sees.
        let text = error.to_string().replace(" at line 1 column", " at column");
        Error::new(text).hint("each line is an object like {\"input_ids\": [1, 2, 3]}")
    })?;
    let limits = intake.source_tokens()?;
    let mut source = TokenRow::checked("input_ids", &line.input_ids, line.attention_mask.as_deref(), limits)?;
    unused.extend(source.take(line.token_type_ids.as_deref(), line.position_ids.as_deref(), intake)?);
    unused.extend(line.others);
    // A model without a language-model head has no use for ids.
    if intake.objective.is_none() && intake.task.is_none() && line.labels.is_some() {
        unused.insert("labels".to_owned());
    }
    let labels = line.labels.as_ref().filter(|_| intake.objective.is_some()).map(|labels| {
        labels.ids().ok_or_else(|| {
            Error::new("labels is no list of token ids, but this model predicts a token at every position")
                .hint("give one label per token, or leave labels out")
        })
    });
    let labels = labels.transpose()?;
    let own = (line.decoder_input_ids.as_deref(), line.decoder_attention_mask.as_deref());
    let target = decoder_row(own, labels, &source, intake)?;
    let mut example = Example { target, ..Example::new(SourceContent::Tokens(source)) };
    if let Some(labels) = labels {
        example.set_labels(labels, intake)?;
    }
    let span = line.start_positions.zip(line.end_positions);
    match &intake.task {
        Some(task) if task.kind == TaskKind::QuestionAnswering => {
            if let Some((start, end)) = span {
                example.set_span(start, end)?;
            }
        }
        task => {
            if let Some((task, given)) = task.as_ref().zip(line.labels.as_ref()) {
                example.set_task_label(given, task)?;
            }
            let places = [("start_positions", line.start_positions), ("end_positions", line.end_positions)];
            unused.extend(places.into_iter().filter(|(_, at)| at.is_some()).map(|(name, _)| name.to_owned()));
        }
    }
    Ok(example)
}

/// What the decoder of an encoder-decoder model reads, from its own ids with their mask, or from the labels; `None` for other
/// models. With the head of a labeled task it reads the source, moved right by one.
pub(super) fn decoder_row(
    (ids, mask): (Option<&[i64]>, Option<&[i64]>),
    labels: Option<&[i64]>,
    source: &TokenRow,
    intake: &Intake,
) -> Result<Option<TokenRow>> {
    let Some(limits) = &intake.target else { return Ok(None) };
    if let Some(ids) = ids {
        return TokenRow::checked("decoder_input_ids", ids, mask, limits).map(Some);
    }
    if intake.task.is_some() {
        return Ok(Some(source.moved_right(intake.start_of(source.ids.iter().copied()))));
    }
    let Some(labels) = labels else {
        let what = "an encoder-decoder model also needs decoder_input_ids (or labels)";
        return Err(Error::new(what));
    };
    let start = intake.start_of(labels.iter().filter_map(|label| u32::try_from(*label).ok()));
    let before = labels.iter().take(labels.len().saturating_sub(1));
    // Positions without a label follow the sentence: what the decoder reads there does not matter.
    let shown = before.map(|label| if *label < 0 { i64::from(intake.pad) } else { *label });
    let ids: Vec<i64> = std::iter::once(i64::from(start)).chain(shown).collect();
    TokenRow::checked("decoder_input_ids", &ids, mask, limits).map(Some)
}
