//! Questions that a text answers (SQuAD), as windows of the text behind the question.

use serde_json::{Map, Value};

use super::columns::Form;
use super::judged::TextWindow;
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};

/// Tokens of a window where no other length is asked for, and tokens that neighboring windows share.
pub(super) const LENGTH: usize = 384;
const STRIDE: usize = 128;

/// What a row asks.
pub(super) struct Passage {
    pub(super) question: String,
    pub(super) text: String,
    pub(super) answers: Vec<String>,
    /// Bytes of the first answer in the text.
    first: Option<(usize, usize)>,
}

impl Passage {
    /// That of a row.
    ///
    /// # Errors
    /// Where the question or its text is missing, or the answers are no list.
    pub(super) fn of(cells: &Map<String, Value>, form: &Form) -> Result<Self> {
        let Form::Answers { question, text, answers } = form else {
            return Err(Error::new("the rows ask nothing of a text"));
        };
        let cell = |name: &String| match cells.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
            _ => Err(Error::new(format!("'{name}' is no text"))),
        };
        let (question, text) = (cell(question)?, cell(text)?);
        let none = || {
            Error::new(format!("'{answers}' holds no answers"))
                .hint("SQuAD has {\"text\": [..], \"answer_start\": [..]}")
        };
        let given = cells.get(answers).ok_or_else(none)?;
        let list = given.get("text").unwrap_or(given);
        let answers: Vec<String> = match list {
            Value::String(one) => vec![one.clone()],
            Value::Array(list) => {
                let texts = list.iter().map(|v| v.as_str().or_else(|| v.get("text")?.as_str()).map(str::to_owned));
                texts.collect::<Option<_>>().ok_or_else(none)?
            }
            _ => return Err(none()),
        };
        let starts = given.get("answer_start").and_then(Value::as_array);
        // Starts are counted in characters.
        let start = starts.and_then(|starts| starts.first()?.as_u64()).and_then(|n| usize::try_from(n).ok());
        let start = start.map(|n| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at));
        let first = answers.first().filter(|answer| !answer.is_empty()).and_then(|answer| {
            let start = start.or_else(|| text.find(answer.as_str()))?;
            Some((start, start + answer.len()))
        });
        if let (Some((start, end)), Some(answer)) = (first, answers.first())
            && text.get(start..end) != Some(answer.as_str())
        {
            return Err(Error::new(format!("the answer '{answer}' does not stand where answer_start says")));
        }
        Ok(Self { question, text, answers, first })
    }

    /// The question with every window of the text, each of at most `length` tokens.
    ///
    /// # Errors
    /// Where the question leaves no room for the text.
    pub(super) fn windows(&self, tokenizer: &TextTokenizer, length: usize) -> Result<Vec<TextWindow>> {
        tokenizer.text_windows(self.question.trim_start(), &self.text, length, STRIDE.min(length / 3))
    }

    /// First and last token of the first answer in a window; the first token, where the answer does not lie in it whole.
    pub(super) fn ends(&self, window: &TextWindow) -> [Option<u32>; 2] {
        let found = self.first.and_then(|(start, end)| {
            let begin = window.places.iter().rposition(|place| place.is_some_and(|(from, _)| from <= start))?;
            let last = window.places.iter().position(|place| place.is_some_and(|(_, to)| to >= end))?;
            let (first, _) = window.places.iter().flatten().next()?;
            let (_, after) = window.places.iter().flatten().next_back()?;
            (*first <= start && *after >= end && begin <= last).then_some([begin, last])
        });
        found.unwrap_or([0, 0]).map(|at| u32::try_from(at).ok())
    }
}
