//! Per-head scaled dot-product attention.
//!
//! On the processor, blocks of queries small enough for the cache go through scores, softmax and values one after
//! the other, so that no weights are formed as a whole unless they are asked for.

mod backward;
mod blocks;
mod fused;
mod kept;
mod scoring;
mod weights;

use candle_core::{Result, Tensor, bail};

use super::device::has_kernels;
use super::kernel::{cast, widened};
use super::portable;
pub use blocks::block_numbers;
use fused::Fused;
use kept::{Mix, Weigh};
pub use scoring::{Attended, Scoring};
use weights::Rules;

/// `softmax(q k^T) v` per head: `q [N, H, T, d]`, `k` and `v` `[N, H_kv, S, d]`, `H` a multiple of `H_kv`.
///
/// A query that sees no key has weights without meaning (zero or even).
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scoring: &Scoring<'_>, keep_weights: bool) -> Result<Attended> {
    if [q, k, v].iter().any(|x| x.elem_count() == 0) {
        bail!(
            "attention needs queries {:?}, keys {:?} and values {:?} that hold numbers",
            q.dims(),
            k.dims(),
            v.dims()
        );
    }
    // What else learns is a fourth argument with a gradient, of which candle's operations take three.
    let learns = [scoring.bias, scoring.sinks].into_iter().flatten().any(Tensor::track_op);
    if !has_kernels(q.device()) || learns {
        return portable::attention(q, k, v, scoring, keep_weights);
    }
    let dtype = q.dtype();
    let [q, k, v] = [q, k, v].map(|x| side_by_side(&widened(x)?));
    let (q, k, v) = (q?, k?, v?);
    let rules = Rules::new(&q, &k, &v, scoring)?;
    let (output, weights) = if keep_weights {
        let weights = q.apply_op2(&k, Weigh(rules))?;
        (weights.apply_op2(&v, Mix)?, Some(cast(&weights, dtype)?))
    } else {
        (q.apply_op3(&k, &v, Fused(rules))?, None)
    };
    // The kernels write heads side by side, ready to be joined.
    Ok(Attended { output: cast(&output, dtype)?.transpose(1, 2)?, weights })
}

