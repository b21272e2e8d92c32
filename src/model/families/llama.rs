//! Decoders with rotary positions: Llama (Touvron et al. 2023) and its many relatives, told apart by a [`LlamaVariant`].

use super::flag::Flag;
use super::mixture::Mixture;
use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::rope::{Rope, longest};
use crate::model::{ConfigReader, Part, TensorLayout};
use crate::network::{
    Activation, AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective, OutputSpec,
    Projection, ProjectionBias, QueryKeyNorm, QueryKeyNormScope, RotarySpec, StackSpec, TokenInputSpec, Wiring,
};

/// What all of them name alike.
pub(super) const NAMES: &[Name] = &[
    ("decoder.embed.tokens", "embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "layers.{i}.input_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.output", "layers.{i}.self_attn.o_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query_norm", "layers.{i}.self_attn.q_norm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key_norm", "layers.{i}.self_attn.k_norm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "layers.{i}.mlp.down_proj", TensorLayout::PLAIN),
    ("decoder.norm", "norm", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

/// Projections with a tensor each.
pub(super) const APART: &[Name] = &[
    ("decoder.{i}.attention.query", "layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key", "layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.value", "layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.gate", "layers.{i}.mlp.gate_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "layers.{i}.mlp.up_proj", TensorLayout::PLAIN),
];

/// Projections that share a tensor.
pub(super) const FUSED: &[Name] = &[
    (
        "decoder.{i}.attention.query",
        "layers.{i}.self_attn.qkv_proj",
        TensorLayout::part(Part::Block(Projection::Query)),
    ),
    ("decoder.{i}.attention.key", "layers.{i}.self_attn.qkv_proj", TensorLayout::part(Part::Block(Projection::Key))),
    (
        "decoder.{i}.attention.value",
        "layers.{i}.self_attn.qkv_proj",
        TensorLayout::part(Part::Block(Projection::Value)),
    ),
    ("decoder.{i}.mlp.gate", "layers.{i}.mlp.gate_up_proj", TensorLayout::part(Part::Half(0))),
    ("decoder.{i}.mlp.up", "layers.{i}.mlp.gate_up_proj", TensorLayout::part(Part::Half(1))),
];

/// One norm before each branch.
pub(super) const NORMS: &[Name] =
    &[("decoder.{i}.mlp.norm", "layers.{i}.post_attention_layernorm", TensorLayout::PLAIN)];

/// Norms before and after each branch.
pub(super) const BOTH_NORMS: &[Name] = &[
    ("decoder.{i}.attention.post_norm", "layers.{i}.post_attention_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "layers.{i}.pre_feedforward_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.post_norm", "layers.{i}.post_feedforward_layernorm", TensorLayout::PLAIN),
];

/// Norms after each branch alone.
pub(super) const AFTER_NORMS: &[Name] = &[
    ("decoder.{i}.attention.post_norm", "layers.{i}.post_attention_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.post_norm", "layers.{i}.post_feedforward_layernorm", TensorLayout::PLAIN),
];

/// What Phi names otherwise.
pub(super) const PHI: &[Name] = &[
    ("decoder.{i}.attention.output", "layers.{i}.self_attn.dense", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query_norm", "layers.{i}.self_attn.q_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key_norm", "layers.{i}.self_attn.k_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "layers.{i}.mlp.fc1", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "layers.{i}.mlp.fc2", TensorLayout::PLAIN),
    ("decoder.norm", "final_layernorm", TensorLayout::PLAIN),
    ("output.bias", "lm_head.bias", TensorLayout::PLAIN),
];

/// What StarCoder2 names otherwise.
pub(super) const STARCODER: &[Name] = &[
    ("decoder.{i}.mlp.up", "layers.{i}.mlp.c_fc", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "layers.{i}.mlp.c_proj", TensorLayout::PLAIN),
];

pub(super) const GPTJ: &[Name] = &[
    ("decoder.embed.tokens", "wte.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "h.{i}.ln_1", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "h.{i}.attn.q_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key", "h.{i}.attn.k_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.value", "h.{i}.attn.v_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.output", "h.{i}.attn.out_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "h.{i}.mlp.fc_in", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "h.{i}.mlp.fc_out", TensorLayout::PLAIN),
    ("decoder.norm", "ln_f", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
    ("output.bias", "lm_head.bias", TensorLayout::PLAIN),
];

/// What CodeGen names otherwise.
pub(super) const CODEGEN: &[Name] = &[
    ("decoder.{i}.attention.query", "h.{i}.attn.qkv_proj", TensorLayout::part(Part::Sliced(Projection::Query))),
    ("decoder.{i}.attention.key", "h.{i}.attn.qkv_proj", TensorLayout::part(Part::Sliced(Projection::Key))),
    ("decoder.{i}.attention.value", "h.{i}.attn.qkv_proj", TensorLayout::part(Part::Sliced(Projection::Value))),
];

/// A mixture of experts with a tensor for each matrix of each expert, as Mixtral calls them.
pub(super) const MIXTRAL: &[Name] = &[
    ("decoder.{i}.mlp.router", "layers.{i}.block_sparse_moe.gate", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.experts.{n}.gate", "layers.{i}.block_sparse_moe.experts.{n}.w1", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.experts.{n}.down", "layers.{i}.block_sparse_moe.experts.{n}.w2", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.experts.{n}.up", "layers.{i}.block_sparse_moe.experts.{n}.w3", TensorLayout::PLAIN),
];

/// The same as Qwen3 calls them.
pub(super) const QWEN3_MOE: &[Name] = &[
    ("decoder.{i}.mlp.router", "layers.{i}.mlp.gate", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.experts.{n}.gate", "layers.{i}.mlp.experts.{n}.gate_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.experts.{n}.down", "layers.{i}.mlp.experts.{n}.down_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.experts.{n}.up", "layers.{i}.mlp.experts.{n}.up_proj", TensorLayout::PLAIN),
];

/// GPT-OSS, whose experts share tensors in which rows of gate and up alternate.
pub(super) const GPT_OSS: &[Name] = &[
    ("decoder.{i}.attention.sinks", "layers.{i}.self_attn.sinks", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.router", "layers.{i}.mlp.router", TensorLayout::PLAIN),
    (
        "decoder.{i}.mlp.experts.{n}.gate.weight",
        "layers.{i}.mlp.experts.gate_up_proj",
        TensorLayout::stacked(Part::Alternate(0)),
    ),
    (
        "decoder.{i}.mlp.experts.{n}.gate.bias",
        "layers.{i}.mlp.experts.gate_up_proj_bias",
        TensorLayout::stacked(Part::Alternate(0)),
    ),
    (
        "decoder.{i}.mlp.experts.{n}.up.weight",
        "layers.{i}.mlp.experts.gate_up_proj",
        TensorLayout::stacked(Part::Alternate(1)),
    ),
    (
        "decoder.{i}.mlp.experts.{n}.up.bias",
        "layers.{i}.mlp.experts.gate_up_proj_bias",
        TensorLayout::stacked(Part::Alternate(1)),
    ),
    ("decoder.{i}.mlp.experts.{n}.down.weight", "layers.{i}.mlp.experts.down_proj", TensorLayout::stacked(Part::Whole)),
    (
        "decoder.{i}.mlp.experts.{n}.down.bias",
        "layers.{i}.mlp.experts.down_proj_bias",
        TensorLayout::stacked(Part::Whole),
    ),
];

/// How one of these families differs from the others.
pub(super) struct LlamaVariant {
    /// Embeddings scaled by the root of the width, and GELU by hyperbolic tangent.
    pub gemma: bool,
    /// The formula of all norms.
    pub norm: NormKind,
    /// The key of what norms add to the variance, and its value where there is no such key.
    pub eps: (&'static str, f64),
    pub wiring: Wiring,
    /// The flag under which branches are parallel and read one norm (StableLM).
    pub parallel_key: Option<&'static str>,
    /// Whether the feed-forward part is gated.
    pub gated: bool,
    /// The key of the activation, and its value where there is no such key.
    pub activation: (&'static str, &'static str),
    /// Which projections of the attention have biases.
    pub bias: Bias,
    /// Whether the feed-forward part has biases.
    pub mlp_bias: Flag,
    /// Experts in place of one feed-forward part.
    pub mixture: Option<Mixture>,
    /// Whether each head has a score for seeing nothing (GPT-OSS).
    pub sinks: bool,
    /// Whether the head has a bias.
    pub head_bias: bool,
    /// Whether queries and keys are normalized.
    pub query_key_norm: Flag,
    /// What that goes over.
    pub query_key_scope: QueryKeyNormScope,
    /// Whether `clip_qkv` bounds queries, keys and values (OLMo).
    pub clips: bool,
    /// The key of a factor on the logits (Cohere), and its value where there is no such key.
    pub logit_scale: Option<(&'static str, f64)>,
    /// Head width where the configuration names none; else the model's width over its heads.
    pub head_dim: Option<usize>,
    /// Scores are divided by the root of `query_pre_attn_scalar`, by default this, instead of the head width.
    pub query_scalar: Option<f64>,
    /// Soft caps on scores and logits where the configuration names none.
    pub caps: Option<[Option<f64>; 2]>,
    /// Factors on embeddings, scores, branches and logits, as Granite has them.
    pub multipliers: bool,
    /// Whether the head is tied to the token table where the configuration does not say.
    pub tied: bool,
    /// Which layers see a window alone.
    pub windows: Windows,
    /// Whether `no_rope_layers` names layers without positions.
    pub unplaced_layers: bool,
    pub rope: Rope,
    /// Rotary positions of layers with a window, where they are others.
    pub window_rope: Option<Rope>,
}

/// Biases on the attention's projections.
#[derive(Clone, Copy)]
pub(super) enum Bias {
    /// On queries, keys and values.
    Inputs(Flag),
    All(Flag),
}

/// Which layers see only the last `sliding_window` positions.
#[derive(Clone, Copy)]
pub(super) enum Windows {
    Never,
    /// All of them; the window where the configuration has no such key.
    Every(Option<usize>),
    /// All of them where `use_sliding_window` is set; the window where the configuration has no such key.
    EveryFlagged(usize),
    /// Where `use_sliding_window` is set: those that `layer_types` names, else those from `max_window_layers`, or those
    /// without rotary positions.
    Flagged,
    /// Those that `layer_types` names, else all but every n-th, n under `sliding_window_pattern` or this.
    AllBut(usize),
}

pub(super) const LLAMA: LlamaVariant = LlamaVariant {
    gemma: false,
    norm: NormKind::Rms,
    eps: ("rms_norm_eps", 1e-6),
    wiring: Wiring::Pre,
    parallel_key: None,
    gated: true,
    activation: ("hidden_act", "silu"),
    bias: Bias::All(Flag::Key("attention_bias")),
    mlp_bias: Flag::Key("mlp_bias"),
    mixture: None,
    sinks: false,
    head_bias: false,
    query_key_norm: Flag::Never,
    query_key_scope: QueryKeyNormScope::Shared,
    clips: false,
    logit_scale: None,
    head_dim: None,
    query_scalar: None,
    caps: None,
    multipliers: false,
    tied: false,
    windows: Windows::Never,
    unplaced_layers: false,
    rope: Rope::PLAIN,
    window_rope: None,
};

/// GPT-J (Wang and Komatsuzaki 2021).
pub(super) const GPTJ_KIN: LlamaVariant = LlamaVariant {
    wiring: Wiring::ParallelOneNorm,
    eps: ("layer_norm_epsilon", 1e-5),
    activation: ("activation_function", "gelu_new"),
    bias: Bias::All(Flag::Never),
    head_bias: true,
    rope: Rope { dims: Some(("rotary_dim", 64)), interleaved: true, ..Rope::PLAIN },
    ..LAYER_NORM
};

/// Qwen2 (Yang et al. 2024).
pub(super) const QWEN2: LlamaVariant =
    LlamaVariant { bias: Bias::Inputs(Flag::Always), mlp_bias: Flag::Never, windows: Windows::Flagged, ..LLAMA };

/// Gemma 3 (Kamath et al. 2025).
pub(super) const GEMMA3: LlamaVariant = LlamaVariant {
    wiring: Wiring::Both,
    query_key_norm: Flag::Always,
    query_scalar: Some(256.0),
    caps: Some([None, None]),
    windows: Windows::AllBut(6),
    rope: Rope { layers: Some("full_attention"), theta: 1e6, ..Rope::PLAIN },
    window_rope: Some(Rope {
        layers: Some("sliding_attention"),
        theta_key: "rope_local_base_freq",
        scaled: false,
        ..Rope::PLAIN
    }),
    ..GEMMA
};

/// What all Gemmas have in common.
pub(super) const GEMMA: LlamaVariant =
    LlamaVariant { gemma: true, norm: NormKind::RmsPlusOne, head_dim: Some(256), tied: true, ..LLAMA };

/// Layer norm, biases, a feed-forward part without a gate.
pub(super) const LAYER_NORM: LlamaVariant = LlamaVariant {
    norm: NormKind::Layer,
    eps: ("layer_norm_eps", 1e-5),
    gated: false,
    activation: ("hidden_act", "gelu_new"),
    bias: Bias::All(Flag::Always),
    mlp_bias: Flag::Always,
    ..LLAMA
};

/// The network of a configuration.
pub(super) fn decoder(reading: &ConfigReader<'_>, variant: &LlamaVariant) -> Result<NetworkSpec> {
    let config = reading.config;
    let width = reading.width()?;
    let heads = reading.heads()?;
    let kv_heads = reading.kv_heads(heads)?;
    let head_dim = reading.head_dim(variant.head_dim.unwrap_or(width / heads))?;
    let vocabulary = config.size("vocab_size")?;
    let multiplier = |key: &str| if variant.multipliers { config.number_or(key, 1.0) } else { Ok(1.0) };
    let [score_cap, logit_cap] = match variant.caps {
        None => [None, None],
        Some([scores, logits]) => [
            unless_null(reading, "attn_logit_softcapping", scores)?,
            unless_null(reading, "final_logit_softcapping", logits)?,
        ],
    };
    let plain = AttentionSpec::new(heads, kv_heads, head_dim);
    let scale = match variant.query_scalar {
        Some(default) => config.number_or("query_pre_attn_scalar", default)?.powf(-0.5),
        None if variant.multipliers => config.number_or("attention_multiplier", 1.0)?,
        None => plain.scale,
    };
    let attention = AttentionSpec {
        causal: true,
        scale,
        soft_cap: score_cap,
        projection_bias: match variant.bias {
            Bias::Inputs(flag) => ProjectionBias::qkv(flag.read(reading)?, false),
            Bias::All(flag) => ProjectionBias::all(flag.read(reading)?),
        },
        clip: if variant.clips { config.number_opt("clip_qkv")? } else { None },
        sinks: variant.sinks,
        ..plain
    };
    let norm = NormSpec { kind: variant.norm, eps: config.number_or(variant.eps.0, variant.eps.1)? };
    let normalizes = variant.query_key_norm.read(reading)?;
    let query_key_norm = normalizes.then_some(QueryKeyNorm { norm, scope: variant.query_key_scope });
    let mlp = MlpSpec {
        width: if variant.gated { config.size("intermediate_size")? } else { reading.inner(width)? },
        activation: gate_activation(reading, variant)?,
        gated: variant.gated,
        bias: variant.mlp_bias.read(reading)?,
    };
    let wiring = match variant.parallel_key {
        Some(key) if config.flag_or(key, false)? => Wiring::ParallelOneNorm,
        _ => variant.wiring,
    };
    let residual_scale = multiplier("residual_multiplier")?;
    let count = reading.layers()?;
    let layout = LayerPatterns::read(reading, variant, count, head_dim)?;
    let mixture = variant.mixture.map(|mixture| mixture.read(reading, count)).transpose()?;
    let layers = (0..count)
        .map(|i| {
            let window = layout.windows.get(i).copied().flatten();
            let rotary = match &layout.window_rotary {
                Some(rotary) if window.is_some() => Some(rotary),
                _ => layout.placed.get(i).is_some_and(|p| *p).then_some(&layout.rotary),
            };
            let attention = AttentionSpec { window, rotary: rotary.cloned(), query_key_norm, ..attention.clone() };
            let own = mixture.as_ref().filter(|mixture| mixture.layers.get(i).is_some_and(|there| *there));
            let experts = own.map(|mixture| mixture.experts);
            let mlp = MlpSpec { width: own.map_or(mlp.width, |mixture| mixture.width), ..mlp.clone() };
            LayerSpec { residual_scale, experts, ..LayerSpec::new(i, attention, mlp, norm, wiring) }
        })
        .collect();
    let input = TokenInputSpec {
        scale: if variant.gemma { (width as f64).sqrt() } else { multiplier("embedding_multiplier")? },
        max_length: longest(config)?,
        ..TokenInputSpec::new(vocabulary, width)
    };
    let output = OutputSpec {
        bias: variant.head_bias,
        scale: match variant.logit_scale {
            Some((key, default)) => config.number_or(key, default)?,
            None => 1.0 / multiplier("logits_scaling")?,
        },
        soft_cap: logit_cap,
        ..OutputSpec::new(vocabulary, Objective::Causal, config.flag_or("tie_word_embeddings", variant.tied)?)
    };
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: Some(norm), project_out: None };
    Ok(NetworkSpec::decoder(stack, reading.wants_head().then_some(output)))
}

/// The activation; Gemmas mean the approximation even where they say `gelu`.
fn gate_activation(reading: &ConfigReader<'_>, variant: &LlamaVariant) -> Result<Activation> {
    let config = reading.config;
    // It is not what counts where another key does, or none.
    config.settle(&["hidden_act"]);
    if !variant.gemma {
        return activation(config, variant.activation.0, variant.activation.1);
    }
    let key = if config.get("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
    Ok(match activation(config, key, "gelu_pytorch_tanh")? {
        Activation::Gelu => Activation::GeluTanh,
        other => other,
    })
}

/// A number that `null` turns off, or `default` where the key is absent.
fn unless_null(reading: &ConfigReader<'_>, key: &str, default: Option<f64>) -> Result<Option<f64>> {
    match reading.config.get_or_null(key) {
        None => Ok(default),
        Some(_) => reading.config.number_opt(key),
    }
}

/// What changes from layer to layer.
struct LayerPatterns {
    windows: Vec<Option<usize>>,
    /// Layers with rotary positions.
    placed: Vec<bool>,
    rotary: RotarySpec,
    window_rotary: Option<RotarySpec>,
}

impl LayerPatterns {
    fn read(reading: &ConfigReader<'_>, variant: &LlamaVariant, count: usize, head_dim: usize) -> Result<Self> {
        let config = reading.config;
        let placed = if variant.unplaced_layers { placed_layers(reading, count)? } else { vec![true; count] };
        let window = match variant.windows {
            Windows::Every(default) if config.get_or_null("sliding_window").is_none() => default,
            Windows::Never => None,
            Windows::AllBut(_) => Some(config.size_or("sliding_window", 4096)?),
            Windows::Flagged | Windows::EveryFlagged(_) if !config.flag_or("use_sliding_window", false)? => {
                config.settle(&["sliding_window", "max_window_layers"]);
                None
            }
            Windows::EveryFlagged(default) if config.get_or_null("sliding_window").is_none() => Some(default),
            _ => config.size_opt("sliding_window")?,
        };
        let slides: Vec<bool> = match (variant.windows, reading.sliding_layers(count)?) {
            (Windows::Every(_) | Windows::EveryFlagged(_), _) => vec![true; count],
            (Windows::Never, _) => vec![false; count],
            (_, Some(named)) => {
                config.settle(&["max_window_layers", "sliding_window_pattern", "_sliding_window_pattern"]);
                named
            }
            (Windows::Flagged, None) if variant.unplaced_layers => placed.iter().map(|placed| !placed).collect(),
            (Windows::Flagged, None) => {
                let first = config.size_or("max_window_layers", 28)?;
                (0..count).map(|i| i >= first).collect()
            }
            (Windows::AllBut(default), None) => {
                let nth = reading.period("sliding_window_pattern", default)?;
                (0..count).map(|i| (i + 1) % nth != 0).collect()
            }
        };
        Ok(Self {
            windows: slides.into_iter().map(|slides| window.filter(|_| slides)).collect(),
            placed,
            rotary: variant.rope.read(config, head_dim)?,
            window_rotary: variant.window_rope.map(|rope| rope.read(config, head_dim)).transpose()?,
        })
    }
}

/// Layers with rotary positions: `no_rope_layers` (1 with, 0 without), else all but every n-th.
fn placed_layers(reading: &ConfigReader<'_>, count: usize) -> Result<Vec<bool>> {
    let config = reading.config;
    let list = config.get("no_rope_layers");
    config.settle(&["no_rope_layer_interval"]);
    let Some(list) = list else {
        let nth = reading.period("no_rope_layer_interval", 4)?;
        return Ok((0..count).map(|i| (i + 1) % nth != 0).collect());
    };
    let wrong = || config.wrong("no_rope_layers", &format!("a list of {count} times 0 or 1"));
    let flags: Vec<bool> = list.as_array().ok_or_else(wrong)?.iter().filter_map(|v| Some(v.as_u64()? != 0)).collect();
    if flags.len() == count { Ok(flags) } else { Err(wrong()) }
}
