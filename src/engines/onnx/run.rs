//! Runs the graph of a file on the processor, operation by operation, so that what was written can be compared with the
//! network that it stands for. It knows the operations that this program writes, is made for small inputs, and shares
//! nothing with the network's own forward pass but the tensor library.

use std::collections::HashMap;

use candle_core::{D, DType, Device, Tensor};

use super::read::{Loaded, Node};
use crate::error::{Error, Result};

/// The outputs of the graph by name for `inputs`, integers as i64.
///
/// # Errors
/// Where the graph asks for an operation or a value that is not there.
pub(super) fn run(graph: &Loaded, inputs: &HashMap<String, Tensor>) -> Result<HashMap<String, Tensor>> {
    let mut values: HashMap<&str, Tensor> = HashMap::new();
    values.extend(inputs.iter().map(|(name, value)| (name.as_str(), value.clone())));
    // What no later operation reads goes, so that a large model takes no more memory than its largest tensor.
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        last.extend(node.inputs.iter().map(|name| (name.as_str(), index)));
    }
    last.extend(graph.outputs.iter().map(|name| (name.as_str(), usize::MAX)));
    for (index, node) in graph.nodes.iter().enumerate() {
        let read = |index: usize| -> Result<Tensor> {
            let name = node.inputs.get(index).map_or("", String::as_str);
            let missing = || Error::new(format!("{} of {} reads '{name}', which is not there", node.kind, node.output));
            match values.get(name) {
                Some(value) => Ok(value.clone()),
                None => graph.tensor(name).ok_or_else(missing)?,
            }
        };
        let result = apply(node, &read).map_err(|e| e.within(&node.output))?;
        values.insert(&node.output, result);
        values.retain(|name, _| last.get(name).is_some_and(|at| *at > index));
    }
    let output = |name: &String| {
        let missing = || Error::new(format!("the output '{name}' was not computed"));
        Ok((name.clone(), values.get(name.as_str()).cloned().ok_or_else(missing)?))
    };
    graph.outputs.iter().map(output).collect()
}

