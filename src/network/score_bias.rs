//! Biases on attention scores that depend on positions: ALiBi, the bucketed relative bias of T5, the bias of BEiT by
//! offsets between patches, and the scores of DeBERTa against distances.

use candle_core::Tensor;

use super::{DisentangledSpec, TokenMask};
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
    entries(table, rows, length)
}

/// The entries `rows` of `table [entries, H]` for every query and key, `[1, H, T, T]`.
fn entries(table: &Tensor, rows: Vec<u32>, length: usize) -> Result<Tensor> {
    let rows = Tensor::from_vec(rows, length * length, table.device())?;
    let heads = table.dim(1)?;
    let bias = lookup(table, &rows)?.reshape((length, length, heads))?;
    Ok(bias.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?)
}

/// What queries and keys `[N, H, T, d]` make of embeddings of their distances, projected to keys and to queries,
/// `[1, H, 2 span, d]` each where they are scored, times `scale`: `[N, H, T, T]`.
pub(super) fn disentangled(
    (query, to_positions): (&Tensor, Option<&Tensor>),
    (key, from_positions): (&Tensor, Option<&Tensor>),
    spec: &DisentangledSpec,
    scale: f64,
) -> Result<Option<Tensor>> {
    let (n, heads, length, _) = query.dims4()?;
    let entry = |t: usize, s: usize| spec.entry(t as i64 - s as i64);
    // By query and key, and by key and query.
    let index = |turned: bool| -> Result<Tensor> {
        let all = (0..length).flat_map(|a| (0..length).map(move |b| if turned { (b, a) } else { (a, b) }));
        let all: Vec<u32> = all.map(|(t, s)| entry(t, s)).collect();
        let all = Tensor::from_vec(all, (1, 1, length, length), query.device())?;
        Ok(all.broadcast_as((1, heads, length, length))?.contiguous()?)
    };
    // Of one sequence after the other: the index has a number for every query and key of all its heads.
    let scored = |content: &Tensor, positions: &Tensor, index: &Tensor| -> Result<Tensor> {
        let positions = positions.transpose(2, 3)?.contiguous()?;
        let each = (0..n).map(|at| -> Result<Tensor> {
            let scores = content.narrow(0, at, 1)?.contiguous()?.matmul(&positions)?;
            Ok(scores.gather(index, 3)?)
        });
        Ok(Tensor::cat(&each.collect::<Result<Vec<_>>>()?, 0)?)
    };
    let to = to_positions.map(|positions| scored(query, positions, &index(false)?)).transpose()?;
    let from = from_positions.map(|positions| scored(key, positions, &index(true)?)).transpose()?;
    let from = from.map(|scores| scores.transpose(2, 3)).transpose()?;
    let sum = match (to, from) {
        (Some(to), Some(from)) => Some((to + from)?),
        (one, other) => one.or(other),
    };
    Ok(sum.map(|scores| (scores * scale)?.contiguous()).transpose()?)
}

/// The bias by offsets between patches (Bao et al. 2022) for all heads of `table`, `[1, H, T, T]`.
pub(super) fn grid(table: &Tensor, rows: usize, columns: usize) -> Result<Tensor> {
    entries(table, grid_entries(rows, columns), rows * columns + 1)
}

/// The entry of every query and key, a class token and `rows` times `columns` patches each, row-major `[T, T]`.
pub(crate) fn grid_entries(rows: usize, columns: usize) -> Vec<u32> {
    let (down, across) = (2 * rows - 1, 2 * columns - 1);
    let own = down * across;
    let entry = |query: usize, key: usize| match (query.checked_sub(1), key.checked_sub(1)) {
        (None, None) => own + 2,
        (Some(_), None) => own + 1,
        (None, Some(_)) => own,
        (Some(query), Some(key)) => {
            let (row, column) =
                (query / columns + rows - 1 - key / columns, query % columns + columns - 1 - key % columns);
            row * across + column
        }
    };
    let length = rows * columns + 1;
    let all = (0..length).flat_map(|query| (0..length).map(move |key| entry(query, key)));
    all.map(|entry| u32::try_from(entry).unwrap_or(u32::MAX)).collect()
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
