//! Encoders with norms after each branch, learned positions and a masked-LM head behind a transform: BERT (Devlin et
//! al. 2019) and its relatives, told apart by a [`BertVariant`].

use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::rope::Rope;
use crate::model::{ConfigReader, Part, TensorLayout};
use crate::network::{
    Activation, AttentionSpec, Counting, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective,
    OutputSpec, PositionSpec, ProjectSpec, Projection, ProjectionBias, ScoreBias, StackSpec, TokenInputSpec,
    TransformSpec, Wiring,
};

/// Names of all of them.
pub(super) const INPUT: &[Name] = &[
    ("encoder.embed.tokens", "embeddings.word_embeddings.weight", TensorLayout::PLAIN),
    ("encoder.embed.positions", "embeddings.position_embeddings.weight", TensorLayout::PLAIN),
    ("encoder.embed.types", "embeddings.token_type_embeddings.weight", TensorLayout::PLAIN),
    ("encoder.embed.norm", "embeddings.LayerNorm", TensorLayout::PLAIN),
];

pub(super) const LAYERS: &[Name] = &[
    ("encoder.{i}.attention.query", "encoder.layer.{i}.attention.self.query", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layer.{i}.attention.self.key", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layer.{i}.attention.self.value", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layer.{i}.attention.output.dense", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layer.{i}.attention.output.LayerNorm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layer.{i}.intermediate.dense", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layer.{i}.output.dense", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layer.{i}.output.LayerNorm", TensorLayout::PLAIN),
];

pub(super) const BERT_HEAD: &[Name] = &[
    ("output.transform", "cls.predictions.transform.dense", TensorLayout::PLAIN),
    ("output.norm", "cls.predictions.transform.LayerNorm", TensorLayout::PLAIN),
    ("output.weight", "cls.predictions.decoder.weight", TensorLayout::PLAIN),
    ("output.bias", "cls.predictions.bias", TensorLayout::PLAIN),
];

pub(super) const BERT_UNTIED: &[Name] = &[("output.bias", "cls.predictions.decoder.bias", TensorLayout::PLAIN)];

pub(super) const ROBERTA_HEAD: &[Name] = &[
    ("output.transform", "lm_head.dense", TensorLayout::PLAIN),
    ("output.norm", "lm_head.layer_norm", TensorLayout::PLAIN),
    ("output.weight", "lm_head.decoder.weight", TensorLayout::PLAIN),
    ("output.bias", "lm_head.bias", TensorLayout::PLAIN),
];

pub(super) const ROBERTA_UNTIED: &[Name] = &[("output.bias", "lm_head.decoder.bias", TensorLayout::PLAIN)];

pub(super) const ELECTRA: &[Name] = &[
    ("encoder.embed.project", "embeddings_project", TensorLayout::PLAIN),
    ("output.transform", "generator_predictions.dense", TensorLayout::PLAIN),
    ("output.norm", "generator_predictions.LayerNorm", TensorLayout::PLAIN),
    ("output.weight", "generator_lm_head.weight", TensorLayout::PLAIN),
    ("output.bias", "generator_lm_head.bias", TensorLayout::PLAIN),
];

