//! How files for engines store weights.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use crate::error::Error;
use crate::pruning::Engine;

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
    /// What the files of an engine can hold.
    pub fn of(engine: Engine) -> &'static [Self] {
        match engine {
            Engine::Onnx => &[Self::F32, Self::F16],
            Engine::Gguf => &[Self::F32, Self::F16, Self::Bf16, Self::Q8, Self::Q4K],
            Engine::Ct2 => &[Self::F32, Self::F16, Self::Bf16, Self::Int8],
        }
    }

    /// What it is, for a person.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::F32 => "Every number in 32 bits",
            Self::F16 => "Matrices in 16 bits, with eleven bits of precision",
            Self::Bf16 => "Matrices in 16 bits, with the range of 32 and eight bits of precision",
            Self::Int8 => "Matrices in 8 bits with a factor for every row",
            Self::Q8 => "Matrices in 8 bits with a factor for every 32 numbers",
            Self::Q4K => "Matrices in 4 bits with factors for every 32 and 256 numbers",
        }
    }

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

#[cfg(test)]
mod tests {
    use strum::VariantNames as _;

    use super::*;
    use crate::engines::testing::{fixture, whole};
    use crate::engines::{EngineOptions, forecast};

    #[test]
    fn engines_take_what_they_are_said_to_take_and_nothing_else() {
        let model = fixture("llama");
        for engine in Engine::ALL {
            for name in Quantization::VARIANTS {
                let quantization: Quantization = name.parse().unwrap();
                let options = EngineOptions { quantization: Some(quantization), ..EngineOptions::default() };
                let told = forecast(*engine, &model, &whole(), &options);
                let is_known = Quantization::of(*engine).contains(&quantization);
                assert_eq!(told.is_ok(), is_known, "{engine} {name}: {:?}", told.err().map(|e| e.to_string()));
            }
        }
    }
}
