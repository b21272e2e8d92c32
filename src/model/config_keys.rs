//! Keys of `config.json` that nobody asked for: known not to matter, or named.

use serde_json::{Map, Value};

use crate::checkpoint::Config;

/// Keys that change no number of a forward pass over given inputs, by what they are about; `*` stands for any beginning
/// or end.
const WITHOUT_EFFECT: &[&str] = &[
    // The file itself, and who wrote it.
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "_attn_implementation*",
    "attn_implementation",
    "auto_map",
    "custom_pipelines",
    "dtype",
    "feature_extractor_type",
    "finetuning_task",
    "is_llama_config",
    "license",
    "model_max_length",
    "name_or_path",
    "processor_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "tokenizer_class",
    "unsloth_*",
    // Names of labels, and what they are for.
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "task_specific_params",
    // What a pass gives besides its result.
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "return_dict*",
    // Random in training.
    "*dropout",
    "*dropout_prob",
    "*pdrop",
    "*layerdrop",
    "dropout_rate",
    "drop_path_rate",
    "router_jitter_noise",
    "apply_spec_augment",
    "mask_channel_*",
    "mask_feature_*",
    "mask_time_*",
    "no_mask_*",
    // Weights before training.
    "initializer_*",
    "init_std",
    "init_method_std",
    "layer_scale_init_value",
    "layerscale_value",
    "logit_scale_init_value",
    "sinusoidal_pos_embds",
    // The loss, and how training went.
    "router_aux_loss_coef",
    "output_router_logits",
    "auxiliary_*",
    "contrastive_logits_temperature",
    "ctc_*",
    "diversity_loss_weight",
    "freeze_feat_extract_train",
    "gradient_checkpointing",
    "label_smoothing",
    "num_negatives",
    "save_step",
    "semantic_loss_ignore_index",
    "sparse_pred*",
    "tf_legacy_loss",
    // Special tokens and generation.
    "*token_id",
    "*token_ids",
    "*token_index",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_implementation",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "force_bos_token_to_be_generated",
    "forced_decoder_ids",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "use_cache",
    "vocab_list",
    // The same numbers by another way of computing.
    "attention_softmax_in_fp32",
    "bias_dropout_fusion",
    "chunk_size_feed_forward",
    "deterministic_flash_attn",
    "fused_*",
    "masked_softmax_fusion",
    "median_filter_width",
    "pad_vocab_size_multiple",
    "pretraining_tp",
    "reference_compile",
    "reorder_and_upcast_attn",
    "repad_logits_with_grad",
    "scale_attention_softmax_in_fp32",
    "slow_but_exact",
    "torchscript",
    "use_bfloat16",
    "use_flash_attn",
    "use_xentropy",
    "xla_device",
    // Heads and parts that are not read, or only beside inputs that are not given.
    "adapter_*",
    "add_adapter",
    "add_cross_attention",
    "add_fpn",
    "classifier_*",
    "codevector_dim",
    "cross_attention_hidden_size",
    "directionality",
    "encoder_stride",
    "esmfold_config",
    "image_seq_length",
    "is_folding_model",
    "mm_tokens_per_image",
    "multimodal_projector_bias",
    "num_adapter_layers",
    "num_codevector*",
    "output_hidden_size",
    "pool_scales",
    "pooler_*",
    "proj_codevector_dim",
    "projection_dim",
    "projection_size",
    "projector_hidden_act",
    "summary_*",
    "tdnn_*",
    "tie_encoder_decoder",
    "use_auxiliary_head",
    "use_mask_token",
    "use_weighted_layer_sum",
    "vision_feature_*",
    "vision_use_head",
    "xvector_output_dim",
    // What only a backbone's maps pass.
    "apply_layernorm",
    "out_features",
    "out_indices",
    "reshape_hidden_states",
    "stage_names",
    // Of the parts of a model of several, which a note names.
    "audio_config",
    "text_config*",
    "vision_config*",
    // Written by releases of transformers that had not made them fixed.
    "add_bias_logits",
    "add_final_layer_norm",
    "classif_dropout",
    "do_blenderbot_90_layernorm",
    "down_scale_factor",
    "extra_pos_embeddings",
    "gap_size",
    "layernorm_variant",
    "net_structure_type",
    "normalize_before",
    "normalize_embedding",
    "num_ctc_classes",
    "num_memory_blocks",
    "offset_alibi",
    "replacing_rate",
    "rotary",
    "seq_length",
    "skip_bias_add*",
    "static_position_embeddings",
    "student_*",
    "tie_weights_",
    "use_mrope",
    // Axes of positions, which are one on text.
    "mrope_*",
    // Said in a note of its own, or not there where weights are floats.
    "quantization",
    "quantization_config",
];

/// Keys that matter in families that ask for them; the classes of others have no use for them, or read the same under
/// another name.
const OPTIONAL: &[&str] = &[
    "hidden_size",
    "is_decoder",
    "is_encoder_decoder",
    "layer_norm_eps",
    "legacy",
    "model_type",
    "n_ctx",
    "n_positions",
    "num_feat_extract_layers",
    "num_hidden_layers",
    "num_layers",
    "position_embedding_type",
    "rope_interleaved",
    "tie_word_embeddings",
    "vocab_size",
];

/// Whether a key is known to change no number of a forward pass over given inputs.
pub fn has_no_effect(key: &str) -> bool {
    WITHOUT_EFFECT.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => key.ends_with(end),
        (_, Some(start)) => key.starts_with(start),
        _ => *pattern == key,
    })
}

/// Keys that say something, that nobody asked `config` for and that are not known to have no effect, by their paths:
/// `rope_scaling.foo`.
pub fn unread_keys(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(keys) = config.value().as_object() {
        collect(config, keys, "", &mut found);
    }
    found
}

fn collect(config: &Config, keys: &Map<String, Value>, scope: &str, found: &mut Vec<String>) {
    for (key, value) in keys {
        let path = format!("{scope}{key}");
        let inside = format!("{path}.");
        match value {
            Value::Null => {}
            // Of what was read key by key.
            Value::Object(keys) if config.was_entered(&inside) => collect(config, keys, &inside, found),
            Value::Object(keys) if keys.is_empty() => {}
            _ if config.was_asked(&path) || has_no_effect(key) || OPTIONAL.contains(&key.as_str()) => {}
            _ => found.push(path.chars().take(100).collect()),
        }
    }
}

/// One note that names them.
pub(super) fn note(config: &Config) -> Option<String> {
    const MOST: usize = 12;
    let unread = unread_keys(config);
    let more = match unread.len().checked_sub(MOST) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    let named: Vec<&str> = unread.iter().take(MOST).map(String::as_str).collect();
    (!named.is_empty()).then(|| format!("config.json: not known to Pillars, not used: {}{more}", named.join(", ")))
}
