//! Labels of a task, as an input writes them and as a head is held against them.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::example::{Example, SourceContent};
use super::task_intake::{IGNORED, TaskIntake, whole};
use crate::error::{Error, Result};
use crate::network::{ProblemType, TaskKind};

/// What an input says of one item.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum GivenLabel {
    /// A class, or a number of a regression.
    Number(f64),
    /// A class by name.
    Name(String),
    /// Token ids, a class per token, or 0 or 1 per class.
    Ids(Vec<i64>),
    /// A number per class.
    Numbers(Vec<f64>),
    /// A class by name per token, or those that apply.
    Names(Vec<String>),
    /// A value of any other shape, which is refused by name.
    Other(IgnoredAny),
}

impl GivenLabel {
    /// Classes by their names in the place of their numbers.
    pub(super) fn named(self, names: &[String]) -> Self {
        let name = |n: f64| whole(n).and_then(|n| usize::try_from(n).ok()).and_then(|n| names.get(n)).cloned();
        match &self {
            Self::Number(n) => name(*n).map_or(self, Self::Name),
            Self::Ids(ids) => match ids.iter().map(|n| name(*n as f64)).collect::<Option<Vec<_>>>() {
                Some(named) => Self::Names(named),
                None => self,
            },
            _ => self,
        }
    }

    /// Whole numbers, as those of tokens.
    pub(super) fn ids(&self) -> Option<&[i64]> {
        match self {
            Self::Ids(ids) => Some(ids),
            _ => None,
        }
    }

    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Ids(ids) => Some(ids.iter().map(|n| *n as f64).collect()),
            Self::Numbers(numbers) => Some(numbers.clone()),
            _ => None,
        }
    }
}

impl Example {
    /// Takes the label of an item.
    ///
    /// # Errors
    /// Where it is none of the model's.
    pub(super) fn set_task_label(&mut self, given: &GivenLabel, task: &TaskIntake) -> Result<()> {
        if task.problem == ProblemType::Regression {
            let numbers = match given {
                GivenLabel::Number(number) => vec![*number],
                GivenLabel::Name(text) => {
                    let number: Option<f64> = text.trim().parse().ok();
                    vec![number.ok_or_else(|| Error::new(format!("'{text}' is no number, which this model gives")))?]
                }
                other => {
                    let none = || Error::new("the label is no number, which this model gives");
                    other.numbers().ok_or_else(none)?
                }
            };
            if numbers.len() != task.outputs || numbers.iter().any(|n| !n.is_finite()) {
                return Err(Error::new(format!("{} numbers where the model gives {}", numbers.len(), task.outputs)));
            }
            self.wanted = Some(numbers.into_iter().map(|n| n as f32).collect());
            return Ok(());
        }
        self.labels = Some(match (task.kind, task.problem) {
            (TaskKind::TokenClassification, _) => self.tags(given, task)?,
            (TaskKind::QuestionAnswering, _) => {
                return Err(Error::new("labels of question answering are positions")
                    .hint("name start_positions and end_positions"));
            }
            (TaskKind::MultipleChoice, _) => vec![self.choice(given)?],
            (_, ProblemType::MultiLabel) => several(given, task)?,
            _ => vec![match given {
                GivenLabel::Number(number) => task.class_at(*number)?,
                GivenLabel::Name(name) => Some(task.class(name)?),
                other => match other.numbers().as_deref() {
                    Some([only]) => task.class_at(*only)?,
                    _ => {
                        return Err(Error::new("the label is no single class").hint("give a class by number or name"));
                    }
                },
            }],
        });
        Ok(())
    }

    /// Takes the first and the last position of an answer; positions behind the text are not scored, as in transformers.
    pub(super) fn set_span(&mut self, start: i64, end: i64) -> Result<()> {
        let length = self.length();
        let place = |position: i64| -> Result<Option<u32>> {
            let inside = u32::try_from(position).map_err(|_| Error::new(format!("{position} is no position")))?;
            Ok(Some(inside).filter(|place| (*place as usize) < length))
        };
        self.labels = Some([place(start)?, place(end)?].to_vec());
        Ok(())
    }

    /// A class per token.
    fn tags(&self, given: &GivenLabel, task: &TaskIntake) -> Result<Vec<Option<u32>>> {
        let tags: Vec<Option<u32>> = match (given, given.numbers()) {
            (_, Some(numbers)) => numbers.iter().map(|n| task.class_at(*n)).collect::<Result<_>>()?,
            (GivenLabel::Names(names), _) => names.iter().map(|n| task.class(n).map(Some)).collect::<Result<_>>()?,
            _ => {
                return Err(Error::new("labels is no list, but this model labels every token")
                    .hint("give one per token, -100 where nothing is scored"));
            }
        };
        if tags.len() != self.length() {
            return Err(Error::new(format!("{} labels do not fit {} positions", tags.len(), self.length())));
        }
        Ok(tags)
    }

    /// Which of the endings is right, by number, or by letter.
    fn choice(&self, given: &GivenLabel) -> Result<Option<u32>> {
        let SourceContent::Choices(choices) = &self.content else {
            return Err(Error::new("this model chooses between endings, and there is one sequence alone"));
        };
        let number = match given {
            GivenLabel::Number(number) => whole(*number),
            GivenLabel::Name(text) => choice_number(text),
            _ => None,
        };
        match number {
            Some(IGNORED) => Ok(None),
            Some(n) if (0..choices.len() as i64).contains(&n) => Ok(Some(n as u32)),
            _ => Err(Error::new(format!("the label names none of the {} endings", choices.len()))
                .hint("give its number, counted from 0")),
        }
    }
}

/// The number of an ending by a number or a letter.
pub(super) fn choice_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let letter = |c: char| c.is_ascii_uppercase().then(|| i64::from(c as u32 - 'A' as u32));
    text.parse().ok().or_else(|| letter(text.chars().next().filter(|_| text.len() == 1)?))
}

/// 0 or 1 for each class.
fn several(given: &GivenLabel, task: &TaskIntake) -> Result<Vec<Option<u32>>> {
    let of = |classes: BTreeSet<u32>| {
        (0..task.outputs).map(|class| Some(u32::from(classes.iter().any(|c| *c as usize == class)))).collect()
    };
    if let Some(numbers) = given.numbers() {
        if numbers.len() == task.outputs && numbers.iter().all(|n| [0.0, 1.0].contains(n)) {
            return Ok(numbers.iter().map(|n| Some(*n as u32)).collect());
        }
        let what = format!("labels are no {} numbers 0 or 1, one for each class", task.outputs);
        return Err(Error::new(what));
    }
    match given {
        GivenLabel::Names(names) => Ok(of(names.iter().map(|n| task.class(n)).collect::<Result<_>>()?)),
        GivenLabel::Name(names) => {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            Ok(of(names.map(|n| task.class(n)).collect::<Result<_>>()?))
        }
        _ => Err(Error::new("the label is no list of classes, of which any may apply here")),
    }
}
