//! Blocks of queries, and the parts of a result by head.

use candle_core::Result;

use crate::tensor::kernel::{Real, Target};

/// Runs a generic function for the float type of a tensor.
macro_rules! by_type {
    ($dtype:expr, $run:ident($($argument:expr),*)) => {
        match $dtype {
            candle_core::DType::F32 => $run::<f32>($($argument),*),
            candle_core::DType::F64 => $run::<f64>($($argument),*),
            other => candle_core::bail!("attention needs floats, not {other:?}"),
        }
    };
}
pub(super) use by_type;

/// Numbers of a block of scores that fit the cache.
const CACHE: usize = 1 << 15;
/// Fewest queries per block.
const FEWEST: usize = 8;
/// Most of them: enough for a product that keeps a processor busy.
const MOST: usize = 128;

/// Most numbers of a block of scores for `keys` keys on the processor; every thread has one.
pub fn block_numbers(keys: usize) -> usize {
    CACHE.max(keys.saturating_mul(FEWEST))
}

/// Queries per block for `keys` keys, not 0: few enough for the cache.
pub(super) fn block_rows(keys: usize) -> usize {
    (CACHE / keys).clamp(FEWEST, MOST)
}

/// Head `h` of sequence `n` as `(n, h)`, and where its result goes, `[T, d]`.
pub(super) type HeadTarget<'a, T> = ((usize, usize), Target<'a, T>);

/// The parts of `out [N, T, H, d]`, given `(N, H, T, d)`.
pub(super) fn heads_of<T: Real>(
    out: &mut [T],
    sequences: usize,
    heads: usize,
    queries: usize,
    width: usize,
) -> Result<Vec<HeadTarget<'_, T>>> {
    let mut parts = Vec::with_capacity(sequences * heads);
    for (n, out) in out.chunks_mut(queries * heads * width).enumerate() {
        let all = Target::new(out, queries, heads * width, heads * width)?;
        parts.extend(all.beside(width).enumerate().map(|(h, to)| ((n, h), to)));
    }
    Ok(parts)
}
