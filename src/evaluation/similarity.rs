//! How alike the results of two networks are, for models that predict nothing.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::interval::Estimate;
use crate::error::{Error, Result};
use crate::network::{Hidden, InputSpec, NetworkSpec};

/// Likeness of the last hidden states of two networks on the same input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HiddenSimilarity {
    /// Mean over sequences of the cosine between their embeddings: the mean over real positions, as
    /// sentence-transformers pools, or the class token of a vision model that has one.
    pub mean_cosine: f64,
    /// The smallest of these cosines.
    pub least_cosine: f64,
    /// Largest absolute difference of one number of a hidden state at a real position.
    pub max_abs_difference: f64,
    pub sequences: u64,
}

/// Sums that become a [`HiddenSimilarity`].
#[derive(Debug, Default)]
pub(super) struct SimilaritySums {
    least: Option<f64>,
    difference: f64,
    /// The cosine of each sequence, in the order read.
    cosines: Vec<f64>,
}

impl SimilaritySums {
    pub(super) fn batch(&mut self, spec: &NetworkSpec, before: &Hidden, after: &Hidden) -> Result<()> {
        if before.states.dims() != after.states.dims() {
            let what =
                format!("hidden states {:?} and {:?} can not be compared", before.states.dims(), after.states.dims());
            return Err(Error::new(what));
        }
        for (a, b) in embeddings(spec, before)?.iter().zip(embeddings(spec, after)?) {
            let cosine = cosine(a, &b);
            self.least = Some(self.least.map_or(cosine, |least| least.min(cosine)));
            self.cosines.push(cosine);
        }
        let mask = before.mask.to_tensor(DType::F32, before.states.device())?.unsqueeze(2)?;
        let apart = (before.states.to_dtype(DType::F32)? - after.states.to_dtype(DType::F32)?)?.abs()?;
        let most = f64::from(apart.broadcast_mul(&mask)?.max_all()?.to_scalar::<f32>()?);
        // Unlike `max`, this lets a NaN through, which must not hide.
        self.difference = if self.difference >= most { self.difference } else { most };
        Ok(())
    }

    pub(super) fn similarity(&self) -> Result<HiddenSimilarity> {
        let least = self.least.ok_or_else(|| Error::new("there is no batch to compare"))?;
        Ok(HiddenSimilarity {
            mean_cosine: self.cosines.iter().sum::<f64>() / self.cosines.len() as f64,
            least_cosine: least,
            max_abs_difference: self.difference,
            sequences: self.cosines.len() as u64,
        })
    }

    /// The mean cosine with its interval.
    pub(super) fn estimate(&self) -> Estimate {
        let cosines: Vec<[f64; 2]> = self.cosines.iter().map(|cosine| [*cosine, 1.0]).collect();
        Estimate::of(&cosines, "mean cosine of sequence embeddings to those before", |[sum, n]| sum / n)
    }
}

/// True where the class token stands for the whole input.
fn by_class(spec: &NetworkSpec) -> bool {
    matches!(spec.last_stack().map(|s| &s.input), Some(InputSpec::Patches(patches)) if patches.class)
}

/// One embedding per sequence, `[N, D]`, differentiable: the mean over real positions, as sentence-transformers pools,
/// or the class token of a vision model that has one.
pub fn pooled(spec: &NetworkSpec, hidden: &Hidden) -> Result<Tensor> {
    pool(hidden, by_class(spec))
}

fn pool(hidden: &Hidden, by_class: bool) -> Result<Tensor> {
    if by_class {
        return Ok(hidden.states.narrow(1, 0, 1)?.squeeze(1)?);
    }
    let mask = hidden.mask.to_tensor(hidden.states.dtype(), hidden.states.device())?;
    let count = mask.sum_keepdim(1)?.clamp(1.0, f64::MAX)?;
    Ok(hidden.states.broadcast_mul(&mask.unsqueeze(2)?)?.sum(1)?.broadcast_div(&count)?)
}

/// The numbers of [`pooled`], a row per sequence.
pub(super) fn embeddings(spec: &NetworkSpec, hidden: &Hidden) -> Result<Vec<Vec<f32>>> {
    let states = hidden.states.to_dtype(DType::F32)?;
    let pooled = pooled(spec, &Hidden { states, mask: hidden.mask.clone() })?;
    Ok(Tensor::to_device(&pooled, &Device::Cpu)?.to_vec2()?)
}

/// Cosine in f64; two vectors of zeros are alike, a zero and another are not.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms == 0.0 { f64::from(u8::from(dot(a, a) == dot(b, b))) } else { dot(a, b) / norms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::TokenMask;

    #[test]
    fn embeddings_are_means_over_real_positions() {
        // Two sequences; the second has one real position, and numbers without meaning behind it.
        let states = |padding: f32| {
            let values = vec![3f32, 4.0, 1.0, 0.0, 1.0, 1.0, padding, padding];
            Hidden {
                states: Tensor::from_vec(values, (2, 2, 2), &Device::Cpu).unwrap(),
                mask: TokenMask::new(2, 2, vec![true, true, true, false]).unwrap(),
            }
        };
        let pool = |by_class| pool(&states(9.0), by_class).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(pool(false), [[2.0, 2.0], [1.0, 1.0]]);
        assert_eq!(pool(true), [[3.0, 4.0], [1.0, 1.0]]);
        let spec = NetworkSpec { encoder: None, decoder: None, output: None, task: None };
        let mut likeness = SimilaritySums::default();
        likeness.batch(&spec, &states(9.0), &states(-5.0)).unwrap();
        let same = likeness.similarity().unwrap();
        assert!((same.mean_cosine - 1.0).abs() < 1e-12 && same.max_abs_difference == 0.0 && same.sequences == 2);

        let mut other = states(9.0);
        // First embedding (2, 2) to (2, -2): cosine 0; the second stays.
        other.states =
            Tensor::from_vec(vec![3f32, -4.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0], (2, 2, 2), &Device::Cpu).unwrap();
        let mut likeness = SimilaritySums::default();
        likeness.batch(&spec, &states(9.0), &other).unwrap();
        let found = likeness.similarity().unwrap();
        assert!((found.mean_cosine - 0.5).abs() < 1e-12 && found.least_cosine.abs() < 1e-12);
        assert_eq!(found.max_abs_difference, 8.0);
    }

    #[test]
    fn cosines_of_zeros_are_defined() {
        assert_eq!(cosine(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
        assert_eq!(cosine(&[2.0, 0.0], &[-1.0, 0.0]), -1.0);
    }
}
