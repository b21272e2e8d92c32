//! The encoders of CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023): pre-norm, learned positions. Tokens of text see
//! those before them alone.

use serde_json::{Value, json};

use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::tower::Tower;
use crate::model::{ConfigReader, TensorLayout};
use crate::network::{
    AttentionSpec, Counting, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, PatchInputSpec,
    PositionSpec, ProjectionBias, Resampling, StackSpec, TokenInputSpec, Wiring,
};

pub(super) const TEXT: &[Name] = &[
    ("encoder.embed.tokens", "text_model.embeddings.token_embedding.weight", TensorLayout::PLAIN),
    ("encoder.embed.positions", "text_model.embeddings.position_embedding.weight", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "text_model.encoder.layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "text_model.encoder.layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "text_model.encoder.layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "text_model.encoder.layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "text_model.encoder.layers.{i}.layer_norm1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "text_model.encoder.layers.{i}.mlp.fc1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "text_model.encoder.layers.{i}.mlp.fc2", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "text_model.encoder.layers.{i}.layer_norm2", TensorLayout::PLAIN),
    ("encoder.norm", "text_model.final_layer_norm", TensorLayout::PLAIN),
];

pub(super) const CLIP_VISION: &[Name] = &[
    ("encoder.embed.class", "vision_model.embeddings.class_embedding", TensorLayout::PLAIN),
    ("encoder.embed.patch", "vision_model.embeddings.patch_embedding", TensorLayout::PLAIN),
    ("encoder.embed.positions", "vision_model.embeddings.position_embedding.weight", TensorLayout::PLAIN),
    // Spelled so.
    ("encoder.embed.norm", "vision_model.pre_layrnorm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "vision_model.encoder.layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "vision_model.encoder.layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "vision_model.encoder.layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "vision_model.encoder.layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "vision_model.encoder.layers.{i}.layer_norm1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "vision_model.encoder.layers.{i}.mlp.fc1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "vision_model.encoder.layers.{i}.mlp.fc2", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "vision_model.encoder.layers.{i}.layer_norm2", TensorLayout::PLAIN),
];

pub(super) const SIGLIP_VISION: &[Name] = &[
    ("encoder.embed.patch", "embeddings.patch_embedding", TensorLayout::PLAIN),
    ("encoder.embed.positions", "embeddings.position_embedding.weight", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layers.{i}.layer_norm1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layers.{i}.mlp.fc1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layers.{i}.mlp.fc2", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layers.{i}.layer_norm2", TensorLayout::PLAIN),
    ("encoder.norm", "post_layernorm", TensorLayout::PLAIN),
];

/// Those of the vision encoder beside a text encoder.
const SIGLIP_VISION_TOWER: &[Name] = &[
    ("encoder.embed.patch", "vision_model.embeddings.patch_embedding", TensorLayout::PLAIN),
    ("encoder.embed.positions", "vision_model.embeddings.position_embedding.weight", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "vision_model.encoder.layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "vision_model.encoder.layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "vision_model.encoder.layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "vision_model.encoder.layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "vision_model.encoder.layers.{i}.layer_norm1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "vision_model.encoder.layers.{i}.mlp.fc1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "vision_model.encoder.layers.{i}.mlp.fc2", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "vision_model.encoder.layers.{i}.layer_norm2", TensorLayout::PLAIN),
    ("encoder.norm", "vision_model.post_layernorm", TensorLayout::PLAIN),
];

/// Layers that all of these have, and their norm.
fn layers(
    reading: &ConfigReader<'_>,
    width: usize,
    act: &str,
    eps: f64,
    causal: bool,
) -> Result<(Vec<LayerSpec>, NormSpec)> {
    let config = reading.config;
    let heads = reading.heads()?;
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", eps)? };
    let attention = AttentionSpec {
        causal,
        projection_bias: ProjectionBias::all(true),
        ..AttentionSpec::new(heads, heads, width / heads)
    };
    let mlp = MlpSpec {
        width: reading.inner(width)?,
        activation: activation(config, "hidden_act", act)?,
        gated: false,
        bias: true,
    };
    let layer = |i| LayerSpec::new(i, attention.clone(), mlp.clone(), norm, Wiring::Pre);
    Ok(((0..reading.layers()?).map(layer).collect(), norm))
}

/// The text encoder of CLIP.
pub(super) fn text(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    text_encoder(reading, ("quick_gelu", 1e-5), true, 77)
}

/// An encoder of texts with its default activation and epsilon, whether tokens see only those before them, and its
/// default number of positions.
fn text_encoder(
    reading: &ConfigReader<'_>,
    (act, eps): (&str, f64),
    causal: bool,
    positions: usize,
) -> Result<NetworkSpec> {
    let config = reading.config;
    let width = reading.width()?;
    let (layers, norm) = layers(reading, width, act, eps, causal)?;
    let rows = config.size_or("max_position_embeddings", positions)?;
    let input = TokenInputSpec {
        positions: PositionSpec::Table { rows, offset: 0, counting: Counting::Every, after_projection: false },
        max_length: Some(rows),
        ..TokenInputSpec::new(config.size("vocab_size")?, width)
    };
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: Some(norm), project_out: None };
    Ok(NetworkSpec::encoder(stack, None))
}

