//! Products of matrices that lie inside slices, by the gemm crate.

use candle_core::{CpuStorage, Layout, Result, bail};
use gemm::Parallelism;

use super::Real;

/// A matrix inside a slice.
#[derive(Clone, Copy, Debug)]
pub(in crate::tensor) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    /// Steps from a row and from a column to the next.
    steps: (usize, usize),
}

impl<'a, T: Real> Matrix<'a, T> {
    /// `rows x columns` numbers of `data`, a row `step` numbers after the one before.
    pub fn new(data: &'a [T], rows: usize, columns: usize, step: usize) -> Result<Self> {
        check(data.len(), rows, columns, step)?;
        Ok(Self { data, rows, columns, steps: (step, 1) })
    }

    /// A matrix on the processor whose rows or columns lie side by side.
    pub fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (rows, columns) = layout.shape().dims2()?;
        let data = T::cpu_storage_as_slice(storage)?.get(layout.start_offset()..).unwrap_or(&[]);
        match layout.stride() {
            [step, 1] => Self::new(data, rows, columns, *step),
            [1, step] => Ok(Self::new(data, columns, rows, *step)?.t()),
            _ => bail!("a product needs rows or columns in one piece"),
        }
    }

    /// Transposed.
    pub fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, steps: (self.steps.1, self.steps.0), ..self }
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
    /// On all.
    All,
}

/// `to = factor a b`, or `to += factor a b` where `add`; a row of `to` begins `step` numbers after the one before.
pub(in crate::tensor) fn product<T: Real>(
    (to, step): (&mut [T], usize),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    factor: f64,
    add: bool,
    threads: Threads,
) -> Result<()> {
    if a.columns != b.rows {
        bail!("matrices of {} x {} and {} x {} do not multiply", a.rows, a.columns, b.rows, b.columns);
    }
    check(to.len(), a.rows, b.columns, step)?;
    if b.columns > step && a.rows > 1 {
        bail!("rows of {} numbers overlap at {step} numbers apart", b.columns);
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(rayon::current_num_threads()),
    };
    // SAFETY: both checks above and those of `Matrix::new` keep every index inside its slice, `to` is borrowed
    // mutably, and its rows do not overlap. f32 and f64 are what the crate multiplies.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            to.as_mut_ptr(),
            1,
            step as isize,
            add,
            a.data.as_ptr(),
            a.steps.1 as isize,
            a.steps.0 as isize,
            b.data.as_ptr(),
            b.steps.1 as isize,
            b.steps.0 as isize,
            T::one(),
            T::from_f64(factor),
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
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
        product((&mut to, 5), a, a.t(), 0.5, true, Threads::One).unwrap();
        assert_eq!(to, [8.0, 17.0, 1.0, 1.0, 1.0, 17.0, 39.5]);
        product((&mut to, 5), a, a.t(), 1.0, false, Threads::All).unwrap();
        assert_eq!(to, [14.0, 32.0, 1.0, 1.0, 1.0, 32.0, 77.0]);
        // Nothing summed is zero.
        let none = Matrix::new(&[], 2, 0, 0).unwrap();
        product((&mut to, 5), none, none.t(), 1.0, false, Threads::One).unwrap();
        assert_eq!(to[..2], [0.0, 0.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = [0f32; 6];
        assert!(Matrix::new(&data, 2, 3, 4).is_err());
        assert!(Matrix::new(&data, usize::MAX, 3, usize::MAX).is_err());
        let a = Matrix::new(&data, 2, 3, 3).unwrap();
        assert!(product((&mut [0.0; 4], 2), a, a, 1.0, false, Threads::One).is_err());
        assert!(product((&mut [0.0; 3], 2), a, a.t(), 1.0, false, Threads::One).is_err());
        assert!(product((&mut [0.0; 4], 1), a, a.t(), 1.0, false, Threads::One).is_err());
    }
}
