//! What CTranslate2 computes of a network, and how.

use candle_core::D;

use crate::checkpoint::Config;
use crate::engines::convention::{Folds, plain};
use crate::error::Result as Outcome;
use crate::network::{
    Activation, AttentionSpec, Beyond, Counting, EmbedModule, InputSpec, LayerSpec, MlpSpec, Module, NetworkSpec,
    NormSpec, PositionSpec, QueryKeyNormScope, ScoreBias, StackKind, StackSpec, TokenInputSpec, Weights, Wiring,
};

/// Why it computes no such network.
pub(super) type Refusal = String;

/// Which class of models a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ct2Class {
    /// Translator: text to text.
    EncoderDecoder,
    /// Whisper: speech to text.
    Speech,
    /// Generator: text that goes on.
    Decoder,
    /// Encoder: text to states.
    Encoder,
}

impl Ct2Class {
    /// Its name in files, and the revision of its variables' names.
    pub(super) fn name(self) -> (&'static str, u32) {
        match self {
            Self::EncoderDecoder => ("TransformerSpec", 7),
            Self::Speech => ("WhisperSpec", 3),
            Self::Decoder => ("TransformerDecoderSpec", 8),
            Self::Encoder => ("TransformerEncoderSpec", 1),
        }
    }

    pub(super) fn opens_in(self) -> &'static [&'static str] {
        match self {
            Self::EncoderDecoder => &["CTranslate2 (Translator)"],
            Self::Speech => &["CTranslate2 (Whisper)", "faster-whisper", "WhisperX"],
            Self::Decoder => &["CTranslate2 (Generator)"],
            Self::Encoder => &["CTranslate2 (Encoder)"],
        }
    }
}

/// How it computes a network.
#[derive(Clone, Debug)]
pub(super) struct Ct2Conversion {
    pub class: Ct2Class,
    /// What is computed, with the weights that [`crate::engines::convention`] makes.
    pub spec: NetworkSpec,
    pub folds: Folds,
    /// The number that every norm adds.
    pub eps: f64,
    /// Whether the last token, which stands for padding, is left out: the decoder begins with nothing instead.
    pub drops_padding: bool,
    /// What a reader should know.
    pub notes: Vec<String>,
}

fn says(wrong: bool, what: &str) -> Result<(), Refusal> {
    if wrong { Err(what.to_owned()) } else { Ok(()) }
}

/// The engine's number of an activation.
pub(super) fn activation_code(activation: Activation) -> Option<i8> {
    match activation {
        Activation::Relu => Some(0),
        Activation::GeluTanh => Some(1),
        Activation::Silu => Some(2),
        Activation::Gelu => Some(3),
        Activation::QuickGelu => Some(4),
        Activation::Tanh => Some(5),
        Activation::ReluSquared | Activation::Linear => None,
    }
}

/// How the engine computes a network of `spec`, whose layers it has to take as they are.
///
/// # Errors
/// What it cannot do.
pub(super) fn convert(spec: &NetworkSpec) -> Result<Ct2Conversion, Refusal> {
    let frames = matches!(spec.encoder.as_ref().map(|stack| &stack.input), Some(InputSpec::Frames(_)));
    let class = match (&spec.encoder, &spec.decoder) {
        (Some(_), Some(_)) if frames => Ct2Class::Speech,
        (Some(_), Some(_)) => Ct2Class::EncoderDecoder,
        (None, Some(_)) => Ct2Class::Decoder,
        (Some(_), None) => Ct2Class::Encoder,
        (None, None) => return Err("the model has no layers".to_owned()),
    };
    says(spec.task.is_some(), "the model has the head of a labeled task")?;
    match (&spec.output, class) {
        (Some(_), Ct2Class::Encoder) => return Err("the model is an encoder with a language-model head".to_owned()),
        (None, Ct2Class::Encoder) => {}
        (Some(output), _) => {
            says(output.transform.is_some(), "the model has a layer before its head")?;
            says(output.soft_cap.is_some(), "the model caps logits")?;
        }
        (None, _) => return Err("the model has no language-model head".to_owned()),
    }
    let mut notes = Vec::new();
    let (mut eps, mut branches) = (None, None);
    let mut engine = spec.clone();
    for (causal, stack) in [(false, &mut engine.encoder), (true, &mut engine.decoder)] {
        let Some(stack) = stack else { continue };
        let sees = |layer: &LayerSpec| layer.attention.causal != causal;
        says(stack.layers.iter().any(sees), "the model sees text in the other direction")?;
        check_stack(stack, class, &mut eps, &mut branches)?;
        settle(stack, &mut notes);
    }
    let folds = Folds { embedding: 1.0, head: 1.0, branches: branches.unwrap_or(1.0), queries: Vec::new() };
    let eps = eps.ok_or("the model has no norms")?;
    Ok(Ct2Conversion { class, spec: engine, folds, eps, drops_padding: false, notes })
}

