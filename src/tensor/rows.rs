//! Rows of a table side by side, and back in their places.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, WithDType, bail};
use half::{bf16, f16};

use super::device::has_kernels;
use super::kernel::written;
use super::portable;

/// Which row each row of a result is; `NONE` makes it zeros.
const NONE: u32 = u32::MAX;

/// Moves rows of a table `[R, D]` to a table `[S, D]`: every row to one place at most, places that get none are zeros.
#[derive(Clone, Debug)]
pub struct RowMove {
    from: Arc<[u32]>,
    back: Arc<[u32]>,
    /// `from` as [`indexed`] has it, where the processor does not compute.
    there: Option<(Tensor, Tensor)>,
}

impl RowMove {
    /// The rows that are `chosen`, and the way back.
    pub fn of(chosen: &[bool], device: &Device) -> Result<[Self; 2]> {
        let from: Vec<u32> = (0..).zip(chosen).filter(|(_, real)| **real).map(|(row, _)| row).collect();
        let mut places = 0..;
        let back: Vec<u32> =
            chosen.iter().map(|real| if *real { places.next().unwrap_or(NONE) } else { NONE }).collect();
        let there = |rows| if has_kernels(device) { Ok(None) } else { indexed(rows, device).map(Some) };
        let (there, here) = (there(&from)?, there(&back)?);
        let (from, back): (Arc<[u32]>, Arc<[u32]>) = (from.into(), back.into());
        let out = Self { from: Arc::clone(&from), back: Arc::clone(&back), there };
        Ok([out, Self { from: back, back: from, there: here }])
    }

    /// Where each row of the result comes from; `None` where it is zeros.
    pub fn origins(&self) -> impl Iterator<Item = Option<u32>> {
        self.from.iter().map(|from| Some(*from).filter(|from| *from != NONE))
    }

    /// Moves the rows of `x [R, D]`.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.dim(0)?;
        if rows != self.back.len() {
            bail!("{rows} rows are not the {} that move", self.back.len());
        }
        match &self.there {
            Some((index, some)) => portable::rows(x, index, some),
            None => x.contiguous()?.apply_op1(self.clone()),
        }
    }

    fn forward<T: WithDType>(&self, storage: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        let (_, width) = layout.shape().dims2()?;
        let x = T::cpu_storage_as_slice(storage)?.get(layout.start_offset()..).unwrap_or(&[]);
        let nothing = vec![T::zero(); width];
        let out = written(self.from.len() * width, width, |place, room| {
            let from = self.from[place];
            let at = from as usize * width;
            room.write_copy_of_slice(x.get(at..at + width).filter(|_| from != NONE).unwrap_or(&nothing))
        });
        Ok(T::to_cpu_storage_owned(out))
    }
}

/// `rows` with 0 for nothing, `[S]`, and 1 or 0 for something or nothing, `[S, 1]`.
fn indexed(rows: &[u32], device: &Device) -> Result<(Tensor, Tensor)> {
    let index: Vec<u32> = rows.iter().map(|row| if *row == NONE { 0 } else { *row }).collect();
    let some: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(*row != NONE))).collect();
    Ok((Tensor::from_vec(index, rows.len(), device)?, Tensor::from_vec(some, (rows.len(), 1), device)?))
}

impl CustomOp1 for RowMove {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let moved = match storage {
            CpuStorage::F32(_) => self.forward::<f32>(storage, layout)?,
            CpuStorage::F64(_) => self.forward::<f64>(storage, layout)?,
            CpuStorage::BF16(_) => self.forward::<bf16>(storage, layout)?,
            CpuStorage::F16(_) => self.forward::<f16>(storage, layout)?,
            _ => bail!("rows that move hold floats"),
        };
        Ok((moved, Shape::from((self.from.len(), layout.shape().dims2()?.1))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = Self { from: Arc::clone(&self.back), back: Arc::clone(&self.from), there: None };
        Ok(Some(back.apply(grad)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    const CHOSEN: [bool; 6] = [true, false, true, true, false, false];

    fn moves() -> [RowMove; 2] {
        RowMove::of(&CHOSEN, &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_move_out_and_back() {
        let x = random(&[6, 3], 1);
        let [out, back] = moves();
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
            let x = x.to_dtype(dtype).unwrap();
            let packed = out.apply(&x).unwrap();
            let expected = x.index_select(&Tensor::new(&[0u32, 2, 3], &Device::Cpu).unwrap(), 0).unwrap();
            assert_close(&packed, &expected, 0.0);
            let there = back.apply(&packed).unwrap();
            let mask = Tensor::new(&[1f32, 0.0, 1.0, 1.0, 0.0, 0.0], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert_close(&there, &x.broadcast_mul(&mask.unsqueeze(1).unwrap()).unwrap(), 0.0);
        }
        // A view, rows that are columns.
        let turned = random(&[3, 6], 2).t().unwrap();
        assert_close(&out.apply(&turned).unwrap(), &out.apply(&turned.contiguous().unwrap()).unwrap(), 0.0);
        assert!(out.apply(&random(&[5, 3], 1)).is_err());
    }

    #[test]
    fn gradients_are_finite_differences() {
        let [out, back] = moves();
        assert_gradients(&[random(&[6, 2], 1)], |x| out.apply(&x[0]));
        assert_gradients(&[random(&[3, 2], 1)], |x| back.apply(&x[0]));
    }

    /// The path of other devices, run on this one.
    #[test]
    fn plain_operations_move_the_same() {
        for (one, x) in moves().into_iter().zip([random(&[6, 3], 1), random(&[3, 3], 2)]) {
            let other = RowMove { there: Some(indexed(&one.from, &Device::Cpu).unwrap()), ..one.clone() };
            assert_close(&other.apply(&x).unwrap(), &one.apply(&x).unwrap(), 0.0);
            assert_gradients(&[x], |x| other.apply(&x[0]));
        }
    }
}
