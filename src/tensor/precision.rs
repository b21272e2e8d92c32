//! The types of numbers to choose from.

use candle_core::DType;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::error::Error;

/// A type that weights and activations have while they compute, or that weights are written in.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
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
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_precision)]
pub enum Precision {
    #[default]
    F32,
    /// 16 bits with the range of 32.
    Bf16,
    F16,
}

impl Precision {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// As the tensor library calls it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

fn unknown_precision(text: &str) -> Error {
    Error::unknown::<Precision>("type of numbers", text)
}

/// The type in which sums over many numbers of `dtype` are taken: f32 for 16 bits.
pub fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}
