//! Vectors whose numbers all threads write at once. Zeros that one thread writes first, for all to write over, would
//! cost as much as many a kernel.

use rayon::prelude::*;

use super::Real;

/// `row`, `rows` times.
pub(in crate::tensor) fn repeated<T: Real>(row: &[T], rows: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(row.len() * rows);
    let room = &mut out.spare_capacity_mut()[..row.len() * rows];
    room.par_chunks_mut(row.len().max(1)).for_each(|room| {
        room.write_copy_of_slice(row);
    });
    // SAFETY: chunks are as long as the row, which divides their sum, and each was written.
    unsafe { out.set_len(row.len() * rows) };
    out
}

/// A copy of `from`, each block of `size` numbers, the last one perhaps shorter, handed to `change` with its place.
pub(in crate::tensor) fn changed<T: Real>(from: &[T], size: usize, change: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    let mut out = Vec::with_capacity(from.len());
    let room = &mut out.spare_capacity_mut()[..from.len()];
    let blocks = room.par_chunks_mut(size).zip(from.par_chunks(size)).enumerate();
    blocks.for_each(|(place, (room, from))| change(place, room.write_copy_of_slice(from)));
    // SAFETY: blocks of both slices, which are equally long, fall together, and each was written.
    unsafe { out.set_len(from.len()) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_repeat() {
        assert_eq!(repeated(&[1f32, 2.0, 3.0], 2), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        assert!(repeated(&[1f32], 0).is_empty() && repeated::<f32>(&[], 3).is_empty());
    }

    #[test]
    fn blocks_change_where_they_are() {
        let found = changed(&[1f64, 2.0, 3.0, 4.0, 5.0], 2, |place, block| {
            block.iter_mut().for_each(|x| *x += 10.0 * place as f64);
        });
        assert_eq!(found, [1.0, 2.0, 13.0, 14.0, 25.0]);
        assert!(changed::<f64>(&[], 2, |_, _| ()).is_empty());
    }
}
