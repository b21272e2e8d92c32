//! Rotary frequencies from `config.json`, in its old and new spelling.

use std::f64::consts::PI;

use crate::checkpoint::Config;
use crate::error::Result;
use crate::network::RotarySpec;

/// Rotary positions over the leading `dims` of a head.
pub(super) fn rotary(config: &Config, dims: usize, default_theta: f64) -> Result<RotarySpec> {
    // transformers 5 gathers everything under `rope_parameters`; before, `rope_theta` stood apart.
    let parameters = config.section("rope_parameters");
    let scaling = parameters.clone().or_else(|| config.section("rope_scaling"));
    let theta = match &parameters {
        Some(p) => p.number_opt("rope_theta")?,
        None => None,
    };
    let theta = theta.or(config.number_opt("rope_theta")?).unwrap_or(default_theta);
    let plain: Vec<f64> = (0..dims / 2).map(|i| theta.powf(-2.0 * i as f64 / dims as f64)).collect();
    let kind = match &scaling {
        Some(s) => s.text_opt("rope_type")?.or(s.text_opt("type")?).unwrap_or("default"),
        None => "default",
    };
    let inverse_frequencies = match (kind, &scaling) {
        ("default", _) | (_, None) => plain,
        ("linear", Some(s)) => {
            let factor = s.number_or("factor", 1.0)?;
            plain.into_iter().map(|f| f / factor).collect()
        }
        ("llama3", Some(s)) => {
            let factor = s.number_or("factor", 8.0)?;
            let (low, high) = (s.number_or("low_freq_factor", 1.0)?, s.number_or("high_freq_factor", 4.0)?);
            let original = s.number_or("original_max_position_embeddings", 8192.0)?;
            plain.into_iter().map(|f| llama3(f, factor, low, high, original)).collect()
        }
        (other, Some(_)) => {
            return Err(config.unsupported(format!("rotary scaling '{other}' is not supported")));
        }
    };
    Ok(RotarySpec { dims, inverse_frequencies, attention_factor: 1.0 })
}

/// Llama 3.1: slow frequencies are divided by `factor`, fast ones stay, those between blend.
fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}
