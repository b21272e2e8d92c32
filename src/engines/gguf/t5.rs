//! What llama.cpp computes of T5: one number of heads for encoder, decoder and cross attention, scores unscaled, logits of
//! a tied head unscaled too.

use super::architecture::{Conversion, Reason};
use crate::engines::convention::Folds;
use crate::network::{
    Activation, AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, PositionSpec, ScoreBias,
    StackSpec, Wiring,
};

/// Its name in files.
pub(super) const NAME: &str = "t5";

/// The distance from which all share a bucket, which llama.cpp does not read.
const DISTANCE: usize = 128;

/// Length that is written, since relative positions have no longest.
const LENGTH: usize = 512;

/// How it computes an encoder-decoder of `spec`.
///
/// # Errors
/// What it cannot do.
pub(super) fn convert(spec: &NetworkSpec) -> Result<Conversion, Reason> {
    let says = |wrong: bool, what: &str| if wrong { Err(what.to_owned()) } else { Ok(()) };
    let (Some(encoder), Some(decoder)) = (&spec.encoder, &spec.decoder) else {
        return Err("the model is no encoder-decoder".to_owned());
    };
    says(spec.task.is_some(), "the model has the head of a labeled task")?;
    let Some(output) = &spec.output else { return Err("the model has no language-model head".to_owned()) };
    says(output.transform.is_some() || output.bias || output.soft_cap.is_some(), "the head is no plain projection")?;
    let first = encoder.layers.first().ok_or("the model has no layers")?;
    for stack in [encoder, decoder] {
        check_stack(stack, first)?;
    }
    says(encoder.width != decoder.width, "encoder and decoder have different widths")?;
    let mut engine = spec.clone();
    let head = output.scale;
    if let Some(output) = &mut engine.output {
        output.scale = 1.0;
    }
    let folds = Folds { embedding: 1.0, head, branches: 1.0, queries: Vec::new() };
    let notes = vec!["relative positions have no longest text; the file names 512 tokens".to_owned()];
    Ok(Conversion { spec: engine, folds, rope: None, window_base: None, windows: None, context: LENGTH, notes })
}

fn check_stack(stack: &StackSpec, first: &LayerSpec) -> Result<(), Reason> {
    let says = |wrong: bool, what: &str| if wrong { Err(what.to_owned()) } else { Ok(()) };
    let InputSpec::Tokens(input) = &stack.input else { return Err("the model does not read tokens".to_owned()) };
    let is_plain = input.positions == PositionSpec::None && input.norm.is_none() && input.types == 0;
    says(
        !is_plain || input.mask_scaling.is_some() || input.project.is_some() || input.scale != 1.0,
        "embeddings are not plain",
    )?;
    says(stack.project_out.is_some() || stack.final_norm != Some(first.norm), "norms differ from each other")?;
    for layer in &stack.layers {
        let LayerSpec { attention, mlp, .. } = layer;
        says(layer.wiring != Wiring::Pre || layer.norm != first.norm, "norms differ from each other")?;
        says(layer.norm.kind != NormKind::Rms, "the model has layer norm, not RMS norm")?;
        says(
            layer.experts.is_some() || layer.residual_scale != 1.0 || layer.channel_scale || !layer.has_attention_norm,
            "branches are scaled",
        )?;
        says(mlp != &first.mlp, "feed-forward parts differ from each other")?;
        let MlpSpec { gated, activation, bias, .. } = *mlp;
        let known = matches!((gated, activation), (true, Activation::GeluTanh) | (false, Activation::Relu));
        says(!known || bias, "the feed-forward part is another")?;
        for attention in [Some(attention), layer.cross.as_ref()].into_iter().flatten() {
            check_attention(attention, &first.attention)?;
        }
        let is_known = match attention.bias {
            ScoreBias::Relative { max_distance, .. } => {
                max_distance == DISTANCE && attention.bias == first.attention.bias
            }
            _ => false,
        };
        says(!is_known, "relative positions do not end at distance 128")?;
    }
    Ok(())
}

fn check_attention(attention: &AttentionSpec, first: &AttentionSpec) -> Result<(), Reason> {
    let bias = attention.projection_bias;
    let is_plain = attention.scale == 1.0
        && attention.soft_cap.is_none()
        && attention.window.is_none()
        && attention.rotary.is_none()
        && attention.clip.is_none()
        && !attention.sinks
        && attention.query_key_norm.is_none()
        && attention.head_dim == first.head_dim
        && !(bias.query || bias.key || bias.value || bias.output);
    if is_plain { Ok(()) } else { Err("attention is not that of T5".to_owned()) }
}
