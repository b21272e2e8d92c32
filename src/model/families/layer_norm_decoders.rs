//! Decoders with layer norm.

use super::flag::Flag;
use super::llama::{Bias, Windows};
use super::{gpt, llama, tasks};
use crate::model::layout::SLICES;
use crate::model::rope::Rope;
use crate::model::{Family, MlxLayers, RaggedNeed, StockHeads};
use crate::network::{NormKind, QueryKeyNormScope, Wiring};

pub(super) static ROWS: &[Family] = &[
    Family {
        model_type: "gpt2",
        title: "GPT-2",
        prefixes: &["transformer."],
        tasks: tasks::DECODER,
        stock: StockHeads::Never { width: "n_embd / n_head" },
        reads_pruned_heads: true,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[gpt::GPT2_NAMES],
        spec: gpt::gpt2,
    },
    Family {
        model_type: "opt",
        title: "OPT",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[gpt::OPT_NAMES],
        spec: gpt::opt,
    },
    Family {
        model_type: "xglm",
        title: "XGLM",
        prefixes: &["model."],
        tasks: &[],
        stock: StockHeads::Never { width: "d_model / attention_heads" },
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[gpt::XGLM_NAMES],
        spec: gpt::xglm,
    },
    Family {
        model_type: "bloom",
        title: "BLOOM",
        prefixes: &["transformer."],
        tasks: tasks::DECODER,
        stock: StockHeads::Never { width: "hidden_size / n_head" },
        reads_pruned_heads: false,
        ragged: Some(&[RaggedNeed::Alibi]),
        mlx: None,
        names: |_| &[gpt::BLOOM_NAMES],
        spec: gpt::bloom,
    },
    Family {
        model_type: "gpt_neox",
        title: "GPT-NeoX",
        prefixes: &["gpt_neox."],
        tasks: tasks::DECODER,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[gpt::NEOX_NAMES],
        spec: gpt::gpt_neox,
    },
    Family {
        model_type: "gpt_neo",
        title: "GPT-Neo",
        prefixes: &["transformer."],
        tasks: tasks::DECODER,
        stock: StockHeads::Never { width: "hidden_size / num_heads" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[gpt::GPT_NEO_NAMES],
        spec: gpt::gpt_neo,
    },
    Family {
        model_type: "falcon",
        title: "Falcon",
        prefixes: &["transformer."],
        tasks: tasks::DECODER,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[gpt::FALCON_NAMES],
        spec: gpt::falcon,
    },
    Family {
        model_type: "phi",
        title: "Phi",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "phi", reads_width: false }),
        names: |_| &[llama::PHI, llama::NAMES, llama::APART],
        spec: |r| {
            let variant = llama::LlamaVariant {
                wiring: Wiring::ParallelOneNorm,
                query_key_norm: Flag::Key("qk_layernorm"),
                head_bias: true,
                rope: Rope { share: Some(0.5), ..Rope::PLAIN },
                ..llama::LAYER_NORM
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "gptj",
        title: "GPT-J",
        prefixes: &["transformer."],
        tasks: tasks::DECODER,
        stock: StockHeads::Never { width: "n_embd / n_head" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[llama::GPTJ],
        spec: |r| llama::decoder(r, &llama::GPTJ_KIN),
    },
    Family {
        model_type: "codegen",
        title: "CodeGen",
        prefixes: &["transformer."],
        tasks: &[],
        stock: StockHeads::Never { width: "n_embd / n_head" },
        reads_pruned_heads: false,
        // Its code cuts the fused projection in four whatever the number of heads.
        ragged: None,
        mlx: None,
        names: |_| &[llama::CODEGEN, llama::GPTJ],
        spec: |r| {
            if !r.heads()?.is_multiple_of(SLICES) {
                return Err(r.config.wrong("n_head", "a multiple of 4"));
            }
            llama::decoder(r, &llama::GPTJ_KIN)
        },
    },
    Family {
        model_type: "starcoder2",
        title: "StarCoder2",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: Some(MlxLayers { module: "starcoder2", reads_width: false }),
        names: |_| &[llama::STARCODER, llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                eps: ("norm_epsilon", 1e-5),
                activation: ("hidden_act", "gelu_pytorch_tanh"),
                bias: Bias::All(Flag::Unless("use_bias")),
                mlp_bias: Flag::Unless("use_bias"),
                tied: true,
                windows: Windows::Every(None),
                ..llama::LAYER_NORM
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "stablelm",
        title: "StableLM",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[RaggedNeed::Width]),
        mlx: Some(MlxLayers { module: "stablelm", reads_width: false }),
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            // Norms of queries and keys have a tensor for each head there.
            r.refuse("qk_layernorm")?;
            let variant = llama::LlamaVariant {
                norm: NormKind::Layer,
                eps: ("layer_norm_eps", 1e-5),
                parallel_key: Some("use_parallel_residual"),
                bias: Bias::Inputs(Flag::Key("use_qkv_bias")),
                mlp_bias: Flag::Never,
                rope: Rope { share: Some(0.25), ..Rope::PLAIN },
                ..llama::LLAMA
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "nemotron",
        title: "Nemotron",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                norm: NormKind::LayerPlusOne,
                eps: ("norm_eps", 1e-5),
                gated: false,
                activation: ("hidden_act", "relu2"),
                rope: Rope { share: Some(0.5), ..Rope::PLAIN },
                ..llama::LLAMA
            };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "olmo",
        title: "OLMo",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            // Its norms have no key, and nothing learned.
            let variant =
                llama::LlamaVariant { norm: NormKind::LayerBare, eps: ("", 1e-5), clips: true, ..llama::LLAMA };
            llama::decoder(r, &variant)
        },
    },
    Family {
        model_type: "cohere",
        title: "Command R",
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::GROUPED,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let variant = llama::LlamaVariant {
                norm: NormKind::LayerWithoutBias,
                eps: ("layer_norm_eps", 1e-5),
                wiring: Wiring::ParallelOneNorm,
                query_key_norm: Flag::Key("use_qk_norm"),
                query_key_scope: QueryKeyNormScope::EachHead,
                logit_scale: Some(("logit_scale", 0.0625)),
                tied: true,
                rope: Rope { theta: 500_000.0, interleaved: true, ..Rope::PLAIN },
                ..llama::LLAMA
            };
            llama::decoder(r, &variant)
        },
    },
];
