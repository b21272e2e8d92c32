//! Products of matrices that lie inside slices, by faer.
//!
//! Faer multiplies on one thread with the widest vectors that the processor has; products for all threads are cut here
//! into parts, which any thread takes that has nothing to do.

use std::ops::{Range, RangeInclusive};

use candle_core::{CpuStorage, Layout, Result, bail};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::Real;

/// A matrix inside a slice.
#[derive(Clone, Copy, Debug)]
pub(in crate::tensor) struct Matrix<'a, T>(MatRef<'a, T>);

impl<'a, T: Real> Matrix<'a, T> {
    /// `rows x columns` numbers of `data`, a row `step` numbers after the one before.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize, step: usize) -> Result<Self> {
        check(data.len(), rows, columns, step)?;
        Ok(Self(MatRef::from_row_major_slice_with_stride(data, rows, columns, step)))
    }

    /// A matrix on the processor whose rows or columns lie side by side.
    pub(crate) fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (rows, columns) = layout.shape().dims2()?;
        let data = T::cpu_storage_as_slice(storage)?.get(layout.start_offset()..).unwrap_or(&[]);
        match layout.stride() {
            [step, 1] => Self::new(data, rows, columns, *step),
            [1, step] => Ok(Self::new(data, columns, rows, *step)?.t()),
            _ => bail!("a product needs rows or columns in one piece"),
        }
    }

    pub(crate) fn t(self) -> Self {
        Self(self.0.transpose())
    }
}

/// A matrix inside a slice that a product is written to.
#[derive(Debug)]
pub(in crate::tensor) struct Target<'a, T>(MatMut<'a, T>);

impl<'a, T: Real> Target<'a, T> {
    /// `rows x columns` numbers of `data`, a row `step` numbers after the one before.
    pub(crate) fn new(data: &'a mut [T], rows: usize, columns: usize, step: usize) -> Result<Self> {
        check(data.len(), rows, columns, step)?;
        if columns > step && rows > 1 {
            bail!("rows of {columns} numbers overlap at {step} numbers apart");
        }
        // By way of columns: faer 0.24 mistakes one side for the other in the constructor that takes rows.
        let step = step.max(columns);
        Ok(Self(MatMut::from_column_major_slice_with_stride_mut(data, columns, rows, step).transpose_mut()))
    }

    /// Parts of `columns` columns side by side, as many as fit.
    pub(crate) fn beside(self, columns: usize) -> impl Iterator<Item = Self> {
        let mut left = Some(self.0);
        std::iter::from_fn(move || {
            let (part, rest) = left.take().filter(|l| columns > 0 && l.ncols() >= columns)?.split_at_col_mut(columns);
            left = Some(rest);
            Some(Self(part))
        })
    }

    /// Some of its rows, as far as there are so many.
    pub(crate) fn rows(self, rows: Range<usize>) -> Self {
        let end = rows.end.min(self.0.nrows());
        Self(self.0.split_at_row_mut(end).0.split_at_row_mut(rows.start.min(end)).1)
    }

    /// Parts of `rows` rows one below the other, the last one perhaps of fewer.
    pub(crate) fn below(self, rows: usize) -> impl Iterator<Item = Self> {
        let mut left = Some(self.0);
        std::iter::from_fn(move || {
            let all = left.take().filter(|l| rows > 0 && l.nrows() > 0)?;
            let (part, rest) = {
                let rows = rows.min(all.nrows());
                all.split_at_row_mut(rows)
            };
            left = Some(rest);
            Some(Self(part))
        })
    }
}

fn check(length: usize, rows: usize, columns: usize, step: usize) -> Result<()> {
    let end = rows.saturating_sub(1).checked_mul(step).and_then(|last| last.checked_add(columns));
    if rows > 0 && columns > 0 && end.is_none_or(|end| end > length) {
        bail!("a matrix of {rows} x {columns} does not fit {length} numbers");
    }
    Ok(())
}

/// On how many threads a product runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tensor) enum Threads {
    /// On the caller's alone, which is one of many.
    One,
    All,
}

/// `to = factor a b`, or `to += factor a b` where `add`.
pub(in crate::tensor) fn product<T: Real>(
    to: Target<'_, T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    factor: f64,
    add: bool,
    threads: Threads,
) -> Result<()> {
    multiply(to, a, b, factor, add, threads, None)
}

/// What happens to a stretch of a row of a result as soon as it is there, while it lies in the nearest caches: told the row,
/// the first column, and the numbers.
pub(in crate::tensor) type Finish<'a, T> = &'a (dyn Fn(usize, usize, &mut [T]) + Sync);

/// `to = a b`, or `to += a b` where `add`, on all threads, with every number finished once.
pub(in crate::tensor) fn finished_product<T: Real>(
    to: Target<'_, T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    add: bool,
    finish: Finish<'_, T>,
) -> Result<()> {
    multiply(to, a, b, 1.0, add, Threads::All, Some(finish))
}

