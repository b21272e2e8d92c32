//! What the head of a labeled task is asked.

use crate::error::{Error, Result};
use crate::network::{LabelNames, ProblemType, TaskHeadSpec, TaskKind};

/// Label of what is not scored, as in Hugging Face data sets.
pub(super) const IGNORED: i64 = -100;

/// What the head of a labeled task is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskIntake {
    /// What it is for.
    pub kind: TaskKind,
    /// What its numbers are.
    pub problem: ProblemType,
    /// Numbers for each sequence or token.
    pub outputs: usize,
    /// What its classes are called.
    pub labels: LabelNames,
}

impl From<&TaskHeadSpec> for TaskIntake {
    fn from(task: &TaskHeadSpec) -> Self {
        Self { kind: task.kind, problem: task.problem, outputs: task.outputs, labels: task.labels.clone() }
    }
}

impl TaskIntake {
    /// Labels of an item whose sequence has `length` tokens; a whole number where they do not depend on it.
    pub(super) fn width(&self, length: usize) -> usize {
        match (self.kind, self.problem) {
            (TaskKind::TokenClassification, _) => length,
            (TaskKind::QuestionAnswering, _) => 2,
            (_, ProblemType::MultiLabel) => self.outputs,
            (_, ProblemType::SingleLabel | ProblemType::Regression) => 1,
        }
    }

    /// The class of a name, or of the number that a name is.
    pub(super) fn class(&self, name: &str) -> Result<u32> {
        let number = || name.parse::<u32>().ok().filter(|n| (*n as usize) < self.outputs);
        self.labels.find(name).or_else(number).ok_or_else(|| self.unknown(&format!("'{name}'")))
    }

    fn unknown(&self, what: &str) -> Error {
        const SHOWN: usize = 8;
        let mut names: Vec<&str> = self.labels.names().iter().map(String::as_str).take(SHOWN).collect();
        if self.labels.names().len() > SHOWN {
            names.push("..");
        }
        Error::new(format!("the model has no label {what}")).hint(format!("it has {}", names.join(", ")))
    }

    pub(super) fn class_at(&self, number: f64) -> Result<Option<u32>> {
        match whole(number) {
            Some(IGNORED) => Ok(None),
            Some(n) if (0..self.outputs as i64).contains(&n) => Ok(Some(n as u32)),
            _ => Err(self.unknown(&number.to_string())),
        }
    }
}

/// A number without a fraction.
pub(super) fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}
