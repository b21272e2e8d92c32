//! Architectures and settings that fit two cores or a GPU.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::Arm;
use super::request::{ExperimentPlan, ExperimentTask, ModelShape};
use crate::corpus::{self, Input};
use crate::error::{Error, Result};
use crate::evaluation::generation::Translation;
use crate::training::{Decay, TrainSettings, Voting};

/// What the experiment is to fit on.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_preset)]
pub enum Preset {
    /// Two cores, within an hour.
    #[default]
    Small,
    /// One GPU, within a day: the paper's 6 layers of 8 heads, width 512.
    Gpu,
}

fn unknown_preset(text: &str) -> Error {
    Error::unknown::<Preset>("size", text)
}

/// The experiment of a size; every part can still be changed.
pub fn preset(input: Input, size: Preset, out: std::path::PathBuf) -> Result<ExperimentPlan> {
    let task = ExperimentTask::of(&input)?;
    let shape = match (size, task) {
        (Preset::Small, ExperimentTask::Text) => {
            ModelShape { layers: 4, width: 128, heads: 8, inner: 344, vocabulary: 2048 }
        }
        (Preset::Small, ExperimentTask::Pairs) => {
            ModelShape { layers: 2, width: 128, heads: 8, inner: 256, vocabulary: 4096 }
        }
        (Preset::Gpu, ExperimentTask::Text) => {
            ModelShape { layers: 6, width: 512, heads: 8, inner: 1376, vocabulary: 8192 }
        }
        (Preset::Gpu, ExperimentTask::Pairs) => {
            ModelShape { layers: 6, width: 512, heads: 8, inner: 1024, vocabulary: 10_000 }
        }
    };
    let (steps, finetune_steps, batch_size, seq_len, rate) = match (size, task) {
        (Preset::Small, ExperimentTask::Text) => (800, 160, 8, 128, 3e-3),
        (Preset::Small, ExperimentTask::Pairs) => (800, 160, 32, 64, 2e-3),
        (Preset::Gpu, ExperimentTask::Text) => (20_000, 4000, 64, 256, 6e-4),
        (Preset::Gpu, ExperimentTask::Pairs) => (30_000, 6000, 128, 128, 5e-4),
    };
    let (smoothing, decay) = match task {
        ExperimentTask::Text => (0.0, Decay::Cosine),
        ExperimentTask::Pairs => (0.1, Decay::Cosine),
    };
    let mut training = TrainSettings {
        rate,
        decay,
        smoothing,
        voting: Some(Voting {
            batches: Some(if size == Preset::Small { 64 } else { 1000 }),
            finetune_steps,
            ..Voting::default()
        }),
        ..TrainSettings::default()
    };
    training.set_pace(steps);
    Ok(ExperimentPlan {
        input,
        held_out: None,
        architecture: None,
        shape,
        out,
        seeds: if size == Preset::Small { 2 } else { 3 },
        arms: Arm::ALL.to_vec(),
        reading: corpus::CorpusSettings { batch_size, seq_len: Some(seq_len), ..corpus::CorpusSettings::default() },
        training,
        translation: (task == ExperimentTask::Pairs).then(|| Translation {
            sentences: if size == Preset::Small { 200 } else { 2000 },
            beams: if size == Preset::Small { 1 } else { 5 },
        }),
        repair: None,
    })
}

/// The configuration of a model of `shape` for `task`: a Llama decoder, or Marian's encoder and decoder (the
/// original Transformer, post-norm with sinusoids), each with tied tables.
pub fn architecture(task: ExperimentTask, shape: &ModelShape, positions: usize) -> Value {
    let ModelShape { layers, width, heads, inner, vocabulary } = *shape;
    match task {
        ExperimentTask::Text => json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "hidden_act": "silu",
            "max_position_embeddings": positions,
            "vocab_size": vocabulary,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "tie_word_embeddings": true,
        }),
        ExperimentTask::Pairs => json!({
            "architectures": ["MarianMTModel"],
            "model_type": "marian",
            "is_encoder_decoder": true,
            "d_model": width,
            "encoder_layers": layers,
            "decoder_layers": layers,
            "encoder_attention_heads": heads,
            "decoder_attention_heads": heads,
            "encoder_ffn_dim": inner,
            "decoder_ffn_dim": inner,
            "activation_function": "relu",
            "scale_embedding": true,
            "share_encoder_decoder_embeddings": true,
            "tie_word_embeddings": true,
            "max_position_embeddings": positions,
            "vocab_size": vocabulary,
            "decoder_vocab_size": vocabulary,
            "pad_token_id": 0,
            "eos_token_id": 2,
            "decoder_start_token_id": 0,
        }),
    }
}