/// With the numbers of a row side by side.
fn side_by_side(x: &Tensor) -> Result<Tensor> {
    if x.stride().last() == Some(&1) { Ok(x.clone()) } else { x.contiguous() }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::super::Visibility;
    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    struct Case {
        shape: (usize, usize, usize, usize, usize, usize),
        causal: bool,
        window: Option<usize>,
        padded: bool,
        soft_cap: Option<f64>,
        bias: Option<[usize; 4]>,
        sinks: bool,
    }

    const PLAIN: Case = Case {
        shape: (2, 4, 2, 9, 9, 5),
        causal: false,
        window: None,
        padded: false,
        soft_cap: None,
        bias: None,
        sinks: false,
    };

    /// `(N, H, H_kv, T, S, d)`: grouped heads, more queries than a block, windows, padding, biases of both shapes.
    fn cases() -> Vec<Case> {
        vec![
            PLAIN,
            Case { causal: true, ..PLAIN },
            Case { causal: true, window: Some(3), padded: true, ..PLAIN },
            Case { window: Some(2), ..PLAIN },
            Case { padded: true, soft_cap: Some(0.7), ..PLAIN },
            Case { causal: true, soft_cap: Some(0.7), bias: Some([2, 4, 1, 9]), ..PLAIN },
            Case { bias: Some([1, 4, 9, 9]), padded: true, ..PLAIN },
            Case { causal: true, window: Some(3), padded: true, sinks: true, ..PLAIN },
            Case { bias: Some([1, 4, 9, 9]), sinks: true, ..PLAIN },
            Case { shape: (1, 2, 1, 1, 21, 3), ..PLAIN },
        ]
    }

    impl Case {
        fn visibility(&self) -> Visibility {
            let (n, _, _, t, s, _) = self.shape;
            // Every sequence's first key is real, so that every query sees one: others have no weights to compare.
            // Padding lies in between, and behind all but the first sequence.
            let real = |i: usize| i.is_multiple_of(s) || (i % 5 != 2 && i % s + i / s < s);
            let real: Vec<bool> = (0..n * s).map(|i| !self.padded || real(i)).collect();
            // Where queries and keys are of one sequence, padding is padding to both.
            let asked = if t == s { real.clone() } else { vec![true; n * t] };
            Visibility::new((n, t, s), self.causal, self.window, [&asked, &real])
        }

        /// Queries, keys and values as views of heads inside tokens.
        fn arguments(&self) -> [Tensor; 3] {
            let (n, h, kv, t, s, d) = self.shape;
            [(t, h, 1), (s, kv, 2), (s, kv, 3)].map(|(t, h, seed)| (random(&[n, t, h, d], seed) * 2.0).unwrap())
        }
    }

    fn views(x: &[Tensor]) -> Vec<Tensor> {
        x.iter().map(|x| x.transpose(1, 2).unwrap()).collect()
    }

    #[test]
    fn results_are_those_of_the_plain_operations() {
        let long = Case { shape: (2, 3, 3, 70, 150, 8), padded: true, ..PLAIN };
        let long_causal = Case { shape: (1, 4, 2, 131, 131, 16), causal: true, ..PLAIN };
        let long_window = Case { shape: (1, 2, 1, 131, 131, 4), window: Some(20), ..PLAIN };
        for (index, case) in cases().into_iter().chain([long, long_causal, long_window]).enumerate() {
            let visibility = case.visibility();
            let bias = case.bias.map(|shape| random(&shape, 7));
            let sinks = case.sinks.then(|| random(&[case.shape.1], 8));
            fn scoring<'a>(case: &Case, visibility: &'a Visibility, added: [Option<&'a Tensor>; 2]) -> Scoring<'a> {
                let [bias, sinks] = added;
                Scoring { scale: 0.6, soft_cap: case.soft_cap, bias, sinks, visibility }
            }
            let added = [bias.as_ref(), sinks.as_ref()];
            let x = views(&case.arguments());
            let expected = portable::attention(&x[0], &x[1], &x[2], &scoring(&case, &visibility, added), true).unwrap();
            let sums =
                expected.weights.as_ref().unwrap().sum(3).unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert_eq!(sums < 1.0 - 1e-9, case.sinks, "case {index}");
            let real: Vec<f64> = (0..x[0].dim(0).unwrap())
                .flat_map(|n| (0..x[0].dim(2).unwrap()).map(move |t| (n, t)))
                .map(|(n, t)| f64::from(u8::from(visibility.asked(n).contains(&t))))
                .collect();
            assert_eq!(real.contains(&0.0), case.padded && case.shape.3 == case.shape.4, "case {index}");
            // Padded queries get nothing here, and something without meaning there.
            let real =
                Tensor::from_vec(real, (x[0].dim(0).unwrap(), 1, x[0].dim(2).unwrap(), 1), x[0].device()).unwrap();
            let only_real = |x: &Tensor| x.broadcast_mul(&real).unwrap();
            for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 5e-6), (DType::BF16, 4e-2), (DType::F16, 6e-3)]
            {
                let x: Vec<Tensor> = x.iter().map(|x| x.to_dtype(dtype).unwrap()).collect();
                let [bias, sinks] = added.map(|x| x.map(|x| x.to_dtype(dtype).unwrap()));
                for keep in [false, true] {
                    let found = attention(
                        &x[0],
                        &x[1],
                        &x[2],
                        &scoring(&case, &visibility, [bias.as_ref(), sinks.as_ref()]),
                        keep,
                    )
                    .unwrap();
                    assert_eq!(found.output.dtype(), dtype, "case {index}");
                    assert_close(&found.output, &only_real(&expected.output), tolerance);
                    assert_eq!(found.weights.is_some(), keep);
                    if let Some(weights) = found.weights {
                        assert_close(&weights, &only_real(expected.weights.as_ref().unwrap()), tolerance);
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        for case in cases() {
            let case =
                Case { shape: (case.shape.0, case.shape.1, case.shape.2, case.shape.3, case.shape.4, 3), ..case };
            let visibility = case.visibility();
            let bias = case.bias.map(|shape| random(&shape, 7));
            let sinks = case.sinks.then(|| random(&[case.shape.1], 8));
            let scoring = Scoring {
                scale: 0.6,
                soft_cap: case.soft_cap,
                bias: bias.as_ref(),
                sinks: sinks.as_ref(),
                visibility: &visibility,
            };
            let run = |x: &[Tensor], keep| {
                let x = views(x);
                attention(&x[0], &x[1], &x[2], &scoring, keep)
            };
            assert_gradients(&case.arguments(), |x| run(x, false)?.output.contiguous());
            assert_gradients(&case.arguments(), |x| run(x, true)?.output.contiguous());
            assert_gradients(&case.arguments()[..2], |x| {
                let values = case.arguments()[2].clone();
                let kept = run(&[x[0].clone(), x[1].clone(), values], true)?;
                kept.weights.ok_or_else(|| candle_core::Error::msg("no weights"))
            });
        }
    }

    #[test]
    fn a_bias_and_sinks_that_learn_get_their_gradients() {
        let case = Case { causal: true, bias: Some([1, 4, 9, 9]), ..PLAIN };
        let visibility = case.visibility();
        let x = views(&case.arguments());
        assert_gradients(&[random(&[1, 4, 9, 9], 7), random(&[4], 8)], |added| {
            let (bias, sinks) = (Some(&added[0]), Some(&added[1]));
            let scoring = Scoring { scale: 0.6, soft_cap: None, bias, sinks, visibility: &visibility };
            attention(&x[0], &x[1], &x[2], &scoring, false)?.output.contiguous()
        });
    }

    #[test]
    fn queries_without_a_key_give_numbers() {
        let x = views(&PLAIN.arguments());
        let mut real = vec![true; 18];
        real[..9].fill(false);
        let visibility = Visibility::new((2, 9, 9), true, None, [&[true; 18], &real]);
        let scoring = Scoring { scale: 1.0, soft_cap: None, bias: None, sinks: None, visibility: &visibility };
        let found = attention(&x[0], &x[1], &x[2], &scoring, true).unwrap();
        let blind = found.output.get(0).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert_eq!(blind, 0.0);
        let sums = found.weights.unwrap().get(1).unwrap().sum(2).unwrap();
        assert_close(&sums, &Tensor::ones((4, 9), DType::F64, x[0].device()).unwrap(), 1e-14);
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let case = Case { shape: (3, 4, 2, 70, 70, 8), causal: true, ..PLAIN };
        let visibility = case.visibility();
        let scoring = Scoring { scale: 0.6, soft_cap: None, bias: None, sinks: None, visibility: &visibility };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let variables =
                case.arguments().map(|x| candle_core::Var::from_tensor(&x.to_dtype(DType::F32).unwrap()).unwrap());
            let x = views(&variables.each_ref().map(|v| v.as_tensor().clone()));
            pool.install(|| {
                let output = attention(&x[0], &x[1], &x[2], &scoring, false).unwrap().output;
                let grads = output.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let tensors = std::iter::once(output).chain(variables.iter().map(|v| grads.get(v).unwrap().clone()));
                tensors.map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
            })
        };
        assert_eq!(run(1), run(3));
    }
}
