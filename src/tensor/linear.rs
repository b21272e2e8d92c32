//! Affine maps.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Error, Layout, Result, Shape, Storage, Tensor, bail};
use pulp::Simd;
use rayon::prelude::*;

use super::activation::activate;
use super::device::has_kernels;
use super::kernel::{
    Curve2, Finish, Matrix, Real, Target, Threads, apply2, cast, finished_product, numbers, product, reading, repeated,
    tensor, widened,
};
use super::nonlinearity::Nonlinearity;
use super::portable;

/// `x W^T + b` over the last axis: `x [.., in]`, `weight [out, in]`, `bias [out]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if !has_kernels(x.device()) {
        return portable::linear(x, weight, bias);
    }
    let dtype = x.dtype();
    let (x, weight) = (widened(x)?.contiguous()?, widened(weight)?);
    let weight = if weight.stride().contains(&1) { weight } else { weight.contiguous()? };
    let y = match bias {
        Some(bias) => x.apply_op3(&weight, &widened(bias)?.contiguous()?, Affine)?,
        None => x.apply_op2(&weight, Affine)?,
    };
    cast(&y, dtype)
}

/// `f(x W^T + b)`, times `gate` of the same shape where there is one: `x [.., in]`, `weight [out, in]`, `bias [out]`,
/// `gate [.., out]`.
///
/// Where nothing learns, the processor finishes each part of the product while the caches hold it, with the same bits.
pub fn linear_activated(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    f: Nonlinearity,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    let learns = [Some(x), Some(weight), bias, gate].into_iter().flatten().any(Tensor::track_op);
    // Numbers of 16 bits are rounded between the two, as everywhere.
    match x.dtype() {
        DType::F32 if has_kernels(x.device()) && !learns => activated::<f32>(x, weight, bias, f, gate),
        DType::F64 if has_kernels(x.device()) && !learns => activated::<f64>(x, weight, bias, f, gate),
        _ => {
            let y = activate(&linear(x, weight, bias)?, f)?;
            gate.map_or(Ok(y.clone()), |gate| y * gate)
        }
    }
}

fn activated<T: Real>(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    f: Nonlinearity,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, widened(weight)?);
    let weight = if weight.stride().contains(&1) { weight } else { weight.contiguous()? };
    let bias = bias.map(|bias| widened(bias)?.contiguous()).transpose()?;
    let columns = weight.dim(0)?;
    let with = |gate: Option<&[T]>| -> Result<Tensor> {
        let finish = |row: usize, first: usize, numbers: &mut [T]| {
            f.apply(numbers);
            if let Some(gate) = gate.and_then(|gate| gate.get(row * columns + first..)) {
                apply2(numbers, gate, Times);
            }
        };
        let (x, weight) = (x.storage_and_layout(), weight.storage_and_layout());
        let bias = bias.as_ref().map(Tensor::storage_and_layout);
        let bias = bias.as_ref().map(|(storage, layout)| Ok::<_, Error>((on_processor(storage)?, *layout)));
        let (x, weight) = ((on_processor(&x.0)?, x.1), (on_processor(&weight.0)?, weight.1));
        let (y, shape) = forward::<T>(x, weight, bias.transpose()?, Some(&finish))?;
        tensor(y, shape)
    };
    match gate {
        None => with(None),
        Some(gate) => {
            let mut shape = x.dims().to_vec();
            shape.pop();
            shape.push(columns);
            if gate.dims() != shape {
                bail!("a gate {:?} does not fit {shape:?}", gate.dims());
            }
            reading(gate, |gate| with(Some(gate)))
        }
    }
}

fn on_processor(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("an operand is not where its device says"),
    }
}

#[derive(Clone, Copy)]
struct Times;

impl<T: Real> Curve2<T> for Times {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>, y: T::Lanes<S>) -> T::Lanes<S> {
        T::times(simd, x, y)
    }
}

/// Columns that one task sums.
const COLUMNS: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Affine;

