//! Between 16 bits and the f32 that kernels compute in, on all threads.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use super::numbers;
use crate::tensor::device::has_kernels;
use crate::tensor::precision::wide;

const BLOCK: usize = 1 << 14;

/// Half precision is computed in f32.
pub(in crate::tensor) fn widened(x: &Tensor) -> Result<Tensor> {
    cast(x, wide(x.dtype()))
}

/// `x` as `to` has it.
pub(in crate::tensor) fn cast(x: &Tensor, to: DType) -> Result<Tensor> {
    let from = x.dtype();
    let ours = from != to && wide(from) == DType::F32 && wide(to) == DType::F32 && [from, to].contains(&DType::F32);
    if has_kernels(x.device()) && ours { x.contiguous()?.apply_op1(Cast { to }) } else { x.to_dtype(to) }
}

#[derive(Clone, Copy)]
struct Cast {
    to: DType,
}

fn wider<H: Copy + Sync>(x: &[H]) -> CpuStorage
where
    [H]: HalfFloatSliceExt,
{
    let mut out = vec![0f32; x.len()];
    out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(out, x)| x.convert_to_f32_slice(out));
    CpuStorage::F32(out)
}

fn narrower<H: Copy + Default + Send>(x: &[f32]) -> Vec<H>
where
    [H]: HalfFloatSliceExt,
{
    let mut out = vec![H::default(); x.len()];
    out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(out, x)| out.convert_from_f32_slice(x));
    out
}

impl CustomOp1 for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let cast = match (storage, self.to) {
            (CpuStorage::F16(_), DType::F32) => wider::<f16>(numbers(storage, layout)?),
            (CpuStorage::BF16(_), DType::F32) => wider::<bf16>(numbers(storage, layout)?),
            (CpuStorage::F32(_), DType::F16) => CpuStorage::F16(narrower(numbers(storage, layout)?)),
            (CpuStorage::F32(_), DType::BF16) => CpuStorage::BF16(narrower(numbers(storage, layout)?)),
            _ => bail!("a cast is between f32 and 16 bits"),
        };
        Ok((cast, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(cast(grad, x.dtype())?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::random;
    use super::*;

    #[test]
    fn casts_are_candles_with_gradients() {
        let wide = (random(&[3, 7001], 1) * 1e3).unwrap().to_dtype(DType::F32).unwrap();
        for dtype in [DType::F16, DType::BF16] {
            for x in [wide.clone(), wide.t().unwrap()] {
                let bits = |x: &Tensor| -> Vec<u32> {
                    let values = x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    values.into_iter().map(f32::to_bits).collect()
                };
                let expected = x.to_dtype(dtype).unwrap();
                let found = cast(&x, dtype).unwrap();
                assert_eq!((found.dtype(), found.dims()), (dtype, x.dims()));
                assert_eq!(bits(&found), bits(&expected));
                assert_eq!(bits(&widened(&found).unwrap()), bits(&expected));
            }
            let var = candle_core::Var::from_tensor(&wide).unwrap();
            let there = widened(&cast(var.as_tensor(), dtype).unwrap()).unwrap();
            let gradients = (there * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(&var).unwrap();
            assert_eq!(gradient.dtype(), DType::F32);
            assert!(gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|g| *g == 3.0));
        }
        // What is wide stays as it is.
        let double = random(&[2], 1);
        assert_eq!(widened(&double).unwrap().dtype(), DType::F64);
    }
}