fn apply(node: &Node, read: &dyn Fn(usize) -> Result<Tensor>) -> Result<Tensor> {
    let int = |name: &str, default: i64| node.ints.get(name).and_then(|v| v.first()).copied().unwrap_or(default);
    let list = |name: &str| node.ints.get(name).cloned().unwrap_or_default();
    let pair = || -> Result<(Tensor, Tensor)> { broadcast(&read(0)?, &read(1)?) };
    Ok(match node.kind.as_str() {
        "Identity" => read(0)?,
        "Add" => pair().and_then(|(a, b)| Ok((a + b)?))?,
        "Sub" => pair().and_then(|(a, b)| Ok((a - b)?))?,
        "Mul" => pair().and_then(|(a, b)| Ok((a * b)?))?,
        "Div" => pair().and_then(|(a, b)| Ok((a / b)?))?,
        "Max" => pair().and_then(|(a, b)| Ok(a.maximum(&b)?))?,
        "Min" => pair().and_then(|(a, b)| Ok(a.minimum(&b)?))?,
        "Equal" => pair().and_then(|(a, b)| Ok(a.eq(&b)?))?,
        "LessOrEqual" => pair().and_then(|(a, b)| Ok(a.le(&b)?))?,
        "Less" => pair().and_then(|(a, b)| Ok(a.lt(&b)?))?,
        "And" => pair().and_then(|(a, b)| Ok((a * b)?))?,
        "Not" => read(0)?.eq(0u8)?,
        "Pow" => {
            let exponent = read(1)?.to_scalar::<f32>()?;
            read(0)?.powf(f64::from(exponent))?
        }
        "Abs" => read(0)?.abs()?,
        "Clip" => {
            let bound = |index: usize| -> Result<f32> { Ok(read(index)?.to_scalar::<f32>()?) };
            read(0)?.clamp(bound(1)?, bound(2)?)?
        }
        "Sqrt" => read(0)?.sqrt()?,
        "Exp" => read(0)?.exp()?,
        "Erf" => read(0)?.erf()?,
        "Tanh" => read(0)?.tanh()?,
        "Sin" => read(0)?.sin()?,
        "Cos" => read(0)?.cos()?,
        "Relu" => read(0)?.relu()?,
        "Sigmoid" => {
            let x = read(0)?;
            ((x.neg()?.exp()? + 1.0)?.recip())?
        }
        "Cast" => read(0)?.to_dtype(match int("to", 1) {
            7 => DType::I64,
            9 => DType::U8,
            _ => DType::F32,
        })?,
        "Where" => {
            let (x, y) = broadcast(&read(1)?, &read(2)?)?;
            let (condition, x) = broadcast(&read(0)?, &x)?;
            condition.where_cond(&x, &y.broadcast_as(x.shape())?.contiguous()?)?
        }
        "MatMul" => {
            let (a, b) = (read(0)?, read(1)?);
            a.contiguous()?.broadcast_matmul(&b.contiguous()?)?
        }
        "Softmax" => {
            let x = read(0)?;
            let exp = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
            exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?
        }
        "ReduceMean" => read(0)?.mean_keepdim(D::Minus1)?,
        "ReduceMax" => read(0)?.max_keepdim(D::Minus1)?,
        "ReduceSum" => {
            let axes = integers(&read(1)?)?;
            let axes: Vec<usize> = axes.into_iter().filter_map(|axis| usize::try_from(axis).ok()).collect();
            read(0)?.sum_keepdim(axes)?
        }
        "LayerNormalization" => {
            let x = read(0)?;
            let eps = node.floats.get("epsilon").copied().unwrap_or(1e-5);
            let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
            let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
            let normal = centered.broadcast_div(&(variance + f64::from(eps))?.sqrt()?)?;
            let scaled = normal.broadcast_mul(&read(1)?)?;
            if node.inputs.len() > 2 { scaled.broadcast_add(&read(2)?)? } else { scaled }
        }
        "Transpose" => {
            let axes: Vec<usize> = list("perm").into_iter().filter_map(|a| usize::try_from(a).ok()).collect();
            read(0)?.permute(axes)?.contiguous()?
        }
        "Reshape" => {
            let x = read(0)?;
            x.reshape(reshaped(&x, &integers(&read(1)?)?)?)?
        }
        "Unsqueeze" => {
            let mut axes = integers(&read(1)?)?;
            axes.sort_unstable();
            axes.into_iter().try_fold(read(0)?, |x, axis| x.unsqueeze(usize::try_from(axis).unwrap_or(0)))?
        }
        "Expand" => {
            let x = read(0)?;
            let wanted: Vec<usize> = integers(&read(1)?)?.into_iter().filter_map(|d| usize::try_from(d).ok()).collect();
            let wanted: Vec<usize> = wanted.iter().zip(x.dims()).map(|(w, have)| (*w).max(*have)).collect();
            x.broadcast_as(wanted)?.contiguous()?
        }
        "Concat" => {
            let parts = (0..node.inputs.len()).map(read).collect::<Result<Vec<_>>>()?;
            let rank = parts.first().map_or(0, Tensor::rank) as i64;
            let axis = int("axis", 0);
            Tensor::cat(&parts, usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(0))?
        }
        "Slice" => {
            let x = read(0)?;
            let (from, to) = (integers(&read(1)?)?, integers(&read(2)?)?);
            let bound = |v: &[i64]| v.first().and_then(|v| usize::try_from(*v).ok()).unwrap_or(0);
            x.narrow(D::Minus1, bound(&from), bound(&to) - bound(&from))?.contiguous()?
        }
        "Shape" => {
            let dims: Vec<i64> = read(0)?.dims().iter().map(|d| *d as i64).collect();
            Tensor::new(dims, &Device::Cpu)?
        }
        "Range" => {
            let bound = |index: usize| -> Result<i64> { Ok(read(index)?.to_scalar::<i64>()?) };
            let (from, to) = (bound(0)?, bound(1)?);
            // Positions of tokens: a graph that wants more is not one that was written here.
            if to.checked_sub(from).is_none_or(|count| count > LONGEST) {
                return Err(Error::new(format!("a node wants every number from {from} to {to}")));
            }
            Tensor::arange(from, to, &Device::Cpu)?
        }
        "CumSum" => {
            let x: Vec<Vec<i64>> = read(0)?.to_vec2()?;
            let sums = x.into_iter().map(|row| {
                row.into_iter()
                    .scan(0, |sum, v| {
                        *sum = i64::wrapping_add(*sum, v);
                        Some(*sum)
                    })
                    .collect::<Vec<i64>>()
            });
            Tensor::new(sums.collect::<Vec<_>>(), &Device::Cpu)?
        }
        "Gather" => {
            let (x, index) = (read(0)?, read(1)?);
            let axis = usize::try_from(int("axis", 0)).unwrap_or(0);
            let rows = x.contiguous()?.index_select(&index.flatten_all()?.to_dtype(DType::U32)?, axis)?;
            let mut dims = x.dims().to_vec();
            dims.splice(axis..=axis, index.dims().iter().copied());
            rows.reshape(dims)?
        }
        "GatherElements" => {
            let axis = usize::try_from(int("axis", 0)).unwrap_or(0);
            read(0)?.contiguous()?.gather(&read(1)?.to_dtype(DType::U32)?.contiguous()?, axis)?
        }
        "Conv" => {
            let (x, kernel) = (read(0)?, read(1)?);
            let bias = match node.inputs.len() {
                2 => Tensor::zeros(kernel.dim(0)?, kernel.dtype(), kernel.device())?,
                _ => read(2)?,
            };
            let at = |name: &str, default: i64| usize::try_from(int(name, default)).unwrap_or(1);
            let (stride, padding) = (at("strides", 1), at("pads", 0));
            if kernel.rank() == 3 {
                x.conv1d(&kernel, padding, stride, 1, 1)?.broadcast_add(&bias.reshape((1, (), 1))?)?
            } else {
                patches(&x, &kernel)?.broadcast_add(&bias.reshape((1, (), 1, 1))?)?
            }
        }
        other => return Err(Error::new(format!("the operation {other} is not known"))),
    })
}

