//! A position table made for one grid of patches, read at another.

use candle_core::Tensor;

use crate::error::Result;
use crate::tensor::{constant, wide};

/// Sharpness of the cubic kernel (Keys 1981); PyTorch's `interpolate` has this.
const SHARPNESS: f64 = -0.75;

/// Resamples `table [h * w, D]` from the grid `from` to the grid `to`, bicubic, pixel centers aligned, edges repeated.
pub(super) fn resample(table: &Tensor, from: (usize, usize), to: (usize, usize)) -> Result<Tensor> {
    if from == to {
        return Ok(table.clone());
    }
    let (dtype, device) = (table.dtype(), table.device());
    // The models' own code does not resample in half precision.
    let within = wide(dtype);
    let along =
        |rows: usize, new: usize| -> Result<Tensor> { constant(weights(rows, new), (new, rows), within, device) };
    let (_, d) = table.dims2()?;
    let rows = along(from.0, to.0)?.matmul(&table.to_dtype(within)?.reshape((from.0, from.1 * d))?)?;
    let columns_first = rows.reshape((to.0, from.1, d))?.transpose(0, 1)?.reshape((from.1, to.0 * d))?;
    let columns = along(from.1, to.1)?.matmul(&columns_first)?.reshape((to.1, to.0, d))?;
    Ok(columns.transpose(0, 1)?.reshape((to.0 * to.1, d))?.to_dtype(dtype)?)
}

/// What each of `new` points takes from each of `old` points on the same stretch, row-major `[new, old]`.
fn weights(old: usize, new: usize) -> Vec<f64> {
    let mut weights = vec![0f64; old * new];
    for (i, row) in weights.chunks_mut(old.max(1)).enumerate() {
        let center = (i as f64 + 0.5) * old as f64 / new as f64 - 0.5;
        let first = center.floor();
        for offset in -1..=2 {
            let at = first + f64::from(offset);
            let nearest = at.clamp(0.0, old as f64 - 1.0) as usize;
            if let Some(weight) = row.get_mut(nearest) {
                *weight += cubic((center - at).abs());
            }
        }
    }
    weights
}

/// Keys' cubic kernel at distance `x`.
fn cubic(x: f64) -> f64 {
    let a = SHARPNESS;
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
            for row in weights(old, new).chunks(old) {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_same_grid_changes_nothing() {
        let identity = weights(5, 5);
        for i in 0..25 {
            assert!((identity[i] - f64::from(u8::from(i % 6 == 0))).abs() < 1e-12);
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
}
