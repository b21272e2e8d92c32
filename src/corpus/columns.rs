//! Which columns of a table hold what.

use super::intake::Intake;
use super::questions::QuestionSet;
use super::settings::DataColumns;
use super::table::{TAGS, WORDS};
use crate::error::{Error, Result};
use crate::network::{Objective, TaskKind};

/// Columns of texts that data sets are published with, and those of the second texts of pairs.
const TEXTS: &[(&str, &[&str])] = &[
    ("sentence1", &["sentence2"]),
    ("premise", &["hypothesis"]),
    ("question1", &["question2"]),
    ("question", &["sentence", "passage", "context"]),
    ("query", &["passage", "document"]),
    ("#1 String", &["#2 String"]),
    ("sentence", &[]),
    ("text", &["text_pair"]),
    ("content", &[]),
    ("review", &[]),
    ("title", &[]),
];
const LABELS: &[&str] = &[
    "label",
    "labels",
    "gold_label",
    "score",
    "similarity_score",
    "is_duplicate",
    "Quality",
    "class",
    "target",
    "answer",
];
/// Columns of words that have tags, and of tags.
const TOKENS: &[&str] = &[WORDS, "words"];
const TOKEN_TAGS: &[&str] = &["ner_tags", TAGS, "labels", "pos_tags", "chunk_tags"];
/// Columns of endings that stand apart, as SWAG has them, or as one list.
const ENDINGS: &[&str] = &["endings", "choices", "options"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A text, or two.
    Texts { text: String, pair: Option<String> },
    /// Two texts that are read apart, to be told how alike they are.
    Sentences { first: String, second: String },
    /// Sentences as lists of words.
    Words { words: String },
    /// A question that a text answers, and the answers.
    Answers { question: String, text: String, answers: String },
    /// A published set of questions, for models that predict the next token.
    Asked(QuestionSet),
    /// A beginning, perhaps what every ending begins with, and the endings.
    Choices { beginning: String, middle: Option<String>, endings: Vec<String> },
}

impl Form {
    /// Whether a column is read for what the model takes in.
    fn reads(&self, name: &String) -> bool {
        match self {
            Self::Texts { text, pair } => name == text || pair.as_ref() == Some(name),
            Self::Sentences { first, second } => [first, second].contains(&name),
            Self::Words { words } => name == words,
            Self::Answers { question, text, answers } => [question, text, answers].contains(&name),
            Self::Asked(set) => set.columns().contains(&name.as_str()),
            Self::Choices { beginning, middle, endings } => {
                name == beginning || middle.as_ref() == Some(name) || endings.contains(name)
            }
        }
    }
}

/// Names of columns, those that were asked for, and what the model does with them.
pub(super) struct TableColumns<'a> {
    pub(super) names: &'a [String],
    pub(super) asked: &'a DataColumns,
    pub(super) intake: &'a Intake,
    /// Whether the model makes embeddings of sentences.
    pub(super) embeds: bool,
}