fn multiply<T: Real>(
    Target(to): Target<'_, T>,
    Matrix(a): Matrix<'_, T>,
    Matrix(b): Matrix<'_, T>,
    factor: f64,
    add: bool,
    threads: Threads,
    finish: Option<Finish<'_, T>>,
) -> Result<()> {
    let (rows, columns) = (a.nrows(), b.ncols());
    if a.ncols() != b.nrows() || (to.nrows(), to.ncols()) != (rows, columns) {
        bail!(
            "matrices of {rows} x {} and {} x {columns} do not multiply to {} x {}",
            a.ncols(),
            b.nrows(),
            to.nrows(),
            to.ncols()
        );
    }
    let (factor, accum) = (T::from_f64(factor), if add { Accum::Add } else { Accum::Replace });
    // By shapes alone, not by threads, so that any number of them gives the same.
    let part = match threads {
        Threads::One => usize::MAX,
        Threads::All => (multiplications(rows, columns, a.ncols()) / PARTS).clamp(*PART.start(), *PART.end()),
    };
    Parts { factor, accum, part, finish }.make(to, a, b, (0, 0));
    Ok(())
}

/// Multiplications of a part: a third of a millisecond, beside which handing it over is nothing; of smaller products, as short
/// texts make them, a quarter of that rather than leaving every other thread idle.
const PART: RangeInclusive<usize> = 1 << 23..=1 << 25;
/// Parts of a product that is smaller than that many of the largest.
const PARTS: usize = 4;
/// Terms of a sum that count for the size of a part; longer ones gain nothing from narrower parts.
const DEPTH: usize = 512;
/// Parts begin at multiples of this: a register or two.
const EDGE: usize = 16;

fn multiplications(rows: usize, columns: usize, depth: usize) -> usize {
    rows.saturating_mul(columns).saturating_mul(depth.min(DEPTH))
}

/// How a product is cut and made.
#[derive(Clone, Copy)]
struct Parts<'a, T> {
    factor: T,
    accum: Accum,
    /// Multiplications that a part may take.
    part: usize,
    finish: Option<Finish<'a, T>>,
}

