//! What the processor's kernels are made of: vectors of f32 and f64 under one name, exponentials, products of
//! matrices inside slices, loops over cache-sized blocks.
//!
//! Work is cut into blocks by shape alone, so that a result does not depend on the number of threads.

mod cast;
mod each;
mod fresh;
mod functions;
mod heads;
mod math;
mod product;
mod real;
mod row;

pub(super) use cast::{cast, widened};
pub(super) use each::{Curve2, ScalarFunction, apply, apply2, map, map2};
pub(super) use fresh::{changed, repeated, written};
pub(super) use functions::{exp, sigmoid, tanh};
pub(super) use heads::Heads;
pub(super) use product::{Finish, Matrix, Target, Threads, finished_product, product};
pub(super) use real::Real;
pub(super) use row::{exponentials, largest, sum_of_exponentials};

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, WithDType, bail};

/// The numbers of a contiguous tensor on the processor.
pub(super) fn numbers<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let all = T::cpu_storage_as_slice(storage)?;
    match layout.contiguous_offsets().and_then(|(from, to)| all.get(from..to)) {
        Some(numbers) => Ok(numbers),
        None => bail!("a kernel needs its numbers in one piece"),
    }
}

/// Hands the numbers of a tensor on the processor to `read`; copied into one piece first where they are not.
pub(super) fn reading<T: Real, R>(x: &Tensor, read: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(numbers(storage, layout)?),
        _ => bail!("a kernel of the processor was given numbers on another device"),
    }
}

/// A tensor on the processor.
pub(super) fn tensor<T: Real>(numbers: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape.into(), &Device::Cpu)
}
