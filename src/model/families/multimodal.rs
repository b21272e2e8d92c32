//! The language models of models that also read images. What else the checkpoint holds is carried through untouched.

use serde_json::json;

use super::flag::Flag;
use super::llama;
use crate::error::Result;
use crate::model::family::Name;
use crate::model::rope::Rope;
use crate::model::{ConfigReader, Family, HeadLimit, StockHeads, TensorLayout, UniformHeads};
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
    Family {
        model_type: "llava",
        title: "LLaVA",
        tasks: &[],
        prefixes: &["language_model.model.", "model.language_model.", "language_model."],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[LLAVA_HEAD, llama::NAMES, llama::APART, llama::NORMS],
        spec: llava,
    },
];

/// Published files hold the head inside the language model.
const LLAVA_HEAD: &[Name] = &[("output.weight", "language_model.lm_head.weight", TensorLayout::PLAIN)];

/// The decoder that LLaVA was made with.
fn llava(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let section = reading.config.section(TEXT);
    let kind = section.as_ref().map_or(Ok(None), |text| text.text_opt("model_type"))?.unwrap_or("llama");
    let (own, windows) = match kind {
        "llama" => (json!({"vocab_size": 32_000, "intermediate_size": 11_008, "max_position_embeddings": 2048}), None),
        "mistral" => {
            let own = json!({"vocab_size": 32_000, "intermediate_size": 14_336, "num_key_value_heads": 8,
                             "max_position_embeddings": 131_072});
            (own, Some(llama::Windows::Every(Some(4096))))
        }
        "qwen2" => {
            (json!({"vocab_size": 151_936, "intermediate_size": 22_016, "max_position_embeddings": 32_768}), None)
        }
        other => {
            let shown: String = other.chars().take(60).collect();
            let what = format!("its language model is '{shown}', and only llama, mistral and qwen2 are read in LLaVA");
            return Err(reading.config.unsupported(what));
        }
    };
    let mut defaults = json!({"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32});
    if let (Some(all), Some(own)) = (defaults.as_object_mut(), own.as_object()) {
        all.extend(own.clone());
    }
    let variant = match (kind, windows) {
        ("qwen2", _) => llama::QWEN2,
        (_, Some(windows)) => {
            let bias = llama::Bias::All(Flag::Never);
            llama::LlamaVariant { bias, mlp_bias: Flag::Never, windows, ..llama::LLAMA }
        }
        _ => llama::LLAMA,
    };
    reading.within(TEXT, &defaults, |text| llama::decoder(text, &variant))
}

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
