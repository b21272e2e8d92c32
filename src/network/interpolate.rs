//! A position table made for one grid of patches, read at another.

use candle_core::Tensor;

use super::Resampling;
use crate::error::Result;
use crate::tensor::{constant, wide};

/// Sharpness of the cubic kernel (Keys 1981); PyTorch's `interpolate` has this, and the other with `antialias`.
const SHARPNESS: f64 = -0.75;
const SHARPNESS_ANTIALIASED: f64 = -0.5;

/// Resamples `table [h * w, D]` from the grid `from` to the grid `to`, pixel centers aligned.
pub(super) fn resample(
    table: &Tensor,
    from: (usize, usize),
    to: (usize, usize),
    resampling: Resampling,
) -> Result<Tensor> {
    if from == to {
        return Ok(table.clone());
    }
    let (dtype, device) = (table.dtype(), table.device());
    // The models' own code does not resample in half precision.
    let within = wide(dtype);
    let along = |rows: usize, new: usize| -> Result<Tensor> {
        let weights = match resampling {
            Resampling::Bicubic => weights(rows, new),
            Resampling::BicubicAntialiased => antialiased(rows, new),
        };
        constant(weights, (new, rows), within, device)
    };
    let (_, d) = table.dims2()?;
    let rows = along(from.0, to.0)?.matmul(&table.to_dtype(within)?.reshape((from.0, from.1 * d))?)?;
    let columns_first = rows.reshape((to.0, from.1, d))?.transpose(0, 1)?.reshape((from.1, to.0 * d))?;
    let columns = along(from.1, to.1)?.matmul(&columns_first)?.reshape((to.1, to.0, d))?;
    Ok(columns.transpose(0, 1)?.reshape((to.0 * to.1, d))?.to_dtype(dtype)?)
}

/// What each of `new` points takes from each of `old` points on the same stretch, edges repeated, row-major `[new, old]`.
fn weights(old: usize, new: usize) -> Vec<f64> {
    let mut weights = vec![0f64; old * new];
    for (i, row) in weights.chunks_mut(old).enumerate() {
        let center = (i as f64 + 0.5) * old as f64 / new as f64 - 0.5;
        let first = center.floor();
        for offset in -1..=2 {
            let at = first + f64::from(offset);
            let nearest = at.clamp(0.0, old as f64 - 1.0) as usize;
            if let Some(weight) = row.get_mut(nearest) {
                *weight += cubic((center - at).abs(), SHARPNESS);
            }
        }
    }
    weights
}

/// The same with a kernel as wide as one new point where there are fewer of them, over the points that there are, which
/// share one among them.
fn antialiased(old: usize, new: usize) -> Vec<f64> {
    let scale = old as f64 / new as f64;
    let stretch = scale.max(1.0);
    let mut weights = vec![0f64; old * new];
    for (i, row) in weights.chunks_mut(old).enumerate() {
        let center = (i as f64 + 0.5) * scale;
        for (at, weight) in row.iter_mut().enumerate() {
            *weight = cubic((at as f64 + 0.5 - center).abs() / stretch, SHARPNESS_ANTIALIASED);
        }
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
    weights
}

/// Keys' cubic kernel of sharpness `a` at distance `x`.
fn cubic(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_takes_one_in_all() {
        for (old, new) in [(4, 6), (7, 3), (5, 5), (1, 4), (37, 16)] {
            for row in weights(old, new).chunks(old).chain(antialiased(old, new).chunks(old)) {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_same_grid_changes_nothing() {
        for identity in [weights(5, 5), antialiased(5, 5)] {
            for i in 0..25 {
                assert!((identity[i] - f64::from(u8::from(i % 6 == 0))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn doubling_by_hand() {
        // Center of the second of four points over two: (1 + 0.5) / 2 - 0.5 = 0.25, so the four distances are 1.25,
        // 0.25, 0.75 and 1.75; with a = -0.75 the kernel gives -0.10546875, 0.87890625, 0.26171875 and -0.03515625,
        // and edges repeat: the first two fall on point 0.
        let row = &weights(2, 4)[2..4];
        assert!((row[0] - (0.878_906_25 - 0.105_468_75)).abs() < 1e-12);
        assert!((row[1] - (0.261_718_75 - 0.035_156_25)).abs() < 1e-12);
    }

    #[test]
    fn halving_by_hand_reads_twice_as_far() {
        // Center of the second of three points over six: 1.5 * 2 = 3, between points 2 and 3. Distances over the
        // stretch of 2 are 0.25, 0.75 and 1.25 to either side; with a = -0.5 the kernel gives 0.8671875, 0.2265625 and
        // -0.0703125, together 1.0234375 a side.
        let row = &antialiased(6, 3)[6..12];
        let near = [0.867_187_5, 0.226_562_5, -0.070_312_5].map(|w| w / (2.0 * 1.023_437_5));
        let want = [near[2], near[1], near[0], near[0], near[1], near[2]];
        for (got, want) in row.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{row:?}");
        }
    }
}
