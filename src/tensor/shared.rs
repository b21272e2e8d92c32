//! Numbers that many positions share: rows of a table, a bias. Their gradients are sums over all positions that read
//! them, which 16 bits would lose: once a sum is some hundred times larger than what is added, it stands still.

use candle_core::{Result, Tensor};

use super::device::has_kernels;
use super::kernel::{cast, widened};
use super::portable;
use super::precision::wide;

/// The rows `ids [M]` of `table [R, ..]`, `[M, ..]`.
pub fn lookup(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let dtype = table.dtype();
    if table.track_op() && wide(dtype) != dtype {
        cast(&widened(table)?.index_select(ids, 0)?, dtype)
    } else {
        table.index_select(ids, 0)
    }
}

/// `x + y`, with `y` again and again along the leading axes of `x` that it lacks.
pub fn add_shared(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    if !y.track_op() || wide(dtype) == dtype || x.elem_count() == 0 {
        return x.broadcast_add(y);
    }
    if has_kernels(x.device()) {
        return cast(&widened(x)?.broadcast_add(&widened(y)?)?, dtype);
    }
    portable::add_shared(x, y)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    #[test]
    fn values_and_gradients_are_those_of_the_plain_operations() {
        let ids = Tensor::new(&[2u32, 0, 2, 2], &Device::Cpu).unwrap();
        let (table, x, y) = (random(&[3, 5], 1), random(&[4, 3, 5], 2), random(&[3, 5], 3));
        for (dtype, tolerance) in [(DType::F64, 0.0), (DType::F32, 1e-6), (DType::BF16, 4e-2), (DType::F16, 4e-3)] {
            for tracked in [false, true] {
                let to = |x: &Tensor| {
                    let var = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
                    if tracked { var.as_tensor().clone() } else { var.as_detached_tensor() }
                };
                let rows = lookup(&to(&table), &ids).unwrap();
                assert_eq!(rows.dtype(), dtype);
                assert_close(&rows, &table.index_select(&ids, 0).unwrap(), tolerance);
                assert_close(&add_shared(&to(&x), &to(&y)).unwrap(), &x.broadcast_add(&y).unwrap(), tolerance);
            }
        }
        assert_gradients(&[table], |a| lookup(&a[0], &ids));
        assert_gradients(&[x, y], |a| add_shared(&a[0], &a[1]));
    }

    #[test]
    fn gradients_of_what_many_positions_read_lose_nothing_to_16_bits() {
        // Added up one by one in bf16, 5000 ones stand still at 256.
        let many = 5000;
        for (dtype, end) in [(DType::BF16, 5000.0), (DType::F16, 5000.0)] {
            let var = Var::from_tensor(&random(&[2, 3], 1).to_dtype(dtype).unwrap()).unwrap();
            let ids = Tensor::ones(many, DType::U32, &Device::Cpu).unwrap();
            let found = lookup(var.as_tensor(), &ids).unwrap().sum_all().unwrap().backward().unwrap();
            let row = found.get(&var).unwrap().get(1).unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            assert!(row.iter().all(|g| (g - end).abs() < 0.004 * end), "{dtype:?} {row:?}");
            let x = Tensor::zeros((many, 2, 3), dtype, &Device::Cpu).unwrap();
            let found = add_shared(&x, var.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
            let sums = found.get(&var).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap();
            let sums = sums.to_vec1::<f64>().unwrap();
            assert!(sums.iter().all(|g| (g - end).abs() < 0.004 * end), "{dtype:?} {sums:?}");
        }
    }
}
