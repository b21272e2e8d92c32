//! Decoders with layer norm and a plain feed-forward part: GPT-2, GPT-Neo, OPT, XGLM, BLOOM, GPT-NeoX, Falcon.

use serde_json::Value;

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::rope::{Rope, longest};
use crate::model::{ConfigReader, Part, TensorLayout};
use crate::network::{
    Activation, AttentionSpec, Counting, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective,
    OutputSpec, PositionSpec, ProjectSpec, Projection, ProjectionBias, ScoreBias, SinusoidSpacing, StackSpec,
    TokenInputSpec, Wiring,
};

pub(super) const GPT2_NAMES: &[Name] = &[
    ("decoder.embed.tokens", "wte.weight", TensorLayout::PLAIN),
    ("decoder.embed.positions", "wpe.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "h.{i}.ln_1", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "h.{i}.attn.c_attn", fused(Projection::Query)),
    ("decoder.{i}.attention.key", "h.{i}.attn.c_attn", fused(Projection::Key)),
    ("decoder.{i}.attention.value", "h.{i}.attn.c_attn", fused(Projection::Value)),
    ("decoder.{i}.attention.output", "h.{i}.attn.c_proj", TensorLayout::TRANSPOSED),
    ("decoder.{i}.mlp.norm", "h.{i}.ln_2", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "h.{i}.mlp.c_fc", TensorLayout::TRANSPOSED),
    ("decoder.{i}.mlp.down", "h.{i}.mlp.c_proj", TensorLayout::TRANSPOSED),
    ("decoder.norm", "ln_f", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

pub(super) const OPT_NAMES: &[Name] = &[
    ("decoder.embed.tokens", "decoder.embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.embed.positions", "decoder.embed_positions.weight", TensorLayout::PLAIN),
    ("decoder.embed.project", "decoder.project_in", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "decoder.layers.{i}.self_attn_layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "decoder.layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key", "decoder.layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.value", "decoder.layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.output", "decoder.layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "decoder.layers.{i}.final_layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "decoder.layers.{i}.fc1", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "decoder.layers.{i}.fc2", TensorLayout::PLAIN),
    ("decoder.norm", "decoder.final_layer_norm", TensorLayout::PLAIN),
    ("decoder.project_out", "decoder.project_out.weight", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

pub(super) const XGLM_NAMES: &[Name] = &[
    ("decoder.embed.tokens", "embed_tokens.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "layers.{i}.self_attn_layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "layers.{i}.self_attn.q_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key", "layers.{i}.self_attn.k_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.value", "layers.{i}.self_attn.v_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.output", "layers.{i}.self_attn.out_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "layers.{i}.final_layer_norm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "layers.{i}.fc1", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "layers.{i}.fc2", TensorLayout::PLAIN),
    ("decoder.norm", "layer_norm", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

pub(super) const BLOOM_NAMES: &[Name] = &[
    ("decoder.embed.tokens", "word_embeddings.weight", TensorLayout::PLAIN),
    ("decoder.embed.norm", "word_embeddings_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "h.{i}.input_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "h.{i}.self_attention.query_key_value", by_head(Projection::Query)),
    ("decoder.{i}.attention.key", "h.{i}.self_attention.query_key_value", by_head(Projection::Key)),
    ("decoder.{i}.attention.value", "h.{i}.self_attention.query_key_value", by_head(Projection::Value)),
    ("decoder.{i}.attention.output", "h.{i}.self_attention.dense", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "h.{i}.post_attention_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "h.{i}.mlp.dense_h_to_4h", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "h.{i}.mlp.dense_4h_to_h", TensorLayout::PLAIN),
    ("decoder.norm", "ln_f", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

pub(super) const NEOX_NAMES: &[Name] = &[
    ("decoder.embed.tokens", "embed_in.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "layers.{i}.input_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "layers.{i}.attention.query_key_value", by_head(Projection::Query)),
    ("decoder.{i}.attention.key", "layers.{i}.attention.query_key_value", by_head(Projection::Key)),
    ("decoder.{i}.attention.value", "layers.{i}.attention.query_key_value", by_head(Projection::Value)),
    ("decoder.{i}.attention.output", "layers.{i}.attention.dense", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "layers.{i}.post_attention_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "layers.{i}.mlp.dense_h_to_4h", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "layers.{i}.mlp.dense_4h_to_h", TensorLayout::PLAIN),
    ("decoder.norm", "final_layer_norm", TensorLayout::PLAIN),
    ("output.weight", "embed_out.weight", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

pub(super) const GPT_NEO_NAMES: &[Name] = &[
    ("decoder.embed.tokens", "wte.weight", TensorLayout::PLAIN),
    ("decoder.embed.positions", "wpe.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "h.{i}.ln_1", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "h.{i}.attn.attention.q_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.key", "h.{i}.attn.attention.k_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.value", "h.{i}.attn.attention.v_proj", TensorLayout::PLAIN),
    ("decoder.{i}.attention.output", "h.{i}.attn.attention.out_proj", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "h.{i}.ln_2", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "h.{i}.mlp.c_fc", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "h.{i}.mlp.c_proj", TensorLayout::PLAIN),
    ("decoder.norm", "ln_f", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

pub(super) const FALCON_NAMES: &[Name] = &[
    ("decoder.embed.tokens", "word_embeddings.weight", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "h.{i}.ln_attn", TensorLayout::PLAIN),
    ("decoder.{i}.attention.norm", "h.{i}.input_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.attention.query", "h.{i}.self_attention.query_key_value", by_head(Projection::Query)),
    ("decoder.{i}.attention.key", "h.{i}.self_attention.query_key_value", by_head(Projection::Key)),
    ("decoder.{i}.attention.value", "h.{i}.self_attention.query_key_value", by_head(Projection::Value)),
    ("decoder.{i}.attention.output", "h.{i}.self_attention.dense", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "h.{i}.ln_mlp", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.norm", "h.{i}.post_attention_layernorm", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.up", "h.{i}.mlp.dense_h_to_4h", TensorLayout::PLAIN),
    ("decoder.{i}.mlp.down", "h.{i}.mlp.dense_4h_to_h", TensorLayout::PLAIN),
    ("decoder.norm", "ln_f", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
];

const fn fused(projection: Projection) -> TensorLayout {
    TensorLayout::transposed_part(Part::Block(projection))
}

const fn by_head(projection: Projection) -> TensorLayout {
    TensorLayout::part(Part::Interleaved(projection))
}

/// What all of them have in common; families change what differs.
struct Decoder {
    width: usize,
    input: TokenInputSpec,
    attention: AttentionSpec,
    mlp: MlpSpec,
    norm: NormSpec,
    wiring: Wiring,
    has_final_norm: bool,
    tied: bool,
}

impl Decoder {
    fn read(reading: &ConfigReader<'_>, eps_key: &str) -> Result<Self> {
        let config = reading.config;
        let width = reading.width()?;
        let heads = reading.heads()?;
        Ok(Self {
            width,
            input: TokenInputSpec::new(config.size("vocab_size")?, width),
            attention: AttentionSpec {
                causal: true,
                projection_bias: ProjectionBias::all(true),
                ..AttentionSpec::new(heads, heads, reading.head_dim(width / heads)?)
            },
            mlp: MlpSpec { width: reading.inner(width)?, activation: Activation::GeluTanh, gated: false, bias: true },
            norm: NormSpec { kind: NormKind::Layer, eps: config.number_or(eps_key, 1e-5)? },
            wiring: Wiring::Pre,
            has_final_norm: true,
            tied: true,
        })
    }

    /// Gives each learned position a row of a table, `offset` rows from its start.
    fn place(&mut self, length: usize, offset: usize, counting: Counting, after_projection: bool) {
        let rows = length + offset;
        self.input.positions = PositionSpec::Table { rows, offset, counting, after_projection };
        self.input.max_length = Some(length);
    }

    /// The network; `scale` gives the factor on the scores of a layer.
    fn build(self, reading: &ConfigReader<'_>, scale: impl Fn(usize) -> f64) -> Result<NetworkSpec> {
        self.build_with(reading, |i, attention| AttentionSpec { scale: scale(i), ..attention })
    }

    /// The network; `own` gives what differs in the attention of a layer.
    fn build_with(
        self,
        reading: &ConfigReader<'_>,
        own: impl Fn(usize, AttentionSpec) -> AttentionSpec,
    ) -> Result<NetworkSpec> {
        let (embedding, vocabulary) = (self.input.width, self.input.vocabulary);
        let tied = reading.config.flag_or("tie_word_embeddings", self.tied)?;
        let layers = (0..reading.layers()?)
            .map(|i| LayerSpec::new(i, own(i, self.attention.clone()), self.mlp.clone(), self.norm, self.wiring))
            .collect();
        let stack = StackSpec {
            width: self.width,
            input: InputSpec::Tokens(self.input),
            layers,
            final_norm: self.has_final_norm.then_some(self.norm),
            project_out: (embedding != self.width).then_some(embedding),
        };
        let output = OutputSpec::new(vocabulary, Objective::Causal, tied);
        Ok(NetworkSpec::decoder(stack, reading.wants_head().then_some(output)))
    }
}

/// GPT-2 (Radford et al. 2019): learned positions, fused and transposed projections.
pub(super) fn gpt2(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let mut decoder = Decoder::read(reading, "layer_norm_epsilon")?;
    decoder.place(config.size_any(&["n_positions", "max_position_embeddings"])?, 0, Counting::Every, false);
    decoder.mlp.activation = activation(config, "activation_function", "gelu_new")?;
    let scale = if config.flag_or("scale_attn_weights", true)? { decoder.attention.scale } else { 1.0 };
    let by_layer = config.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    decoder.build(reading, |i| if by_layer { scale / (i + 1) as f64 } else { scale })
}

/// OPT (Zhang et al. 2022): learned positions of attended tokens; its 350m norms after branches and has narrower
/// embeddings.
pub(super) fn opt(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    if !config.flag_or("layer_norm_elementwise_affine", true)? {
        return Err(config.wrong("layer_norm_elementwise_affine", "true"));
    }
    let mut decoder = Decoder::read(reading, "layer_norm_eps")?;
    decoder.place(config.size("max_position_embeddings")?, 2, Counting::Attended, true);
    decoder.mlp.activation = activation(config, "activation_function", "relu")?;
    let bias = config.flag_or("enable_bias", true)?;
    decoder.mlp.bias = bias;
    decoder.attention.projection_bias = ProjectionBias::all(bias);
    let before = config.flag_or("do_layer_norm_before", true)?;
    decoder.wiring = if before { Wiring::Pre } else { Wiring::Post };
    decoder.has_final_norm = !config.flag_or("_remove_final_layer_norm", false)? && before;
    decoder.input.width = config.size_or("word_embed_proj_dim", decoder.width)?;
    decoder.input.project = (decoder.input.width != decoder.width).then_some(ProjectSpec { bias: false });
    let scale = decoder.attention.scale;
    decoder.build(reading, |_| scale)
}

/// XGLM (Lin et al. 2022): sinusoids at the input, whose norms have no key.
pub(super) fn xglm(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let mut decoder = Decoder::read(reading, "")?;
    decoder.input.max_length = Some(config.size_or("max_position_embeddings", 2048)?);
    decoder.input.positions =
        PositionSpec::Sinusoidal { spacing: SinusoidSpacing::Ends, offset: 2, counting: Counting::Every };
    if config.flag_or("scale_embedding", true)? {
        decoder.input.scale = (decoder.width as f64).sqrt();
    }
    decoder.mlp.activation = activation(config, "activation_function", "gelu")?;
    decoder.build_with(reading, |_, attention| attention)
}

/// BLOOM (Scao et al. 2022): ALiBi, a norm on the embeddings, projections interleaved head by head.
pub(super) fn bloom(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    reading.refuse("apply_residual_connection_post_layernorm")?;
    let mut decoder = Decoder::read(reading, "layer_norm_epsilon")?;
    decoder.input.norm = Some(decoder.norm);
    decoder.attention.bias = ScoreBias::Alibi;
    let scale = decoder.attention.scale;
    decoder.build(reading, |_| scale)
}

/// GPT-NeoX (Black et al. 2022), Pythia: rotary positions on a share of each head, parallel branches.
pub(super) fn gpt_neox(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    const ROPE: Rope = Rope { theta_key: "rotary_emb_base", share: Some(0.25), ..Rope::PLAIN };
    let config = reading.config;
    let mut decoder = Decoder::read(reading, "layer_norm_eps")?;
    decoder.input.max_length = longest(config)?;
    decoder.attention.rotary = Some(ROPE.read(config, decoder.attention.head_dim)?);
    decoder.attention.projection_bias = ProjectionBias::all(config.flag_or("attention_bias", true)?);
    decoder.mlp.activation = activation(config, "hidden_act", "gelu")?;
    decoder.wiring = if config.flag_or("use_parallel_residual", true)? { Wiring::Parallel } else { Wiring::Pre };
    decoder.tied = false;
    let scale = decoder.attention.scale;
    decoder.build(reading, |_| scale)
}

/// GPT-Neo (Black et al. 2021): learned positions, unscaled scores, layers that see a window.
pub(super) fn gpt_neo(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let mut decoder = Decoder::read(reading, "layer_norm_epsilon")?;
    decoder.place(config.size("max_position_embeddings")?, 0, Counting::Every, false);
    decoder.mlp.activation = activation(config, "activation_function", "gelu_new")?;
    decoder.attention.projection_bias = ProjectionBias::qkv(false, true);
    decoder.attention.scale = 1.0;
    let window = config.size_or("window_size", 256)?;
    let local = local_layers(reading, reading.layers()?)?;
    decoder.build_with(reading, |i, attention| AttentionSpec {
        window: local.get(i).is_some_and(|local| *local).then_some(window),
        ..attention
    })
}

/// Which of `count` layers are local: `attention_layers`, or what `attention_types`, `[[[kind, ..], times], ..]`, expands
/// to.
fn local_layers(reading: &ConfigReader<'_>, count: usize) -> Result<Vec<bool>> {
    let config = reading.config;
    let wrong = || config.wrong("attention_types", &format!("{count} times 'global' or 'local'"));
    let is_local = |kind: &Value| match kind.as_str() {
        Some("global") => Ok(false),
        Some("local") => Ok(true),
        _ => Err(wrong()),
    };
    let layers: Vec<bool> = match (config.get("attention_layers"), config.get("attention_types")) {
        (Some(kinds), _) => {
            kinds.as_array().ok_or_else(wrong)?.iter().take(count + 1).map(is_local).collect::<Result<_>>()?
        }
        (None, Some(types)) => {
            let mut layers = Vec::new();
            for entry in types.as_array().ok_or_else(wrong)? {
                let kinds = entry.get(0).and_then(Value::as_array).ok_or_else(wrong)?;
                let kinds = kinds.iter().map(is_local).collect::<Result<Vec<_>>>()?;
                let times = entry.get(1).and_then(Value::as_u64).filter(|n| *n as usize <= count).ok_or_else(wrong)?;
                (0..times).for_each(|_| layers.extend(&kinds));
                if layers.len() > count {
                    return Err(wrong());
                }
            }
            layers
        }
        // The family's own default.
        (None, None) => (0..count).map(|i| i % 2 == 1).collect(),
    };
    if layers.len() == count { Ok(layers) } else { Err(wrong()) }
}

/// Falcon (Almazrouei et al. 2023): rotary positions, parallel branches, projections fused key/value head by key/value
/// head behind their queries.
pub(super) fn falcon(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    reading.refuse("alibi")?;
    let mut decoder = Decoder::read(reading, "layer_norm_epsilon")?;
    let grouped = config.flag_or("new_decoder_architecture", false)?;
    // Each counts in one of the architectures alone.
    config.settle(&["num_kv_heads", "parallel_attn"]);
    let heads = decoder.attention.heads;
    let kv_heads = match (grouped, config.flag_or("multi_query", true)?) {
        (true, _) => config.size_or("num_kv_heads", heads)?,
        (false, true) => 1,
        (false, false) => heads,
    };
    let bias = config.flag_or("bias", false)?;
    decoder.input.max_length = longest(config)?;
    decoder.attention = AttentionSpec {
        causal: true,
        projection_bias: ProjectionBias::all(bias),
        rotary: Some(Rope::PLAIN.read(config, decoder.attention.head_dim)?),
        ..AttentionSpec::new(heads, kv_heads, decoder.attention.head_dim)
    };
    decoder.mlp.activation = activation(config, "activation", "gelu")?;
    decoder.mlp.width = config.size_or("ffn_hidden_size", 4 * decoder.width)?;
    decoder.mlp.bias = bias;
    let norms = config.size_or("num_ln_in_parallel_attn", if grouped { 2 } else { 1 })?;
    decoder.wiring = match (grouped || config.flag_or("parallel_attn", true)?, norms) {
        (true, 2) if grouped => Wiring::Parallel,
        (true, _) => Wiring::ParallelOneNorm,
        (false, _) => Wiring::Pre,
    };
    decoder.build_with(reading, |_, attention| attention)
}
