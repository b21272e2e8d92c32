//! Rotary positions from `config.json`, in its old and new spelling.

use std::f64::consts::PI;

use crate::checkpoint::Config;
use crate::error::Result;
use crate::network::{Beyond, RotarySpec};

/// How a family spells its rotary positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rope {
    /// Kind of layer whose parameters are apart from others', `full_attention` or `sliding_attention`.
    pub layers: Option<&'static str>,
    /// The key of the base before transformers 5.
    pub theta_key: &'static str,
    /// The base where nothing names it.
    pub theta: f64,
    /// Whether the `rope_scaling` of old files applies (Gemma 3: not to sliding layers).
    pub scaled: bool,
    /// The share of a head that rotates where nothing names it; `None` where families always rotate all of it.
    pub share: Option<f64>,
}

impl Rope {
    /// Base 10000 under its usual name, the whole head.
    pub const PLAIN: Self = Self { layers: None, theta_key: "rope_theta", theta: 10000.0, scaled: true, share: None };

    /// Rotary positions of heads of `head_dim` dimensions.
    pub fn read(&self, config: &Config, head_dim: usize) -> Result<RotarySpec> {
        let parameters = self.parameters(config);
        let number = |key: &str| match &parameters {
            Some(p) => p.number_opt(key),
            None => Ok(None),
        };
        let theta = number("rope_theta")?.or(config.number_opt(self.theta_key)?).unwrap_or(self.theta);
        let share = match self.share {
            None => 1.0,
            Some(default) => number("partial_rotary_factor")?
                .or(config.number_opt("partial_rotary_factor")?)
                .or(config.number_opt("rotary_pct")?)
                .unwrap_or(default),
        };
        let dims = (head_dim as f64 * share) as usize;
        if theta.is_nan() || theta <= 0.0 || !(0.0..=1.0).contains(&share) || dims < 2 || dims % 2 == 1 {
            let what = format!("rotary positions of base {theta} over {dims} of {head_dim} dimensions do not exist");
            return Err(config.unsupported(what));
        }
        let plain = RotarySpec::new(dims, theta);
        match parameters {
            Some(parameters) => Scaling { config, parameters, theta, plain }.apply(),
            None => Ok(plain),
        }
    }

    /// `rope_scaling`, or `rope_parameters` of transformers 5, which may hold one section per kind of layer.
    fn parameters(&self, config: &Config) -> Option<Config> {
        let old = if self.scaled { config.section("rope_scaling") } else { None };
        let new = || {
            let all = config.section("rope_parameters")?;
            self.layers.and_then(|kind| all.section(kind)).or(Some(all))
        };
        old.or_else(new)
    }
}

/// Longest sequence for which rotary positions are meant: `max_position_embeddings`, stretched by scalings that
/// leave this key at the length before them.
pub(super) fn longest(config: &Config) -> Result<Option<usize>> {
    let Some(length) = config.size_opt("max_position_embeddings")? else { return Ok(None) };
    let Some(scaling) = config.section("rope_scaling").or_else(|| config.section("rope_parameters")) else {
        return Ok(Some(length));
    };
    let factor = scaling.number_opt("factor")?.unwrap_or(1.0).clamp(1.0, 1e6);
    let stretched = |length: usize| (length as f64 * factor) as usize;
    Ok(Some(match kind(&scaling)? {
        "linear" | "dynamic" => stretched(length),
        "yarn" => scaling.size_opt("original_max_position_embeddings")?.map_or(length, stretched).max(length),
        _ => length,
    }))
}

fn kind(parameters: &Config) -> Result<&str> {
    Ok(parameters.text_opt("rope_type")?.or(parameters.text_opt("type")?).unwrap_or("default"))
}

/// A change of the frequencies, as `rope_scaling` describes it.
struct Scaling<'a> {
    config: &'a Config,
    parameters: Config,
    theta: f64,
    plain: RotarySpec,
}

