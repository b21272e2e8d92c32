//! Encoder-decoders with layer norm and positions at the input: BART (Lewis et al. 2020) and its kin, Whisper among
//! them, told apart by a [`BartVariant`].

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::{ConfigReader, TensorLayout};
use crate::network::{
    AttentionSpec, Counting, FrameInputSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective,
    OutputSpec, PositionSpec, ProjectionBias, SinusoidSpacing, StackSpec, TokenInputSpec, Wiring,
};

/// Names of all of them.
pub(super) const NAMES: &[Name] = &[
    ("encoder.embed.positions", "encoder.embed_positions.weight", TensorLayout::PLAIN),
    ("encoder.embed.norm", "encoder.layernorm_embedding", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layers.{i}.self_attn_layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layers.{i}.final_layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layers.{i}.fc1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layers.{i}.fc2", TensorLayout::PLAIN),
    ("encoder.norm", "encoder.layer_norm", TensorLayout::PLAIN),
    ("decoder.embed.positions", "decoder.embed_positions.weight", TensorLayout::PLAIN),
    ("decoder.embed.norm", "decoder.layernorm_embedding", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "decoder.layers.{i}.self_attn_layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "decoder.layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key", "decoder.layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.value", "decoder.layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.output", "decoder.layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("decoder.{i}.cross.norm", "decoder.layers.{i}.encoder_attn_layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.cross.query", "decoder.layers.{i}.encoder_attn.q_proj", TensorLayout::PLAIN),
    ("decoder.{i}.cross.key", "decoder.layers.{i}.encoder_attn.k_proj", TensorLayout::PLAIN),
    ("decoder.{i}.cross.value", "decoder.layers.{i}.encoder_attn.v_proj", TensorLayout::PLAIN),
    ("decoder.{i}.cross.output", "decoder.layers.{i}.encoder_attn.out_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "decoder.layers.{i}.final_layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "decoder.layers.{i}.fc1", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "decoder.layers.{i}.fc2", TensorLayout::PLAIN),
    ("decoder.norm", "decoder.layer_norm", TensorLayout::PLAIN),
];

/// One token table for both stacks and the head, under any of the names of those; the order is that of transformers.
pub(super) const SHARED_TABLE: &[Name] = &[
    ("encoder.embed.tokens", "shared.weight", TensorLayout::PLAIN),
    ("encoder.embed.tokens", "lm_head.weight", TensorLayout::PLAIN),
    ("encoder.embed.tokens", "decoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("encoder.embed.tokens", "encoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "shared.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "lm_head.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "decoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "encoder.embed_tokens.weight", TensorLayout::PLAIN),
];

/// A token table for each stack, as files hold it where the tables differ and old ones also where not; the head.
pub(super) const TABLES: &[Name] = &[
    ("encoder.embed.tokens", "encoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "decoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
    ("output.bias", "final_logits_bias", TensorLayout::PLAIN),
];

/// What Whisper names otherwise.
pub(super) const WHISPER: &[Name] = &[
    ("encoder.embed.conv1", "encoder.conv1", TensorLayout::PLAIN),
    ("encoder.embed.conv2", "encoder.conv2", TensorLayout::PLAIN),
    ("output.weight", "proj_out.weight", TensorLayout::PLAIN),
];

/// How one of these families differs from the others.
pub(super) struct BartVariant {
    /// Norms before each branch and after the last layer, instead of after each branch.
    pub pre_norm: bool,
    /// A norm on the embeddings.
    pub embedding_norm: bool,
    pub positions: Positions,
    /// Whether key projections have a bias.
    pub key_bias: bool,
    /// The activation where the configuration says none.
    pub activation: &'static str,
    /// Whether tokens are scaled by the root of the width where the configuration does not say.
    pub scaled: bool,
    /// Whether logits may have a bias.
    pub logits_bias: bool,
    /// Whether the encoder reads spectrograms (Whisper).
    pub frames: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Positions {
    /// A learned table with this many rows before the first position.
    Learned(usize),
    /// Sinusoids, which the checkpoint need not hold.
    Sinusoidal,
    /// Sinusoids that count from padding's id, by default this, and skip padding (M2M100).
    SinusoidalUnpadded(usize),
}

pub(super) const BART: BartVariant = BartVariant {
    pre_norm: false,
    embedding_norm: true,
    positions: Positions::Learned(2),
    key_bias: true,
    activation: "gelu",
    scaled: false,
    logits_bias: true,
    frames: false,
};

/// Norms before each branch, positions from the first row of their table (Pegasus, Blenderbot).
pub(super) const UNSHIFTED: BartVariant =
    BartVariant { pre_norm: true, embedding_norm: false, positions: Positions::Learned(0), ..BART };

const NORM: NormSpec = NormSpec { kind: NormKind::Layer, eps: 1e-5 };

/// The network of a configuration.
pub(super) fn encoder_decoder(reading: &ConfigReader<'_>, variant: &BartVariant) -> Result<NetworkSpec> {
    let config = reading.config;
    if !config.flag_or("is_encoder_decoder", true)? {
        return Err(config.wrong("is_encoder_decoder", "true"));
    }
    let width = reading.width()?;
    let encoder_input = if variant.frames {
        let (bands, positions) = (config.size("num_mel_bins")?, config.size("max_source_positions")?);
        InputSpec::Frames(FrameInputSpec { bands, positions })
    } else {
        InputSpec::Tokens(tokens(reading, variant, width, "vocab_size", "max_position_embeddings")?)
    };
    let encoder = stack(reading, variant, width, StackKeys::ENCODER, encoder_input)?;
    let vocabulary = match config.get("decoder_vocab_size") {
        Some(_) if !config.flag_or("share_encoder_decoder_embeddings", true)? => "decoder_vocab_size",
        _ => "vocab_size",
    };
    let length = if variant.frames { "max_target_positions" } else { "max_position_embeddings" };
    let input = tokens(reading, variant, width, vocabulary, length)?;
    let decoder = stack(reading, variant, width, StackKeys::DECODER, InputSpec::Tokens(input))?;
    let tied = config.flag_or("tie_word_embeddings", true)?;
    let output = OutputSpec {
        bias: variant.logits_bias && (reading.has)("final_logits_bias"),
        ..OutputSpec::new(config.size(vocabulary)?, Objective::Causal, tied)
    };
    Ok(NetworkSpec {
        encoder: Some(encoder),
        decoder: Some(decoder),
        output: reading.wants_head().then_some(output),
        task: None,
    })
}

/// Configuration keys of one of the stacks.
struct StackKeys {
    layers: &'static str,
    heads: &'static str,
    inner: &'static str,
    decodes: bool,
}

impl StackKeys {
    const ENCODER: Self =
        Self { layers: "encoder_layers", heads: "encoder_attention_heads", inner: "encoder_ffn_dim", decodes: false };
    const DECODER: Self =
        Self { layers: "decoder_layers", heads: "decoder_attention_heads", inner: "decoder_ffn_dim", decodes: true };
}

fn stack(
    reading: &ConfigReader<'_>,
    variant: &BartVariant,
    width: usize,
    side: StackKeys,
    input: InputSpec,
) -> Result<StackSpec> {
    let config = reading.config;
    let heads = reading.heads_at(&[side.heads])?;
    let attention = AttentionSpec {
        projection_bias: ProjectionBias { key: variant.key_bias, ..ProjectionBias::all(true) },
        ..AttentionSpec::new(heads, heads, width / heads)
    };
    let mlp = MlpSpec {
        width: config.size(side.inner)?,
        activation: activation(config, "activation_function", variant.activation)?,
        gated: false,
        bias: true,
    };
    let wiring = if variant.pre_norm { Wiring::Pre } else { Wiring::Post };
    let layers = (0..reading.layers_at(&[side.layers])?)
        .map(|i| LayerSpec {
            cross: side.decodes.then(|| attention.clone()),
            ..LayerSpec::new(i, AttentionSpec { causal: side.decodes, ..attention.clone() }, mlp.clone(), NORM, wiring)
        })
        .collect();
    Ok(StackSpec { width, input, layers, final_norm: variant.pre_norm.then_some(NORM), project_out: None })
}

fn tokens(
    reading: &ConfigReader<'_>,
    variant: &BartVariant,
    width: usize,
    vocabulary: &str,
    length: &str,
) -> Result<TokenInputSpec> {
    let config = reading.config;
    let length = config.size(length)?;
    config.settle(&["scale_embedding"]);
    Ok(TokenInputSpec {
        // Whisper's own code reads `scale_embedding` and then does not scale.
        scale: if !variant.frames && config.flag_or("scale_embedding", variant.scaled)? {
            (width as f64).sqrt()
        } else {
            1.0
        },
        positions: match variant.positions {
            Positions::Learned(offset) => PositionSpec::Table {
                rows: length + offset,
                offset,
                counting: Counting::Every,
                after_projection: false,
            },
            Positions::Sinusoidal => {
                PositionSpec::Sinusoidal { spacing: SinusoidSpacing::Width, offset: 0, counting: Counting::Every }
            }
            Positions::SinusoidalUnpadded(default) => {
                let padding = config.size_or("pad_token_id", default)?;
                let counting = Counting::Unpadded { padding: u32::try_from(padding).unwrap_or(u32::MAX) };
                PositionSpec::Sinusoidal { spacing: SinusoidSpacing::Ends, offset: padding + 1, counting }
            }
        },
        norm: variant.embedding_norm.then_some(NORM),
        max_length: Some(length),
        ..TokenInputSpec::new(config.size(vocabulary)?, width)
    })
}
