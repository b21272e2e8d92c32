//! Llama (Touvron et al. 2023) and its near kin: pre-norm decoders with RMS norm, rotary positions, grouped
//! key/value heads and a gated feed-forward part.

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::rope::rotary;
use crate::model::{Family, Layout, Reading};
use crate::network::{
    AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective, OutputSpec,
    ProjectionBias, StackSpec, TokenInputSpec, Wiring,
};

pub(super) const FAMILIES: &[Family] = &[
    Family { model_type: "llama", title: "Llama", spec: llama, names: NAMES, prefix: "model." },
    Family { model_type: "qwen2", title: "Qwen2", spec: qwen2, names: NAMES, prefix: "model." },
];

const NAMES: &[(&str, &str, Layout)] = &[
    ("decoder.embed.tokens", "model.embed_tokens.weight", Layout::PLAIN),
    ("decoder.{i}.attention.norm", "model.layers.{i}.input_layernorm", Layout::PLAIN),
    ("decoder.{i}.attention.query", "model.layers.{i}.self_attn.q_proj", Layout::PLAIN),
    ("decoder.{i}.attention.key", "model.layers.{i}.self_attn.k_proj", Layout::PLAIN),
    ("decoder.{i}.attention.value", "model.layers.{i}.self_attn.v_proj", Layout::PLAIN),
    ("decoder.{i}.attention.output", "model.layers.{i}.self_attn.o_proj", Layout::PLAIN),
    ("decoder.{i}.mlp.norm", "model.layers.{i}.post_attention_layernorm", Layout::PLAIN),
    ("decoder.{i}.mlp.up", "model.layers.{i}.mlp.up_proj", Layout::PLAIN),
    ("decoder.{i}.mlp.gate", "model.layers.{i}.mlp.gate_proj", Layout::PLAIN),
    ("decoder.{i}.mlp.down", "model.layers.{i}.mlp.down_proj", Layout::PLAIN),
    ("decoder.norm", "model.norm", Layout::PLAIN),
    ("output.weight", "lm_head.weight", Layout::PLAIN),
];

fn llama(reading: &Reading<'_>) -> Result<NetworkSpec> {
    let bias = reading.config.flag_or("attention_bias", false)?;
    decoder(reading, |attention, _| attention.projection_bias = ProjectionBias::all(bias))
}

fn qwen2(reading: &Reading<'_>) -> Result<NetworkSpec> {
    let windowed = reading.config.flag_or("use_sliding_window", false)?;
    let window = reading.config.size_opt("sliding_window")?.filter(|_| windowed);
    let full_layers = reading.config.size_or("max_window_layers", usize::MAX >> 40)?;
    decoder(reading, |attention, layer| {
        attention.projection_bias = ProjectionBias::qkv(true, false);
        attention.window = window.filter(|_| layer >= full_layers);
    })
}

/// The shared shape; `adapt` changes the attention of each layer.
fn decoder(reading: &Reading<'_>, adapt: impl Fn(&mut AttentionSpec, usize)) -> Result<NetworkSpec> {
    let config = reading.config;
    let width = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let kv_heads = config.size_or("num_key_value_heads", heads)?;
    let head_dim = config.size_or("head_dim", width / heads.max(1))?;
    let vocabulary = config.size("vocab_size")?;
    let norm = NormSpec { kind: NormKind::Rms, eps: config.number_or("rms_norm_eps", 1e-6)? };
    let mlp = MlpSpec {
        width: config.size("intermediate_size")?,
        activation: activation(config, "hidden_act", "silu")?,
        gated: true,
        bias: config.flag_or("mlp_bias", false)?,
    };
    let rotary = rotary(config, head_dim, 10000.0)?;
    let layers = (0..config.size("num_hidden_layers")?)
        .map(|i| {
            let mut attention = AttentionSpec {
                causal: true,
                rotary: Some(rotary.clone()),
                ..AttentionSpec::new(heads, kv_heads, head_dim)
            };
            adapt(&mut attention, i);
            LayerSpec::new(i, attention, mlp.clone(), norm, Wiring::Pre)
        })
        .collect();
    let input = TokenInputSpec {
        max_length: config.size_opt("max_position_embeddings")?,
        ..TokenInputSpec::new(vocabulary, width)
    };
    let tied = config.flag_or("tie_word_embeddings", false)?;
    let output = reading.wants_head().then(|| OutputSpec::new(vocabulary, Objective::Causal, tied));
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: Some(norm), project_out: None };
    Ok(NetworkSpec::decoder(stack, output))
}
