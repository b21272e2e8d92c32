//! Families that come nearest to one that is not supported: by what its network is, not by how its name is spelled.

use crate::checkpoint::Config;

/// A kind of models that is well known and not supported.
struct UnsupportedKind {
    model_types: &'static [&'static str],
    /// Families here that its network is most like; none where it is like none.
    nearest: &'static [&'static str],
    /// What else it does.
    differs: &'static str,
}

const NO_ATTENTION: &str = "its layers have no attention, so there are no heads";
const SOME_ATTENTION: &str = "some of its layers have no attention";
const LATENT: &str = "its keys and values are made from a small latent vector that all heads share";
const OTHER_EXPERTS: &str = "its mixture of experts has experts that every token passes, or another router";

static KINDS: &[UnsupportedKind] = &[
    UnsupportedKind {
        model_types: &["mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"],
        nearest: &[],
        differs: NO_ATTENTION,
    },
    UnsupportedKind {
        model_types: &[
            "falcon_h1",
            "jamba",
            "zamba",
            "zamba2",
            "bamba",
            "nemotron_h",
            "recurrent_gemma",
            "granitemoehybrid",
            "lfm2",
            "lfm2_moe",
            "qwen3_next",
            "plamo2",
            "minimax",
        ],
        nearest: &["llama"],
        differs: SOME_ATTENTION,
    },
    UnsupportedKind {
        model_types: &["deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "minicpm3", "longcat_flash", "youtu"],
        nearest: &["llama", "qwen3_moe"],
        differs: LATENT,
    },
    UnsupportedKind {
        model_types: &[
            "qwen2_moe",
            "olmoe",
            "granitemoe",
            "granitemoeshared",
            "dbrx",
            "phimoe",
            "jetmoe",
            "glm4_moe",
            "ernie4_5_moe",
            "hunyuan_v1_moe",
            "dots1",
            "deepseek",
            "bailing_moe",
            "flex_olmo",
            "minimax_m2",
        ],
        nearest: &["qwen3_moe", "mixtral"],
        differs: OTHER_EXPERTS,
    },
    UnsupportedKind {
        model_types: &["gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "vaultgemma"],
        nearest: &["gemma3_text", "gemma2"],
        differs: "its layers share keys and values, or have embeddings and branches of their own",
    },
    UnsupportedKind { model_types: &["llama4", "llama4_text"], nearest: &["llama", "mixtral"], differs: OTHER_EXPERTS },
    UnsupportedKind {
        model_types: &[
            "mllama",
            "mllama_text_model",
            "idefics",
            "idefics2",
            "idefics3",
            "smolvlm",
            "paligemma",
            "internvl",
        ],
        nearest: &["llava", "gemma3"],
        differs: "images enter its layers in another way",
    },
    UnsupportedKind {
        model_types: &["qwen3_vl", "qwen3_vl_moe", "qwen2_5_omni", "qwen3_omni_moe", "glm4v"],
        nearest: &["qwen2_5_vl", "qwen3"],
        differs: "images enter some of its layers, or it reads sound too",
    },
    UnsupportedKind {
        model_types: &["mistral3", "ministral", "ministral3", "pixtral"],
        nearest: &["mistral"],
        differs: "",
    },
    UnsupportedKind {
        model_types: &[
            "internlm2",
            "internlm3",
            "baichuan",
            "yi",
            "exaone",
            "exaone4",
            "seed_oss",
            "glm",
            "glm4",
            "chatglm",
            "helium",
            "arcee",
            "apertus",
            "hunyuan_v1_dense",
            "ernie4_5",
            "minicpm",
            "olmo3",
            "aquila",
            "orion",
        ],
        nearest: &["llama", "mistral", "qwen2"],
        differs: "its tensors have other names, or its norms, positions or activation are others",
    },
    UnsupportedKind { model_types: &["qwen"], nearest: &["qwen2"], differs: "its tensors have other names" },
    UnsupportedKind {
        model_types: &["cohere2"],
        nearest: &["cohere"],
        differs: "layers with windows turn positions and the others do not",
    },
    UnsupportedKind {
        model_types: &["mpt", "gpt_bigcode", "refinedweb", "refinedwebmodel"],
        nearest: &["bloom", "falcon", "gpt2"],
        differs: "its projections share tensors in an order of their own",
    },
    UnsupportedKind {
        model_types: &["openai-gpt", "imagegpt", "biogpt", "ctrl", "gpt_neox_japanese", "persimmon"],
        nearest: &["gpt2", "gpt_neox", "opt"],
        differs: "its norms stand elsewhere or its tensors have other names",
    },
    UnsupportedKind {
        model_types: &["xlnet", "transfo-xl", "xlm", "flaubert"],
        nearest: &["bert", "roberta"],
        differs: "it reads sequences in an order or with a memory of its own",
    },
    UnsupportedKind {
        model_types: &[
            "roformer",
            "ernie",
            "nezha",
            "megatron-bert",
            "luke",
            "layoutlm",
            "rembert",
            "mobilebert",
            "convbert",
            "squeezebert",
            "fnet",
            "ibert",
            "splinter",
            "markuplm",
            "bert-generation",
        ],
        nearest: &["bert", "roberta"],
        differs: "its positions, embeddings or layers are others",
    },
    UnsupportedKind {
        model_types: &["new", "gte", "jina_bert", "jina_embeddings_v3", "xlm-roberta-flash", "eurobert", "neobert"],
        nearest: &["nomic_bert", "modernbert", "xlm-roberta"],
        differs: "its tensors have other names",
    },
    UnsupportedKind {
        model_types: &["xlm-roberta-xl", "roberta-prelayernorm"],
        nearest: &["xlm-roberta", "roberta"],
        differs: "its norms stand before each branch",
    },
    UnsupportedKind {
        model_types: &["deberta"],
        nearest: &["deberta-v2"],
        differs: "its projections share a tensor and it has other biases",
    },
    UnsupportedKind {
        model_types: &["big_bird", "longformer", "led", "bigbird_pegasus", "reformer", "nystromformer"],
        nearest: &["roberta", "bart"],
        differs: "its attention is sparse",
    },
    UnsupportedKind {
        model_types: &["mt5", "umt5", "longt5", "switch_transformers", "pix2struct", "udop"],
        nearest: &["t5"],
        differs: "it has relative positions in every layer, sparse attention or experts; mt5 alone is T5 1.1 under another name",
    },
    UnsupportedKind {
        model_types: &[
            "blenderbot-small",
            "plbart",
            "mvp",
            "fsmt",
            "prophetnet",
            "xlm-prophetnet",
            "nllb-moe",
            "seamless_m4t",
        ],
        nearest: &["bart", "mbart", "m2m_100"],
        differs: "its norms stand elsewhere or its tensors have other names",
    },
    UnsupportedKind {
        model_types: &["encoder-decoder", "vision-encoder-decoder", "speech-encoder-decoder", "trocr"],
        nearest: &["bart", "whisper"],
        differs: "it is made of two models, of which either may be opened in a folder of its own",
    },
    UnsupportedKind {
        model_types: &[
            "wavlm",
            "wav2vec2-conformer",
            "wav2vec2-bert",
            "unispeech",
            "unispeech-sat",
            "sew",
            "data2vec-audio",
            "audio-spectrogram-transformer",
            "moonshine",
            "speech_to_text",
        ],
        nearest: &["wav2vec2", "hubert", "whisper"],
        differs: "its positions or what it reads of sound are others",
    },
    UnsupportedKind {
        model_types: &["swin", "swinv2", "pvt", "segformer", "hiera", "maxvit", "levit", "mobilevit"],
        nearest: &["vit"],
        differs: "its layers look within windows, at several scales",
    },
    UnsupportedKind {
        model_types: &[
            "vit_mae",
            "vit_msn",
            "yolos",
            "dpt",
            "ijepa",
            "vivit",
            "videomae",
            "dinov3_vit",
            "data2vec-vision",
            "siglip2",
            "siglip2_vision_model",
            "aimv2",
            "ijepa",
        ],
        nearest: &["vit", "dinov2", "beit", "siglip"],
        differs: "its positions or its tensors are others",
    },
    UnsupportedKind {
        model_types: &[
            "chinese_clip",
            "clipseg",
            "altclip",
            "align",
            "blip",
            "blip-2",
            "clap",
            "groupvit",
            "metaclip_2",
            "xclip",
        ],
        nearest: &["clip", "siglip"],
        differs: "one of its encoders is another",
    },
];

/// What a person should know of a model whose type is not supported.
pub(super) fn advice(config: &Config, model_type: &str) -> String {
    let kin = KINDS.iter().find(|kin| kin.model_types.contains(&model_type));
    let (nearest, differs) = match kin {
        Some(kin) => (kin.nearest.to_vec(), kin.differs),
        None => (by_keys(config), ""),
    };
    let near = match nearest.as_slice() {
        [] if kin.is_some() => String::new(),
        [] => {
            "nothing in config.json says what it is like; the README lists the families that are supported".to_owned()
        }
        [one] => format!("by its architecture the nearest supported family is {one}"),
        several => format!("by its architecture the nearest supported families are {}", several.join(", ")),
    };
    [near.as_str(), differs].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Families whose configurations have the keys that this one has, the nearest first.
fn by_keys(config: &Config) -> Vec<&'static str> {
    let has = |keys: &[&str]| keys.iter().any(|key| config.get(key).is_some());
    let both = has(&["encoder_layers", "num_encoder_layers"]) && has(&["decoder_layers", "num_decoder_layers"]);
    let is_encoder_decoder = both || config.flag_or("is_encoder_decoder", false).unwrap_or(false);
    if has(&["text_config"]) {
        let of_text = config.section("text_config").is_some_and(|text| text.get("rms_norm_eps").is_some());
        return if of_text { vec!["llava", "gemma3", "qwen2_5_vl"] } else { vec!["clip", "siglip"] };
    }
    if has(&["num_mel_bins"]) {
        return vec!["whisper"];
    }
    if has(&["conv_dim", "conv_kernel"]) {
        return vec!["wav2vec2", "hubert"];
    }
    if has(&["patch_size"]) {
        return vec!["vit", "dinov2"];
    }
    if has(&["d_kv", "relative_attention_num_buckets"]) && is_encoder_decoder {
        return vec!["t5"];
    }
    if is_encoder_decoder {
        return vec!["bart", "mbart", "marian"];
    }
    if has(&["num_experts", "num_local_experts", "n_routed_experts"]) {
        return vec!["qwen3_moe", "mixtral"];
    }
    if has(&["rms_norm_eps"]) {
        return vec!["llama", "qwen3", "mistral"];
    }
    if has(&["type_vocab_size", "attention_probs_dropout_prob"]) {
        return vec!["bert", "roberta"];
    }
    if has(&["alibi"]) {
        return vec!["bloom", "falcon"];
    }
    if has(&["rope_theta", "rope_parameters", "rotary_pct", "partial_rotary_factor"]) {
        return vec!["stablelm", "phi", "gpt_neox"];
    }
    if has(&["rotary_dim"]) {
        return vec!["gptj", "codegen"];
    }
    if has(&["n_embd", "n_head", "n_ctx", "layer_norm_epsilon"]) {
        return vec!["gpt2", "gpt_neo"];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::super::all;
    use super::*;
    use crate::model::Family;

    fn error(keys: Value) -> String {
        let config = Config::new("config.json", keys.as_object().cloned().unwrap());
        Family::of(&config).unwrap_err().to_string()
    }

    #[test]
    fn kin_are_families_and_what_is_supported_is_none_of_them() {
        let families: BTreeSet<&str> = all().map(|family| family.model_type).collect();
        let mut seen = BTreeSet::new();
        for kin in KINDS {
            assert!(kin.nearest.iter().all(|near| families.contains(near)), "{:?}", kin.nearest);
            for name in kin.model_types {
                assert!(!families.contains(name), "{name} is supported");
                seen.insert(*name);
            }
        }
        assert!(seen.len() > 100);
    }

    #[test]
    fn the_nearest_is_alike_by_its_network() {
        for (model_type, near, differs) in [
            ("mamba", "", "no attention"),
            ("falcon_h1", "llama", "some of its layers have no attention"),
            ("gemma3n", "gemma3_text", "share keys"),
            ("qwen2_moe", "qwen3_moe", "experts"),
            ("deepseek_v3", "llama", "latent"),
            ("roformer", "bert", "positions"),
            ("xlnet", "bert", "order"),
            ("mpt", "bloom", "order"),
            ("mt5", "t5", "T5 1.1"),
            ("swin", "vit", "windows"),
        ] {
            let said = error(json!({"model_type": model_type}));
            assert!(said.contains(&format!("model_type '{model_type}' is not supported")), "{said}");
            assert!(said.contains(near) && said.contains(differs), "{said}");
        }
    }

    #[test]
    fn what_is_not_known_by_name_is_known_by_its_keys() {
        // By spelling these would be albert, bloom and phi.
        for (keys, near) in [
            (json!({"model_type": "alberta", "rms_norm_eps": 1e-6}), "llama"),
            (json!({"model_type": "blooms", "encoder_layers": 6, "decoder_layers": 6}), "bart"),
            (json!({"model_type": "phil", "patch_size": 16, "image_size": 224}), "vit"),
            (json!({"model_type": "llamas", "type_vocab_size": 2}), "bert"),
            (json!({"model_type": "vita", "conv_dim": [512]}), "wav2vec2"),
        ] {
            let said = error(keys);
            assert!(said.contains(&format!("by its architecture the nearest supported families are {near}")), "{said}");
        }
        assert!(error(json!({"model_type": "berta"})).contains("nothing in config.json says"));
    }
}