impl TableColumns<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find(|name| self.has(name)).map(|name| (*name).to_owned())
    }

    /// A column that was asked for.
    fn asked(&self, name: &Option<String>) -> Result<Option<String>> {
        match name {
            Some(name) if !self.has(name) => Err(self.missing(&format!("there is no column '{name}'"))),
            name => Ok(name.clone()),
        }
    }

    fn missing(&self, what: &str) -> Error {
        Error::new(what).hint(format!("the columns are {}", self.names.join(", ")))
    }

    /// What the rows are, for this model.
    pub(super) fn form(&self) -> Result<Form> {
        let (text, pair) = (self.asked(&self.asked.text)?, self.asked(&self.asked.pair)?);
        let kind = self.intake.task.as_ref().map(|task| task.kind);
        if kind == Some(TaskKind::TokenClassification) {
            let words = text.or_else(|| self.first(TOKENS));
            let none = || self.missing("no column of words is known (--text-column)");
            return Ok(Form::Words { words: words.ok_or_else(none)? });
        }
        if kind == Some(TaskKind::QuestionAnswering) {
            let question = text.or_else(|| self.first(&["question"]));
            let text = pair.or_else(|| self.first(&["context", "passage"]));
            let answers = self.asked(&self.asked.label)?.or_else(|| self.first(&["answers", "answer"]));
            return match (question, text, answers) {
                (Some(question), Some(text), Some(answers)) => Ok(Form::Answers { question, text, answers }),
                _ => Err(self.missing("no columns of a question, its context and answers are known")),
            };
        }
        if kind == Some(TaskKind::MultipleChoice) {
            let numbered: Vec<String> =
                (0..26).map(|i| format!("ending{i}")).take_while(|name| self.has(name)).collect();
            let endings = if numbered.is_empty() { self.first(ENDINGS).into_iter().collect() } else { numbered };
            let beginning =
                text.or_else(|| self.first(&["sent1", "context", "article", "startphrase", "question", "text"]));
            let middle =
                pair.or_else(|| self.first(&["sent2", "question"])).filter(|name| beginning.as_ref() != Some(name));
            return match beginning {
                Some(beginning) if !endings.is_empty() => Ok(Form::Choices { beginning, middle, endings }),
                _ => Err(self.missing("no columns of a beginning and its endings are known")),
            };
        }
        if self.embeds && kind.is_none() {
            let known = TEXTS.iter().find(|(text, _)| self.has(text));
            let first = text.clone().or_else(|| known.map(|(text, _)| (*text).to_owned()));
            let second = pair.clone().or_else(|| known.and_then(|(_, pairs)| self.first(pairs)));
            if let Some((first, second)) = first.zip(second) {
                return Ok(Form::Sentences { first, second });
            }
        }
        if let Some(text) = text {
            return Ok(Form::Texts { text, pair });
        }
        if let Some(set) = QuestionSet::of(self.names).filter(|_| kind.is_none() && self.intake.decoder_only) {
            if pair.is_some() || self.asked.label.is_some() {
                return Err(Error::usage(format!("the columns of {} are known", set.name()))
                    .hint("leave out --pair-column and --label-column, or name the text with --text-column"));
            }
            return Ok(Form::Asked(set));
        }
        let known = TEXTS.iter().find(|(text, _)| self.has(text));
        let (text, pairs) = known.ok_or_else(|| self.missing("no column of texts is known (--text-column)"))?;
        let pair = pair.or_else(|| self.first(pairs));
        Ok(Form::Texts { text: (*text).to_owned(), pair })
    }

    /// Refuses a column that was asked for and that nothing reads in rows of this `form` with this `label`.
    pub(super) fn check_asked(&self, form: &Form, label: Option<&String>) -> Result<()> {
        let DataColumns { text, pair, label: wanted } = self.asked;
        for (flag, asked) in [("--text-column", text), ("--pair-column", pair), ("--label-column", wanted)] {
            let Some(name) = asked.as_ref().filter(|name| label != Some(*name) && !form.reads(name)) else { continue };
            let why = match flag {
                "--label-column" => "the model says nothing that labels could be held against",
                _ => "the model reads other columns of such rows",
            };
            return Err(Error::usage(format!("the column '{name}' ({flag}) is not read: {why}")).hint("leave it out"));
        }
        Ok(())
    }

    /// What to say of labels that rows of this `form` have and that are of no use, as `label`, the column that is read, is not
    /// theirs.
    pub(super) fn unused_labels(&self, form: &Form, label: Option<&String>) -> Option<String> {
        let own = self.first(LABELS).filter(|own| label != Some(own) && !form.reads(own))?;
        let is_pair = matches!(form, Form::Texts { pair: Some(_), .. });
        let pools = match is_pair && matches!(self.intake.objective, None | Some(Objective::Masked)) && !self.embeds {
            true => {
                "; if it embeds sentences, put modules.json and its pooling (1_Pooling/config.json), as sentence-transformers \
                     writes them, into its folder: then pairs are scored by their likeness"
            }
            false => "",
        };
        self.intake.unlabeled().map(|why| format!("the labels in '{own}' are not used: {why}{pools}"))
    }

    /// The column of what is to be said of the rows, where the model says something.
    pub(super) fn label(&self, form: &Form) -> Result<Option<String>> {
        if let Form::Answers { answers, .. } = form {
            return Ok(Some(answers.clone()));
        }
        let asked = self.asked(&self.asked.label)?;
        let known = if matches!(form, Form::Words { .. }) { TOKEN_TAGS } else { LABELS };
        let is_said = self.intake.task.is_some() || matches!(form, Form::Sentences { .. });
        Ok(asked.or_else(|| self.first(known)).filter(|_| is_said))
    }
}