/// Notes a norm's number; all have to add the same.
fn same_eps(norm: Option<NormSpec>, eps: &mut Option<f64>) -> Result<(), Refusal> {
    let Some(norm) = norm else { return Ok(()) };
    says(eps.is_some_and(|other| other != norm.eps), "norms add several numbers to what they divide by")?;
    *eps = Some(norm.eps);
    Ok(())
}

fn check_stack(
    stack: &StackSpec,
    class: Ct2Class,
    eps: &mut Option<f64>,
    branches: &mut Option<f64>,
) -> Result<(), Refusal> {
    let first = stack.layers.first().ok_or("the model has no layers")?;
    let decodes = first.attention.causal;
    let rotary = |layer: &LayerSpec| layer.attention.rotary.is_some();
    let placed = rotary(first) || first.attention.bias != ScoreBias::None;
    match &stack.input {
        InputSpec::Tokens(input) => {
            // Every field is named, so that what a network gains is thought of here.
            let TokenInputSpec {
                vocabulary: _,
                width: _,
                project,
                scale: _,
                types,
                positions,
                norm,
                mask_scaling,
                max_length,
            } = input;
            says(mask_scaling.is_some(), "the model scales masked tokens")?;
            says(project.is_some_and(|p| p.bias) || (project.is_some() && !decodes), "embeddings are projected")?;
            says(*types > 0 && class != Ct2Class::Encoder, "the model has token types")?;
            says(norm.is_some() && project.is_some(), "embeddings are normalized before they are projected")?;
            let placed_at_input = match positions {
                PositionSpec::None => false,
                PositionSpec::Table { after_projection, .. } => {
                    says(project.is_some() && !after_projection, "positions are added before a projection")?;
                    true
                }
                PositionSpec::Sinusoidal { .. } => {
                    says(max_length.is_none(), "the model has sinusoids without an end")?;
                    true
                }
            };
            says(placed_at_input && placed, "the model has two kinds of positions")?;
            says(!placed_at_input && !placed, "the first layer knows no positions, and the engine would add some")?;
            same_eps(*norm, eps)?;
        }
        InputSpec::Frames(_) => says(placed, "the model has two kinds of positions")?,
        InputSpec::Patches(_) | InputSpec::Samples(_) => return Err("the model reads images or sound".to_owned()),
    }
    let project = matches!(&stack.input, InputSpec::Tokens(input) if input.project.is_some());
    says(project != stack.project_out.is_some(), "embeddings are projected on one side alone")?;
    same_eps(stack.final_norm, eps)?;
    for layer in &stack.layers {
        check_layer(layer, first)?;
        same_eps(Some(layer.norm), eps)?;
        same_eps(layer.attention.query_key_norm.map(|norm| norm.norm), eps)?;
        says(branches.is_some_and(|other| other != layer.residual_scale), "layers are scaled apart")?;
        *branches = Some(layer.residual_scale);
        says(
            class == Ct2Class::Speech && layer.mlp.activation != Activation::Gelu,
            "the feed-forward part is another",
        )?;
        says(
            layer.residual_scale != 1.0 && layer.wiring == Wiring::Both,
            "the model scales branches that it normalizes",
        )?;
    }
    let biases = |layer: &LayerSpec| layer.attention.bias != first.attention.bias;
    says(stack.layers.iter().any(biases), "layers add several biases to their scores")?;
    if first.attention.bias.has_shared_table() {
        // The engine forms the bias of the first layer and adds it in all.
        let differs = |layer: &LayerSpec| layer.attention.origin != first.attention.origin;
        says(stack.layers.iter().any(differs), "layers keep different heads of one table of relative positions")?;
    }
    Ok(())
}

fn check_layer(layer: &LayerSpec, first: &LayerSpec) -> Result<(), Refusal> {
    // Every field is named, so that what a network gains is thought of here.
    let LayerSpec {
        stored: _,
        attention,
        cross,
        mlp,
        norm: _,
        wiring,
        has_attention_norm,
        residual_scale: _,
        channel_scale,
        experts,
    } = layer;
    says(experts.is_some(), "the model is a mixture of experts")?;
    says(*channel_scale || !has_attention_norm, "the model scales channels or leaves norms out")?;
    says(*wiring == Wiring::After, "the model normalizes what branches give")?;
    says(*wiring != first.wiring, "layers are wired in several ways")?;
    says(cross.is_some() && !matches!(wiring, Wiring::Pre | Wiring::Post), "layers are wired in another way")?;
    let MlpSpec { width: _, activation, gated: _, bias: _ } = mlp;
    says(activation_code(*activation).is_none(), "the feed-forward part is another")?;
    says(*activation != first.mlp.activation, "layers have several activations")?;
    for attention in [Some(attention), cross.as_ref()].into_iter().flatten() {
        check_attention(attention, &first.attention)?;
    }
    Ok(())
}

