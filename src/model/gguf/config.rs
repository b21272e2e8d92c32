//! The configuration of a family from what a GGUF file says.

use candle_core::quantized::gguf_file::Value as Said;
use serde_json::{Map, Value, json};

use super::architecture::GgufFamily;
use super::keys::{GgufKeys, whole};
use super::shape::GgufShape;
use crate::error::{Error, Result};
use crate::model::KEPT_KEY;

/// Layers of the largest Gemma 2 and 3, for which llama.cpp scales scores by the width over the heads.
const LARGEST_GEMMAS: [(&str, usize); 2] = [("gemma2", 46), ("gemma3", 62)];

/// Most pairs that a list of rotary factors is for.
const MOST_PAIRS: usize = 4096;

/// Sizes and configuration of a file.
///
/// # Errors
/// Where a key that the computation needs is missing or says what the family does not compute.
pub(super) fn read(keys: &GgufKeys<'_>, family: &GgufFamily) -> Result<(GgufShape, Map<String, Value>)> {
    let shape = GgufShape::read(keys)?;
    let ([heads, kv_heads], kept) = shape.kept(keys)?;
    let width = keys.size("embedding_length")?;
    let vocabulary = keys.file.info("token_embd.weight").and_then(|(shape, _)| shape.first().copied());
    let vocabulary = vocabulary.ok_or_else(|| Error::new("the file holds no token table").at(keys.file.path()))?;
    let inner = keys.sizes("feed_forward_length", shape.layers)?.unwrap_or_default();
    let Some(first) = inner.first().filter(|first| inner.iter().all(|other| other == *first)) else {
        return Err(keys.wrong("feed_forward_length", "one number for all layers"));
    };
    let eps = keys.number_opt("attention.layer_norm_rms_epsilon")?;
    let eps = eps.ok_or_else(|| keys.wrong("attention.layer_norm_rms_epsilon", "a number"))?;
    let bias = |part: &str| keys.has(&format!("blk.0.{part}.bias"));
    let is_gemma = family.adds_one;
    let mut config = object(json!({
        "architectures": [family.class],
        "model_type": family.model_type,
        "hidden_size": width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": first,
        "vocab_size": vocabulary,
        "rms_norm_eps": eps,
        "tie_word_embeddings": !keys.has("output.weight"),
        "hidden_act": if is_gemma { "gelu_pytorch_tanh" } else { "silu" },
        "attention_bias": bias("attn_q") && bias("attn_output"),
        "mlp_bias": bias("ffn_up"),
    }));
    if is_gemma {
        config.insert("hidden_activation".to_owned(), json!("gelu_pytorch_tanh"));
    }
    if let Some(length) = keys.size_opt("context_length")? {
        config.insert("max_position_embeddings".to_owned(), json!(length));
    }
    if let Some(kept) = kept {
        config.insert(KEPT_KEY.to_owned(), json!({"kept": kept}));
    }
    config.extend(positions(keys, family, &shape)?);
    config.extend(windows(keys, family, shape.layers)?);
    config.extend(factors(keys, family, &shape, width, heads)?);
    for (key, name) in [("bos", "bos"), ("eos", "eos"), ("pad", "padding")] {
        let id = keys.file.value(&format!("tokenizer.ggml.{name}_token_id")).and_then(whole);
        if let Some(id) = id.filter(|id| *id < vocabulary as u64) {
            config.insert(format!("{key}_token_id"), json!(id));
        }
    }
    Ok((shape, config))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What the configuration says of rotary positions.
fn positions(keys: &GgufKeys<'_>, family: &GgufFamily, shape: &GgufShape) -> Result<Map<String, Value>> {
    let mut config = Map::new();
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    let dims = keys.size_opt("rope.dimension_count")?.unwrap_or(shape.head_dim);
    match family.model_type {
        "phi3" => drop(put("partial_rotary_factor", json!(dims as f64 / shape.head_dim as f64))),
        _ if dims != shape.head_dim => return Err(keys.wrong("rope.dimension_count", "the width of a head")),
        _ => {}
    }
    let theta = keys.number_opt("rope.freq_base")?.unwrap_or(10000.0);
    put("rope_theta", json!(theta));
    if family.name == "gemma3" {
        put("rope_local_base_freq", json!(keys.number_opt("rope.freq_base_swa")?.unwrap_or(10000.0)));
    }
    if family.name == "smollm3" {
        let placed: Vec<u8> = (0..shape.layers).map(|layer| u8::from((layer + 1) % 4 != 0)).collect();
        put("no_rope_layers", json!(placed));
        put("no_rope_layer_interval", json!(4));
    }
    let factor = keys.number_opt("rope.scaling.factor")?.or(keys.number_opt("rope.scale_linear")?);
    let original = keys.size_opt("rope.scaling.original_context_length")?;
    let attention = keys.number_opt("rope.scaling.attn_factor")?;
    let kind = keys.text_opt("rope.scaling.type")?;
    if keys.has("rope_factors_short.weight") {
        let context = keys.size("context_length")?;
        put("original_max_position_embeddings", json!(original.unwrap_or(context)));
        put(
            "rope_scaling",
            json!({
                "rope_type": "longrope",
                "short_factor": factors_in(keys, "rope_factors_short.weight", dims / 2)?,
                "long_factor": factors_in(keys, "rope_factors_long.weight", dims / 2)?,
                "attention_factor": attention.unwrap_or(1.0),
            }),
        );
        return Ok(config);
    }
    if keys.has("rope_freqs.weight") {
        let factors = factors_in(keys, "rope_freqs.weight", dims / 2)?;
        put("rope_scaling", llama3(theta, dims, &factors).unwrap_or_else(|| pair_by_pair(keys, &factors)));
        return Ok(config);
    }
    match (kind, factor.filter(|factor| *factor != 0.0 && *factor != 1.0)) {
        (Some("none"), _) | (_, None) => {}
        (Some("linear") | None, Some(factor)) => {
            put("rope_scaling", json!({"rope_type": "linear", "factor": factor}));
        }
        (Some("yarn"), Some(factor)) if attention.is_none_or(|attention| attention == 1.0) => {
            let original = original.ok_or_else(|| keys.wrong("rope.scaling.original_context_length", "a length"))?;
            let scaling = json!({"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original});
            put("rope_scaling", scaling);
        }
        _ => return Err(keys.wrong("rope.scaling.type", "a scaling of rotary positions that is known")),
    }
    Ok(config)
}

/// A factor for each of `pairs` pairs.
fn factors_in(keys: &GgufKeys<'_>, tensor: &str, pairs: usize) -> Result<Vec<f64>> {
    let wrong = || Error::new(format!("tensor '{tensor}' does not hold {pairs} factors above 0")).at(keys.file.path());
    let is_one = |shape: &[usize]| shape == [pairs] && pairs <= MOST_PAIRS;
    if !keys.file.info(tensor).is_some_and(|(shape, _)| is_one(shape)) {
        return Err(wrong());
    }
    let numbers = keys.file.tensor(tensor)?.flatten_all()?.to_vec1::<f32>()?;
    if numbers.iter().any(|factor| !factor.is_finite() || *factor <= 0.0) {
        return Err(wrong());
    }
    Ok(numbers.into_iter().map(f64::from).collect())
}

/// The scaling of Llama 3 that has these factors, where it is as Meta published it.
fn llama3(theta: f64, dims: usize, factors: &[f64]) -> Option<Value> {
    const LENGTH: f64 = 8192.0;
    let factor = factors.last().copied().filter(|factor| *factor > 1.0)?;
    let factor = if (factor - factor.round()).abs() < 1e-3 { factor.round() } else { factor };
    let is_it = factors.iter().enumerate().all(|(pair, found)| {
        let wavelength = 2.0 * std::f64::consts::PI * theta.powf(2.0 * pair as f64 / dims as f64);
        let turns = LENGTH / wavelength;
        let smooth = ((turns - 1.0) / 3.0).clamp(0.0, 1.0);
        let want = 1.0 / ((1.0 - smooth) / factor + smooth);
        (found / want - 1.0).abs() < 1e-4
    });
    is_it.then(|| {
        json!({"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": LENGTH as u64})
    })
}

/// Any factors, for texts of every length.
fn pair_by_pair(keys: &GgufKeys<'_>, factors: &[f64]) -> Value {
    let length = keys.size_opt("context_length").ok().flatten().filter(|length| *length > 1).unwrap_or(4096);
    json!({"rope_type": "longrope", "short_factor": factors, "long_factor": factors, "factor": 1.0,
        "attention_factor": 1.0, "original_max_position_embeddings": length})
}

/// Which layers see a window, and how wide it is.
fn windows(keys: &GgufKeys<'_>, family: &GgufFamily, layers: usize) -> Result<Map<String, Value>> {
    let window = keys.size_opt("attention.sliding_window")?.filter(|window| *window > 0);
    let every = match family.name {
        "gemma2" => 2,
        "gemma3" => 6,
        "phi3" => return Ok(object(json!({"sliding_window": window}))),
        _ if window.is_some() => return Err(keys.wrong("attention.sliding_window", "a key of this architecture here")),
        _ => return Ok(object(json!({"sliding_window": null}))),
    };
    const KEY: &str = "attention.sliding_window_pattern";
    let slides: Vec<bool> = match keys.value(KEY) {
        Some(Said::Array(list)) if list.len() == layers => {
            list.iter().map(|flag| matches!(flag, Said::Bool(true)) || whole(flag).is_some_and(|n| n > 0)).collect()
        }
        _ => {
            let every = keys.size_opt(KEY)?.unwrap_or(every);
            (0..layers).map(|layer| every > 0 && layer % every < every - 1).collect()
        }
    };
    let types: Vec<&str> =
        slides.iter().map(|slides| if *slides { "sliding_attention" } else { "full_attention" }).collect();
    let window = window.ok_or_else(|| keys.wrong("attention.sliding_window", "a width"))?;
    Ok(object(json!({"sliding_window": window, "layer_types": types})))
}

/// Factors on embeddings, residuals and logits, and caps on scores.
fn factors(
    keys: &GgufKeys<'_>,
    family: &GgufFamily,
    shape: &GgufShape,
    width: usize,
    heads: usize,
) -> Result<Map<String, Value>> {
    let number = |key: &str, default: f64| Ok::<_, Error>(keys.number_opt(key)?.unwrap_or(default));
    Ok(match family.name {
        "granite" => object(json!({
            "attention_multiplier": number("attention.scale", (shape.head_dim as f64).powf(-0.5))?,
            "embedding_multiplier": number("embedding_scale", 1.0)?,
            "residual_multiplier": number("residual_scale", 1.0)?,
            "logits_scaling": number("logit_scale", 1.0)?,
        })),
        "gemma2" | "gemma3" => {
            let is_largest = LARGEST_GEMMAS.contains(&(family.name, shape.layers));
            let scalar = if is_largest { width / heads } else { shape.head_dim };
            // The second has caps of its own where the file names none.
            let [scores, logits] = if family.name == "gemma2" { [Some(50.0), Some(30.0)] } else { [None, None] };
            object(json!({
                "query_pre_attn_scalar": scalar,
                "attn_logit_softcapping": keys.number_opt("attn_logit_softcapping")?.or(scores),
                "final_logit_softcapping": keys.number_opt("final_logit_softcapping")?.or(logits),
            }))
        }
        _ => Map::new(),
    })
}
