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
    /// The key of the number of dimensions that rotate, and its value where there is no such key (GPT-J).
    pub dims: Option<(&'static str, usize)>,
    /// Whether neighbors rotate together instead of halves.
    pub interleaved: bool,
    /// Whether positions may have several axes (`mrope`), which are one on text.
    pub axes: bool,
}

impl Rope {
    /// Base 10000 under its usual name, the whole head.
    pub(super) const PLAIN: Self = Self {
        layers: None,
        theta_key: "rope_theta",
        theta: 10000.0,
        scaled: true,
        share: None,
        dims: None,
        interleaved: false,
        axes: false,
    };

    /// Rotary positions of heads of `head_dim` dimensions.
    pub(super) fn read(&self, config: &Config, head_dim: usize) -> Result<RotarySpec> {
        let parameters = self.parameters(config);
        // What counts where the section of another spelling does not.
        config.settle(&[self.theta_key, "rope_parameters", "rope_scaling", "original_max_position_embeddings"]);
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
        let dims = match self.dims {
            Some((key, default)) => config.size_or(key, default)?,
            None => (head_dim as f64 * share) as usize,
        };
        // Engines keep the base in 32 bits.
        if !(f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&theta)
            || !(0.0..=1.0).contains(&share)
            || dims < 2
            || dims % 2 == 1
            || dims > head_dim
        {
            let what = format!("rotary positions of base {theta} over {dims} of {head_dim} dimensions do not exist");
            return Err(config.unsupported(what));
        }
        let plain = RotarySpec { interleaved: self.interleaved, ..RotarySpec::new(dims, theta) };
        match parameters {
            Some(parameters) if self.axes && kind(&parameters)?.1 == "mrope" => Ok(plain),
            Some(parameters) => Scaling { config, parameters, theta, plain }.apply(),
            None => Ok(plain),
        }
    }

    /// `rope_scaling`, or `rope_parameters` of transformers 5, which may hold one section per kind of layer.
    fn parameters(&self, config: &Config) -> Option<Config> {
        let old = if self.scaled { old_scaling(config) } else { None };
        let new = || {
            let all = config.section("rope_parameters")?;
            self.layers.and_then(|kind| all.section(kind)).or(Some(all))
        };
        old.or_else(new)
    }
}

/// `rope_scaling` of files before transformers 5; an empty one says nothing.
fn old_scaling(config: &Config) -> Option<Config> {
    config.section("rope_scaling").filter(|section| section.value().as_object().is_some_and(|keys| !keys.is_empty()))
}

/// Longest sequence for which rotary positions are meant: `max_position_embeddings`, stretched by scalings that
/// leave this key at the length before them.
pub(super) fn longest(config: &Config) -> Result<Option<usize>> {
    let length = config.size_opt("max_position_embeddings")?;
    let Some(length) = length.or(config.size_opt("n_positions")?) else { return Ok(None) };
    let Some(scaling) = old_scaling(config).or_else(|| config.section("rope_parameters")) else {
        return Ok(Some(length));
    };
    let factor = scaling.number_opt("factor")?.unwrap_or(1.0).clamp(1.0, 1e6);
    let stretched = |length: usize| (length as f64 * factor) as usize;
    Ok(Some(match kind(&scaling)?.1 {
        "linear" | "dynamic" => stretched(length),
        "yarn" => scaling.size_opt("original_max_position_embeddings")?.map_or(length, stretched).max(length),
        _ => length,
    }))
}

