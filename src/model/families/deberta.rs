//! DeBERTa v2 and v3 (He et al. 2021): BERT whose scores have two parts more, contents against distances.

use serde_json::Value;

use super::bert;
use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::{ConfigReader, TensorLayout};
use crate::network::{
    AttentionSpec, Counting, DisentangledSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec,
    Objective, OutputSpec, PositionSpec, ProjectionBias, ScoreBias, StackSpec, TokenInputSpec, TransformSpec, Wiring,
};

/// What is not named as in BERT.
pub(super) const NAMES: &[Name] = &[
    ("encoder.distances", "encoder.rel_embeddings.weight", TensorLayout::PLAIN),
    ("encoder.distance_norm", "encoder.LayerNorm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layer.{i}.attention.self.query_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layer.{i}.attention.self.key_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layer.{i}.attention.self.value_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.position_key", "encoder.layer.{i}.attention.self.pos_key_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.position_query", "encoder.layer.{i}.attention.self.pos_query_proj", TensorLayout::PLAIN),
];

/// The head as Microsoft's own files and `"legacy": false` name it.
pub(super) const OWN_HEAD: &[Name] = &[
    ("output.transform", "lm_predictions.lm_head.dense", TensorLayout::PLAIN),
    ("output.norm", "lm_predictions.lm_head.LayerNorm", TensorLayout::PLAIN),
    ("output.bias", "lm_predictions.lm_head.bias", TensorLayout::PLAIN),
];

/// The network of a configuration.
pub(super) fn encoder(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    if config.size_or("conv_kernel_size", 0)? > 0 {
        let what = "'conv_kernel_size' is above 0: a convolution behind the first layer is not supported";
        return Err(config.unsupported(what));
    }
    let (width, heads) = (reading.width()?, reading.heads()?);
    if config.size_or("embedding_size", width)? != width {
        return Err(config.wrong("embedding_size", &format!("hidden_size, {width},")));
    }
    let head_dim = reading.head_dim(width / heads)?;
    let length = config.size_or("max_position_embeddings", 512)?;
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-7)? };
    let [to_positions, from_positions] = scored(reading)?;
    let parts = 1 + usize::from(to_positions) + usize::from(from_positions);
    let bias = if config.flag_or("relative_attention", false)? && parts > 1 {
        ScoreBias::Disentangled(DisentangledSpec { to_positions, from_positions, ..distances(reading, length, norm)? })
    } else {
        ScoreBias::None
    };
    let attention = AttentionSpec {
        projection_bias: ProjectionBias::all(true),
        scale: ((head_dim * parts) as f64).powf(-0.5),
        bias,
        ..AttentionSpec::new(heads, heads, head_dim)
    };
    let activation = activation(config, "hidden_act", "gelu")?;
    let mlp = MlpSpec { width: reading.inner(width)?, activation, gated: false, bias: true };
    let layers =
        (0..reading.layers()?).map(|i| LayerSpec::new(i, attention.clone(), mlp.clone(), norm, Wiring::Post)).collect();
    let input = TokenInputSpec {
        types: config.size_or("type_vocab_size", 0)?,
        positions: if config.flag_or("position_biased_input", true)? {
            PositionSpec::Table { rows: length, offset: 0, counting: Counting::Every, after_projection: false }
        } else {
            PositionSpec::None
        },
        norm: Some(norm),
        max_length: Some(length),
        ..TokenInputSpec::new(config.size("vocab_size")?, width)
    };
    let transform = TransformSpec { width, activation, norm: Some(norm), bias: true };
    let output = OutputSpec {
        transform: Some(transform),
        bias: true,
        ..OutputSpec::new(input.vocabulary, Objective::Masked, config.flag_or("tie_word_embeddings", true)?)
    };
    let has_head = [bert::BERT.head, "lm_predictions.lm_head.dense.weight"].into_iter().any(reading.has);
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: None, project_out: None };
    Ok(NetworkSpec::encoder(stack, has_head.then_some(output)))
}

/// Whether queries, and whether keys, are scored against distances: `pos_att_type`, a list or a text with bars.
fn scored(reading: &ConfigReader<'_>) -> Result<[bool; 2]> {
    let config = reading.config;
    let wrong = || config.wrong("pos_att_type", "a list of 'c2p' and 'p2c'");
    let kinds: Vec<&str> = match config.get("pos_att_type") {
        None => Vec::new(),
        Some(Value::String(text)) => text.split('|').map(str::trim).filter(|kind| !kind.is_empty()).collect(),
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if kinds.iter().any(|kind| !matches!(*kind, "c2p" | "p2c")) {
        return Err(wrong());
    }
    Ok(["c2p", "p2c"].map(|kind| kinds.contains(&kind)))
}

/// How distances are embedded.
fn distances(reading: &ConfigReader<'_>, length: usize, norm: NormSpec) -> Result<DisentangledSpec> {
    /// No published model knows as many.
    const MOST: usize = 1 << 14;
    let config = reading.config;
    // Numbers below 1 stand for what is not there.
    let above_0 = |key: &str| -> Result<Option<usize>> {
        Ok(if config.get(key).and_then(Value::as_i64).is_some_and(|n| n < 1) { None } else { config.size_opt(key)? })
    };
    let most = above_0("max_relative_positions")?.unwrap_or(length);
    let buckets = above_0("position_buckets")?;
    let span = buckets.unwrap_or(most);
    // Half of the buckets are exact, and the logarithm has to reach farther.
    if !(1..=MOST).contains(&span) || buckets.is_some() && (span < 4 || most <= span / 2 + 1) {
        return Err(config.unsupported(format!("{span} buckets of distances up to {most} do not exist")));
    }
    let normalizes = config.text_opt("norm_rel_ebd")?.unwrap_or("none").to_lowercase();
    Ok(DisentangledSpec {
        span,
        max_distance: buckets.map(|_| most),
        to_positions: false,
        from_positions: false,
        shares_projections: config.flag_or("share_att_key", false)?,
        norm: normalizes.split('|').any(|kind| kind.trim() == "layer_norm").then_some(norm),
    })
}
