//! ESM-1b and ESM-2 (Lin et al. 2023): encoders of proteins with norms before each branch and a masked-LM head behind a
//! transform.

use super::bert;
use crate::error::Result;
use crate::model::family::Name;
use crate::model::rope::Rope;
use crate::model::{ConfigReader, TensorLayout};
use crate::network::{
    Activation, AttentionSpec, Counting, InputSpec, LayerSpec, MaskScaling, MlpSpec, NetworkSpec, NormKind, NormSpec,
    Objective, OutputSpec, PositionSpec, ProjectionBias, StackSpec, TokenInputSpec, TransformSpec, Wiring,
};

/// What is not named as in BERT.
pub(super) const NAMES: &[Name] = &[
    ("encoder.embed.norm", "embeddings.layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layer.{i}.attention.LayerNorm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layer.{i}.LayerNorm", TensorLayout::PLAIN),
    ("encoder.norm", "encoder.emb_layer_norm_after", TensorLayout::PLAIN),
];

/// The share of tokens that was masked when these models were trained: most of those that were to be predicted.
const TRAINED_SHARE: f64 = 0.15 * 0.8;

/// The network of a configuration.
pub(super) fn encoder(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    reading.refuse("is_decoder")?;
    reading.refuse("is_folding_model")?;
    let (width, heads) = (reading.width()?, reading.heads()?);
    let head_dim = reading.head_dim(width / heads)?;
    let vocabulary = config.size("vocab_size")?;
    let rows = config.size_or("max_position_embeddings", 1026)?;
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-12)? };
    let id = |key: &str| config.size_opt(key).map(|id| id.map(|id| u32::try_from(id).unwrap_or(u32::MAX)));
    let rotary = match config.text_opt("position_embedding_type")?.unwrap_or("absolute") {
        "rotary" => Some(Rope::PLAIN.read(config, head_dim)?),
        "absolute" => None,
        _ => return Err(config.wrong("position_embedding_type", "absolute or rotary")),
    };
    let positions = match (&rotary, id("pad_token_id")?) {
        (Some(_), _) => PositionSpec::None,
        (None, Some(padding)) => PositionSpec::Table {
            rows,
            offset: padding as usize + 1,
            counting: Counting::Unpadded { padding },
            after_projection: false,
        },
        (None, None) => return Err(config.unsupported("'pad_token_id' is missing, from which positions are counted")),
    };
    let mask_scaling = match (config.flag_or("token_dropout", false)?, id("mask_token_id")?) {
        (false, _) => None,
        (true, Some(token)) => Some(MaskScaling { token, trained_share: TRAINED_SHARE }),
        (true, None) => return Err(config.unsupported("'token_dropout' is true, but 'mask_token_id' is missing")),
    };
    let attention = AttentionSpec {
        projection_bias: ProjectionBias::all(true),
        rotary,
        ..AttentionSpec::new(heads, heads, head_dim)
    };
    // Whatever the configuration says, its own code knows this one alone.
    let activation = Activation::Gelu;
    let mlp = MlpSpec { width: reading.inner(width)?, activation, gated: false, bias: true };
    let layers =
        (0..reading.layers()?).map(|i| LayerSpec::new(i, attention.clone(), mlp.clone(), norm, Wiring::Pre)).collect();
    let max_length = match &positions {
        PositionSpec::Table { rows, offset, .. } => rows.saturating_sub(*offset),
        _ => rows,
    };
    let input = TokenInputSpec {
        positions,
        mask_scaling,
        norm: config.flag_or("emb_layer_norm_before", false)?.then_some(norm),
        max_length: Some(max_length),
        ..TokenInputSpec::new(vocabulary, width)
    };
    let output = OutputSpec {
        transform: Some(TransformSpec { width, activation, norm: Some(norm), bias: true }),
        bias: true,
        ..OutputSpec::new(vocabulary, Objective::Masked, config.flag_or("tie_word_embeddings", true)?)
    };
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: Some(norm), project_out: None };
    Ok(NetworkSpec::encoder(stack, (reading.has)(bert::ROBERTA.head).then_some(output)))
}
