//! Sums and maxima of one row.

use pulp::{Arch, Simd, WithSimd};

use super::{Real, exp};

/// Numbers that are summed in their own type before the sum goes on in f64.
const BLOCK: usize = 256;

/// The largest number of a row and its place, the first of equals; 0 of an empty row.
pub(in crate::tensor) fn largest<T: Real>(row: &[T]) -> (usize, T) {
    let most = Arch::new().dispatch(Largest(row));
    (row.iter().position(|x| *x == most).unwrap_or(0), most)
}

/// `sum exp(x - shift)` of a row.
pub(in crate::tensor) fn sum_of_exponentials<T: Real>(row: &[T], shift: T) -> f64 {
    Arch::new().dispatch(Exponentials { row, shift, to: &mut [] })
}

/// Writes `exp(x - shift)` of a row to one equally long, and gives their sum.
pub(in crate::tensor) fn exponentials<T: Real>(row: &[T], shift: T, to: &mut [T]) -> f64 {
    Arch::new().dispatch(Exponentials { row, shift, to })
}

struct Largest<'a, T>(&'a [T]);

impl<T: Real> WithSimd for Largest<'_, T> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T {
        let (row, rest) = T::lanes::<S>(self.0);
        let mut largest = self.0.first().copied().unwrap_or_else(T::zero);
        let mut most = [T::splat(simd, largest.to_f64()); 4];
        let mut fours = row.chunks_exact(4);
        for four in &mut fours {
            for i in 0..4 {
                most[i] = T::most(simd, most[i], four[i]);
            }
        }
        for x in fours.remainder() {
            most[0] = T::most(simd, most[0], *x);
        }
        let pairs = (T::most(simd, most[0], most[1]), T::most(simd, most[2], most[3]));
        largest = T::largest_of(simd, T::most(simd, pairs.0, pairs.1));
        for x in rest {
            if *x > largest {
                largest = *x;
            }
        }
        largest
    }
}

struct Exponentials<'a, T> {
    row: &'a [T],
    shift: T,
    /// As long as the row, or empty.
    to: &'a mut [T],
}

impl<T: Real> WithSimd for Exponentials<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let shift = T::splat(simd, self.shift.to_f64());
        let at = |x| exp::<T, S>(simd, T::minus(simd, x, shift));
        let mut total = 0.0;
        for (index, block) in self.row.chunks(BLOCK).enumerate() {
            let to = self.to.get_mut(index * BLOCK..index * BLOCK + block.len()).unwrap_or(&mut []);
            let (lanes, rest) = T::lanes::<S>(block);
            let mut sums = T::splat(simd, 0.0);
            let (to, to_rest) = T::lanes_mut::<S>(to);
            if to.is_empty() {
                for x in lanes {
                    sums = T::plus(simd, sums, at(*x));
                }
            } else {
                for (to, x) in to.iter_mut().zip(lanes) {
                    *to = at(*x);
                    sums = T::plus(simd, sums, *to);
                }
            }
            total += T::sum_of(simd, sums).to_f64();
            if !rest.is_empty() {
                let mut last = [T::zero(); BLOCK];
                let last = &mut last[..rest.len()];
                T::store_part(simd, last, at(T::load_part(simd, rest)));
                total += last.iter().map(|x| x.to_f64()).sum::<f64>();
                if to_rest.len() == last.len() {
                    to_rest.copy_from_slice(last);
                }
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_agree_with_sums_one_by_one() {
        for length in [1, 3, 16, 255, 256, 300, 777] {
            let row: Vec<f32> = (0..length).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.1).collect();
            let (at, most) = largest(&row);
            assert!(row.iter().all(|x| *x <= most) && row[at] == most && !row[..at].contains(&most));
            let expected: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
            let mut kept = vec![0.0; length];
            for sum in [sum_of_exponentials(&row, most), exponentials(&row, most, &mut kept)] {
                assert!((sum - expected).abs() < 1e-6 * expected, "{length}: {sum} {expected}");
            }
            for (kept, x) in kept.iter().zip(&row) {
                assert!((f64::from(*kept) - f64::from(x - most).exp()).abs() < 1e-6);
            }
        }
        assert_eq!(largest::<f64>(&[]), (0, 0.0));
    }
}
