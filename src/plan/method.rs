//! Ways to choose heads and how many of them stay.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What heads are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Most votes of the layer (the authors' code, `top-c`).
    Votes,
    /// Most votes of each group of the whole corpus.
    PerGroup,
    /// Largest summed cosine to the centre of the group.
    Score,
    /// Mean absolute derivative of the loss by the head's gate (Michel et al. 2019).
    Importance,
    /// The same, divided by the layer's Euclidean norm.
    ImportanceNormalised,
    /// Norm of the head's weights.
    Magnitude,
    /// Mean largest attention weight (Voita et al. 2019).
    Confidence,
    /// Heads drawn at random: the control.
    Random,
    /// A random member of each group.
    RandomInGroup,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 9] = [
        Self::Votes,
        Self::PerGroup,
        Self::Score,
        Self::Importance,
        Self::ImportanceNormalised,
        Self::Magnitude,
        Self::Confidence,
        Self::Random,
        Self::RandomInGroup,
    ];

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Votes => "votes",
            Self::PerGroup => "per-group",
            Self::Score => "score",
            Self::Importance => "importance",
            Self::ImportanceNormalised => "importance-normalised",
            Self::Magnitude => "magnitude",
            Self::Confidence => "confidence",
            Self::Random => "random",
            Self::RandomInGroup => "random-in-group",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|m| m.name()).collect();
            Error::usage(format!("'{text}' is no method")).hint(format!("choose from {}", names.join(", ")))
        })
    }
}

/// How many heads stay; in JSON `"groups"`, `{"keep": 4}`, `{"ratio": 0.5}`, `{"threshold": 0.1}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    /// In every layer as many as it has groups.
    #[default]
    Groups,
    /// This many in every layer (all, where it has fewer).
    Keep(usize),
    /// This share of all heads of the model stays, wherever the highest ranks are.
    Ratio(f64),
    /// Heads at or above this value stay, and the best of every layer: a share of all possible votes, a mean cosine
    /// (`score`), a mean weight (`confidence`), else a share of the layer's largest score.
    Threshold(f64),
}
