//! Questions with endings for models that predict the next token, in the layouts of published sets and the words of lm-eval.

use serde_json::{Map, Value};

use super::asked::{AskedEnding, AskedQuestion};
use super::intake::Intake;
use super::labels::choice_number;
use super::text::check_ids;
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};

/// A published layout, known by its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuestionSet {
    Piqa,
    Hellaswag,
    Winogrande,
    Boolq,
    Openbookqa,
    Arc,
    /// Any rows of `context`, `choices` and the right one.
    Plain,
}

/// Columns that a layout is known by; the first that fits counts.
const SETS: &[(QuestionSet, &[&str])] = &[
    (QuestionSet::Piqa, &["goal", "sol1", "sol2"]),
    (QuestionSet::Hellaswag, &["ctx_a", "ctx_b", "endings", "activity_label"]),
    (QuestionSet::Winogrande, &["sentence", "option1", "option2"]),
    (QuestionSet::Boolq, &["passage", "question"]),
    (QuestionSet::Openbookqa, &["question_stem", "choices"]),
    (QuestionSet::Arc, &["question", "choices", "answerKey"]),
    (QuestionSet::Plain, &["context", "choices"]),
];

impl QuestionSet {
    /// That of a table with these columns.
    pub(super) fn of(names: &[String]) -> Option<Self> {
        let has = |column: &&str| names.iter().any(|name| name == column);
        SETS.iter().find(|(_, columns)| columns.iter().all(has)).map(|(layout, _)| *layout)
    }

    /// The columns that it is known by.
    pub(super) fn columns(self) -> &'static [&'static str] {
        SETS.iter().find(|(set, _)| *set == self).map_or(&[], |(_, columns)| *columns)
    }

    /// The name of the set.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Piqa => "piqa",
            Self::Hellaswag => "hellaswag",
            Self::Winogrande => "winogrande",
            Self::Boolq => "boolq",
            Self::Openbookqa => "openbookqa",
            Self::Arc => "arc",
            Self::Plain => "context and choices",
        }
    }

    /// The question in a row.
    ///
    /// # Errors
    /// Where a column is missing, or none of the endings is the right one.
    pub(super) fn question(self, cells: &Map<String, Value>) -> Result<Question> {
        let text = |name: &str| match cells.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            _ => Err(Error::new(format!("'{name}' is no text"))),
        };
        let number = |name: &str| -> Result<i64> {
            let found = match cells.get(name) {
                Some(Value::Bool(yes)) => Some(i64::from(*yes)),
                Some(Value::Number(number)) => number.as_i64(),
                Some(Value::String(text)) => match text.trim().to_lowercase().as_str() {
                    "true" | "yes" => Some(1),
                    "false" | "no" => Some(0),
                    _ => choice_number(text),
                },
                _ => None,
            };
            found.ok_or_else(|| Error::new(format!("'{name}' names no ending")))
        };
        let first = |names: &[&str]| {
            names.iter().find(|name| cells.contains_key(**name)).copied().unwrap_or("label").to_owned()
        };
        let (contexts, endings, right): (Vec<String>, Vec<String>, i64) = match self {
            Self::Piqa => {
                let context = format!("Question: {}\nAnswer:", text("goal")?);
                (vec![context], vec![text("sol1")?.to_owned(), text("sol2")?.to_owned()], number("label")?)
            }
            Self::Hellaswag => {
                let context =
                    format!("{}: {} {}", text("activity_label")?, text("ctx_a")?, capitalized(text("ctx_b")?));
                let endings = list(cells.get("endings"), "endings")?.iter().map(|ending| cleaned(ending)).collect();
                (vec![cleaned(&context)], endings, number("label")?)
            }
            Self::Winogrande => {
                let sentence = text("sentence")?;
                let (before, after) =
                    sentence.split_once('_').ok_or_else(|| Error::new("'sentence' has no '_' for the option"))?;
                let contexts = ["option1", "option2"].map(|name| Ok::<_, Error>(format!("{before}{}", text(name)?)));
                let contexts = contexts.into_iter().collect::<Result<Vec<_>>>()?;
                (contexts, vec![after.trim().to_owned()], number(&first(&["answer", "label"]))? - 1)
            }
            Self::Boolq => {
                let context = format!("{}\nQuestion: {}?\nAnswer:", text("passage")?, text("question")?);
                (vec![context], vec!["no".to_owned(), "yes".to_owned()], number(&first(&["label", "answer"]))?)
            }
            Self::Openbookqa | Self::Arc => {
                let context = match self {
                    Self::Arc => format!("Question: {}\nAnswer:", text("question")?),
                    _ => text("question_stem")?.to_owned(),
                };
                let choices = cells.get("choices").unwrap_or(&Value::Null);
                let (endings, names) = (list(choices.get("text"), "choices")?, list(choices.get("label"), "choices")?);
                let key = text("answerKey")?.trim();
                let right = names.iter().position(|name| name == key);
                let right =
                    right.ok_or_else(|| Error::new(format!("'answerKey' names none of the endings: '{key}'")))?;
                (vec![context], endings, i64::try_from(right).unwrap_or(-1))
            }
            Self::Plain => {
                let endings = list(cells.get("choices"), "choices")?;
                (vec![text("context")?.to_owned()], endings, number(&first(&["answer", "label", "gold"]))?)
            }
        };
        let pairs: Vec<(String, String)> = match (contexts.as_slice(), endings.as_slice()) {
            ([context], endings) => endings.iter().map(|ending| (context.clone(), ending.clone())).collect(),
            (contexts, [ending]) => contexts.iter().map(|context| (context.clone(), ending.clone())).collect(),
            _ => return Err(Error::new("a question has one beginning, or one ending")),
        };
        if pairs.iter().any(|(_, ending)| ending.is_empty()) {
            return Err(Error::new("an ending is empty"));
        }
        if pairs.len() < 2 {
            return Err(Error::new("a question needs two endings or more"));
        }
        let right = usize::try_from(right).ok().filter(|right| *right < pairs.len());
        let right = right.ok_or_else(|| Error::new(format!("the right ending is none of {}", pairs.len())))?;
        Ok(Question { pairs, right })
    }
}