/// A convolution whose strides are the sides of its kernel: one product over cut patches.
fn patches(x: &Tensor, kernel: &Tensor) -> Result<Tensor> {
    let (n, c, height, width) = x.dims4()?;
    let (out, _, ph, pw) = kernel.dims4()?;
    let (gh, gw) = (height / ph, width / pw);
    let cut = x.narrow(2, 0, gh * ph)?.narrow(3, 0, gw * pw)?;
    let cut = cut.reshape(&[n, c, gh, ph, gw, pw][..])?.permute(vec![0, 2, 4, 1, 3, 5])?;
    let cut = cut.reshape((n, gh * gw, c * ph * pw))?;
    let product = cut.broadcast_matmul(&kernel.flatten_from(1)?.t()?.contiguous()?)?;
    Ok(product.transpose(1, 2)?.reshape((n, out, gh, gw))?)
}

/// Both in the shape that they have together, and in one type.
fn broadcast(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "broadcast")?;
    Ok((a.broadcast_as(&shape)?.contiguous()?, b.broadcast_as(&shape)?.contiguous()?))
}

fn integers(x: &Tensor) -> Result<Vec<i64>> {
    Ok(x.flatten_all()?.to_vec1::<i64>()?)
}

/// The longest range of numbers.
const LONGEST: i64 = 1 << 24;

/// None where no tensor has so many numbers; candle multiplies sizes without looking.
fn count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1usize, |product, size| product.checked_mul(*size))
}

/// The dimensions that `Reshape` asks for: 0 keeps that of the argument, -1 takes what is left.
fn reshaped(x: &Tensor, wanted: &[i64]) -> Result<Vec<usize>> {
    let mut dims: Vec<usize> = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (axis, size) in wanted.iter().enumerate() {
        match size {
            0 => dims.push(x.dim(axis)?),
            -1 => {
                open = Some(axis);
                dims.push(1);
            }
            size => dims.push(usize::try_from(*size).unwrap_or(0)),
        }
    }
    if let Some(axis) = open {
        let left = count(&dims).and_then(|known| x.elem_count().checked_div(known));
        dims[axis] = left.unwrap_or(0);
    }
    match count(&dims) == Some(x.elem_count()) {
        true => Ok(dims),
        false => Err(Error::new(format!("a node gives {} numbers the shape {dims:?}", x.elem_count()))),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn sizes_that_no_tensor_has_do_not_overflow() {
        let x = Tensor::zeros((2, 6), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(reshaped(&x, &[0, -1, 3]).unwrap(), [2, 2, 3]);
        for wanted in [&[i64::MAX, i64::MAX, -1][..], &[i64::MAX, i64::MAX], &[-5, -1], &[5, -1]] {
            assert!(reshaped(&x, wanted).is_err(), "{wanted:?}");
        }
    }
}