/// One large product instead of a batch of small ones; it begins with the bias where there is one.
fn forward<T: Real>(
    x: (&CpuStorage, &Layout),
    weight: (&CpuStorage, &Layout),
    bias: Option<(&CpuStorage, &Layout)>,
    finish: Option<Finish<'_, T>>,
) -> Result<(Vec<T>, Shape)> {
    let (columns, width) = weight.1.shape().dims2()?;
    let mut shape = x.1.dims().to_vec();
    match shape.last_mut() {
        Some(last) if *last == width => *last = columns,
        _ => bail!("a weight of {columns} x {width} does not fit {:?}", x.1.dims()),
    }
    let rows = x.1.dims().iter().rev().skip(1).product();
    let mut out = match bias {
        Some((storage, layout)) => {
            let bias = numbers::<T>(storage, layout)?;
            if bias.len() != columns {
                bail!("a bias of {} numbers does not fit {columns}", bias.len());
            }
            repeated(bias, rows)
        }
        None => repeated(&vec![T::zero(); columns], rows),
    };
    let x = Matrix::new(numbers(x.0, x.1)?, rows, width, width)?;
    let weight = Matrix::<T>::of(weight.0, weight.1)?;
    let to = Target::new(&mut out, rows, columns, columns)?;
    match finish {
        None => product(to, x, weight.t(), 1.0, bias.is_some(), Threads::All)?,
        Some(finish) => finished_product(to, x, weight.t(), bias.is_some(), finish)?,
    }
    Ok((out, Shape::from(shape)))
}

fn stored<T: Real>(
    x: (&CpuStorage, &Layout),
    weight: (&CpuStorage, &Layout),
    bias: Option<(&CpuStorage, &Layout)>,
) -> Result<(CpuStorage, Shape)> {
    let (y, shape) = forward::<T>(x, weight, bias, None)?;
    Ok((T::to_cpu_storage_owned(y), shape))
}

/// `dx = g W`, `dW = g^T x`, `db = sum of the rows of g`, of those that lead to a variable.
fn backward<T: Real>(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, grad: &Tensor) -> Result<[Option<Tensor>; 3]> {
    let (columns, width) = weight.dims2()?;
    let rows = x.dims().iter().rev().skip(1).product();
    reading(grad, |grad| {
        let g = Matrix::<T>::new(grad, rows, columns, columns)?;
        let to_x = x.track_op().then(|| -> Result<Tensor> {
            let (storage, layout) = weight.storage_and_layout();
            let mut to = vec![T::zero(); rows * width];
            let target = Target::new(&mut to, rows, width, width)?;
            product(target, g, Matrix::of(on_processor(&storage)?, layout)?, 1.0, false, Threads::All)?;
            tensor(to, x.shape())
        });
        let to_weight = weight.track_op().then(|| {
            reading(x, |x| {
                let mut to = vec![T::zero(); columns * width];
                let x = Matrix::new(x, rows, width, width)?;
                product(Target::new(&mut to, columns, width, width)?, g.t(), x, 1.0, false, Threads::All)?;
                tensor(to, weight.shape())
            })
        });
        let to_bias = bias.filter(|b| b.track_op()).map(|bias| {
            let mut to = vec![T::zero(); columns];
            to.par_chunks_mut(COLUMNS).enumerate().for_each(|(part, to)| {
                let first = part * COLUMNS;
                for row in grad.chunks_exact(columns) {
                    to.iter_mut().zip(&row[first..]).for_each(|(sum, g)| *sum += *g);
                }
            });
            tensor(to, bias.shape())
        });
        Ok([to_x.transpose()?, to_weight.transpose()?, to_bias.transpose()?])
    })
}

fn backward_any(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, grad: &Tensor) -> Result<[Option<Tensor>; 3]> {
    match x.dtype() {
        DType::F32 => backward::<f32>(x, weight, bias, grad),
        _ => backward::<f64>(x, weight, bias, grad),
    }
}