/// A question: what is read before each ending, each ending, and which is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) pairs: Vec<(String, String)>,
    pub(super) right: usize,
}

impl Question {
    /// Tokens as lm-eval makes them: beginning and ending together, split where the beginning alone ends, blanks at its end
    /// moved to the ending; without special tokens; what is longer than `longest` loses its beginning.
    pub(super) fn asked(
        &self,
        tokenizer: &TextTokenizer,
        intake: &Intake,
        longest: Option<usize>,
    ) -> Result<AskedQuestion> {
        let limits = intake.source_tokens()?;
        let mut is_cut = false;
        let ending = |(context, ending): &(String, String)| -> Result<AskedEnding> {
            let kept = context.trim_end();
            let continuation = format!("{} {ending}", &context[kept.len()..]);
            let (before, mut whole) = (tokenizer.encode(kept)?, tokenizer.encode(&format!("{kept}{continuation}"))?);
            let mut from = before.len();
            if from == 0 {
                let first = tokenizer.prefix().last().copied().or(intake.end);
                whole.insert(0, first.ok_or_else(|| Error::new("the beginning of a question is empty"))?);
                from = 1;
            }
            check_ids(&whole, limits)?;
            let too_many = longest.map_or(0, |longest| (whole.len() - 1).saturating_sub(longest));
            is_cut |= too_many > 0;
            whole.drain(..too_many);
            let from = from.saturating_sub(too_many).max(1);
            if whole.len() <= from {
                return Err(Error::new("an ending has no token"));
            }
            let labels = (1..whole.len()).map(|at| (at >= from).then(|| whole[at])).collect();
            whole.pop();
            Ok(AskedEnding { ids: whole, labels, chars: ending.chars().count() })
        };
        let endings = self.pairs.iter().map(ending).collect::<Result<_>>()?;
        Ok(AskedQuestion { endings, right: u32::try_from(self.right).unwrap_or(u32::MAX), is_cut })
    }
}

