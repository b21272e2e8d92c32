//! Ways to write a pruned model.

use std::fmt;
use std::str::FromStr;

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

/// An engine with a file format of its own.
#[derive(
    Clone,
    Copy,
    Debug,
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
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_engine)]
pub enum Engine {
    /// ONNX Runtime and what is built on it.
    Onnx,
    /// llama.cpp and what is built on it.
    Gguf,
    /// CTranslate2 and what is built on it.
    Ct2,
}

fn unknown_engine(text: &str) -> Error {
    Error::unknown::<Engine>("engine to convert for", text)
}

impl Engine {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What is written, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Onnx => "Every layer loses exactly its pruned heads, in a file for ONNX Runtime",
            Self::Gguf => "A file for llama.cpp; zero heads fill up where its architectures want equal layers",
            Self::Ct2 => "A folder for CTranslate2; zero heads fill up the layers of a stack to the same number",
        }
    }
}

/// What a model is written as: a folder in Hugging Face layout, or a file for an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OutputFormat {
    Folder(ExportFormat),
    Engine(Engine),
}

impl OutputFormat {
    /// Every format, folders first.
    pub fn all() -> impl Iterator<Item = Self> {
        ExportFormat::ALL.iter().copied().map(Self::Folder).chain(Engine::ALL.iter().copied().map(Self::Engine))
    }

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder(format) => format.name(),
            Self::Engine(engine) => engine.name(),
        }
    }

    /// What it does, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Folder(format) => format.meaning(),
            Self::Engine(engine) => engine.meaning(),
        }
    }
}

impl Default for OutputFormat {
    fn default() -> Self {
        Self::Folder(ExportFormat::default())
    }
}

impl From<ExportFormat> for OutputFormat {
    fn from(format: ExportFormat) -> Self {
        Self::Folder(format)
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for OutputFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::all().find(|format| format.name() == text).ok_or_else(|| {
            let names = Self::all().map(Self::name).collect::<Vec<_>>().join(", ");
            Error::usage(format!("'{text}' is no export format")).hint(format!("choose from {names}"))
        })
    }
}
