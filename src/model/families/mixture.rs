//! Mixtures of experts in place of one feed-forward part (Jiang et al. 2024), told apart by what differs.

use serde_json::Value;

use super::flag::Flag;
use crate::error::Result;
use crate::model::ConfigReader;
use crate::network::ExpertsSpec;

/// How a family mixes experts.
#[derive(Clone, Copy)]
pub(super) struct Mixture {
    /// The key of the inner width of an expert.
    pub width: &'static str,
    /// How many experts each position passes where the configuration does not say.
    pub chosen: usize,
    /// Whether the weights of the chosen ones are a softmax over their scores alone.
    pub normalized: Flag,
    /// Whether the router has a bias.
    pub bias: bool,
    /// The bound on gates where the configuration names none, in families that bound them.
    pub limit: Option<f64>,
    /// Whether `mlp_only_layers` and `decoder_sparse_step` name layers without experts.
    pub dense_layers: bool,
}

/// The mixture that a configuration describes.
pub(super) struct ReadMixture {
    pub experts: ExpertsSpec,
    pub width: usize,
    /// Which layers have it.
    pub layers: Vec<bool>,
}

impl Mixture {
    /// Reads what the configuration says of `layers` layers.
    pub(super) fn read(self, reading: &ConfigReader<'_>, layers: usize) -> Result<ReadMixture> {
        let config = reading.config;
        reading.config.settle(&["num_experts"]);
        let count = reading.experts_at(&["num_local_experts", "num_experts"], layers)?;
        let chosen = config.size_or("num_experts_per_tok", self.chosen)?;
        if !(1..=count).contains(&chosen) {
            return Err(
                config.wrong("num_experts_per_tok", &format!("a number from 1 to that of the experts, {count}"))
            );
        }
        let limit = match self.limit {
            Some(default) => Some(config.number_or("swiglu_limit", default)?),
            None => None,
        };
        if limit.is_some_and(|limit| limit <= 0.0) {
            return Err(config.wrong("swiglu_limit", "a number above 0"));
        }
        // The slope of the sigmoid by which quick GELU is known.
        if limit.is_some() && config.number_or("swiglu_alpha", 1.702)? != 1.702 {
            return Err(config.wrong("swiglu_alpha", "1.702"));
        }
        let experts = ExpertsSpec { count, chosen, normalized: self.normalized.read(reading)?, bias: self.bias, limit };
        let layers = if self.dense_layers { sparse_layers(reading, layers)? } else { vec![true; layers] };
        Ok(ReadMixture { experts, width: config.size(self.width)?, layers })
    }
}

/// Every `decoder_sparse_step`-th layer but those that `mlp_only_layers` names.
fn sparse_layers(reading: &ConfigReader<'_>, layers: usize) -> Result<Vec<bool>> {
    let config = reading.config;
    let step = config.size_or("decoder_sparse_step", 1)?;
    if step == 0 {
        return Err(config.wrong("decoder_sparse_step", "a number above 0"));
    }
    let wrong = || config.wrong("mlp_only_layers", "a list of layers");
    let dense = match config.get("mlp_only_layers") {
        Some(list) => {
            let list = list.as_array().ok_or_else(wrong)?.iter().map(Value::as_u64);
            list.collect::<Option<Vec<u64>>>().ok_or_else(wrong)?
        }
        None => Vec::new(),
    };
    Ok((0..layers).map(|i| (i + 1).is_multiple_of(step) && !dense.contains(&(i as u64))).collect())
}
