//! T5 (Raffel et al. 2020): encoder-decoder with RMS norm, bucketed relative positions and unscaled scores. Version
//! 1.1 gates its feed-forward part and has a head of its own.

use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::activation::named;
use crate::model::family::Name;
use crate::model::{ConfigReader, TensorLayout};
use crate::network::{
    AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective, OutputSpec, ScoreBias,
    StackSpec, TokenInputSpec, Wiring,
};

pub(super) const NAMES: &[Name] = &[
    ("encoder.embed.tokens", "shared.weight", TensorLayout::PLAIN),
    ("encoder.embed.tokens", "encoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("encoder.embed.tokens", "decoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("encoder.embed.tokens", "lm_head.weight", TensorLayout::PLAIN),
    ("encoder.relative", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.block.{i}.layer.0.layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.block.{i}.layer.0.SelfAttention.q", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.block.{i}.layer.0.SelfAttention.k", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.block.{i}.layer.0.SelfAttention.v", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.block.{i}.layer.0.SelfAttention.o", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.block.{i}.layer.1.layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.block.{i}.layer.1.DenseReluDense.wo", TensorLayout::PLAIN),
    ("encoder.norm", "encoder.final_layer_norm", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "shared.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "encoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "decoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.embed.tokens", "lm_head.weight", TensorLayout::PLAIN),
    ("decoder.relative", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "decoder.block.{i}.layer.0.layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "decoder.block.{i}.layer.0.SelfAttention.q", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key", "decoder.block.{i}.layer.0.SelfAttention.k", TensorLayout::PLAIN),
    ("decoder.{i}.attention.value", "decoder.block.{i}.layer.0.SelfAttention.v", TensorLayout::PLAIN),
    ("decoder.{i}.attention.output", "decoder.block.{i}.layer.0.SelfAttention.o", TensorLayout::PLAIN),
    ("decoder.{i}.cross.norm", "decoder.block.{i}.layer.1.layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.cross.query", "decoder.block.{i}.layer.1.EncDecAttention.q", TensorLayout::PLAIN),
    ("decoder.{i}.cross.key", "decoder.block.{i}.layer.1.EncDecAttention.k", TensorLayout::PLAIN),
    ("decoder.{i}.cross.value", "decoder.block.{i}.layer.1.EncDecAttention.v", TensorLayout::PLAIN),
    ("decoder.{i}.cross.output", "decoder.block.{i}.layer.1.EncDecAttention.o", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "decoder.block.{i}.layer.2.layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "decoder.block.{i}.layer.2.DenseReluDense.wo", TensorLayout::PLAIN),
    ("decoder.norm", "decoder.final_layer_norm", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

pub(super) const PLAIN: &[Name] = &[
    ("encoder.{i}.mlp.up", "encoder.block.{i}.layer.1.DenseReluDense.wi", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "decoder.block.{i}.layer.2.DenseReluDense.wi", TensorLayout::PLAIN),
];

pub(super) const GATED: &[Name] = &[
    ("encoder.{i}.mlp.gate", "encoder.block.{i}.layer.1.DenseReluDense.wi_0", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.block.{i}.layer.1.DenseReluDense.wi_1", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.gate", "decoder.block.{i}.layer.2.DenseReluDense.wi_0", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "decoder.block.{i}.layer.2.DenseReluDense.wi_1", TensorLayout::PLAIN),
];

/// Whether the feed-forward part is gated.
pub(super) fn is_gated(config: &Config) -> bool {
    config.get("feed_forward_proj").and_then(|v| v.as_str()).is_some_and(|kind| kind.starts_with("gated-"))
}

pub(super) fn encoder_decoder(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let width = reading.width()?;
    let vocabulary = config.size("vocab_size")?;
    let norm = NormSpec { kind: NormKind::Rms, eps: config.number_or("layer_norm_epsilon", 1e-6)? };
    let buckets = config.size_or("relative_attention_num_buckets", 32)?;
    let max_distance = config.size_or("relative_attention_max_distance", 128)?;
    // Half of them are exact, in each direction.
    if buckets < 4 || buckets % 4 != 0 || max_distance <= buckets / 2 {
        return Err(
            config.unsupported(format!("{buckets} relative buckets up to distance {max_distance} do not exist"))
        );
    }
    let heads = reading.heads()?;
    let plain = AttentionSpec { scale: 1.0, ..AttentionSpec::new(heads, heads, config.size("d_kv")?) };
    let mlp = feed_forward(reading)?;
    let stack = |count: usize, decodes: bool| {
        let own =
            AttentionSpec { causal: decodes, bias: ScoreBias::Relative { buckets, max_distance }, ..plain.clone() };
        let layers = (0..count)
            .map(|i| LayerSpec {
                cross: decodes.then(|| plain.clone()),
                ..LayerSpec::new(i, own.clone(), mlp.clone(), norm, Wiring::Pre)
            })
            .collect();
        let input = InputSpec::Tokens(TokenInputSpec::new(vocabulary, width));
        StackSpec { width, input, layers, final_norm: Some(norm), project_out: None }
    };
    let count = reading.layers()?;
    let encoder = stack(count, false);
    // T5 is also used as an encoder alone (T5EncoderModel, T5ForTokenClassification), whose configuration still describes a
    // decoder.
    let is_encoder = match config.architecture() {
        Some(name) => name.contains("Encoder") || name.contains("TokenClassification"),
        None => !(reading.has)("decoder.final_layer_norm.weight"),
    };
    if is_encoder {
        config.settle(&["num_decoder_layers", "scale_decoder_outputs"]);
        return Ok(NetworkSpec::encoder(encoder, None));
    }
    let decoder_count = match config.get("num_decoder_layers") {
        Some(_) => reading.layers_at(&["num_decoder_layers"])?,
        None => count,
    };
    // An untied head reads unscaled states. transformers 5 calls every head tied and keeps `scale_decoder_outputs`.
    let tied = config.flag_or("tie_word_embeddings", true)?;
    let scaled = config.flag_or("scale_decoder_outputs", tied)?;
    let output = OutputSpec {
        scale: if scaled { (width as f64).powf(-0.5) } else { 1.0 },
        ..OutputSpec::new(vocabulary, Objective::Causal, tied && (scaled || !(reading.has)("lm_head.weight")))
    };
    Ok(NetworkSpec {
        encoder: Some(encoder),
        decoder: Some(stack(decoder_count, true)),
        output: reading.wants_head().then_some(output),
        task: None,
    })
}

/// `feed_forward_proj`: `relu`, `gated-gelu` and the like.
fn feed_forward(reading: &ConfigReader<'_>) -> Result<MlpSpec> {
    let config = reading.config;
    let kind = config.text_opt("feed_forward_proj")?.unwrap_or("relu");
    // What the class makes of it, written beside it.
    config.settle(&["dense_act_fn", "is_gated_act"]);
    let (gated, name) = match kind.strip_prefix("gated-") {
        // Version 1.1 means the approximation.
        Some("gelu") => (true, "gelu_new"),
        Some(name) => (true, name),
        None => (false, kind),
    };
    let activation = named(name).ok_or_else(|| config.wrong("feed_forward_proj", "relu or gated-gelu"))?;
    Ok(MlpSpec { width: config.size("d_ff")?, activation, gated, bias: false })
}
