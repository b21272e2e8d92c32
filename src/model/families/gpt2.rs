//! GPT-2 (Radford et al. 2019): pre-norm decoder, learned positions, fused and transposed projections.

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::{Family, Layout, Part, Projection, Reading};
use crate::network::{
    AttentionSpec, Counting, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective, OutputSpec,
    PositionSpec, ProjectionBias, StackSpec, TokenInputSpec, Wiring,
};

pub(super) const FAMILIES: &[Family] =
    &[Family { model_type: "gpt2", title: "GPT-2", spec, names: NAMES, prefix: "transformer." }];

const NAMES: &[(&str, &str, Layout)] = &[
    ("decoder.embed.tokens", "transformer.wte.weight", Layout::PLAIN),
    ("decoder.embed.positions", "transformer.wpe.weight", Layout::PLAIN),
    ("decoder.{i}.attention.norm", "transformer.h.{i}.ln_1", Layout::PLAIN),
    ("decoder.{i}.attention.query", "transformer.h.{i}.attn.c_attn", fused(Projection::Query)),
    ("decoder.{i}.attention.key", "transformer.h.{i}.attn.c_attn", fused(Projection::Key)),
    ("decoder.{i}.attention.value", "transformer.h.{i}.attn.c_attn", fused(Projection::Value)),
    ("decoder.{i}.attention.output", "transformer.h.{i}.attn.c_proj", Layout::TRANSPOSED),
    ("decoder.{i}.mlp.norm", "transformer.h.{i}.ln_2", Layout::PLAIN),
    ("decoder.{i}.mlp.up", "transformer.h.{i}.mlp.c_fc", Layout::TRANSPOSED),
    ("decoder.{i}.mlp.down", "transformer.h.{i}.mlp.c_proj", Layout::TRANSPOSED),
    ("decoder.norm", "transformer.ln_f", Layout::PLAIN),
    ("output.weight", "lm_head.weight", Layout::PLAIN),
];

const fn fused(projection: Projection) -> Layout {
    Layout::transposed_part(Part::Block(projection))
}

fn spec(reading: &Reading<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    if config.flag_or("add_cross_attention", false)? {
        return Err(config.unsupported("GPT-2 with cross attention is not supported"));
    }
    let width = config.size("n_embd")?;
    let heads = config.size("n_head")?;
    let rows = config.size("n_positions")?;
    let vocabulary = config.size("vocab_size")?;
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_epsilon", 1e-5)? };
    let mlp = MlpSpec {
        width: config.size_or("n_inner", 4 * width)?,
        activation: activation(config, "activation_function", "gelu_new")?,
        gated: false,
        bias: true,
    };
    let plain = AttentionSpec::new(heads, heads, width / heads.max(1));
    let scale = if config.flag_or("scale_attn_weights", true)? { plain.scale } else { 1.0 };
    let by_layer = config.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    let layers = (0..config.size("n_layer")?)
        .map(|i| {
            let attention = AttentionSpec {
                causal: true,
                scale: if by_layer { scale / (i + 1) as f64 } else { scale },
                projection_bias: ProjectionBias::all(true),
                ..plain.clone()
            };
            LayerSpec::new(i, attention, mlp.clone(), norm, Wiring::Pre)
        })
        .collect();
    let input = TokenInputSpec {
        positions: PositionSpec::Table { rows, offset: 0, counting: Counting::Every, after_projection: false },
        max_length: Some(rows),
        ..TokenInputSpec::new(vocabulary, width)
    };
    let tied = config.flag_or("tie_word_embeddings", true)?;
    let output = reading.wants_head().then(|| OutputSpec::new(vocabulary, Objective::Causal, tied));
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: Some(norm), project_out: None };
    Ok(NetworkSpec::decoder(stack, output))
}