impl CustomOp2 for Affine {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        match x {
            CpuStorage::F32(_) => stored::<f32>((x, xl), (w, wl), None),
            _ => stored::<f64>((x, xl), (w, wl), None),
        }
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, weight, _] = backward_any(x, w, None, grad)?;
        Ok((x, weight))
    }
}

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        match x {
            CpuStorage::F32(_) => stored::<f32>((x, xl), (w, wl), Some((b, bl))),
            _ => stored::<f64>((x, xl), (w, wl), Some((b, bl))),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, weight, bias] = backward_any(x, w, Some(b), grad)?;
        Ok((x, weight, bias))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    #[test]
    fn values_are_those_of_the_plain_operations() {
        let x = random(&[3, 5, 17], 1);
        let bias = random(&[600], 3);
        // As stored, and as a transposed view.
        for weight in [random(&[600, 17], 2), random(&[17, 600], 2).t().unwrap()] {
            for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 2e-6), (DType::BF16, 3e-2)] {
                let to = |x: &Tensor| x.to_dtype(dtype).unwrap();
                for bias in [Some(&bias), None] {
                    let expected = portable::linear(&x, &weight, bias).unwrap();
                    let found = linear(&to(&x), &to(&weight), bias.map(to).as_ref()).unwrap();
                    assert_close(&found, &expected, tolerance);
                }
            }
        }
    }

    #[test]
    fn a_map_that_ends_in_an_activation_has_the_bits_of_both_after_each_other() {
        let (x, bias, gate) = (random(&[3, 50, 17], 1), random(&[600], 3), random(&[3, 50, 600], 4));
        let bits = |x: &Tensor| x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        for weight in [random(&[600, 17], 2), random(&[17, 600], 2).t().unwrap()] {
            for dtype in [DType::F64, DType::F32, DType::BF16] {
                let to = |x: &Tensor| x.to_dtype(dtype).unwrap();
                for (bias, gate) in [(None, None), (Some(&bias), None), (None, Some(&gate)), (Some(&bias), Some(&gate))]
                {
                    let (bias, gate) = (bias.map(to), gate.map(to));
                    for f in [Nonlinearity::Gelu, Nonlinearity::GeluTanh, Nonlinearity::Relu, Nonlinearity::Silu] {
                        let (x, weight) = (to(&x), to(&weight));
                        let mut expected = activate(&linear(&x, &weight, bias.as_ref()).unwrap(), f).unwrap();
                        if let Some(gate) = &gate {
                            expected = (expected * gate).unwrap();
                        }
                        let found = linear_activated(&x, &weight, bias.as_ref(), f, gate.as_ref()).unwrap();
                        assert_eq!(found.dtype(), dtype);
                        assert_eq!(found.dims(), expected.dims());
                        assert_eq!(bits(&found), bits(&expected), "{f:?} {dtype:?}");
                    }
                }
            }
        }
        // What learns keeps what its gradient needs.
        let at = [random(&[2, 3, 5], 4), random(&[4, 5], 5), random(&[4], 6), random(&[2, 3, 4], 7)];
        assert_gradients(&at, |a| linear_activated(&a[0], &a[1], Some(&a[2]), Nonlinearity::Silu, Some(&a[3])));
        // A gate of another shape is refused.
        let wrong = random(&[3, 50, 599], 4);
        assert!(linear_activated(&x, &random(&[600, 17], 2), None, Nonlinearity::Silu, Some(&wrong)).is_err());
    }

    #[test]
    fn gradients_are_finite_differences() {
        let at = [random(&[2, 3, 5], 4), random(&[4, 5], 5), random(&[4], 6)];
        assert_gradients(&at, |a| linear(&a[0], &a[1], Some(&a[2])));
        assert_gradients(&at[..2], |a| linear(&a[0], &a[1], None));
        let turned = [random(&[2, 3, 5], 4), random(&[5, 4], 5), random(&[4], 6)];
        assert_gradients(&turned, |a| linear(&a[0], &a[1].t()?, Some(&a[2])));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = random(&[2, 4], 1);
        assert!(linear(&x, &random(&[3, 5], 1), None).is_err());
        assert!(linear(&x, &random(&[3, 4], 1), Some(&random(&[4], 1))).is_err());
        assert_eq!(linear(&x, &random(&[0, 4], 1), None).unwrap().dims(), [2, 0]);
        assert_eq!(linear(&random(&[0, 4], 1), &random(&[3, 4], 1), None).unwrap().dims(), [0, 3]);
    }
}
