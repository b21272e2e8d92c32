//! Encoders with norms after each branch, learned positions and a masked-LM head behind a transform: BERT (Devlin et
//! al. 2019) and its kin, told apart by a [`Kin`].

use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::rope::Rope;
use crate::model::{Layout, Part, Reading};
use crate::network::{
    Activation, AttentionSpec, Counting, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective,
    OutputSpec, PositionSpec, ProjectSpec, Projection, ProjectionBias, ScoreBias, StackSpec, TokenInputSpec,
    TransformSpec, Wiring,
};

/// Names of all of them.
pub(super) const INPUT: &[Name] = &[
    ("encoder.embed.tokens", "embeddings.word_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.positions", "embeddings.position_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.types", "embeddings.token_type_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.norm", "embeddings.LayerNorm", Layout::PLAIN),
];

pub(super) const LAYERS: &[Name] = &[
    ("encoder.{i}.attention.query", "encoder.layer.{i}.attention.self.query", Layout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layer.{i}.attention.self.key", Layout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layer.{i}.attention.self.value", Layout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layer.{i}.attention.output.dense", Layout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layer.{i}.attention.output.LayerNorm", Layout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layer.{i}.intermediate.dense", Layout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layer.{i}.output.dense", Layout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layer.{i}.output.LayerNorm", Layout::PLAIN),
];

pub(super) const BERT_HEAD: &[Name] = &[
    ("output.transform", "cls.predictions.transform.dense", Layout::PLAIN),
    ("output.norm", "cls.predictions.transform.LayerNorm", Layout::PLAIN),
    ("output.weight", "cls.predictions.decoder.weight", Layout::PLAIN),
    ("output.bias", "cls.predictions.bias", Layout::PLAIN),
];

pub(super) const BERT_UNTIED: &[Name] = &[("output.bias", "cls.predictions.decoder.bias", Layout::PLAIN)];

pub(super) const ROBERTA_HEAD: &[Name] = &[
    ("output.transform", "lm_head.dense", Layout::PLAIN),
    ("output.norm", "lm_head.layer_norm", Layout::PLAIN),
    ("output.weight", "lm_head.decoder.weight", Layout::PLAIN),
    ("output.bias", "lm_head.bias", Layout::PLAIN),
];

pub(super) const ROBERTA_UNTIED: &[Name] = &[("output.bias", "lm_head.decoder.bias", Layout::PLAIN)];

pub(super) const ELECTRA: &[Name] = &[
    ("encoder.embed.project", "embeddings_project", Layout::PLAIN),
    ("output.transform", "generator_predictions.dense", Layout::PLAIN),
    ("output.norm", "generator_predictions.LayerNorm", Layout::PLAIN),
    ("output.weight", "generator_lm_head.weight", Layout::PLAIN),
    ("output.bias", "generator_lm_head.bias", Layout::PLAIN),
];

pub(super) const ALBERT: &[Name] = &[
    ("encoder.embed.project", "encoder.embedding_hidden_mapping_in", Layout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.albert_layer_groups.{i}.albert_layers.0.attention.query", Layout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.albert_layer_groups.{i}.albert_layers.0.attention.key", Layout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.albert_layer_groups.{i}.albert_layers.0.attention.value", Layout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.albert_layer_groups.{i}.albert_layers.0.attention.dense", Layout::PLAIN),
    (
        "encoder.{i}.attention.norm",
        "encoder.albert_layer_groups.{i}.albert_layers.0.attention.LayerNorm",
        Layout::PLAIN,
    ),
    ("encoder.{i}.mlp.up", "encoder.albert_layer_groups.{i}.albert_layers.0.ffn", Layout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.albert_layer_groups.{i}.albert_layers.0.ffn_output", Layout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.albert_layer_groups.{i}.albert_layers.0.full_layer_layer_norm", Layout::PLAIN),
    ("output.transform", "predictions.dense", Layout::PLAIN),
    ("output.norm", "predictions.LayerNorm", Layout::PLAIN),
    ("output.weight", "predictions.decoder.weight", Layout::PLAIN),
    ("output.bias", "predictions.bias", Layout::PLAIN),
];

pub(super) const MPNET: &[Name] = &[
    ("encoder.relative", "encoder.relative_attention_bias.weight", Layout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layer.{i}.attention.attn.q", Layout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layer.{i}.attention.attn.k", Layout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layer.{i}.attention.attn.v", Layout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layer.{i}.attention.attn.o", Layout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layer.{i}.attention.LayerNorm", Layout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layer.{i}.intermediate.dense", Layout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layer.{i}.output.dense", Layout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layer.{i}.output.LayerNorm", Layout::PLAIN),
];

pub(super) const NOMIC: &[Name] = &[
    ("encoder.embed.tokens", "embeddings.word_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.types", "embeddings.token_type_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.norm", "emb_ln", Layout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layers.{i}.attn.Wqkv", Layout::part(Part::Block(Projection::Query))),
    ("encoder.{i}.attention.key", "encoder.layers.{i}.attn.Wqkv", Layout::part(Part::Block(Projection::Key))),
    ("encoder.{i}.attention.value", "encoder.layers.{i}.attn.Wqkv", Layout::part(Part::Block(Projection::Value))),
    ("encoder.{i}.attention.output", "encoder.layers.{i}.attn.out_proj", Layout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layers.{i}.norm1", Layout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layers.{i}.mlp.fc11", Layout::PLAIN),
    ("encoder.{i}.mlp.gate", "encoder.layers.{i}.mlp.fc12", Layout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layers.{i}.mlp.fc2", Layout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layers.{i}.norm2", Layout::PLAIN),
    ("output.transform", "cls.predictions.transform.dense", Layout::PLAIN),
    ("output.norm", "cls.predictions.transform.layer_norm", Layout::PLAIN),
    ("output.weight", "cls.predictions.decoder.weight", Layout::PLAIN),
    ("output.bias", "cls.predictions.bias", Layout::PLAIN),
];

pub(super) const ALBERT_UNTIED: &[Name] = &[("output.bias", "predictions.decoder.bias", Layout::PLAIN)];

pub(super) const DISTILBERT: &[Name] = &[
    ("encoder.{i}.attention.query", "transformer.layer.{i}.attention.q_lin", Layout::PLAIN),
    ("encoder.{i}.attention.key", "transformer.layer.{i}.attention.k_lin", Layout::PLAIN),
    ("encoder.{i}.attention.value", "transformer.layer.{i}.attention.v_lin", Layout::PLAIN),
    ("encoder.{i}.attention.output", "transformer.layer.{i}.attention.out_lin", Layout::PLAIN),
    ("encoder.{i}.attention.norm", "transformer.layer.{i}.sa_layer_norm", Layout::PLAIN),
    ("encoder.{i}.mlp.up", "transformer.layer.{i}.ffn.lin1", Layout::PLAIN),
    ("encoder.{i}.mlp.down", "transformer.layer.{i}.ffn.lin2", Layout::PLAIN),
    ("encoder.{i}.mlp.norm", "transformer.layer.{i}.output_layer_norm", Layout::PLAIN),
    ("output.transform", "vocab_transform", Layout::PLAIN),
    ("output.norm", "vocab_layer_norm", Layout::PLAIN),
    ("output.weight", "vocab_projector.weight", Layout::PLAIN),
    ("output.bias", "vocab_projector.bias", Layout::PLAIN),
];

/// Whether the head has a matrix, and with it a bias, of its own.
pub(super) fn is_untied(config: &Config) -> bool {
    config.get("tie_word_embeddings").and_then(|v| v.as_bool()) == Some(false)
}

/// How one of these families differs from the others.
pub(super) struct Kin {
    /// The tensor that only a checkpoint with a masked-LM head holds.
    pub head: &'static str,
    /// Activation of the head's transform, where it is not that of the layers.
    pub head_activation: Option<Activation>,
    /// The key of the layers' activation.
    pub activation_key: &'static str,
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

/// BERT itself.
pub(super) const BERT: Kin = Kin {
    head: "cls.predictions.transform.dense.weight",
    head_activation: None,
    activation_key: "hidden_act",
    padding: None,
    embedding: None,
    types: 2,
    shared: false,
    rope: None,
    gated: false,
    relative: None,
};

/// RoBERTa (Liu et al. 2019).
pub(super) const ROBERTA: Kin =
    Kin { head: "lm_head.dense.weight", head_activation: Some(Activation::Gelu), padding: Some(1), ..BERT };

/// The network of a configuration.
pub(super) fn encoder(reading: &Reading<'_>, kin: &Kin) -> Result<NetworkSpec> {
    let config = reading.config;
    reading.refuse("is_decoder")?;
    if config.text_opt("position_embedding_type")?.is_some_and(|kind| kind != "absolute") {
        return Err(config.wrong("position_embedding_type", "absolute"));
    }
    let width = reading.width()?;
    let heads = reading.heads()?;
    let head_dim = if kin.rope.is_some() { reading.head_dim(width / heads)? } else { width / heads };
    let rows = config.size("max_position_embeddings")?;
    let vocabulary = config.size("vocab_size")?;
    let activation = activation(config, kin.activation_key, "gelu")?;
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-12)? };
    let embedding = match kin.embedding {
        Some(default) => config.size_or("embedding_size", default)?,
        None => width,
    };
    let (offset, counting) = match kin.padding {
        Some(default) => {
            let padding = config.size_or("pad_token_id", default)?;
            (padding + 1, Counting::Unpadded { padding: u32::try_from(padding).unwrap_or(u32::MAX) })
        }
        None => (0, Counting::Every),
    };
    let attention = AttentionSpec {
        projection_bias: ProjectionBias::all(!kin.gated),
        rotary: kin.rope.map(|rope| rope.read(config, head_dim)).transpose()?,
        bias: match kin.relative {
            Some((key, default)) => relative(reading, config.size_or(key, default)?)?,
            None => ScoreBias::None,
        },
        ..AttentionSpec::new(heads, heads, head_dim)
    };
    let mlp = MlpSpec { width: reading.inner(width)?, activation, gated: kin.gated, bias: !kin.gated };
    let layers = stored_layers(reading, kin)?
        .into_iter()
        .map(|stored| LayerSpec::new(stored, attention.clone(), mlp.clone(), norm, Wiring::Post))
        .collect();
    let input = TokenInputSpec {
        project: (kin.shared || embedding != width).then_some(ProjectSpec { bias: true }),
        types: if kin.types > 0 { config.size_or("type_vocab_size", kin.types)? } else { 0 },
        positions: match kin.rope {
            Some(_) => PositionSpec::None,
            None => PositionSpec::Table { rows, offset, counting, after_projection: false },
        },
        norm: Some(norm),
        max_length: Some(rows.saturating_sub(offset)),
        ..TokenInputSpec::new(vocabulary, embedding)
    };
    let transform =
        TransformSpec { width: embedding, activation: kin.head_activation.unwrap_or(activation), norm, bias: true };
    let output = OutputSpec {
        transform: Some(transform),
        bias: true,
        ..OutputSpec::new(vocabulary, Objective::Masked, config.flag_or("tie_word_embeddings", true)?)
    };
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: None, project_out: None };
    Ok(NetworkSpec::encoder(stack, (reading.has)(kin.head).then_some(output)))
}

/// A table of `buckets` relative positions up to the distance that MPNet's code knows, whatever its configuration says.
fn relative(reading: &Reading<'_>, buckets: usize) -> Result<ScoreBias> {
    const BUCKETS: usize = 32;
    if buckets != BUCKETS {
        return Err(reading.config.wrong("relative_attention_num_buckets", "32"));
    }
    Ok(ScoreBias::Relative { buckets, max_distance: 128 })
}

/// Which stored layer each pass reads.
fn stored_layers(reading: &Reading<'_>, kin: &Kin) -> Result<Vec<usize>> {
    if !kin.shared {
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
