//! Log-mel spectrograms as `WhisperFeatureExtractor` of transformers makes them.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};

/// Energies below this count as this.
const FLOOR: f64 = 1e-10;
/// Hertz of the highest filter's end.
const HIGHEST: f64 = 8000.0;

/// What makes spectrograms of samples.
#[derive(Clone, Debug)]
pub(super) struct LogMel {
    /// Samples of a window, and from one to the next.
    length: usize,
    hop: usize,
    /// For each band the first bin that counts and the weights from there on.
    filters: Vec<(usize, Vec<f64>)>,
    /// Cosines and then sines of every bin, under the window: `[length, 2 * bins]` in 64 bits. Windows are short, so that one
    /// product with it is as quick as need be, and a fast transform would be the longest part of the program to compile.
    transform: Tensor,
}

/// Slaney's mel scale: linear below 1000 Hz, logarithmic above.
fn to_mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { 3.0 * hertz / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln() }
}

fn to_hertz(mel: f64) -> f64 {
    if mel < 15.0 { 200.0 * mel / 3.0 } else { 1000.0 * (6.4f64.ln() / 27.0 * (mel - 15.0)).exp() }
}

/// Triangles between neighbors of `bands + 2` points that lie evenly on the mel scale, each of the same area.
fn filters(bands: usize, bins: usize, rate: u32) -> Vec<(usize, Vec<f64>)> {
    let top = to_mel(HIGHEST);
    let points: Vec<f64> = (0..bands + 2).map(|i| to_hertz(top * i as f64 / (bands + 1) as f64)).collect();
    let hertz = |bin: usize| f64::from(rate / 2) * bin as f64 / (bins - 1) as f64;
    let band = |edges: &[f64]| {
        let &[left, middle, right] = edges else { return (0, Vec::new()) };
        let weight = |bin: usize| {
            let (up, down) = ((hertz(bin) - left) / (middle - left), (right - hertz(bin)) / (right - middle));
            up.min(down).max(0.0) * 2.0 / (right - left)
        };
        let first = (0..bins).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
        (first, (first..bins).map(weight).take_while(|weight| *weight > 0.0).collect())
    };
    points.windows(3).map(band).collect()
}

impl LogMel {
    /// For `bands` bands of windows of `length` samples, one every `hop`, of `rate` samples a second.
    ///
    /// # Errors
    /// Where no spectrum has these numbers.
    pub(super) fn new(bands: usize, length: usize, hop: usize, rate: u32) -> Result<Self> {
        const MOST: usize = 1 << 11;
        if !(2..=MOST).contains(&length) || !(1..=MOST).contains(&hop) || !(1..=MOST).contains(&bands) {
            return Err(Error::new(format!(
                "no spectrogram has {bands} bands of windows of {length} samples every {hop}"
            )));
        }
        let window = |n: usize| 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / length as f64).cos();
        let bins = length / 2 + 1;
        let angle = |place: usize| std::f64::consts::TAU * (place % length) as f64 / length as f64;
        let waves = (0..length).flat_map(|n| {
            let cosines = (0..bins).map(move |bin| angle(n * bin).cos() * window(n));
            cosines.chain((0..bins).map(move |bin| angle(n * bin).sin() * window(n)))
        });
        let transform = Tensor::from_vec(waves.collect::<Vec<f64>>(), (length, 2 * bins), &Device::Cpu)?;
        Ok(Self { length, hop, filters: filters(bands, bins, rate), transform })
    }

    /// Row-major `[bands, frames]` of `samples`, filled up with silence, or cut, to `frames` windows.
    ///
    /// # Errors
    /// Where the samples make fewer than half a window.
    pub(super) fn spectrogram(&self, samples: &[f32], frames: usize) -> Result<Vec<f32>> {
        let count = frames * self.hop;
        let half = self.length / 2;
        if count <= half {
            return Err(Error::new(format!("{count} samples are no window of {}", self.length)));
        }
        // The first and last windows see the sound mirrored at its ends.
        let at = |place: usize| {
            let mirrored = if place < half {
                half - place
            } else if place - half < count {
                place - half
            } else {
                (2 * count).saturating_sub(2 + place - half)
            };
            samples.get(mirrored).copied().map_or(0.0, f64::from)
        };
        let mut logs = vec![0f64; self.filters.len() * frames];
        let windows = (0..frames).flat_map(|index| (0..self.length).map(move |n| at(index * self.hop + n)));
        let windows = Tensor::from_vec(windows.collect::<Vec<f64>>(), (frames, self.length), &Device::Cpu)?;
        let spectra: Vec<Vec<f64>> = windows.matmul(&self.transform)?.to_vec2()?;
        let mut most = f64::NEG_INFINITY;
        for (index, spectrum) in spectra.iter().enumerate() {
            let (cosines, sines) = spectrum.split_at(spectrum.len() / 2);
            // The reference keeps spectra in 32 bits.
            let energy =
                |(cosine, sine): (&f64, &f64)| f64::from(*cosine as f32).powi(2) + f64::from(*sine as f32).powi(2);
            let power: Vec<f64> = cosines.iter().zip(sines).map(energy).collect();
            for (band, (first, weights)) in self.filters.iter().enumerate() {
                let energy: f64 = weights.iter().zip(&power[*first..]).map(|(weight, power)| weight * power).sum();
                let log = energy.max(FLOOR).log10();
                logs[band * frames + index] = log;
                most = most.max(log);
            }
        }
        Ok(logs.into_iter().map(|log| ((log.max(most - 8.0) + 4.0) / 4.0) as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::{Device, safetensors};

    use super::super::decode::decode;
    use super::*;

    #[test]
    fn spectrograms_are_those_of_transformers() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech");
        let want = safetensors::load(folder.join("features.safetensors"), &Device::Cpu).unwrap();
        let sound = decode(&folder.join("chirp.wav"), 16_000).unwrap();
        // A second of sound and a fifth of silence.
        for (bands, every) in [(8, 1), (80, 4), (128, 8)] {
            let got = LogMel::new(bands, 400, 160, 16_000).unwrap().spectrogram(&sound, 120).unwrap();
            let want: Vec<Vec<f32>> = want[&format!("log_mel.{bands}")].to_vec2().unwrap();
            let mut worst = 0f32;
            for (row, want) in got.chunks(120).zip(&want) {
                for (got, want) in row.iter().step_by(every).zip(want) {
                    worst = worst.max((got - want).abs());
                }
            }
            assert!(worst < 1e-5, "{bands} bands differ by {worst:.1e}");
        }
    }

    #[test]
    fn numbers_without_a_spectrum_are_refused() {
        for (bands, length, hop) in [(0, 400, 160), (80, 1, 160), (80, 400, 0), (1 << 20, 400, 160)] {
            assert!(LogMel::new(bands, length, hop, 16_000).is_err());
        }
        assert!(LogMel::new(8, 400, 160, 16_000).unwrap().spectrogram(&[0.0], 1).is_err());
    }
}
