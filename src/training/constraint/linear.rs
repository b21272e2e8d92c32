//! How much of a group its representative explains linearly: the share that a refit of its output projection could say
//! for the others, differentiable through every head.

use candle_core::{DType, Tensor};

use crate::analysis::{Gram, center_distances};
use crate::error::{Error, Result};
use crate::repair::least_squares;
use crate::tensor::{constant, doubles, has_kernels};

/// The ridge of the map from a representative to a head, as a share of the mean diagonal: what rounding needs where products
/// are summed in f64, and in f32.
const RIDGES: [f64; 2] = [1e-6, 1e-4];

/// Mean over heads of the share of `x_h` that `x_r A` says, `r` the head of its group that lies closest to its center and
/// `A [d, d]` the least squares map; 1 for `r` itself. `rows [H, n d]` are the maps of a layer, row by row of `d = width`
/// numbers a position; `gram` is theirs and `groups` a constant. Dead heads take no part; absent where there is no other.
///
/// `A` is a constant too: at the least squares the error does not depend on it to first order, so its gradient by the
/// maps is whole without it.
pub fn explained_term(rows: &Tensor, width: usize, gram: &Gram, groups: &[usize]) -> Result<Option<Tensor>> {
    let (heads, numbers) = rows.dims2()?;
    if groups.len() != heads || gram.heads() != heads || width == 0 || !numbers.is_multiple_of(width) {
        return Err(Error::new(format!("{} assignments do not fit {heads} heads", groups.len())));
    }
    let distances = center_distances(gram, groups);
    let alive: Vec<usize> = (0..heads).filter(|h| !gram.is_dead(*h)).collect();
    let representative = |head: usize| {
        let own = alive.iter().copied().filter(|h| groups[*h] == groups[head]);
        own.min_by(|a, b| distances[*a].total_cmp(&distances[*b])).unwrap_or(head)
    };
    let map = |head: usize| -> Result<Tensor> { Ok(rows.get(head)?.reshape((numbers / width, width))?) };
    // Elsewhere f64 is slow, or there is none.
    let is_wide = has_kernels(rows.device());
    let mut sum: Option<Tensor> = None;
    let mut own = 0usize;
    for head in alive.iter().copied() {
        let other = representative(head);
        if other == head {
            own += 1;
            continue;
        }
        let (x, y) = (map(other)?, map(head)?);
        // Outputs of a head that nearly depend on each other leave products which f32 rounds to none that have a factor.
        let (dtype, ridge) = if is_wide { (DType::F64, RIDGES[0]) } else { (DType::F32, RIDGES[1]) };
        let [from, to] = [&x, &y].map(|map| map.detach().to_dtype(dtype));
        let (from, to) = (from?, to?);
        let turned = from.t()?;
        let (xx, xy) = (turned.matmul(&from)?, turned.matmul(&to)?);
        let linear = least_squares(&doubles(&xx)?, &doubles(&xy)?, width, ridge)?;
        let linear = constant(linear, (width, width), rows.dtype(), rows.device())?;
        let left = (&y - x.matmul(&linear)?)?.sqr()?.sum_all()?;
        let share = (1.0 - (left / y.sqr()?.sum_all()?)?)?;
        sum = Some(match sum {
            Some(before) => (before + share)?,
            None => share,
        });
    }
    let Some(sum) = sum else { return Ok(None) };
    Ok(Some(((sum + own as f64)? / alive.len() as f64)?))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::super::{differentiable_gram, gram_numbers};
    use super::*;

    fn rows(heads: usize, positions: usize, width: usize) -> Tensor {
        let value = |i: usize| ((i * 2_654_435_761 + 17) % 1000) as f64 / 500.0 - 1.0;
        let values: Vec<f64> = (0..heads * positions * width).map(value).collect();
        Tensor::from_vec(values, (heads, positions * width), &Device::Cpu).unwrap()
    }

    fn of(rows: &Tensor, width: usize, groups: &[usize]) -> Option<Tensor> {
        let gram = gram_numbers(&differentiable_gram(rows).unwrap()).unwrap();
        explained_term(rows, width, &gram, groups).unwrap()
    }

    fn number(x: &Tensor) -> f64 {
        x.to_scalar().unwrap()
    }

    #[test]
    fn a_linear_image_of_the_representative_is_explained_and_noise_is_not() {
        let (positions, width) = (12, 3);
        let x = rows(1, positions, width);
        let turn = Tensor::new(&[[0.0, 1.0, 0.0], [-1.0, 0.0, 0.5], [0.2, 0.0, 1.0f64]], &Device::Cpu).unwrap();
        let image =
            x.reshape((positions, width)).unwrap().matmul(&turn).unwrap().reshape((1, positions * width)).unwrap();
        let both = Tensor::cat(&[&x, &image], 0).unwrap();
        // Two heads whose maps look nothing alike are the same to a refit.
        assert!((number(&of(&both, width, &[0, 0]).unwrap()) - 1.0).abs() < 1e-5);
        let noise = of(&rows(4, positions, width), width, &[0, 0, 1, 1]).unwrap();
        assert!((0.5..0.9).contains(&number(&noise)), "{}", number(&noise));
        // Alone in their groups there is nothing to explain.
        assert!(of(&rows(3, positions, width), width, &[0, 1, 2]).is_none());
    }

    #[test]
    fn outputs_that_depend_on_each_other_are_explained_in_f32_too() {
        let (positions, width) = (4096, 16);
        // Sixteen numbers that all say the same, and an image of them.
        let value = |t: usize| 1.0 + ((t * 7919) % 1000) as f32 / 1000.0;
        let head =
            |scale: f32| (0..positions * width).map(move |i| scale * value(i / width) * (1.0 + (i % width) as f32));
        let rows: Vec<f32> = head(0.37).chain(head(-1.9)).collect();
        let rows = Tensor::from_vec(rows, (2, positions * width), &Device::Cpu).unwrap();
        let found: f32 = of(&rows, width, &[0, 0]).unwrap().to_scalar().unwrap();
        assert!((found - 1.0).abs() < 1e-3, "{found}");
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let (heads, positions, width) = (4, 10, 3);
        let groups = [0, 1, 0, 0];
        let x = Var::from_tensor(&rows(heads, positions, width)).unwrap();
        let gradient = of(&x, width, &groups).unwrap().backward().unwrap().get(&x).unwrap().to_vec2::<f64>().unwrap();
        let whole: Vec<Vec<f64>> = x.to_vec2().unwrap();
        let step = 1e-5;
        for (head, at) in [(0, 0), (0, 17), (2, 5), (3, 29), (1, 4)] {
            let moved = |by: f64| {
                let mut values = whole.clone();
                values[head][at] += by;
                number(&of(&Tensor::new(values, &Device::Cpu).unwrap(), width, &groups).unwrap())
            };
            let expected = (moved(step) - moved(-step)) / (2.0 * step);
            let found = gradient[head][at];
            assert!((found - expected).abs() < 1e-5, "head {head}, {at}: {found} {expected}");
        }
    }
}