impl Scaling<'_> {
    fn apply(self) -> Result<RotarySpec> {
        // Phi-3 called LongRoPE `su` first, then by mistake `yarn`; neither had YaRN's keys.
        let lists = self.parameters.get("long_factor").is_some();
        match kind(&self.parameters)? {
            "default" => Ok(self.plain),
            "linear" => {
                let factor = self.factor()?;
                Ok(self.map(|_, f| f / factor))
            }
            "dynamic" => self.dynamic(),
            "llama3" => self.llama3(),
            "longrope" => self.long(),
            "su" | "yarn" if lists => self.long(),
            "yarn" => self.yarn(),
            other => Err(self.config.unsupported(format!("rotary scaling '{other}' is not supported"))),
        }
    }

    fn map(mut self, change: impl Fn(usize, f64) -> f64) -> RotarySpec {
        for (i, frequency) in self.plain.inverse_frequencies.iter_mut().enumerate() {
            *frequency = change(i, *frequency);
        }
        self.plain
    }

    fn positive(&self, key: &str, default: Option<f64>) -> Result<f64> {
        match self.parameters.number_opt(key)?.or(default) {
            Some(number) if number > 0.0 => Ok(number),
            Some(_) => Err(self.parameters.wrong(key, "a number above 0")),
            None => Err(self.config.unsupported(format!("the rotary scaling lacks '{key}'"))),
        }
    }

    fn factor(&self) -> Result<f64> {
        self.positive("factor", None)
    }

    /// Length of the sequences that the model saw before it was stretched.
    fn original(&self) -> Result<f64> {
        const KEY: &str = "original_max_position_embeddings";
        let length = match self.config.size_opt(KEY)?.or(self.parameters.size_opt(KEY)?) {
            Some(length) => length,
            None => self.config.size("max_position_embeddings")?,
        };
        if length < 2 {
            return Err(self.config.wrong(KEY, "a length"));
        }
        Ok(length as f64)
    }

    /// `factor`, else how much longer the model reads than it did before.
    fn factor_or_ratio(&self) -> Result<f64> {
        match self.parameters.get("factor") {
            Some(_) => self.factor(),
            None => Ok(self.config.size("max_position_embeddings")? as f64 / self.original()?),
        }
    }

    fn dynamic(mut self) -> Result<RotarySpec> {
        let length = self.config.size("max_position_embeddings")?;
        if length == 0 || self.plain.dims < 4 {
            return Err(self.config.unsupported("dynamic rotary scaling needs a length and wider heads"));
        }
        let factor = self.positive("factor", None)?;
        self.plain.beyond = Beyond::Stretched { length, theta: self.theta, factor };
        Ok(self.plain)
    }

    /// Llama 3.1: slow frequencies are divided by `factor`, fast ones stay, those between blend.
    fn llama3(self) -> Result<RotarySpec> {
        let factor = self.factor()?;
        let (low, high) = (self.positive("low_freq_factor", None)?, self.positive("high_freq_factor", None)?);
        let original = self.original()?;
        Ok(self.map(|_, frequency| {
            let wavelength = 2.0 * PI / frequency;
            if wavelength < original / high {
                frequency
            } else if wavelength > original / low {
                frequency / factor
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }))
    }

    /// YaRN (Peng et al. 2023, section 3): pairs that turn often within the original length stay, those that turn
    /// less than once are divided by `factor`, with a linear ramp between; scores grow by the attention factor.
    fn yarn(mut self) -> Result<RotarySpec> {
        let factor = self.factor_or_ratio()?;
        let original = self.original()?;
        let dims = self.plain.dims as f64;
        // Like the models' own code, 0 means the default here.
        let turns = |key: &str, default: f64| -> Result<f64> {
            Ok(self.parameters.number_opt(key)?.filter(|n| *n != 0.0).unwrap_or(default))
        };
        let pair = |turns: f64| dims * (original / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
        let (mut first, mut last) = (pair(turns("beta_fast", 32.0)?), pair(turns("beta_slow", 1.0)?));
        if self.parameters.flag_or("truncate", true)? {
            (first, last) = (first.floor(), last.ceil());
        }
        let (first, mut last) = (first.max(0.0), last.min(dims - 1.0));
        if first == last {
            last += 0.001;
        }
        let grown = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
        let named = |key: &str| -> Result<Option<f64>> { Ok(self.parameters.number_opt(key)?.filter(|n| *n != 0.0)) };
        self.plain.attention_factor = match self.parameters.number_opt("attention_factor")? {
            Some(given) => given,
            None => match (named("mscale")?, named("mscale_all_dim")?) {
                (Some(some), Some(all)) => grown(some) / grown(all),
                _ => grown(1.0),
            },
        };
        Ok(self.map(|i, frequency| {
            let slowed = ((i as f64 - first) / (last - first)).clamp(0.0, 1.0);
            frequency / factor * slowed + frequency * (1.0 - slowed)
        }))
    }

    /// LongRoPE (Ding et al. 2024): a factor per pair, one list for short batches and one for long ones.
    fn long(mut self) -> Result<RotarySpec> {
        let original = self.original()?;
        let factor = self.factor_or_ratio()?;
        self.plain.attention_factor = match self.parameters.number_opt("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        let divided = |key: &str| -> Result<Vec<f64>> {
            let wrong = || self.parameters.wrong(key, &format!("a list of {} numbers above 0", self.plain.dims / 2));
            let list = self.parameters.get(key).and_then(|v| v.as_array()).ok_or_else(wrong)?;
            let factors: Vec<f64> = list.iter().filter_map(|v| v.as_f64().filter(|f| *f > 0.0)).collect();
            if factors.len() != list.len() || factors.len() != self.plain.inverse_frequencies.len() {
                return Err(wrong());
            }
            Ok(self.plain.inverse_frequencies.iter().zip(factors).map(|(frequency, f)| frequency / f).collect())
        };
        let (short, long) = (divided("short_factor")?, divided("long_factor")?);
        self.plain.inverse_frequencies = short;
        self.plain.beyond = Beyond::Other { length: original as usize, inverse_frequencies: long };
        Ok(self.plain)
    }
}
