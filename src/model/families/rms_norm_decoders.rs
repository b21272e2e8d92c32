//! Decoders with RMS norm.

use serde_json::json;

use super::flag::Flag;
use super::llama::{Bias, Windows};
use super::mixture::Mixture;
use super::{llama, tasks};
use crate::model::rope::Rope;
use crate::model::{Family, HeadLimit, MlxLayers, RaggedNeed, StockHeads, UniformHeads};
use crate::network::{QueryKeyNormScope, Wiring};

pub(super) static ROWS: &[Family] = &[
    Family {
        model_type: "llama",
        title: "Llama",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::Uniform(UniformHeads {
            limit: HeadLimit::Divides,
            twin: Some("mistral"),
            ..UniformHeads::GROUPED
        }),
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "llama", reads_width: true }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::LLAMA),
    },
    Family {
        model_type: "mistral",
        title: "Mistral",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "llama", reads_width: true }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let windows = Windows::Every(Some(4096));
            llama::decoder(
                r,
                &llama::LlamaVariant { bias: Bias::All(Flag::Never), mlp_bias: Flag::Never, windows, ..llama::LLAMA },
            )
        },
    },
    Family {
        model_type: "qwen2",
        title: "Qwen2",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "qwen2", reads_width: false }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::QWEN2),
    },
    Family {
        model_type: "qwen3",
        title: "Qwen3",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "qwen3", reads_width: true }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let windows = Windows::Flagged;
            llama::decoder(
                r,
                &llama::LlamaVariant { query_key_norm: Flag::Always, head_dim: Some(128), windows, ..llama::LLAMA },
            )
        },
    },
    Family {
        model_type: "mixtral",
        title: "Mixtral",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED_5,
        reads_pruned_heads: false,
        ragged: None,
        mlx: Some(MlxLayers { module: "mixtral", reads_width: false }),
        names: |_| &[llama::MIXTRAL, llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                eps: ("rms_norm_eps", 1e-5),
                bias: Bias::All(Flag::Never),
                mlp_bias: Flag::Never,
                windows: Windows::Every(None),
                rope: Rope { theta: 1e6, ..Rope::PLAIN },
                mixture: Some(Mixture {
                    width: "intermediate_size",
                    chosen: 2,
                    normalized: Flag::Always,
                    bias: false,
                    limit: None,
                    dense_layers: false,
                }),
                ..llama::LLAMA
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "qwen3_moe",
        title: "Qwen3 MoE",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED_5,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[llama::QWEN3_MOE, llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                query_key_norm: Flag::Always,
                mlp_bias: Flag::Never,
                windows: Windows::EveryFlagged(4096),
                mixture: Some(Mixture {
                    width: "moe_intermediate_size",
                    chosen: 8,
                    normalized: Flag::Key("norm_topk_prob"),
                    bias: false,
                    limit: None,
                    dense_layers: true,
                }),
                ..llama::LLAMA
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "gpt_oss",
        title: "GPT-OSS",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED_5,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[llama::GPT_OSS, llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                eps: ("rms_norm_eps", 1e-5),
                activation: ("", "quick_gelu"),
                bias: Bias::All(Flag::Unless("attention_bias")),
                mlp_bias: Flag::Always,
                head_dim: Some(64),
                windows: Windows::AllBut(2),
                rope: Rope { theta: 150_000.0, ..Rope::PLAIN },
                mixture: Some(Mixture {
                    width: "intermediate_size",
                    chosen: 4,
                    normalized: Flag::Always,
                    bias: true,
                    limit: Some(7.0),
                    dense_layers: false,
                }),
                sinks: true,
                ..llama::LLAMA
            };
            let mut defaults = json!({"sliding_window": 128, "num_key_value_heads": 8});
            if ["rope_scaling", "rope_parameters"].iter().all(|key| r.config.get(key).is_none()) {
                defaults["rope_scaling"] = json!({
                    "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
                    "original_max_position_embeddings": 4096,
                });
            }
            r.with_defaults(&defaults, |r| llama::decoder(r, &variant))
        },
    },
    Family {
        model_type: "gemma",
        title: "Gemma",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "gemma", reads_width: true }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::GEMMA),
    },
    Family {
        model_type: "gemma2",
        title: "Gemma 2",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::Uniform(UniformHeads { limit: HeadLimit::Divides, ..UniformHeads::GROUPED }),
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "gemma2", reads_width: true }),
        names: |_| &[llama::NAMES, llama::APART, llama::BOTH_NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                wiring: Wiring::Both,
                query_scalar: Some(256.0),
                caps: Some([Some(50.0), Some(30.0)]),
                windows: Windows::AllBut(2),
                ..llama::GEMMA
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "gemma3_text",
        title: "Gemma 3",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::Uniform(UniformHeads { limit: HeadLimit::Divides, ..UniformHeads::GROUPED }),
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "gemma3_text", reads_width: true }),
        names: |_| &[llama::NAMES, llama::APART, llama::BOTH_NORMS],
        spec: |r| llama::decoder(r, &llama::GEMMA3),
    },
    Family {
        model_type: "phi3",
        title: "Phi-3",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::Uniform(UniformHeads { limit: HeadLimit::Scaled, ..UniformHeads::GROUPED }),
        reads_pruned_heads: false,
        ragged: Some(&[RaggedNeed::Configuration]),
        mlx: Some(MlxLayers { module: "phi3", reads_width: false }),
        names: |_| &[llama::NAMES, llama::FUSED, llama::NORMS],
        spec: |r| {
            let rope = Rope { share: Some(1.0), ..Rope::PLAIN };
            llama::decoder(
                r,
                &llama::LlamaVariant {
                    eps: ("rms_norm_eps", 1e-5),
                    bias: Bias::All(Flag::Never),
                    mlp_bias: Flag::Never,
                    windows: Windows::Every(None),
                    rope,
                    ..llama::LLAMA
                },
            )
        },
    },
    Family {
        model_type: "granite",
        title: "Granite",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "granite", reads_width: false }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::LlamaVariant { multipliers: true, ..llama::LLAMA }),
    },
    Family {
        model_type: "smollm3",
        title: "SmolLM3",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "smollm3", reads_width: true }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                tied: true,
                windows: Windows::Flagged,
                unplaced_layers: true,
                rope: Rope { theta: 2e6, ..Rope::PLAIN },
                ..llama::LLAMA
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "olmo2",
        title: "OLMo 2",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED_5,
        reads_pruned_heads: false,
        // No head can be removed.
        ragged: None,
        mlx: None,
        names: |_| &[llama::NAMES, llama::APART, llama::AFTER_NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                eps: ("rms_norm_eps", 1e-5),
                wiring: Wiring::After,
                query_key_norm: Flag::Always,
                query_key_scope: QueryKeyNormScope::AllHeads,
                ..llama::LLAMA
            };
            llama::decoder(r, &variant)
        },
    },
];
