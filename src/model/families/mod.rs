//! The families of checkpoints: [one table](all), a row each.
//!
//! A row is data: how the family is called, what its tensors are called, and which shape its `config.json` describes.
//! The shapes (`bert`, `gpt`, `llama`, ...) are shared by families that differ in a few named ways, their `Kin`. There is
//! one forward pass for all of them, in [`network`](crate::network).
//!
//! # Adding a family
//!
//! A family whose differences have been met before is a row here and a folder `tests/fixtures/<model_type>`; nothing
//! else is touched. Say it is called `helium`, is a Llama with norms on queries and keys and a head tied to its token
//! table, and stores its feed-forward part under names of its own:
//!
//! ```text
//! Family {
//!     model_type: "helium",
//!     title: "Helium",
//!     prefix: "model.",
//!     names: |_| &[
//!         &[
//!             ("decoder.{i}.mlp.gate", "layers.{i}.ffn.w1", Layout::PLAIN),
//!             ("decoder.{i}.mlp.up", "layers.{i}.ffn.w3", Layout::PLAIN),
//!             ("decoder.{i}.mlp.down", "layers.{i}.ffn.w2", Layout::PLAIN),
//!         ],
//!         llama::NAMES,
//!         llama::APART,
//!         llama::NORMS,
//!     ],
//!     spec: |r| llama::decoder(r, &llama::Kin { query_key_norm: true, tied: true, ..llama::LLAMA }),
//! },
//! ```
//!
//! The fixture is a tiny checkpoint with `reference.safetensors` (what the family's own code computes on it) and
//! `mask.json`; the tests find it: parity, surgery, writing, precision, broken configurations. Roles on the left are
//! those of [`network::roles`](crate::network::roles); of names for one role the first counts.
//!
//! A difference that is new is a field of the shape's `Kin`; one along an axis that no family has is a field of
//! [`NetworkSpec`](crate::network::NetworkSpec) first, with its forward pass.

mod bart;
mod bert;
mod gpt;
mod llama;
mod modernbert;
mod t5;
mod vit;

use serde_json::Value;

use self::llama::{Bias, Windows};
use super::Family;
use super::rope::Rope;
use crate::network::Activation;

/// Every supported family.
pub fn all() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter()
}

