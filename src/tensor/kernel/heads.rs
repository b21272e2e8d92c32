//! Heads inside the storage of a tensor `[N, H, T, d]`, read where they lie.

use candle_core::{CpuStorage, Layout, Result, bail};

use super::{Matrix, Real};

/// The heads of a tensor `[N, H, T, d]`, no axis of which is 0, on the processor, of any strides but one of 1 within rows.
#[derive(Clone, Copy, Debug)]
pub(in crate::tensor) struct Heads<'a, T> {
    data: &'a [T],
    shape: (usize, usize, usize, usize),
    /// Of sequence, head, position.
    strides: [usize; 3],
}

impl<'a, T: Real> Heads<'a, T> {
    /// The heads in `storage`; refuses a shape with an axis of 0.
    pub(crate) fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let shape = layout.shape().dims4()?;
        if layout.shape().elem_count() == 0 {
            bail!("heads of shape {shape:?} hold no number");
        }
        let stride = layout.stride();
        if stride[3] != 1 && shape.3 > 1 {
            bail!("a head's rows need their numbers side by side");
        }
        let data = T::cpu_storage_as_slice(storage)?.get(layout.start_offset()..).unwrap_or(&[]);
        Ok(Self { data, shape, strides: [stride[0], stride[1], stride[2]] })
    }

    /// `(N, H, T, d)`.
    pub(crate) fn shape(&self) -> (usize, usize, usize, usize) {
        self.shape
    }

    /// Position `t` of head `h` of sequence `n`, `part` being `n H + h`.
    pub(crate) fn row(&self, part: usize, t: usize) -> &'a [T] {
        let heads = self.shape.1;
        let at = part / heads * self.strides[0] + part % heads * self.strides[1] + t * self.strides[2];
        &self.data[at..at + self.shape.3]
    }

    /// Positions `from..to` of head `h` of sequence `n`, `[to - from, d]`.
    pub(crate) fn rows(&self, n: usize, h: usize, from: usize, to: usize) -> Result<Matrix<'a, T>> {
        let at = n * self.strides[0] + h * self.strides[1] + from * self.strides[2];
        Matrix::new(self.data.get(at..).unwrap_or(&[]), to.saturating_sub(from), self.shape.3, self.strides[2])
    }
}
