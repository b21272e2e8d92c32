//! What a model of speech reads of samples, as its `preprocessor_config.json` says.

use std::path::Path;

use super::log_mel::LogMel;
use crate::checkpoint::Config;
use crate::corpus::example::SourceContent;
use crate::corpus::intake::{Intake, SourceKind};
use crate::error::{Error, Result};

/// Longest window that a model reads at a time, in seconds, where its shape does not say.
const WINDOW: usize = 30;
/// What is added to a variance before its root is taken.
const LEAST_VARIANCE: f64 = 1e-7;

/// From samples to what the first stack reads.
#[derive(Clone, Debug)]
pub(super) struct Extractor {
    /// How many samples there are in a second.
    pub(super) rate: u32,
    /// Samples of a window.
    pub(super) window: usize,
    /// Fewest samples of a recording.
    pub(super) fewest: usize,
    /// Whether samples are brought to mean 0 and variance 1 before anything else.
    normalizes: bool,
    /// Spectrograms of so many frames, where the model reads such.
    log_mel: Option<(LogMel, usize)>,
    /// Whether no file said how.
    pub(super) is_default: bool,
}

/// The keys of the feature extractor, which newer releases keep within the processor's.
fn keys(folder: &Path) -> Result<Option<Config>> {
    let own = folder.join("preprocessor_config.json");
    if own.is_file() {
        return Config::read(&own).map(Some);
    }
    let shared = folder.join("processor_config.json");
    if shared.is_file() { Ok(Config::read(&shared)?.section("feature_extractor")) } else { Ok(None) }
}

impl Extractor {
    /// That of the model in `folder`.
    ///
    /// # Errors
    /// Where the model reads no speech, or the file does not fit it.
    pub(super) fn read(folder: &Path, intake: &Intake) -> Result<Self> {
        let found = keys(folder)?;
        let is_default = found.is_none();
        let config = found.unwrap_or_else(|| Config::new(folder.join("preprocessor_config.json"), Default::default()));
        let rate = config.size_or("sampling_rate", 16_000)?;
        let rate = u32::try_from(rate).ok().filter(|rate| (1_000..=192_000).contains(rate));
        let rate = rate.ok_or_else(|| config.wrong("sampling_rate", "a rate from 1000 to 192000"))?;
        if config.number_or("dither", 0.0)? != 0.0 {
            return Err(config.unsupported("'dither' adds noise, so that no two passes would be alike"));
        }
        match &intake.source {
            SourceKind::Frames { shape: [bands, frames] } => {
                let (length, hop) = (config.size_or("n_fft", 400)?, config.size_or("hop_length", 160)?);
                let own = config.size_or("feature_size", *bands)?;
                if own != *bands {
                    return Err(config.wrong("feature_size", &format!("{bands}, the model's number of bands")));
                }
                let log_mel = LogMel::new(*bands, length, hop, rate).map_err(|e| e.at(config.path()))?;
                Ok(Self {
                    rate,
                    window: frames.saturating_mul(hop),
                    fewest: 1,
                    normalizes: config.flag_or("do_normalize", false)?,
                    log_mel: Some((log_mel, *frames)),
                    is_default,
                })
            }
            SourceKind::Samples { fewest, .. } => Ok(Self {
                rate,
                window: WINDOW * rate as usize,
                fewest: *fewest,
                normalizes: config.flag_or("do_normalize", true)?,
                log_mel: None,
                is_default,
            }),
            SourceKind::Tokens(_) | SourceKind::Pixels { .. } => {
                Err(Error::usage("recordings are for models of speech, which this is not"))
            }
        }
    }

    /// What the model reads of a window.
    ///
    /// # Errors
    /// Where it is too short for the model.
    pub(super) fn content(&self, samples: &[f32]) -> Result<SourceContent> {
        match &self.log_mel {
            Some((log_mel, frames)) if self.normalizes => {
                log_mel.spectrogram(&normalized(samples), *frames).map(SourceContent::Values)
            }
            Some((log_mel, frames)) => log_mel.spectrogram(samples, *frames).map(SourceContent::Values),
            None => {
                let values = if self.normalizes { normalized(samples) } else { samples.to_vec() };
                SourceContent::samples(values, None, self.fewest)
            }
        }
    }
}

/// Mean 0 and variance 1.
fn normalized(samples: &[f32]) -> Vec<f32> {
    let count = samples.len() as f64;
    let mean = samples.iter().copied().map(f64::from).sum::<f64>() / count;
    let variance = samples.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
    let spread = (variance + LEAST_VARIANCE).sqrt();
    samples.iter().map(|x| ((f64::from(*x) - mean) / spread) as f32).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, safetensors};

    use super::super::decode::decode;
    use super::*;

    #[test]
    fn samples_are_normalized_as_transformers_does() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech");
        let want = safetensors::load(folder.join("features.safetensors"), &Device::Cpu).unwrap();
        let want: Vec<f32> = want["normalized"].to_vec1().unwrap();
        let got = normalized(&decode(&folder.join("chirp.wav"), 16_000).unwrap());
        let apart = got.iter().step_by(16).zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
        assert!(got.len().div_ceil(16) == want.len() && apart < 1e-5, "{apart:.1e}");
    }
}
