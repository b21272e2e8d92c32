//! ModernBERT (Warner et al. 2024): pre-norm encoder with rotary positions, windows in most layers and a gated
//! feed-forward part.

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::rope::{Rope, longest};
use crate::model::{ConfigReader, Part, TensorLayout};
use crate::network::{
    AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective, OutputSpec, Pooling,
    Projection, ProjectionBias, StackSpec, TokenInputSpec, TransformSpec, Wiring,
};

pub(super) const NAMES: &[Name] = &[
    ("encoder.embed.tokens", "embeddings.tok_embeddings.weight", TensorLayout::PLAIN),
    ("encoder.embed.norm", "embeddings.norm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "layers.{i}.attn_norm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "layers.{i}.attn.Wqkv", TensorLayout::part(Part::Block(Projection::Query))),
    ("encoder.{i}.attention.key", "layers.{i}.attn.Wqkv", TensorLayout::part(Part::Block(Projection::Key))),
    ("encoder.{i}.attention.value", "layers.{i}.attn.Wqkv", TensorLayout::part(Part::Block(Projection::Value))),
    ("encoder.{i}.attention.output", "layers.{i}.attn.Wo", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "layers.{i}.mlp_norm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.gate", "layers.{i}.mlp.Wi", TensorLayout::part(Part::Half(0))),
    ("encoder.{i}.mlp.up", "layers.{i}.mlp.Wi", TensorLayout::part(Part::Half(1))),
    ("encoder.{i}.mlp.down", "layers.{i}.mlp.Wo", TensorLayout::PLAIN),
    ("encoder.norm", "final_norm", TensorLayout::PLAIN),
    ("output.transform", "head.dense", TensorLayout::PLAIN),
    ("output.norm", "head.norm", TensorLayout::PLAIN),
    ("output.weight", "decoder.weight", TensorLayout::PLAIN),
    ("output.bias", "decoder.bias", TensorLayout::PLAIN),
];

/// Layers that see everything.
const GLOBAL: Rope =
    Rope { layers: Some("full_attention"), theta_key: "global_rope_theta", theta: 160_000.0, ..Rope::PLAIN };
/// Layers that see a window.
const LOCAL: Rope =
    Rope { layers: Some("sliding_attention"), theta_key: "local_rope_theta", theta: 10_000.0, ..Rope::PLAIN };

pub(super) fn encoder(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let width = reading.width()?;
    let heads = reading.heads()?;
    let head_dim = reading.head_dim(width / heads)?;
    let vocabulary = config.size("vocab_size")?;
    let norm = norm(reading)?;
    let attention = AttentionSpec {
        projection_bias: ProjectionBias::all(config.flag_or("attention_bias", false)?),
        ..AttentionSpec::new(heads, heads, head_dim)
    };
    let mlp = MlpSpec {
        width: config.size("intermediate_size")?,
        activation: activation(config, "hidden_activation", "gelu")?,
        gated: true,
        bias: config.flag_or("mlp_bias", false)?,
    };
    let count = reading.layers()?;
    let nth = reading.period("global_attn_every_n_layers", 3)?;
    let slides = match reading.sliding_layers(count)? {
        Some(slides) => slides,
        None => (0..count).map(|i| i % nth != 0).collect(),
    };
    // The whole window is given, of which half lies on either side.
    let reach = config.size_or("local_attention", 128)? / 2;
    let (global, local) = (GLOBAL.read(config, head_dim)?, LOCAL.read(config, head_dim)?);
    let layers = slides
        .into_iter()
        .enumerate()
        .map(|(i, slides)| {
            let attention = AttentionSpec {
                window: slides.then_some(reach),
                rotary: Some(if slides { &local } else { &global }.clone()),
                ..attention.clone()
            };
            LayerSpec { has_attention_norm: i > 0, ..LayerSpec::new(i, attention, mlp.clone(), norm, Wiring::Pre) }
        })
        .collect();
    let input =
        TokenInputSpec { norm: Some(norm), max_length: longest(config)?, ..TokenInputSpec::new(vocabulary, width) };
    let output = OutputSpec {
        transform: Some(transform(reading, width)?),
        bias: config.flag_or("decoder_bias", true)?,
        ..OutputSpec::new(vocabulary, Objective::Masked, config.flag_or("tie_word_embeddings", true)?)
    };
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: Some(norm), project_out: None };
    Ok(NetworkSpec::encoder(stack, reading.wants_head().then_some(output)))
}

fn norm(reading: &ConfigReader<'_>) -> Result<NormSpec> {
    let config = reading.config;
    let kind = if config.flag_or("norm_bias", false)? { NormKind::Layer } else { NormKind::LayerWithoutBias };
    Ok(NormSpec { kind, eps: config.number_or("norm_eps", 1e-5)? })
}

/// The layers before the last one of every head.
pub(super) fn transform(reading: &ConfigReader<'_>, width: usize) -> Result<TransformSpec> {
    let config = reading.config;
    Ok(TransformSpec {
        width,
        activation: activation(config, "classifier_activation", "gelu")?,
        norm: Some(norm(reading)?),
        bias: config.flag_or("classifier_bias", false)?,
    })
}

/// Which state stands for a sequence.
pub(super) fn pooling(reading: &ConfigReader<'_>) -> Result<Pooling> {
    match reading.config.text_opt("classifier_pooling")? {
        None | Some("cls") => Ok(Pooling::First),
        Some("mean") => Ok(Pooling::Mean),
        Some(_) => Err(reading.config.wrong("classifier_pooling", "cls or mean")),
    }
}
