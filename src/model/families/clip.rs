//! The text encoder of CLIP (Radford et al. 2021): pre-norm, learned positions, every token sees those before it.

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::{ConfigReader, TensorLayout};
use crate::network::{
    AttentionSpec, Counting, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, PositionSpec,
    ProjectionBias, StackSpec, TokenInputSpec, Wiring,
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

/// The network of a configuration.
pub(super) fn text(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let (width, heads) = (reading.width()?, reading.heads()?);
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-5)? };
    let attention = AttentionSpec {
        causal: true,
        projection_bias: ProjectionBias::all(true),
        ..AttentionSpec::new(heads, heads, width / heads)
    };
    let mlp = MlpSpec {
        width: reading.inner(width)?,
        activation: activation(config, "hidden_act", "quick_gelu")?,
        gated: false,
        bias: true,
    };
    let rows = config.size_or("max_position_embeddings", 77)?;
    let input = TokenInputSpec {
        positions: PositionSpec::Table { rows, offset: 0, counting: Counting::Every, after_projection: false },
        max_length: Some(rows),
        ..TokenInputSpec::new(config.size("vocab_size")?, width)
    };
    let layers =
        (0..reading.layers()?).map(|i| LayerSpec::new(i, attention.clone(), mlp.clone(), norm, Wiring::Pre)).collect();
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: Some(norm), project_out: None };
    Ok(NetworkSpec::encoder(stack, None))
}
