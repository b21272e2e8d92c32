//! The families of checkpoints: [one table](all), a row each, in a file for each kind.
//!
//! A row is data: how the family is called, what its tensors are called, and which shape its `config.json` describes.
//! The shapes (`bert`, `gpt`, `llama`, ...) are shared by families that differ in a few named ways, their `Variant`. There is
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
//!     prefixes: &["model."],
//!     tasks: tasks::DECODER,
//!     names: |_| &[
//!         &[
//!             ("decoder.{i}.mlp.gate", "layers.{i}.ffn.w1", TensorLayout::PLAIN),
//!             ("decoder.{i}.mlp.up", "layers.{i}.ffn.w3", TensorLayout::PLAIN),
//!             ("decoder.{i}.mlp.down", "layers.{i}.ffn.w2", TensorLayout::PLAIN),
//!         ],
//!         llama::NAMES,
//!         llama::APART,
//!         llama::NORMS,
//!     ],
//!     spec: |r| llama::decoder(r, &llama::LlamaVariant { query_key_norm: Flag::Always, tied: true, ..llama::LLAMA }),
//!     stock: StockHeads::NEVER,
//!     reads_pruned_heads: false,
//!     ragged: None,
//! },
//! ```
//!
//! The fixture is a tiny checkpoint with `reference.safetensors` (what the family's own code computes on it) and
//! `mask.json`; the tests find it: parity, surgery, writing, precision, broken configurations. Roles on the left are
//! those of [`network::roles`](crate::network::roles); of names for one role the first counts.
//!
//! A difference that is new is a field of the shape's `Variant`; one along an axis that no family has is a field of
//! [`NetworkSpec`](crate::network::NetworkSpec) first, with its forward pass.

mod bart;
mod bert;
mod clip;
mod deberta;
mod encoder_decoders;
mod encoders;
mod esm;
mod flag;
mod gpt;
mod layer_norm_decoders;
mod llama;
mod mixture;
mod modernbert;
mod multimodal;
mod nearest;
mod rms_norm_decoders;
mod speech_encoders;
mod t5;
mod tasks;
mod vision_encoders;
mod vit;
mod wav2vec;

use serde_json::Value;

use super::Family;
use crate::checkpoint::Config;
use crate::error::{Error, Result};

pub fn all() -> impl Iterator<Item = &'static Family> {
    let tables = [
        encoders::ROWS,
        layer_norm_decoders::ROWS,
        rms_norm_decoders::ROWS,
        multimodal::ROWS,
        encoder_decoders::ROWS,
        vision_encoders::ROWS,
        speech_encoders::ROWS,
    ];
    tables.into_iter().flatten()
}

impl Family {
    /// The family of a configuration; an unknown one is answered with its nearest kin.
    pub fn of(config: &Config) -> Result<&'static Self> {
        refuse_other_layers(config)?;
        let Some(model_type) = config.text_opt("model_type")? else {
            if config.get("pretrained_cfg").is_some() {
                return Err(config
                    .unsupported("this is a checkpoint of timm, whose layout is not that of transformers")
                    .hint("take the model's repository for transformers, or convert it"));
            }
            return Err(config.unsupported("'model_type' is missing").hint("add the model's type to config.json"));
        };
        all().find(|f| f.model_type == model_type).ok_or_else(|| {
            let shown: String = model_type.chars().take(60).collect();
            Error::new(format!("model_type '{shown}' is not supported"))
                .at(config.path())
                .hint(nearest::advice(config, model_type))
        })
    }
}

/// Refuses models some of whose layers have no attention, and names these.
fn refuse_other_layers(config: &Config) -> Result<()> {
    const MOST_NAMED: usize = 8;
    const KINDS: [&str; 4] = ["layer_types", "layers_block_type", "block_types", "_block_types"];
    // Apart, so that the section does not count as read.
    let text = config.section("text_config").and_then(|text| text.value().as_object().cloned());
    let text = text.map(|keys| Config::new(config.path(), keys));
    for config in std::iter::once(config).chain(&text) {
        for key in KINDS {
            let Some(kinds) = config.get(key).and_then(Value::as_array) else { continue };
            let kinds = kinds.iter().map(|kind| kind.as_str().unwrap_or_default());
            // What is linear in the length of a sequence has no weights of one position by another.
            let lacks = |kind: &str| !kind.is_empty() && (!kind.contains("attention") || kind.starts_with("linear"));
            let others: Vec<(usize, &str)> = kinds.enumerate().filter(|(_, kind)| lacks(kind)).collect();
            let Some((_, kind)) = others.first() else { continue };
            let named: Vec<String> = others.iter().take(MOST_NAMED).map(|(layer, _)| layer.to_string()).collect();
            let more = if others.len() > MOST_NAMED { ", .." } else { "" };
            let kind: String = kind.chars().take(60).collect();
            let what = format!(
                "layers without attention are not supported: '{key}' calls {}{more} '{kind}'",
                named.join(", ")
            );
            return Err(config.unsupported(what));
        }
        for key in ["hybrid_override_pattern", "attn_layer_period", "attn_layer_indices", "full_attn_idxs"] {
            if config.get(key).is_some() {
                let what = format!("layers without attention are not supported: '{key}' says that there are some");
                return Err(config.unsupported(what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::flag::Flag;
    use super::*;
    use crate::checkpoint::Config;
    use crate::model::{ConfigReader, StockHeads, TensorLayout};
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
        prefixes: &["model."],
        tasks: tasks::DECODER,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| {
            &[
                &[
                    ("decoder.{i}.mlp.gate", "layers.{i}.ffn.w1", TensorLayout::PLAIN),
                    ("decoder.{i}.mlp.up", "layers.{i}.ffn.w3", TensorLayout::PLAIN),
                    ("decoder.{i}.mlp.down", "layers.{i}.ffn.w2", TensorLayout::PLAIN),
                ],
                llama::NAMES,
                llama::APART,
                llama::NORMS,
            ]
        },
        spec: |r| llama::decoder(r, &llama::LlamaVariant { query_key_norm: Flag::Always, tied: true, ..llama::LLAMA }),
    };

    #[test]
    fn the_example_of_the_documentation_is_a_family() {
        let keys = json!({"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 96,
                          "intermediate_size": 48});
        let config = Config::new("config.json", keys.as_object().cloned().unwrap());
        let spec = (EXAMPLE.spec)(&ConfigReader { config: &config, has: &|_| true, tensors: 40 }).unwrap();
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