fn check_attention(attention: &AttentionSpec, first: &AttentionSpec) -> Result<(), Refusal> {
    let AttentionSpec {
        heads,
        kv_heads: _,
        head_dim: _,
        scale: _,
        soft_cap,
        causal,
        window,
        rotary: _,
        bias,
        projection_bias: _,
        clip,
        query_key_norm,
        sinks,
        origin,
        origin_heads,
        origin_kv_heads: _,
    } = attention;
    says(*heads != first.heads, "layers have different numbers of heads")?;
    says(soft_cap.is_some(), "the model caps scores")?;
    says(*sinks, "the model's heads may see nothing")?;
    says(clip.is_some(), "the model bounds queries, keys and values")?;
    says(window.is_some() && !causal, "the model sees a window in both directions")?;
    let shared = |norm: crate::network::QueryKeyNorm| norm.scope == QueryKeyNormScope::Shared;
    says(query_key_norm.is_some_and(|norm| !shared(norm)), "the model normalizes queries and keys otherwise")?;
    match bias {
        ScoreBias::None | ScoreBias::Relative { .. } => Ok(()),
        // The engine makes slopes for as many heads as there are.
        ScoreBias::Alibi if origin.len() == *origin_heads => Ok(()),
        ScoreBias::Alibi => Err("each head has a slope of its own number, which the engine counts anew".to_owned()),
        ScoreBias::Grid { .. } | ScoreBias::Disentangled(_) => {
            Err("the model adds biases to its scores that the engine does not have".to_owned())
        }
    }
}

/// Makes `stack` what the engine computes; says what is only so for short texts.
fn settle(stack: &mut StackSpec, notes: &mut Vec<String>) {
    let mut bound: Option<usize> = None;
    for layer in &mut stack.layers {
        layer.norm = plain(layer.norm);
        layer.residual_scale = 1.0;
        let attention = &mut layer.attention;
        if let Some(norm) = &mut attention.query_key_norm {
            norm.norm = plain(norm.norm);
        }
        if let Some(rotary) = &mut attention.rotary {
            // Queries and keys both grow by it.
            attention.scale *= rotary.attention_factor.powi(2);
            rotary.attention_factor = 1.0;
            if let Beyond::Other { length, .. } | Beyond::Stretched { length, .. } = rotary.beyond {
                bound = Some(bound.map_or(length, |other| other.min(length)));
                rotary.beyond = Beyond::Same;
            }
        }
    }
    let window = stack.layers.iter().filter_map(|layer| layer.attention.window).min();
    stack.final_norm = stack.final_norm.map(plain);
    let InputSpec::Tokens(input) = &mut stack.input else { return };
    input.norm = input.norm.map(plain);
    let longest = input.max_length.unwrap_or(usize::MAX);
    if let Some(length) = bound.filter(|length| *length < longest) {
        notes.push(format!("the file is for texts of at most {length} tokens: beyond, the model turns otherwise"));
        input.max_length = Some(length);
    }
    if let Some(window) = window.filter(|window| *window < longest) {
        let what = "are read in pieces, which see further back than the model's window";
        notes.push(format!("prompts of more than {window} tokens {what}"));
        input.max_length = Some(input.max_length.map_or(window, |length| length.min(window)));
    }
    if let (PositionSpec::Sinusoidal { offset, counting, .. }, Some(length)) = (&input.positions, input.max_length) {
        // The file holds them.
        let (offset, counting) = (*offset, *counting);
        let counting = if let Counting::Unpadded { .. } = counting { counting } else { Counting::Every };
        input.positions = PositionSpec::Table { rows: length + offset, offset, counting, after_projection: false };
    }
}

/// Whether the last token of both tables is the padding that a decoder begins with, and nothing: the engine begins with
/// nothing by itself, and the token can then not be generated either (Marian).
pub(super) fn starts_from_nothing(spec: &NetworkSpec, config: &Config, weights: &dyn Weights) -> Outcome<bool> {
    let start = config.token_opt("decoder_start_token_id");
    let (Some(_), Some(decoder), Some(output)) = (&spec.encoder, &spec.decoder, &spec.output) else { return Ok(false) };
    let InputSpec::Tokens(input) = &decoder.input else { return Ok(false) };
    let Some(last) = input.vocabulary.checked_sub(1) else { return Ok(false) };
    let is_last = start.is_some_and(|start| start as usize == last);
    if !is_last || config.token_opt("pad_token_id") != start || output.vocabulary != input.vocabulary {
        return Ok(false);
    }
    let mut sum = 0f32;
    for kind in [StackKind::Encoder, StackKind::Decoder] {
        let table = Module::Embed(kind, EmbedModule::Tokens).weight();
        let row = weights.rows(table, std::slice::from_ref(&(last..last + 1)))?;
        sum += row.abs()?.sum_all()?.to_scalar::<f32>()?;
    }
    if output.bias {
        sum += weights.get(Module::Output.bias())?.narrow(D::Minus1, last, 1)?.abs()?.sum_all()?.to_scalar::<f32>()?;
    }
    Ok(sum == 0.0)
}