static FAMILIES: &[Family] = &[
    // Encoders.
    Family {
        model_type: "bert",
        title: "BERT",
        prefix: "bert.",
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::BERT_UNTIED, bert::BERT_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::BERT_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::BERT),
    },
    Family {
        model_type: "roberta",
        title: "RoBERTa",
        prefix: "roberta.",
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_UNTIED, bert::ROBERTA_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::ROBERTA),
    },
    Family {
        model_type: "xlm-roberta",
        title: "XLM-RoBERTa",
        prefix: "roberta.",
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_UNTIED, bert::ROBERTA_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::ROBERTA),
    },
    Family {
        model_type: "distilbert",
        title: "DistilBERT",
        prefix: "distilbert.",
        names: |_| &[bert::INPUT, bert::DISTILBERT],
        spec: |r| {
            let kin =
                bert::Kin { head: "vocab_transform.weight", activation_key: "activation", types: 0, ..bert::BERT };
            bert::encoder(r, &kin)
        },
    },
    Family {
        model_type: "electra",
        title: "ELECTRA",
        prefix: "electra.",
        names: |_| &[bert::INPUT, bert::LAYERS, bert::ELECTRA],
        spec: |r| {
            let kin = bert::Kin {
                head: "generator_predictions.dense.weight",
                head_activation: Some(Activation::Gelu),
                embedding: Some(128),
                ..bert::BERT
            };
            bert::encoder(r, &kin)
        },
    },
    Family {
        model_type: "albert",
        title: "ALBERT",
        prefix: "albert.",
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::ALBERT_UNTIED, bert::ALBERT],
            false => &[bert::INPUT, bert::ALBERT],
        },
        spec: |r| {
            let kin = bert::Kin { head: "predictions.dense.weight", embedding: Some(128), shared: true, ..bert::BERT };
            bert::encoder(r, &kin)
        },
    },
    Family {
        model_type: "modernbert",
        title: "ModernBERT",
        prefix: "model.",
        names: |_| &[modernbert::NAMES],
        spec: modernbert::encoder,
    },
    // Decoders with layer norm.
    Family {
        model_type: "gpt2",
        title: "GPT-2",
        prefix: "transformer.",
        names: |_| &[gpt::GPT2_NAMES],
        spec: gpt::gpt2,
    },
    Family { model_type: "opt", title: "OPT", prefix: "model.", names: |_| &[gpt::OPT_NAMES], spec: gpt::opt },
    Family {
        model_type: "bloom",
        title: "BLOOM",
        prefix: "transformer.",
        names: |_| &[gpt::BLOOM_NAMES],
        spec: gpt::bloom,
    },
    Family {
        model_type: "gpt_neox",
        title: "GPT-NeoX",
        prefix: "gpt_neox.",
        names: |_| &[gpt::NEOX_NAMES],
        spec: gpt::gpt_neox,
    },
    // Decoders with RMS norm.
    Family {
        model_type: "llama",
        title: "Llama",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::LLAMA),
    },
    Family {
        model_type: "mistral",
        title: "Mistral",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let windows = Windows::Every(Some(4096));
            llama::decoder(r, &llama::Kin { bias: Bias::Never, windows, ..llama::LLAMA })
        },
    },
    Family {
        model_type: "qwen2",
        title: "Qwen2",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::Kin { bias: Bias::Inputs, windows: Windows::Flagged, ..llama::LLAMA }),
    },
    Family {
        model_type: "qwen3",
        title: "Qwen3",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let windows = Windows::Flagged;
            llama::decoder(r, &llama::Kin { query_key_norm: true, head_dim: Some(128), windows, ..llama::LLAMA })
        },
    },
    Family {
        model_type: "gemma",
        title: "Gemma",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::GEMMA),
    },
    Family {
        model_type: "gemma2",
        title: "Gemma 2",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::BOTH_NORMS],
        spec: |r| {
            let kin = llama::Kin {
                both_norms: true,
                query_scalar: Some(256.0),
                caps: Some([Some(50.0), Some(30.0)]),
                windows: Windows::AllBut(2),
                ..llama::GEMMA
            };
            llama::decoder(r, &kin)
        },
    },
    Family {
        model_type: "gemma3_text",
        title: "Gemma 3",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::BOTH_NORMS],
        spec: |r| {
            let full = Rope { layers: Some("full_attention"), theta: 1e6, ..Rope::PLAIN };
            let local = Rope {
                layers: Some("sliding_attention"),
                theta_key: "rope_local_base_freq",
                scaled: false,
                ..Rope::PLAIN
            };
            let kin = llama::Kin {
                both_norms: true,
                query_key_norm: true,
                query_scalar: Some(256.0),
                caps: Some([None, None]),
                windows: Windows::AllBut(6),
                rope: full,
                window_rope: Some(local),
                ..llama::GEMMA
            };
            llama::decoder(r, &kin)
        },
    },
    Family {
        model_type: "phi3",
        title: "Phi-3",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::FUSED, llama::NORMS],
        spec: |r| {
            let rope = Rope { share: Some(1.0), ..Rope::PLAIN };
            llama::decoder(r, &llama::Kin { bias: Bias::Never, windows: Windows::Every(None), rope, ..llama::LLAMA })
        },
    },
    Family {
        model_type: "granite",
        title: "Granite",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| llama::decoder(r, &llama::Kin { multipliers: true, ..llama::LLAMA }),
    },
    Family {
        model_type: "smollm3",
        title: "SmolLM3",
        prefix: "model.",
        names: |_| &[llama::NAMES, llama::APART, llama::NORMS],
        spec: |r| {
            let kin = llama::Kin {
                tied: true,
                windows: Windows::Flagged,
                unplaced_layers: true,
                rope: Rope { theta: 2e6, ..Rope::PLAIN },
                ..llama::LLAMA
            };
            llama::decoder(r, &kin)
        },
    },
    // Encoder-decoders.
    Family {
        model_type: "bart",
        title: "BART",
        prefix: "model.",
        names: |_| &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        spec: |r| bart::encoder_decoder(r, &bart::BART),
    },
    Family {
        model_type: "mbart",
        title: "mBART",
        prefix: "model.",
        names: |_| &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        spec: |r| bart::encoder_decoder(r, &bart::Kin { pre_norm: true, ..bart::BART }),
    },
    Family {
        model_type: "marian",
        title: "Marian",
        prefix: "model.",
        names: |config| match config.get("share_encoder_decoder_embeddings") {
            Some(Value::Bool(false)) => &[bart::NAMES, bart::TABLES],
            _ => &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        },
        spec: |r| {
            let kin = bart::Kin { embedding_norm: false, positions: bart::Positions::Sinusoidal, ..bart::BART };
            bart::encoder_decoder(r, &kin)
        },
    },
    Family {
        model_type: "whisper",
        title: "Whisper",
        prefix: "model.",
        names: |_| &[bart::NAMES, bart::WHISPER, bart::TABLES],
        spec: |r| {
            let kin = bart::Kin {
                pre_norm: true,
                embedding_norm: false,
                positions: bart::Positions::Learned(0),
                key_bias: false,
                frames: true,
            };
            bart::encoder_decoder(r, &kin)
        },
    },
    Family {
        model_type: "t5",
        title: "T5",
        prefix: "",
        names: |config| {
            if t5::is_gated(config) { &[t5::NAMES, t5::GATED] } else { &[t5::NAMES, t5::PLAIN] }
        },
        spec: t5::encoder_decoder,
    },
    // Vision encoders.
    Family {
        model_type: "vit",
        title: "ViT",
        prefix: "vit.",
        names: |_| &[vit::NAMES, vit::VIT_LAYERS],
        spec: |r| vit::encoder(r, &vit::VIT),
    },
    Family {
        model_type: "deit",
        title: "DeiT",
        prefix: "deit.",
        names: |_| &[vit::NAMES, vit::VIT_LAYERS],
        spec: |r| vit::encoder(r, &vit::Kin { distillation: true, ..vit::VIT }),
    },
    Family {
        model_type: "dinov2",
        title: "DINOv2",
        prefix: "dinov2.",
        names: |config| match config.get("use_swiglu_ffn") {
            Some(Value::Bool(true)) => &[vit::NAMES, vit::DINO_LAYERS, vit::DINO_GATED],
            _ => &[vit::NAMES, vit::DINO_LAYERS, vit::DINO_PLAIN],
        },
        spec: |r| vit::encoder(r, &vit::Kin { dino: true, ..vit::VIT }),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::checkpoint::Config;
    use crate::model::{Layout, Reading};
    use crate::network::{AttentionModule, MlpModule, Module, Role, SiteKind, StackKind, roles};

    #[test]
    fn rows_have_names_of_their_own() {
        let types: BTreeSet<_> = all().map(|f| f.model_type).collect();
        let titles: BTreeSet<_> = all().map(|f| f.title).collect();
        assert_eq!((types.len(), titles.len()), (all().count(), all().count()));
    }

    /// The row that the module's documentation shows.
    static EXAMPLE: Family = Family {
        model_type: "helium",
        title: "Helium",
        prefix: "model.",
        names: |_| {
            &[
                &[
                    ("decoder.{i}.mlp.gate", "layers.{i}.ffn.w1", Layout::PLAIN),
                    ("decoder.{i}.mlp.up", "layers.{i}.ffn.w3", Layout::PLAIN),
                    ("decoder.{i}.mlp.down", "layers.{i}.ffn.w2", Layout::PLAIN),
                ],
                llama::NAMES,
                llama::APART,
                llama::NORMS,
            ]
        },
        spec: |r| llama::decoder(r, &llama::Kin { query_key_norm: true, tied: true, ..llama::LLAMA }),
    };

    #[test]
    fn the_example_of_the_documentation_is_a_family() {
        let keys = json!({"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 96,
                          "intermediate_size": 48});
        let config = Config::new("config.json", keys.as_object().cloned().unwrap());
        let spec = (EXAMPLE.spec)(&Reading { config: &config, has: &|_| true, tensors: 40 }).unwrap();
        let stored = |role: Role| EXAMPLE.name_to_write(&config, role).map(|(name, _)| name);
        for (role, _) in roles::tensors(&spec) {
            assert!(stored(role).is_some(), "{role} has no name");
        }
        let up = Module::Mlp(StackKind::Decoder, 1, MlpModule::Up);
        assert_eq!(stored(up.weight()).as_deref(), Some("model.layers.1.ffn.w3.weight"));
        assert_eq!(
            stored(Module::Attention(SiteKind::Decoder, 0, AttentionModule::KeyNorm).weight()).as_deref(),
            Some("model.layers.0.self_attn.k_norm.weight")
        );
        assert!(spec.output.is_some_and(|o| o.tied));
    }
}
