//! Help for tests of operations: random tensors, distances, finite differences.

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

/// Doubles between -1 and 1.
pub(super) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Xoshiro256Plus::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.gen_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn doubles(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts that no number differs by more than `tolerance` times the largest expected.
pub(super) fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (doubles(found), doubles(expected));
    let scale = expected.iter().fold(1e-300, |m: f64, x| m.max(x.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() <= tolerance * scale, "number {i}: {f} is not {e}");
    }
}

/// Asserts that the gradients of a random weighing of `f`'s result agree with central differences of step 1e-5 for
/// every number of every argument (doubles).
pub(super) fn assert_gradients(at: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let weigh = |y: &Tensor| -> Tensor {
        let weights = random(y.dims(), 99);
        (y * weights).unwrap().sum_all().unwrap()
    };
    let variables: Vec<Var> = at.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let arguments: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let grads = weigh(&f(&arguments).unwrap()).backward().unwrap();
    for (which, (x, variable)) in at.iter().zip(&variables).enumerate() {
        let found = doubles(grads.get(variable).unwrap_or_else(|| panic!("argument {which} got no gradient")));
        let values = doubles(x);
        for i in 0..values.len() {
            let moved = |step: f64| -> f64 {
                let mut values = values.clone();
                values[i] += step;
                let mut arguments = at.to_vec();
                arguments[which] = Tensor::from_vec(values, x.shape(), &Device::Cpu).unwrap();
                weigh(&f(&arguments).unwrap()).to_scalar().unwrap()
            };
            let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let difference = (found[i] - expected).abs();
            assert!(difference < 1e-7 * (1.0 + expected.abs()), "argument {which}, {i}: {} {expected}", found[i]);
        }
    }
}

/// `f` and its gradients, of the same random weighing, where it reads `at` in `dtype`.
fn weighed_in(dtype: DType, at: &[Tensor], f: &impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Vec<f64>> {
    let variables: Vec<Var> = at.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let arguments: Vec<Tensor> = variables.iter().map(|v| v.to_dtype(dtype).unwrap()).collect();
    let found = f(&arguments).unwrap();
    assert_eq!(found.dtype(), dtype);
    let weighed = (found.to_dtype(DType::F64).unwrap() * random(found.dims(), 99)).unwrap();
    let grads = weighed.sum_all().unwrap().backward().unwrap();
    let grads = variables.iter().map(|v| doubles(grads.get(v).unwrap()));
    std::iter::once(doubles(&found)).chain(grads).collect()
}

/// Asserts that in 16 bits `f` and its gradients are what they are in doubles but for rounding: each, as a vector, off by
/// less than `units` of the last place.
pub(super) fn assert_half_gradients(at: &[Tensor], units: f64, f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let length = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    for (dtype, unit) in [(DType::F16, 2f64.powi(-11)), (DType::BF16, 2f64.powi(-8))] {
        let at: Vec<Tensor> = at.iter().map(|x| x.to_dtype(dtype).unwrap().to_dtype(DType::F64).unwrap()).collect();
        let (found, expected) = (weighed_in(dtype, &at, &f), weighed_in(DType::F64, &at, &f));
        for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = length(&mut found.iter().zip(expected).map(|(f, e)| f - e));
            let apart = error / length(&mut expected.iter().copied()) / unit;
            assert!(apart < units, "{dtype:?}, {which}: {apart} units");
        }
    }
}
