//! Ways to write a pruned model.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::error::Error;

/// How removed heads are written.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_format)]
pub enum ExportFormat {
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

impl ExportFormat {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
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

fn unknown_format(text: &str) -> Error {
    Error::unknown::<ExportFormat>("export format", text)
}
