//! Biases on attention scores that depend on positions: ALiBi and the bucketed relative bias of T5.

use candle_core::Tensor;

use super::TokenMask;
use crate::error::Result;
use crate::tensor::lookup;

/// ALiBi (Press et al. 2022) as BLOOM counts it: slope times the number of real tokens before the key, `[N, H, 1, S]`.
pub(super) fn alibi(heads: usize, mask: &TokenMask, x: &Tensor) -> Result<Tensor> {
    let (n, length) = (mask.sequences(), mask.length());
    let slopes = alibi_slopes(heads);
    let mut values = vec![0f32; n * heads * length];
    for sequence in 0..n {
        let mut seen = 0usize;
        for (s, real) in mask.row(sequence).iter().enumerate() {
            seen += usize::from(*real);
            let position = if *real { seen - 1 } else { 0 };
            for (h, slope) in slopes.iter().enumerate() {
                values[(sequence * heads + h) * length + s] = (slope * position as f64) as f32;
            }
        }
    }
    Ok(Tensor::from_vec(values, (n, heads, 1, length), x.device())?)
}

/// Geometric slopes for the largest power of two below `heads`, then every other slope of the next power.
pub(crate) fn alibi_slopes(heads: usize) -> Vec<f64> {
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let slope = |i: usize, of: usize| 2f64.powf(-8.0 * i as f64 / of as f64);
    let extra = (0..heads.saturating_sub(power)).map(|i| slope(2 * i + 1, 2 * power));
    (1..=power).map(|i| slope(i, power)).chain(extra).collect()
}

/// Bucketed relative bias (Raffel et al. 2020, section 2.1) for all original heads, `[1, H, T, T]`.
pub(super) fn relative(
    table: &Tensor,
    length: usize,
    buckets: usize,
    max_distance: usize,
    both_ways: bool,
) -> Result<Tensor> {
    let mut rows = Vec::with_capacity(length * length);
    for t in 0..length {
        for s in 0..length {
            rows.push(relative_bucket(s as i64 - t as i64, buckets, max_distance, both_ways));
        }
    }
    let rows = Tensor::from_vec(rows, length * length, table.device())?;
    let heads = table.dim(1)?;
    let bias = lookup(table, &rows)?.reshape((length, length, heads))?;
    Ok(bias.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?)
}

/// Bucket of a key at `distance` from its query: exact when near, logarithmic up to `max_distance`.
pub(crate) fn relative_bucket(distance: i64, buckets: usize, max_distance: usize, both_ways: bool) -> u32 {
    let (base, buckets, away) = if both_ways {
        let half = buckets / 2;
        (if distance > 0 { half } else { 0 }, half, distance.unsigned_abs() as usize)
    } else {
        (0, buckets, distance.min(0).unsigned_abs() as usize)
    };
    let exact = buckets / 2;
    let within = if away < exact {
        away
    } else {
        // The models' own code takes these logarithms in f32; bucket borders depend on it.
        let share = (away as f32 / exact as f32).ln() / (max_distance as f64 / exact as f64).ln() as f32;
        exact.saturating_add((share * (buckets - exact) as f32) as usize).min(buckets.saturating_sub(1))
    };
    u32::try_from(base + within).unwrap_or(0)
}
