//! How far hidden units move between two looks at the same batch (the paper's rho).

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::constraint::{Constraint, assign, differentiable_gram, gram_numbers, head_rows};
use crate::error::Result;
use crate::network::{Batch, Gates, Network, Probe, Site, SiteMaps};
use crate::task::Ticket;
use crate::tensor::{constant, to_f64};

/// Hidden units `z_c` of every layer on one batch, `[C, positions * d]`.
pub type Centers = BTreeMap<Site, Tensor>;

/// The hidden units of `network` on `batch`, grouped as training would group them.
pub fn centers(network: &Network, batch: &Batch, constraint: &Constraint, seed: u64) -> Result<Centers> {
    let mut probe = CenterProbe { constraint, seed, centers: Centers::new() };
    network.run_probe(std::slice::from_ref(batch), &Gates::open(), &mut probe, &Ticket::default())?;
    Ok(probe.centers)
}

struct CenterProbe<'a> {
    constraint: &'a Constraint,
    seed: u64,
    centers: Centers,
}

impl Probe for CenterProbe<'_> {
    fn wants_attention(&self, _site: Site) -> bool {
        self.constraint.feature == crate::network::FeatureMap::Attention
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let rows = head_rows(maps, self.constraint.feature)?.detach();
        let gram = gram_numbers(&differentiable_gram(&rows)?)?;
        let heads = gram.heads();
        let groups = assign(self.constraint, maps.site, &gram, self.seed)?;
        let count = groups.iter().max().map_or(0, |last| last + 1);
        let mut mean = vec![0f64; count * heads];
        for c in 0..count {
            let size = groups.iter().filter(|g| **g == c).count();
            for (h, _) in groups.iter().enumerate().filter(|(_, g)| **g == c) {
                mean[c * heads + h] = 1.0 / size as f64;
            }
        }
        let mean = constant(mean, (count, heads), rows.dtype(), rows.device())?;
        self.centers.insert(maps.site, mean.matmul(&rows)?);
        Ok(())
    }
}

/// How far hidden units moved from `before` to `now`: the distance of each to the nearest former one over its own
/// length, both as root mean squares over the units of a layer; the mean over layers.
pub fn movement(before: &Centers, now: &Centers) -> Result<f64> {
    let mut sum = 0.0;
    let mut layers = 0usize;
    for (site, now) in now {
        let Some(before) = before.get(site) else { continue };
        let both = to_f64(&Tensor::cat(&[before, now], 0)?)?;
        let gram: Vec<Vec<f64>> = both.matmul(&both.t()?)?.to_vec2()?;
        let old = before.dim(0)?;
        let (mut moved, mut length) = (0.0, 0.0);
        for i in old..gram.len() {
            let distance2 = |j: usize| (gram[i][i] + gram[j][j] - 2.0 * gram[i][j]).max(0.0);
            moved += (0..old).map(distance2).fold(f64::INFINITY, f64::min);
            length += gram[i][i];
        }
        if length > 0.0 && moved.is_finite() {
            sum += (moved / length).sqrt();
            layers += 1;
        }
    }
    Ok(if layers == 0 { 0.0 } else { sum / layers as f64 })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::network::SiteKind;

    #[test]
    fn movement_is_relative_and_knows_no_order() {
        let site = Site::new(SiteKind::Encoder, 0);
        let of = |rows: &[[f32; 2]; 2]| Centers::from([(site, Tensor::new(rows, &Device::Cpu).unwrap())]);
        let before = of(&[[3.0, 0.0], [0.0, 4.0]]);
        assert_eq!(movement(&before, &of(&[[0.0, 4.0], [3.0, 0.0]])).unwrap(), 0.0);
        // Units move by 1 and 0: sqrt(1 / (9 + 25)) with the new lengths 3 and 5.
        let moved = movement(&before, &of(&[[3.0, 0.0], [0.0, 5.0]])).unwrap();
        assert!((moved - (1.0f64 / 34.0).sqrt()).abs() < 1e-9);
    }
}
