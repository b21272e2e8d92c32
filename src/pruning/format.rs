//! Ways to write a pruned model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How removed heads are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The same number of heads in every layer, as stock transformers wants it; zero heads fill up.
    Native,
    /// Every layer loses exactly its removed heads.
    #[default]
    Compact,
    /// Original shapes; removed heads add nothing.
    Masked,
    /// Key/value heads merged instead of removed; query heads stay.
    Gqa,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Native, Self::Compact, Self::Masked, Self::Gqa];

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Compact => "compact",
            Self::Masked => "masked",
            Self::Gqa => "gqa",
        }
    }

    /// What it does, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Native => {
                "Every layer keeps the same number of heads, zero heads fill up: stock transformers opens it"
            }
            Self::Compact => "Every layer loses exactly its pruned heads: the smallest file",
            Self::Masked => "Shapes stay and pruned heads add nothing: opens everywhere, nothing gets smaller",
            Self::Gqa => {
                "Query heads stay and share the mean of their key/value heads: a smaller cache, not the masked model"
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::usage(format!("'{text}' is no export format")).hint(format!("choose from {names}"))
        })
    }
}
