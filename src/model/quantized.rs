//! Weights that are quantized: by whom, and what to do instead.

use serde_json::Value;

use crate::checkpoint::{Checkpoint, Config};
use crate::error::Error;

/// Who quantized, and what gives plain weights of such.
struct Quantizer {
    name: &'static str,
    /// Its words in `quant_method`.
    methods: &'static [&'static str],
    /// Endings of names of tensors that no other kind has.
    endings: &'static [&'static str],
    advice: &'static str,
}

const ORIGINAL: &str = "use the checkpoint in 32 or 16 bits that it was made from, which its model card names";

static KINDS: &[Quantizer] = &[
    Quantizer { name: "AWQ", methods: &["awq"], endings: &[], advice: ORIGINAL },
    Quantizer { name: "GPTQ", methods: &["gptq"], endings: &[".g_idx"], advice: ORIGINAL },
    Quantizer {
        name: "bitsandbytes",
        methods: &["bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit"],
        endings: &[".absmax", ".quant_map", ".SCB", ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"],
        advice: "use the checkpoint that it was made from, or load it with transformers and save model.dequantize()",
    },
    Quantizer {
        name: "compressed-tensors",
        methods: &["compressed-tensors", "compressed_tensors"],
        endings: &[".weight_packed", ".weight_shape"],
        advice: "use the checkpoint that it was made from, or load it with transformers and \
                 CompressedTensorsConfig(run_compressed=False) and save that",
    },
    Quantizer {
        name: "fp8",
        methods: &["fp8", "fbgemm_fp8", "finegrained_fp8", "modelopt"],
        endings: &[".weight_scale_inv"],
        advice: "use the checkpoint in 16 bits, or load it with transformers and FineGrainedFP8Config(dequantize=True) and \
                 save that",
    },
    Quantizer {
        name: "MXFP4",
        methods: &["mxfp4"],
        endings: &["_blocks"],
        advice: "load it with transformers and Mxfp4Config(dequantize=True) and save that",
    },
    Quantizer {
        name: "MLX",
        methods: &["mlx"],
        endings: &[],
        advice: "use the checkpoint that it was made from, or `mlx_lm.convert --dequantize`",
    },
];

/// What a quantized tensor is known by, of whatever kind.
const ENDINGS: [&str; 4] = [".qweight", ".qzeros", ".scales", ".weight_scale"];

/// What is wrong with weights that are quantized, which their shapes and types alone do not say; else `error`.
pub(super) fn if_quantized(checkpoint: &Checkpoint, error: Error) -> Error {
    let config = checkpoint.config();
    let Some(named) = QuantizedBy::of(config, checkpoint.names()) else { return error };
    let by = named.by.map_or_else(String::new, |by| format!(" by {by}"));
    let from = named.key.map_or_else(String::new, |key| format!(" ('{key}' in config.json)"));
    config.unsupported(format!("the weights are quantized{by}{from}, which is not supported")).hint(named.advice)
}

/// Who quantized, as far as it is known.
struct QuantizedBy {
    by: Option<String>,
    /// The key of the configuration that says so.
    key: Option<&'static str>,
    advice: &'static str,
}

impl QuantizedBy {
    fn of(config: &Config, names: &[String]) -> Option<Self> {
        let keys = ["quantization", "quantization_config", "compression_config"];
        let key = keys.into_iter().find(|key| config.get(key).is_some_and(Value::is_object));
        let ends = |endings: &[&str]| names.iter().any(|name| endings.iter().any(|ending| name.ends_with(ending)));
        let method = key.and_then(|key| config.get(key)?.get("quant_method")?.as_str());
        let flag =
            |name: &str| key.is_some_and(|key| config.get(key).and_then(|q| q.get(name)) == Some(&Value::Bool(true)));
        let kind = match method {
            Some(method) => KINDS.iter().find(|kind| kind.methods.contains(&method)),
            None if flag("load_in_4bit") || flag("load_in_8bit") => of_name("bitsandbytes"),
            // MLX says how many bits, and nothing of a method.
            None if key == Some("quantization") && !ends(&[".qweight"]) => of_name("MLX"),
            None => None,
        };
        let by_tensors = || KINDS.iter().find(|kind| ends(kind.endings));
        // Scales and biases of groups beside weights that keep their names.
        let mlx = || of_name("MLX").filter(|_| ends(&[".scales"]) && ends(&[".biases"]));
        let unknown = method.map(|method| method.chars().take(40).collect::<String>());
        let kind = kind.or_else(|| if unknown.is_none() { by_tensors().or_else(mlx) } else { None });
        if kind.is_none() && key.is_none() && !ends(&ENDINGS) {
            return None;
        }
        Some(Self {
            by: kind.map(|kind| kind.name.to_owned()).or(unknown).or_else(|| {
                // Both pack whole numbers and differ in what is packed beside each other.
                ends(&[".qweight"]).then(|| "GPTQ or AWQ".to_owned())
            }),
            key,
            advice: kind.map_or(ORIGINAL, |kind| kind.advice),
        })
    }
}

fn of_name(name: &str) -> Option<&'static Quantizer> {
    KINDS.iter().find(|kind| kind.name == name)
}