/// The vision encoder of CLIP. Its last norm is of the pooled class token alone, which is not part of the last hidden state.
pub(super) fn clip_vision(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let width = reading.width()?;
    let (layers, norm) = layers(reading, width, "quick_gelu", 1e-5, false)?;
    let input = PatchInputSpec { bias: false, class: true, norm: Some(norm), ..patches(reading, 32)? };
    Ok(vision(width, input, layers, None))
}

/// Names of the tensors of CLIP with both encoders: those of the one that is opened.
pub(super) fn clip_names(config: &Config) -> &'static [&'static [Name]] {
    if is_text(config) { &[TEXT] } else { &[CLIP_VISION] }
}

/// Names of the tensors of SigLIP with both encoders.
pub(super) fn siglip_names(config: &Config) -> &'static [&'static [Name]] {
    if is_text(config) { &[TEXT] } else { &[SIGLIP_VISION_TOWER] }
}

fn is_text(config: &Config) -> bool {
    matches!(Tower::of(config), Ok(Some(Tower::Text)))
}

/// The encoder of CLIP that is opened.
pub(super) fn clip(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let texts = json!({"vocab_size": 49_408, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8});
    tower(reading, [(texts, text), (json!({"image_size": 224}), clip_vision)])
}

/// The encoder of SigLIP that is opened. Tokens of text see all others.
pub(super) fn siglip(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let texts = |reading: &ConfigReader<'_>| text_encoder(reading, ("gelu_pytorch_tanh", 1e-6), false, 64);
    tower(reading, [(json!({"vocab_size": 32_000}), texts), (json!({"image_size": 224}), siglip_vision)])
}

type ReadEncoder = fn(&ConfigReader<'_>) -> Result<NetworkSpec>;

/// Reads the encoder of texts or that of images, each with the defaults that it has beside those of both.
fn tower(reading: &ConfigReader<'_>, [texts, images]: [(Value, ReadEncoder); 2]) -> Result<NetworkSpec> {
    let tower = Tower::of(reading.config)?.unwrap_or(Tower::Vision);
    let (own, spec) = if tower == Tower::Text { texts } else { images };
    let mut defaults = json!({
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    });
    if let (Some(all), Some(own)) = (defaults.as_object_mut(), own.as_object()) {
        all.extend(own.clone());
    }
    reading.within(tower.section(reading.config), &defaults, spec)
}

/// The vision encoder of SigLIP. The head that pools its tokens is not part of it.
pub(super) fn siglip_vision(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let width = reading.width()?;
    let (layers, norm) = layers(reading, width, "gelu_pytorch_tanh", 1e-6, false)?;
    Ok(vision(width, patches(reading, 16)?, layers, Some(norm)))
}

fn vision(width: usize, input: PatchInputSpec, layers: Vec<LayerSpec>, final_norm: Option<NormSpec>) -> NetworkSpec {
    let stack = StackSpec { width, input: InputSpec::Patches(input), layers, final_norm, project_out: None };
    NetworkSpec::encoder(stack, None)
}

fn patches(reading: &ConfigReader<'_>, patch: usize) -> Result<PatchInputSpec> {
    Ok(PatchInputSpec {
        channels: reading.config.size_or("num_channels", 3)?,
        image: reading.pixels("image_size", 224)?,
        patch: reading.pixels("patch_size", patch)?,
        bias: true,
        class: false,
        distillation: false,
        positions: true,
        registers: 0,
        norm: None,
        resampling: Some(Resampling::Bicubic),
        any_size: false,
    })
}
