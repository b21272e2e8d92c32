//! Vectors whose numbers all threads write at once. Zeros that one thread writes first, for all to write over, would
//! cost as much as many a kernel.

use std::mem::MaybeUninit;

use candle_core::WithDType;
use rayon::prelude::*;

/// `count` numbers, each block of `size` of them, the last one perhaps shorter, written by `write`, which is told its
/// place and gives the block back.
#[expect(unsafe_code, reason = "fresh memory is written once, not cleared first")]
pub(in crate::tensor) fn written<T: WithDType>(
    count: usize,
    size: usize,
    write: impl for<'a> Fn(usize, &'a mut [MaybeUninit<T>]) -> &'a mut [T] + Sync,
) -> Vec<T> {
    let mut out = Vec::with_capacity(count);
    let room = &mut out.spare_capacity_mut()[..count];
    room.par_chunks_mut(size.max(1)).enumerate().for_each(|(place, block)| {
        let (at, length) = (block.as_ptr().cast::<T>(), block.len());
        let block = write(place, block);
        assert!(block.as_ptr() == at && block.len() == length, "a block was not written");
    });
    // SAFETY: blocks cover this many numbers, and every one came back as numbers where it lies.
    unsafe { out.set_len(count) };
    out
}

/// Returns the numbers of `row` repeated `rows` times.
pub(in crate::tensor) fn repeated<T: WithDType>(row: &[T], rows: usize) -> Vec<T> {
    written(row.len() * rows, row.len(), |_, room| room.write_copy_of_slice(row))
}

/// Numbers that are copied and changed while the nearest cache holds them.
const NEAR: usize = 1 << 10;

/// A copy of `from`, shared out in blocks of `size` numbers, of which pieces are handed to `change` with the place of their
/// first number.
#[expect(unsafe_code, reason = "fresh memory is written once, not cleared first")]
pub(in crate::tensor) fn changed<T: WithDType>(
    from: &[T],
    size: usize,
    change: impl Fn(usize, &mut [T]) + Sync,
) -> Vec<T> {
    written(from.len(), size, |place, room| {
        let from = &from[place * size..][..room.len()];
        for (piece, (room, from)) in room.chunks_mut(NEAR).zip(from.chunks(NEAR)).enumerate() {
            change(place * size + piece * NEAR, room.write_copy_of_slice(from));
        }
        // SAFETY: the pieces cover the block, and numbers were written to each.
        unsafe { room.assume_init_mut() }
    })
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
        let found = changed(&[1f64, 2.0, 3.0, 4.0, 5.0], 2, |first, block| {
            block.iter_mut().for_each(|x| *x += 10.0 * first as f64);
        });
        assert_eq!(found, [1.0, 2.0, 23.0, 24.0, 45.0]);
        let from: Vec<f32> = (0..5000).map(|i| i as f32).collect();
        let places = changed(&from, 3000, |first, piece| {
            piece.iter_mut().enumerate().for_each(|(i, x)| *x -= (first + i) as f32);
        });
        assert_eq!(places, vec![0.0; 5000]);
        assert!(changed::<f64>(&[], 2, |_, _| ()).is_empty());
    }
}
