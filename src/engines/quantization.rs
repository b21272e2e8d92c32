//! How files for engines store weights.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use crate::error::Error;

/// How matrices are stored; what has one axis stays finer in some formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_type)]
pub enum Quantization {
    F32,
    F16,
    Bf16,
    /// 8 bits with a factor for every row.
    Int8,
    /// 8 bits with a factor for every 32 numbers.
    #[serde(rename = "q8_0")]
    #[strum(serialize = "q8_0")]
    Q8,
    /// 4 bits with factors for every 32 and 256 numbers; token table and head in 6.
    #[serde(rename = "q4_k")]
    #[strum(serialize = "q4_k")]
    Q4K,
}

fn unknown_type(text: &str) -> Error {
    Error::unknown::<Quantization>("way to store weights", text)
}

impl Quantization {
    /// Largest difference of results to the model, as a share of its largest value, that storing weights so explains. In
    /// 8 bits and less the loss of precision is the user's choice.
    pub(super) fn allowed(self) -> f64 {
        match self {
            Self::F32 => 1e-4,
            Self::F16 => 5e-2,
            Self::Bf16 => 0.3,
            Self::Int8 | Self::Q8 | Self::Q4K => 1.0,
        }
    }

    /// Largest difference of the numbers of a tensor, as a share of its largest, that storing them explains.
    pub(super) fn tolerance(self) -> f64 {
        match self {
            Self::F32 => 1e-4,
            Self::F16 => 1e-2,
            Self::Bf16 => 5e-2,
            Self::Int8 | Self::Q8 => 0.1,
            Self::Q4K => 1.0,
        }
    }
}
