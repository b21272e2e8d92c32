//! What the heads of labeled tasks are, as data, and the transform that heads begin with.

use serde::{Deserialize, Serialize};

use super::LabelNames;
use super::activation::Activation;
use super::norm_spec::NormSpec;

/// Transform before the last layer of a head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransformSpec {
    /// Width of the dense layer's result.
    pub width: usize,
    pub activation: Activation,
    /// After the activation, where there is one.
    pub norm: Option<NormSpec>,
    /// Whether the dense layer has a bias.
    pub bias: bool,
}

/// What is asked of a model with labels, by the names that its classes carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// One answer for each sequence.
    SequenceClassification,
    /// One answer for each token.
    TokenClassification,
    /// The first and the last token of an answer in the text.
    QuestionAnswering,
    /// Which of several endings fits.
    MultipleChoice,
    /// One answer for each image.
    ImageClassification,
}

impl TaskKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::SequenceClassification => "sequence classification",
            Self::TokenClassification => "token classification",
            Self::QuestionAnswering => "question answering",
            Self::MultipleChoice => "multiple choice",
            Self::ImageClassification => "image classification",
        }
    }
}

/// What the numbers of a head are, and so which loss they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    /// One class of several: cross-entropy.
    SingleLabel,
    /// Any of the classes: binary cross-entropy of each.
    MultiLabel,
    Regression,
}

/// Which state stands for a whole sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Pooling {
    /// That of the first token.
    First,
    /// The mean over real positions.
    Mean,
    /// That of the last token with another id than padding's; without such an id, of the last real one.
    Last {
        /// The id of padding.
        padding: Option<u32>,
    },
    /// The decoder's, where the encoder read its last end token.
    LastEnd {
        /// The id of the end token.
        end: u32,
    },
    /// That of the first token beside the mean of those behind the leading ones (DINOv2).
    FirstAndMean {
        /// Tokens before the patches: the class token, and registers.
        leading: usize,
    },
}

/// A head: pooling, perhaps a dense layer, and the layer that gives the answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskHeadSpec {
    /// What it is for.
    pub kind: TaskKind,
    /// What its numbers are.
    pub problem: ProblemType,
    /// Numbers for each sequence, or for each token.
    pub outputs: usize,
    /// What they are called.
    pub labels: LabelNames,
    /// Which state stands for a sequence; `None` where every position has an answer.
    pub pooling: Option<Pooling>,
    /// Dense layer, activation and perhaps norm between pooling and answers.
    pub dense: Option<TransformSpec>,
    /// Whether the last layer has a bias.
    pub bias: bool,
    /// Whether a second such layer reads the second position, the mean of both being the answer (DeiT).
    pub distillation: bool,
}

impl TaskHeadSpec {
    /// Width of what the dense layer, or else the last one, reads, behind a stack of this width.
    pub fn pooled_width(&self, width: usize) -> usize {
        if matches!(self.pooling, Some(Pooling::FirstAndMean { .. })) { 2 * width } else { width }
    }

    /// Width of what the last layer reads.
    pub fn inner_width(&self, width: usize) -> usize {
        self.dense.as_ref().map_or_else(|| self.pooled_width(width), |dense| dense.width)
    }
}
