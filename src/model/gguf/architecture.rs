//! Architectures of llama.cpp and the families whose weights they hold.

use super::keys::GgufKeys;
use super::shape::GgufShape;
use crate::checkpoint::GgufPart;
use crate::error::{Error, Result};

/// Tensors that say something of the computation and are no weights of a network here.
pub(super) const OUTSIDE: [&str; 3] = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// What an architecture holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GgufFamily {
    /// What `general.architecture` says.
    pub(super) name: &'static str,
    /// `model_type` of the family.
    pub(super) model_type: &'static str,
    /// Its class with a language-model head.
    pub(super) class: &'static str,
    /// Whether rows that turn together stand next to each other, where the family has them half a head apart.
    pub(super) is_turned: bool,
    /// Whether norms are greater by one.
    pub(super) adds_one: bool,
    /// Whether there are norms after the branches too.
    pub(super) has_post_norms: bool,
    /// Whether the family has queries, keys and values in one tensor, and gate and up in another.
    pub(super) is_fused: bool,
}

const LLAMA: GgufFamily = GgufFamily {
    name: "llama",
    model_type: "llama",
    class: "LlamaForCausalLM",
    is_turned: true,
    adds_one: false,
    has_post_norms: false,
    is_fused: false,
};

const GEMMA: GgufFamily = GgufFamily {
    name: "gemma",
    model_type: "gemma",
    class: "GemmaForCausalLM",
    is_turned: false,
    adds_one: true,
    ..LLAMA
};

const QWEN3: GgufFamily =
    GgufFamily { name: "qwen3", model_type: "qwen3", class: "Qwen3ForCausalLM", is_turned: false, ..LLAMA };

static FAMILIES: [GgufFamily; 11] = [
    LLAMA,
    GgufFamily { name: "qwen2", model_type: "qwen2", class: "Qwen2ForCausalLM", is_turned: false, ..LLAMA },
    QWEN3,
    GEMMA,
    GgufFamily { name: "gemma2", model_type: "gemma2", class: "Gemma2ForCausalLM", has_post_norms: true, ..GEMMA },
    GgufFamily { name: "gemma3", model_type: "gemma3_text", class: "Gemma3ForCausalLM", has_post_norms: true, ..GEMMA },
    GgufFamily { name: "smollm3", model_type: "smollm3", class: "SmolLM3ForCausalLM", ..LLAMA },
    GgufFamily { name: "granite", model_type: "granite", class: "GraniteForCausalLM", ..LLAMA },
    GgufFamily {
        name: "phi3",
        model_type: "phi3",
        class: "Phi3ForCausalLM",
        is_turned: false,
        is_fused: true,
        ..LLAMA
    },
    GgufFamily { name: "deci", ..LLAMA },
    // Qwen3 whose layers have different numbers of heads.
    GgufFamily { name: "openelm", ..QWEN3 },
];

impl GgufFamily {
    /// The family of a file.
    ///
    /// # Errors
    /// Where its architecture is none of these.
    pub(super) fn of(keys: &GgufKeys<'_>) -> Result<Self> {
        let Some(family) = FAMILIES.iter().find(|family| family.name == keys.name()) else {
            let known = FAMILIES.map(|family| family.name).join(", ");
            return Err(Error::new(format!("GGUF files of the architecture '{}' are not read", keys.name()))
                .at(keys.file.path())
                .hint(format!("use the model's folder in Hugging Face layout; GGUF is read of {known}")));
        };
        if keys.size_opt("expert_count")?.is_some_and(|experts| experts > 0) {
            return Err(Error::new("the file holds a mixture of experts, which is not read from GGUF")
                .at(keys.file.path())
                .hint("use the model's folder in Hugging Face layout"));
        }
        // Biases of queries, keys and values alone are Qwen2's.
        if family.name == "llama" || family.name == "deci" {
            let has = |part: &str| keys.has(&format!("blk.0.{part}.bias"));
            if has("attn_q") && !has("attn_output") {
                return Ok(Self { model_type: "qwen2", class: "Qwen2ForCausalLM", ..*family });
            }
        }
        Ok(*family)
    }

    /// The tensors of the family that a tensor of a file holds; none where the architecture has no such tensor.
    pub(super) fn parts(&self, name: &str, shape: &GgufShape) -> Option<Vec<(String, GgufPart)>> {
        let norm = |own: &str| vec![(own.to_owned(), GgufPart { less_one: self.adds_one, ..GgufPart::whole(name) })];
        match name {
            "token_embd.weight" => return Some(vec![("model.embed_tokens.weight".to_owned(), GgufPart::whole(name))]),
            "output.weight" => return Some(vec![("lm_head.weight".to_owned(), GgufPart::whole(name))]),
            "output_norm.weight" => return Some(norm("model.norm.weight")),
            _ => {}
        }
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        let layer = layer.parse::<usize>().ok().filter(|layer| *layer < shape.layers)?;
        let (stem, term) = rest.rsplit_once('.').filter(|(_, term)| matches!(*term, "weight" | "bias"))?;
        let own = |module: &str| format!("model.layers.{layer}.{module}.{term}");
        let plain = |module: &str| Some(vec![(own(module), GgufPart::whole(name))]);
        let turned = |module: &str| {
            let unturned = self.is_turned.then_some(shape.head_dim);
            Some(vec![(own(module), GgufPart { unturned, ..GgufPart::whole(name) })])
        };
        match stem {
            "attn_norm" => Some(norm(&own("input_layernorm"))),
            "ffn_norm" if self.has_post_norms => Some(norm(&own("pre_feedforward_layernorm"))),
            "ffn_norm" => Some(norm(&own("post_attention_layernorm"))),
            "post_attention_norm" if self.has_post_norms => Some(norm(&own("post_attention_layernorm"))),
            "post_ffw_norm" if self.has_post_norms => Some(norm(&own("post_feedforward_layernorm"))),
            "attn_q_norm" => Some(norm(&own("self_attn.q_norm"))),
            "attn_k_norm" => Some(norm(&own("self_attn.k_norm"))),
            "attn_qkv" if self.is_fused => plain("self_attn.qkv_proj"),
            "attn_qkv" => {
                let dim = shape.head_dim;
                let (heads, kv) = (shape.heads.get(layer)? * dim, shape.kv_heads.get(layer)? * dim);
                let part = |rows| GgufPart { rows: Some(rows), ..GgufPart::whole(name) };
                Some(vec![
                    (own("self_attn.q_proj"), part(0..heads)),
                    (own("self_attn.k_proj"), part(heads..heads + kv)),
                    (own("self_attn.v_proj"), part(heads + kv..heads + 2 * kv)),
                ])
            }
            "attn_q" => turned("self_attn.q_proj"),
            "attn_k" => turned("self_attn.k_proj"),
            "attn_v" => plain("self_attn.v_proj"),
            "attn_output" => plain("self_attn.o_proj"),
            "ffn_up" if self.is_fused => plain("mlp.gate_up_proj"),
            "ffn_up" => plain("mlp.up_proj"),
            "ffn_gate" if !self.is_fused => plain("mlp.gate_proj"),
            "ffn_down" => plain("mlp.down_proj"),
            _ => None,
        }
    }
}
