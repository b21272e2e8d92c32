//! What a GGUF file says of its model.

use candle_core::quantized::gguf_file::Value;

use super::architecture::Conversion;
use super::tensors::file_type;
use crate::checkpoint::model_name;
use crate::engines::quantization::Quantization;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{AttentionSpec, InputSpec, NetworkSpec, ScoreBias};

/// Rows of the token table.
pub(super) fn vocabulary(spec: &NetworkSpec) -> usize {
    match spec.last_stack().map(|stack| &stack.input) {
        Some(InputSpec::Tokens(input)) => input.vocabulary,
        _ => 0,
    }
}

/// The keys of an architecture called `name`.
///
/// # Errors
/// Where a size does not fit the format.
pub(super) fn keys(
    model: &Model,
    name: &str,
    conversion: &Conversion,
    quantization: Quantization,
) -> Result<Vec<(String, Value)>> {
    let spec = &conversion.spec;
    let Some(stack) = spec.last_stack() else { return Err(Error::new("the model has no layers")) };
    let Some(first) = stack.layers.first() else { return Err(Error::new("the model has no layers")) };
    let text = |value: &str| Value::String(value.to_owned());
    let mut keys = vec![
        ("general.architecture".to_owned(), text(name)),
        ("general.type".to_owned(), text("model")),
        ("general.name".to_owned(), text(&model_name(model.checkpoint().place()))),
        ("general.quantization_version".to_owned(), Value::U32(2)),
        ("general.file_type".to_owned(), Value::U32(file_type(quantization)?)),
    ];
    let mut add = |key: &str, value: Value| keys.push((format!("{name}.{key}"), value));
    add("vocab_size", size(vocabulary(spec))?);
    add("context_length", size(conversion.context)?);
    add("embedding_length", size(stack.width)?);
    add("feed_forward_length", size(first.mlp.width)?);
    let blocks = spec.encoder.as_ref().map_or(stack.layers.len(), |encoder| encoder.layers.len());
    add("block_count", size(blocks)?);
    let heads = |of: fn(&AttentionSpec) -> usize| -> Result<Value> {
        let counts: Vec<usize> = spec.sites().iter().map(|(_, attention)| of(attention)).collect();
        match counts.split_first() {
            Some((first, rest)) if rest.iter().any(|other| other != first) => {
                Ok(Value::Array(counts.iter().map(|count| size(*count)).collect::<Result<_>>()?))
            }
            Some((first, _)) => size(*first),
            None => size(0),
        }
    };
    add("attention.head_count", heads(|a| a.heads)?);
    add("attention.head_count_kv", heads(|a| a.kv_heads)?);
    let attention = &first.attention;
    add("attention.key_length", size(attention.head_dim)?);
    add("attention.value_length", size(attention.head_dim)?);
    add("attention.layer_norm_rms_epsilon", Value::F32(first.norm.eps as f32));
    if let Some(rope) = &conversion.rope {
        add("rope.dimension_count", size(attention.head_dim)?);
        add("rope.freq_base", Value::F32(rope.base as f32));
        if rope.stretch != 1.0 {
            add("rope.scaling.type", text("linear"));
            add("rope.scaling.factor", Value::F32(rope.stretch as f32));
        }
    }
    if let Some(base) = conversion.window_base {
        add("rope.freq_base_swa", Value::F32(base as f32));
    }
    if let Some((window, every)) = conversion.windows {
        add("attention.sliding_window", size(window)?);
        add("attention.sliding_window_pattern", size(every)?);
    }
    if let Some(cap) = attention.soft_cap {
        add("attn_logit_softcapping", Value::F32(cap as f32));
    }
    let output = spec.output.as_ref();
    if let Some(cap) = output.and_then(|output| output.soft_cap) {
        add("final_logit_softcapping", Value::F32(cap as f32));
    }
    if name == "granite"
        && let (Some(output), InputSpec::Tokens(input)) = (output, &stack.input)
    {
        add("attention.scale", Value::F32(attention.scale as f32));
        add("embedding_scale", Value::F32(input.scale as f32));
        add("residual_scale", Value::F32(first.residual_scale as f32));
        add("logit_scale", Value::F32((1.0 / output.scale) as f32));
    }
    if spec.encoder.is_some() {
        add("decoder_block_count", size(stack.layers.len())?);
        let start = model.config().size_opt("decoder_start_token_id")?.or(model.config().size_opt("pad_token_id")?);
        add("decoder_start_token_id", size(start.unwrap_or(0))?);
        if let ScoreBias::Relative { buckets, .. } = attention.bias {
            add("attention.relative_buckets_count", size(buckets)?);
        }
    }
    Ok(keys)
}

fn size(size: usize) -> Result<Value> {
    u32::try_from(size).map(Value::U32).map_err(|_| Error::new(format!("{size} is more than the format can say")))
}