pub(super) const ALBERT: &[Name] = &[
    ("encoder.embed.project", "encoder.embedding_hidden_mapping_in", TensorLayout::PLAIN),
    (
        "encoder.{i}.attention.query",
        "encoder.albert_layer_groups.{i}.albert_layers.0.attention.query",
        TensorLayout::PLAIN,
    ),
    ("encoder.{i}.attention.key", "encoder.albert_layer_groups.{i}.albert_layers.0.attention.key", TensorLayout::PLAIN),
    (
        "encoder.{i}.attention.value",
        "encoder.albert_layer_groups.{i}.albert_layers.0.attention.value",
        TensorLayout::PLAIN,
    ),
    (
        "encoder.{i}.attention.output",
        "encoder.albert_layer_groups.{i}.albert_layers.0.attention.dense",
        TensorLayout::PLAIN,
    ),
    (
        "encoder.{i}.attention.norm",
        "encoder.albert_layer_groups.{i}.albert_layers.0.attention.LayerNorm",
        TensorLayout::PLAIN,
    ),
    ("encoder.{i}.mlp.up", "encoder.albert_layer_groups.{i}.albert_layers.0.ffn", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.albert_layer_groups.{i}.albert_layers.0.ffn_output", TensorLayout::PLAIN),
    (
        "encoder.{i}.mlp.norm",
        "encoder.albert_layer_groups.{i}.albert_layers.0.full_layer_layer_norm",
        TensorLayout::PLAIN,
    ),
    ("output.transform", "predictions.dense", TensorLayout::PLAIN),
    ("output.norm", "predictions.LayerNorm", TensorLayout::PLAIN),
    ("output.weight", "predictions.decoder.weight", TensorLayout::PLAIN),
    ("output.bias", "predictions.bias", TensorLayout::PLAIN),
];

pub(super) const MPNET: &[Name] = &[
    ("encoder.relative", "encoder.relative_attention_bias.weight", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layer.{i}.attention.attn.q", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layer.{i}.attention.attn.k", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layer.{i}.attention.attn.v", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layer.{i}.attention.attn.o", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layer.{i}.attention.LayerNorm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layer.{i}.intermediate.dense", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layer.{i}.output.dense", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layer.{i}.output.LayerNorm", TensorLayout::PLAIN),
];

pub(super) const NOMIC: &[Name] = &[
    ("encoder.embed.tokens", "embeddings.word_embeddings.weight", TensorLayout::PLAIN),
    ("encoder.embed.types", "embeddings.token_type_embeddings.weight", TensorLayout::PLAIN),
    ("encoder.embed.norm", "emb_ln", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layers.{i}.attn.Wqkv", TensorLayout::part(Part::Block(Projection::Query))),
    ("encoder.{i}.attention.key", "encoder.layers.{i}.attn.Wqkv", TensorLayout::part(Part::Block(Projection::Key))),
    ("encoder.{i}.attention.value", "encoder.layers.{i}.attn.Wqkv", TensorLayout::part(Part::Block(Projection::Value))),
    ("encoder.{i}.attention.output", "encoder.layers.{i}.attn.out_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layers.{i}.norm1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layers.{i}.mlp.fc11", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.gate", "encoder.layers.{i}.mlp.fc12", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layers.{i}.mlp.fc2", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layers.{i}.norm2", TensorLayout::PLAIN),
    ("output.transform", "cls.predictions.transform.dense", TensorLayout::PLAIN),
    ("output.norm", "cls.predictions.transform.layer_norm", TensorLayout::PLAIN),
    ("output.weight", "cls.predictions.decoder.weight", TensorLayout::PLAIN),
    ("output.bias", "cls.predictions.bias", TensorLayout::PLAIN),
];

pub(super) const ALBERT_UNTIED: &[Name] = &[("output.bias", "predictions.decoder.bias", TensorLayout::PLAIN)];

pub(super) const DISTILBERT: &[Name] = &[
    ("encoder.{i}.attention.query", "transformer.layer.{i}.attention.q_lin", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "transformer.layer.{i}.attention.k_lin", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "transformer.layer.{i}.attention.v_lin", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "transformer.layer.{i}.attention.out_lin", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "transformer.layer.{i}.sa_layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "transformer.layer.{i}.ffn.lin1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "transformer.layer.{i}.ffn.lin2", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "transformer.layer.{i}.output_layer_norm", TensorLayout::PLAIN),
    ("output.transform", "vocab_transform", TensorLayout::PLAIN),
    ("output.norm", "vocab_layer_norm", TensorLayout::PLAIN),
    ("output.weight", "vocab_projector.weight", TensorLayout::PLAIN),
    ("output.bias", "vocab_projector.bias", TensorLayout::PLAIN),
];

/// Whether the head has a matrix, and with it a bias, of its own.
pub(super) fn is_untied(config: &Config) -> bool {
    config.get("tie_word_embeddings").and_then(|v| v.as_bool()) == Some(false)
}

/// How one of these families differs from the others.
pub(super) struct BertVariant {
    /// The tensor that only a checkpoint with a masked-LM head holds.
    pub head: &'static str,
    /// Activation of the head's transform, where it is not that of the layers.
    pub head_activation: Option<Activation>,
    /// The key of the layers' activation, and the activation where there is no such key.
    pub activation: (&'static str, &'static str),
    /// Positions count from padding's id, by default this, and skip padding (RoBERTa).
    pub padding: Option<usize>,
    /// Embeddings of a width of their own, by default this, projected to the stack's.
    pub embedding: Option<usize>,
    /// Token types where the configuration says nothing.
    pub types: usize,
    /// Whether several passes share a layer (ALBERT).
    pub shared: bool,
    /// Rotary positions instead of a table (Nomic BERT).
    pub rope: Option<Rope>,
    /// Whether the feed-forward part is gated and no projection has a bias (Nomic BERT).
    pub gated: bool,
    /// The key of the number of buckets of relative positions, and its value where there is no such key (MPNet).
    pub relative: Option<(&'static str, usize)>,
}

pub(super) const BERT: BertVariant = BertVariant {
    head: "cls.predictions.transform.dense.weight",
    head_activation: None,
    activation: ("hidden_act", "gelu"),
    padding: None,
    embedding: None,
    types: 2,
    shared: false,
    rope: None,
    gated: false,
    relative: None,
};

/// RoBERTa (Liu et al. 2019).
pub(super) const ROBERTA: BertVariant =
    BertVariant { head: "lm_head.dense.weight", head_activation: Some(Activation::Gelu), padding: Some(1), ..BERT };

/// The network of a configuration.
pub(super) fn encoder(reading: &ConfigReader<'_>, variant: &BertVariant) -> Result<NetworkSpec> {
    let config = reading.config;
    reading.refuse("is_decoder")?;
    if config.text_opt("position_embedding_type")?.is_some_and(|kind| kind != "absolute") {
        return Err(config.wrong("position_embedding_type", "absolute"));
    }
    let width = reading.width()?;
    let heads = reading.heads()?;
    let head_dim = if variant.rope.is_some() { reading.head_dim(width / heads)? } else { width / heads };
    let rows = config.size("max_position_embeddings")?;
    let vocabulary = config.size("vocab_size")?;
    let activation = activation(config, variant.activation.0, variant.activation.1)?;
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-12)? };
    let embedding = match variant.embedding {
        Some(default) => config.size_or("embedding_size", default)?,
        None => width,
    };
    let (offset, counting) = match variant.padding {
        Some(default) => {
            let padding = config.size_or("pad_token_id", default)?;
            (padding + 1, Counting::Unpadded { padding: u32::try_from(padding).unwrap_or(u32::MAX) })
        }
        None => (0, Counting::Every),
    };
    let attention = AttentionSpec {
        projection_bias: ProjectionBias::all(!variant.gated),
        rotary: variant.rope.map(|rope| rope.read(config, head_dim)).transpose()?,
        bias: match variant.relative {
            Some((key, default)) => relative(reading, config.size_or(key, default)?)?,
            None => ScoreBias::None,
        },
        ..AttentionSpec::new(heads, heads, head_dim)
    };
    let mlp = MlpSpec { width: reading.inner(width)?, activation, gated: variant.gated, bias: !variant.gated };
    let layers = stored_layers(reading, variant)?
        .into_iter()
        .map(|stored| LayerSpec::new(stored, attention.clone(), mlp.clone(), norm, Wiring::Post))
        .collect();
    let input = TokenInputSpec {
        project: (variant.shared || embedding != width).then_some(ProjectSpec { bias: true }),
        types: if variant.types > 0 { config.size_or("type_vocab_size", variant.types)? } else { 0 },
        positions: match variant.rope {
            Some(_) => PositionSpec::None,
            None => PositionSpec::Table { rows, offset, counting, after_projection: false },
        },
        norm: Some(norm),
        max_length: Some(rows.saturating_sub(offset)),
        ..TokenInputSpec::new(vocabulary, embedding)
    };
    let transform = TransformSpec {
        width: embedding,
        activation: variant.head_activation.unwrap_or(activation),
        norm: Some(norm),
        bias: true,
    };
    let output = OutputSpec {
        transform: Some(transform),
        bias: true,
        ..OutputSpec::new(vocabulary, Objective::Masked, config.flag_or("tie_word_embeddings", true)?)
    };
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: None, project_out: None };
    Ok(NetworkSpec::encoder(stack, (reading.has)(variant.head).then_some(output)))
}

/// A table of `buckets` relative positions up to the distance that MPNet's code knows, whatever its configuration says.
fn relative(reading: &ConfigReader<'_>, buckets: usize) -> Result<ScoreBias> {
    const BUCKETS: usize = 32;
    if buckets != BUCKETS {
        return Err(reading.config.wrong("relative_attention_num_buckets", "32"));
    }
    Ok(ScoreBias::Relative { buckets, max_distance: 128 })
}

/// Which stored layer each pass reads.
fn stored_layers(reading: &ConfigReader<'_>, variant: &BertVariant) -> Result<Vec<usize>> {
    if !variant.shared {
        return Ok((0..reading.layers()?).collect());
    }
    let config = reading.config;
    if config.size_or("inner_group_num", 1)? != 1 {
        return Err(config.wrong("inner_group_num", "1"));
    }
    let passes = reading.passes()?;
    let groups = config.size_or("num_hidden_groups", 1)?;
    if groups == 0 || groups > passes {
        return Err(config.wrong("num_hidden_groups", "a number from 1 to that of the layers"));
    }
    // Floats as in the model's own code, so that uneven groups fall alike.
    Ok((0..passes).map(|i| (i as f64 / (passes as f64 / groups as f64)) as usize).collect())
}
