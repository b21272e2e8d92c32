//! The language models of models that also read images. What else the checkpoint holds is carried through untouched.

use serde_json::json;

use super::llama;
use crate::error::Result;
use crate::model::rope::Rope;
use crate::model::{ConfigReader, Family, HeadLimit, StockHeads, UniformHeads};
use crate::network::NetworkSpec;

/// The section of the configuration that describes the language model.
const TEXT: &str = "text_config";

pub(super) static ROWS: &[Family] = &[
    Family {
        model_type: "gemma3",
        title: "Gemma 3 with images",
        tasks: &[],
        prefixes: &["language_model.model.", "model.language_model.", "language_model."],
        stock: StockHeads::Uniform(UniformHeads {
            section: Some(TEXT),
            opens_in_4: false,
            limit: HeadLimit::Divides,
            ..UniformHeads::GROUPED
        }),
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[llama::NAMES, llama::APART, llama::BOTH_NORMS],
        spec: |r| {
            // Its published files leave most of them out.
            let defaults = json!({
                "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131_072,
            });
            r.within(TEXT, &defaults, |text| llama::decoder(text, &llama::GEMMA3))
        },
    },
    Family {
        model_type: "qwen2_vl",
        title: "Qwen2-VL",
        tasks: &[],
        prefixes: &["model.", "model.language_model.", "language_model.model.", "language_model."],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: qwen2_vl,
    },
    Family {
        model_type: "qwen2_5_vl",
        title: "Qwen2.5-VL",
        tasks: &[],
        prefixes: &["model.", "model.language_model.", "language_model.model.", "language_model."],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: qwen2_vl,
    },
];

/// Qwen2 with positions of three axes, which are one on text.
fn qwen2_vl(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let variant = llama::LlamaVariant {
        eps: ("rms_norm_eps", 1e-5),
        rope: Rope { theta: 1e6, axes: true, ..Rope::PLAIN },
        ..llama::QWEN2
    };
    let defaults = json!({
        "vocab_size": 152_064, "hidden_size": 8192, "intermediate_size": 29_568, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "max_position_embeddings": 32_768, "sliding_window": 4096,
        "max_window_layers": 80,
    });
    reading.within(TEXT, &defaults, |text| llama::decoder(text, &variant))
}