/// The kind of scaling, behind the key that names it.
fn kind(parameters: &Config) -> Result<(&'static str, &str)> {
    parameters.settle(&["type"]);
    for key in ["rope_type", "type"] {
        if let Some(kind) = parameters.text_opt(key)? {
            return Ok((key, kind));
        }
    }
    Ok(("rope_type", "default"))
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
        let (key, kind) = kind(&self.parameters)?;
        match kind {
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
            _ => Err(self.parameters.wrong(key, "default, linear, dynamic, yarn, longrope or llama3")),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn config(keys: Value) -> Config {
        Config::new("config.json", keys.as_object().cloned().unwrap())
    }

    /// Heads of 16 dimensions.
    fn read(keys: Value) -> Result<RotarySpec> {
        Rope::PLAIN.read(&config(keys), 16)
    }

    #[track_caller]
    fn assert_close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got / want - 1.0).abs() < 1e-6, "{got} instead of {want}");
        }
    }

    /// `theta^(-2 i / 16)`.
    fn plain(theta: f64) -> Vec<f64> {
        (0..8).map(|i| theta.powf(-f64::from(i) / 8.0)).collect()
    }

    #[test]
    fn bases_under_all_their_names() {
        let plainly = |keys| read(keys).unwrap().inverse_frequencies;
        assert_close(&plainly(json!({})), &plain(10000.0));
        assert_close(&plainly(json!({"rope_theta": 500.0})), &plain(500.0));
        assert_close(&plainly(json!({"rope_parameters": {"rope_theta": 500.0}})), &plain(500.0));
        assert_close(&plainly(json!({"rope_theta": 500.0, "rope_scaling": null})), &plain(500.0));
        let by_kind = json!({"rope_parameters": {"sliding_attention": {"rope_theta": 7.0, "rope_type": "default"}}});
        let sliding = Rope { layers: Some("sliding_attention"), ..Rope::PLAIN };
        assert_close(&sliding.read(&config(by_kind), 16).unwrap().inverse_frequencies, &plain(7.0));
    }

    #[test]
    fn linear_divides_every_frequency() {
        for keys in [
            json!({"rope_scaling": {"type": "linear", "factor": 4.0}}),
            json!({"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
        ] {
            let want: Vec<f64> = plain(10000.0).iter().map(|f| f / 4.0).collect();
            assert_close(&read(keys).unwrap().inverse_frequencies, &want);
        }
    }

    #[test]
    fn dynamic_raises_the_base_with_the_length() {
        let spec = read(json!({
            "max_position_embeddings": 2048, "rope_theta": 10000.0, "rope_scaling": {"type": "dynamic", "factor": 2.0},
        }));
        let spec = spec.unwrap();
        assert_close(&spec.frequencies_at(2048), &plain(10000.0));
        // theta (factor T / L - (factor - 1))^(d / (d - 2)) with T = 3000: 10000 (2 * 3000 / 2048 - 1)^(16/14).
        assert_close(&spec.frequencies_at(3000), &plain(10000.0 * (6000f64 / 2048.0 - 1.0).powf(16.0 / 14.0)));
        // What transformers computes for T = 8192.
        let known = [1.0, 0.2394814, 0.05735132, 0.01373457, 0.003289174, 0.0007876959, 0.0001886385, 4.517539e-05];
        assert_close(&spec.frequencies_at(8192), &known);
        assert_eq!(spec.attention_factor, 1.0);
    }

    #[test]
    fn llama3_keeps_fast_frequencies_and_slows_others() {
        let spec = read(json!({"rope_theta": 500000.0, "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }}));
        let got = spec.unwrap().inverse_frequencies;
        // Wavelengths 2 pi / f below 8192 / 4 stay, those above 8192 / 1 are divided by 8.
        let want: Vec<f64> = plain(500000.0)
            .into_iter()
            .map(|f| {
                let turns = 8192.0 * f / (2.0 * PI);
                let kept = ((turns - 1.0) / 3.0).clamp(0.0, 1.0);
                f * kept + f / 8.0 * (1.0 - kept)
            })
            .collect();
        assert_close(&got, &want);
        // What transformers computes.
        assert_close(
            &got,
            &[1.0, 0.1939228, 0.03760603, 0.007292665, 0.000524846, 3.428102e-05, 6.64787e-06, 1.289173e-06],
        );
    }

    #[test]
    fn yarn_ramps_between_kept_and_slowed_and_scales_scores() {
        let spec = read(json!({"rope_theta": 1e6, "max_position_embeddings": 32768, "rope_scaling": {
            "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192,
        }}));
        let spec = spec.unwrap();
        // What transformers computes; the factor is 0.1 ln 4 + 1.
        assert_close(
            &spec.inverse_frequencies,
            &[1.0, 0.1778279, 0.03162278, 0.00421756, 0.0005, 4.445699e-05, 7.905694e-06, 1.405853e-06],
        );
        assert_close(&[spec.attention_factor], &[0.1 * 4f64.ln() + 1.0]);

        let spec = read(json!({"max_position_embeddings": 163840, "rope_scaling": {
            "type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 0.707, "beta_fast": 16, "beta_slow": 2,
            "original_max_position_embeddings": 4096,
        }}));
        let spec = spec.unwrap();
        assert_close(
            &spec.inverse_frequencies,
            &[1.0, 0.3162278, 0.1, 0.03162278, 0.006749999, 0.001106797, 2.5e-05, 7.905694e-06],
        );
        assert_close(&[spec.attention_factor], &[(0.1 * 40f64.ln() + 1.0) / (0.0707 * 40f64.ln() + 1.0)]);

        let spec = read(json!({"max_position_embeddings": 32768, "rope_parameters": {
            "rope_type": "yarn", "factor": 4.0, "truncate": false, "attention_factor": 1.25, "rope_theta": 10000.0,
            "original_max_position_embeddings": 8192,
        }}));
        let spec = spec.unwrap();
        assert_close(
            &spec.inverse_frequencies,
            &[1.0, 0.3162278, 0.1, 0.03162278, 0.008056971, 0.001759974, 0.000307408, 7.905695e-05],
        );
        assert_eq!(spec.attention_factor, 1.25);
    }

    #[test]
    fn longrope_switches_lists_with_the_length() {
        for kind in ["longrope", "su", "yarn"] {
            let spec = read(json!({
                "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "rope_theta": 10000.0,
                "rope_scaling": {
                    "type": kind,
                    "short_factor": [1.0, 1.02, 1.04, 1.1, 1.3, 1.7, 2.1, 2.5],
                    "long_factor": [1.05, 1.2, 2.0, 4.5, 9.0, 17.0, 28.0, 41.0],
                },
            }));
            let spec = spec.unwrap();
            // What transformers computes; the factor is sqrt(1 + ln 32 / ln 4096).
            assert_close(
                &spec.frequencies_at(4096),
                &[1.0, 0.3100272, 0.09615385, 0.02874798, 0.007692308, 0.001860163, 0.0004761905, 0.0001264911],
            );
            assert_close(
                &spec.frequencies_at(4097),
                &[0.952381, 0.2635231, 0.05, 0.007027284, 0.001111111, 0.0001860163, 3.571429e-05, 7.712873e-06],
            );
            assert_close(&[spec.attention_factor], &[(1.0 + 32f64.ln() / 4096f64.ln()).sqrt()]);
        }
    }

    #[test]
    fn a_share_of_the_head_rotates() {
        let rope = Rope { share: Some(0.25), ..Rope::PLAIN };
        let dims = |keys| rope.read(&config(keys), 16).unwrap().dims;
        assert_eq!(dims(json!({})), 4);
        assert_eq!(dims(json!({"rotary_pct": 0.5})), 8);
        assert_eq!(dims(json!({"partial_rotary_factor": 1.0})), 16);
        assert_eq!(dims(json!({"rope_parameters": {"partial_rotary_factor": 0.125}})), 2);
        assert_eq!(Rope::PLAIN.read(&config(json!({"rotary_pct": 0.5})), 16).unwrap().dims, 16);
    }

    #[test]
    fn the_longest_sequence_follows_the_scaling() {
        let cases = [
            (json!({"max_position_embeddings": 100}), 100),
            (json!({"max_position_embeddings": 100, "rope_scaling": {"type": "linear", "factor": 4}}), 400),
            (json!({"max_position_embeddings": 100, "rope_scaling": {"type": "dynamic", "factor": 2.5}}), 250),
            (json!({"max_position_embeddings": 400, "rope_parameters": {"rope_type": "llama3", "factor": 4}}), 400),
            (
                json!({"max_position_embeddings": 100, "rope_scaling": {
                    "type": "yarn", "factor": 4, "original_max_position_embeddings": 100,
                }}),
                400,
            ),
            (
                json!({"max_position_embeddings": 400, "rope_scaling": {
                    "type": "yarn", "factor": 4, "original_max_position_embeddings": 100,
                }}),
                400,
            ),
        ];
        for (keys, want) in cases {
            assert_eq!(longest(&config(keys.clone())).unwrap(), Some(want), "{keys}");
        }
        assert_eq!(longest(&config(json!({}))).unwrap(), None);
    }

    #[test]
    fn nonsense_is_named() {
        let long = |short: Value| {
            json!({"max_position_embeddings": 64, "rope_scaling": {
            "type": "longrope", "short_factor": short, "long_factor": [1, 1, 1, 1, 1, 1, 1, 1]}})
        };
        let cases = BTreeMap::from([
            ("'rope_theta' is \"x\"", json!({"rope_theta": "x"})),
            ("base 0 ", json!({"rope_theta": 0})),
            ("base -3 ", json!({"rope_theta": -3})),
            ("'factor'", json!({"rope_scaling": {"type": "linear"}})),
            ("'factor' is 0", json!({"rope_scaling": {"type": "linear", "factor": 0}})),
            (
                "'factor' is -1",
                json!({"rope_scaling": {"type": "dynamic", "factor": -1}, "max_position_embeddings": 9}),
            ),
            ("'max_position_embeddings' is missing", json!({"rope_scaling": {"type": "dynamic", "factor": 2}})),
            ("'low_freq_factor'", json!({"rope_scaling": {"type": "llama3", "factor": 8}})),
            ("'short_factor' is [1,2]", long(json!([1, 2]))),
            ("'short_factor' is [1,1,1,1,1,1,1,0]", long(json!([1, 1, 1, 1, 1, 1, 1, 0]))),
            ("'short_factor' is \"x\"", long(json!("x"))),
            ("'type' is \"mrope\"", json!({"rope_scaling": {"type": "mrope"}})),
        ]);
        for (shown, keys) in cases {
            let error = read(keys.clone()).expect_err(shown).to_string();
            assert!(error.contains(shown), "{keys}: {error}");
        }
        assert!(Rope::PLAIN.read(&config(json!({})), 7).is_err());
        assert!(Rope::PLAIN.read(&config(json!({})), 0).is_err());
    }
}
