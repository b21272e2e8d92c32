//! What a person may ask of a file for an engine.

use std::path::PathBuf;

use super::quantization::Quantization;
use crate::model::MemoryLimit;
use crate::repair::Repair;

/// How to write for an engine.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// New output projections for the heads that stay.
    pub repair: Option<Repair>,
    /// How weights are stored: what the engine's format can hold, as they are where nothing is said.
    pub quantization: Option<Quantization>,
    /// A GGUF file whose tokenizer is taken.
    pub tokenizer_from: Option<PathBuf>,
    /// Replace a folder that this program wrote.
    pub force: bool,
    /// Seed of the random input of the proof.
    pub seed: u64,
    /// Most memory that writing and proving may use.
    pub memory: Option<MemoryLimit>,
}