fn list(cell: Option<&Value>, name: &str) -> Result<Vec<String>> {
    let texts = cell
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
    texts.ok_or_else(|| Error::new(format!("'{name}' is no list of texts")))
}

/// As Python's `capitalize`: the first letter large, all others small.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + &letters.as_str().to_lowercase())
}

/// As lm-eval cleans HellaSwag: titles become sentences, what stands in brackets goes.
fn cleaned(text: &str) -> String {
    let text = text.trim().replace(" [title]", ". ");
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']') else { break };
        clean.push_str(&rest[..open]);
        rest = &rest[open + close + 1..];
    }
    clean.push_str(rest);
    clean.replace("  ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(row: Value) -> Result<Question> {
        let cells = row.as_object().cloned().unwrap();
        let names: Vec<String> = cells.keys().cloned().collect();
        QuestionSet::of(&names).unwrap().question(&cells)
    }

    /// What the tasks of lm-eval make of these rows, by their templates.
    #[test]
    fn every_layout_has_the_words_of_lm_eval() {
        let pairs = |row: Value| question(row).map(|q| (q.pairs, q.right)).unwrap();
        let of = |context: &str, endings: &[&str]| -> Vec<(String, String)> {
            endings.iter().map(|ending| (context.to_owned(), (*ending).to_owned())).collect()
        };
        let piqa = serde_json::json!({"goal": "Boil eggs", "sol1": "In water.", "sol2": "In sand.", "label": 0});
        assert_eq!(pairs(piqa), (of("Question: Boil eggs\nAnswer:", &["In water.", "In sand."]), 0));
        let hellaswag = serde_json::json!({
            "activity_label": "Roof", "ctx_a": "A man sits. [header] He", "ctx_b": "starts Now", "label": "1",
            "endings": ["pulls [step] up", "is [title] gone"]});
        assert_eq!(pairs(hellaswag), (of("Roof: A man sits. He Starts now", &["pulls up", "is. gone"]), 1));
        let arc = serde_json::json!({
            "question": "Why?", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "3"});
        assert_eq!(pairs(arc), (of("Question: Why?\nAnswer:", &["a", "b", "c"]), 2));
        let book = serde_json::json!({
            "question_stem": "The sun", "choices": {"text": ["shines", "sinks"], "label": ["A", "B"]}, "answerKey": " B"});
        assert_eq!(pairs(book), (of("The sun", &["shines", "sinks"]), 1));
        let boolq = serde_json::json!({"passage": "P.", "question": "is it so", "answer": true});
        assert_eq!(pairs(boolq), (of("P.\nQuestion: is it so?\nAnswer:", &["no", "yes"]), 1));
        let winogrande = serde_json::json!({
            "sentence": "Ann met Bo and _ was glad.", "option1": "Ann", "option2": "Bo", "answer": "2"});
        let want = ["Ann", "Bo"].map(|who| (format!("Ann met Bo and {who}"), "was glad.".to_owned())).to_vec();
        assert_eq!(pairs(winogrande), (want, 1));
        let plain = serde_json::json!({"context": "One and", "choices": ["two", "three"], "answer": "A"});
        assert_eq!(pairs(plain), (of("One and", &["two", "three"]), 0));
    }

    #[test]
    fn rows_without_a_right_ending_are_refused() {
        let fault = |row: Value| question(row).unwrap_err().to_string();
        let piqa = |label: Value| serde_json::json!({"goal": "g", "sol1": "a", "sol2": "b", "label": label});
        assert!(fault(piqa(serde_json::json!(2))).contains("the right ending is none of 2"));
        assert!(fault(piqa(serde_json::json!(-1))).contains("none of 2"));
        assert!(fault(serde_json::json!({"sentence": "no gap", "option1": "a", "option2": "b"})).contains("no '_'"));
    }
}