impl<T: Real> Parts<'_, T> {
    /// Halves the result, which begins `at` a row and a column of the whole, along its longer side until it is a part.
    fn make(self, to: MatMut<'_, T>, a: MatRef<'_, T>, b: MatRef<'_, T>, at: (usize, usize)) {
        let (rows, columns) = (to.nrows(), to.ncols());
        let longer = rows.max(columns);
        if multiplications(rows, columns, a.ncols()) <= self.part || longer < 2 * EDGE {
            return self.one(to, a, b, at);
        }
        let half = (longer / 2).next_multiple_of(EDGE);
        if rows >= columns {
            let ((top, bottom), (above, below)) = (to.split_at_row_mut(half), a.split_at_row(half));
            rayon::join(|| self.make(top, above, b, at), || self.make(bottom, below, b, (at.0 + half, at.1)));
        } else {
            let ((left, right), (before, behind)) = (to.split_at_col_mut(half), b.split_at_col(half));
            rayon::join(|| self.make(left, a, before, at), || self.make(right, a, behind, (at.0, at.1 + half)));
        }
    }

    fn one(self, mut to: MatMut<'_, T>, a: MatRef<'_, T>, b: MatRef<'_, T>, (row, column): (usize, usize)) {
        matmul(to.as_mut(), self.accum, a, b, self.factor, Par::Seq);
        let Some(finish) = self.finish else { return };
        for (below, numbers) in to.row_iter_mut().enumerate() {
            // Rows of a target lie in one piece.
            if let Some(numbers) = numbers.try_as_row_major_mut() {
                finish(row + below, column, numbers.as_slice_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_land_where_they_belong() {
        // [[1, 2, 3], [4, 5, 6]] with a gap after each row.
        let a = [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0];
        let a = Matrix::new(&a, 2, 3, 4).unwrap();
        let mut to = [1.0; 7];
        product(Target::new(&mut to, 2, 2, 5).unwrap(), a, a.t(), 0.5, true, Threads::One).unwrap();
        assert_eq!(to, [8.0, 17.0, 1.0, 1.0, 1.0, 17.0, 39.5]);
        product(Target::new(&mut to, 2, 2, 5).unwrap(), a, a.t(), 1.0, false, Threads::All).unwrap();
        assert_eq!(to, [14.0, 32.0, 1.0, 1.0, 1.0, 32.0, 77.0]);
        // Nothing summed is zero.
        let none = Matrix::new(&[], 2, 0, 0).unwrap();
        product(Target::new(&mut to, 2, 2, 5).unwrap(), none, none.t(), 1.0, false, Threads::One).unwrap();
        assert_eq!(to[..2], [0.0, 0.0]);
    }

    /// Parts of both directions, sizes that no part divides, operands of every order.
    #[test]
    fn parts_are_those_of_one_product() {
        let number = |i: usize| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5;
        for (rows, columns, depth) in [(700, 130, 513), (33, 3001, 400), (1, 70_000, 500), (513, 517, 600)] {
            let a: Vec<f32> = (0..rows * depth).map(number).collect();
            let b: Vec<f32> = (0..depth * columns).map(|i| number(i + 17)).collect();
            let matrices = [
                (Matrix::new(&a, rows, depth, depth), Matrix::new(&b, depth, columns, columns)),
                (Matrix::new(&a, rows, depth, depth), Matrix::new(&b, columns, depth, depth).map(Matrix::t)),
                (Matrix::new(&a, depth, rows, rows).map(Matrix::t), Matrix::new(&b, depth, columns, columns)),
            ];
            for (a, b) in matrices {
                let (a, b) = (a.unwrap(), b.unwrap());
                // With a gap behind each row, and room behind the last.
                let step = columns + 3;
                let mut whole = vec![1.0; (rows + 1) * step];
                let mut parts = whole.clone();
                product(Target::new(&mut whole, rows, columns, step).unwrap(), a, b, 0.5, true, Threads::One).unwrap();
                product(Target::new(&mut parts, rows, columns, step).unwrap(), a, b, 0.5, true, Threads::All).unwrap();
                for outside in whole.chunks(step).map(|row| &row[columns..]).chain([&parts[rows * step..]]) {
                    assert!(outside.iter().all(|x| *x == 1.0));
                }
                let worst = whole.iter().zip(&parts).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-4, "{rows} x {columns} x {depth}: {worst}");
                let plain: f64 =
                    (0..depth).map(|k| f64::from(a.0[(rows - 1, k)]) * f64::from(b.0[(k, columns / 2)])).sum();
                let found = f64::from(parts[(rows - 1) * step + columns / 2]);
                assert!((found - 1.0 - 0.5 * plain).abs() < 1e-4, "{found} {plain}");
            }
        }
    }

    #[test]
    fn every_number_is_finished_once_where_it_lies() {
        for (rows, columns, depth) in [(5, 3, 2), (700, 130, 513), (33, 3001, 400)] {
            let a = vec![1.0f32; rows * depth];
            let b = vec![1.0f32; depth * columns];
            // With a gap behind each row.
            let step = columns + 3;
            let mut to = vec![0.5f32; rows * step];
            let target = Target::new(&mut to, rows, columns, step).unwrap();
            let [a, b] =
                [Matrix::new(&a, rows, depth, depth), Matrix::new(&b, depth, columns, columns)].map(Result::unwrap);
            let place = |row: usize, column: usize| (row * columns + column) as f32 / 8.0;
            let finish = |row: usize, first: usize, numbers: &mut [f32]| {
                numbers.iter_mut().enumerate().for_each(|(n, x)| *x = 2.0 * *x + place(row, first + n));
            };
            finished_product(target, a, b, true, &finish).unwrap();
            for (row, numbers) in to.chunks(step).enumerate() {
                for (column, x) in numbers[..columns].iter().enumerate() {
                    assert_eq!(*x, 2.0 * (depth as f32 + 0.5) + place(row, column), "{row} {column}");
                }
                assert!(numbers[columns..].iter().all(|x| *x == 0.5));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = [0f32; 6];
        assert!(Matrix::new(&data, 2, 3, 4).is_err());
        assert!(Matrix::new(&data, usize::MAX, 3, usize::MAX).is_err());
        let a = Matrix::new(&data, 2, 3, 3).unwrap();
        let mut to = [0.0; 4];
        assert!(product(Target::new(&mut to, 2, 2, 2).unwrap(), a, a, 1.0, false, Threads::One).is_err());
        assert!(product(Target::new(&mut to, 1, 2, 2).unwrap(), a, a.t(), 1.0, false, Threads::One).is_err());
        assert!(Target::new(&mut to, 2, 3, 2).is_err());
        assert!(Target::new(&mut to, 3, 2, 1).is_err());
    }

    #[test]
    fn targets_fall_into_parts() {
        let mut to = [0.0; 12];
        let ones = [1.0, 2.0, 3.0];
        let columns: Vec<_> = Target::new(&mut to, 3, 4, 4).unwrap().beside(2).collect();
        assert_eq!(columns.len(), 2);
        for (number, column) in columns.into_iter().enumerate() {
            let blocks: Vec<_> = column.below(2).collect();
            assert_eq!(blocks.len(), 2);
            for (block, rows) in blocks.into_iter().zip([2, 1]) {
                let left = Matrix::new(&ones, rows, 1, 1).unwrap();
                let right = [10.0 * number as f64, 1.0];
                let right = Matrix::new(&right, 1, 2, 2).unwrap();
                product(block, left, right, 1.0, false, Threads::One).unwrap();
            }
        }
        assert_eq!(to, [0.0, 1.0, 10.0, 1.0, 0.0, 2.0, 20.0, 2.0, 0.0, 1.0, 10.0, 1.0]);
        assert_eq!(Target::new(&mut to, 3, 4, 4).unwrap().beside(0).count(), 0);
        assert_eq!(Target::new(&mut to, 3, 4, 4).unwrap().below(0).count(), 0);
    }
}
