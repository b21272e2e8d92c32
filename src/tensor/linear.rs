//! Affine maps.

use candle_core::{Result, Tensor};

/// `x W^T + b` over the last axis: `x [.., in]`, `weight [out, in]`, `bias [out]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (out, width) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    // One large product instead of a batch of small ones.
    let flat = x.reshape(((), width))?.matmul(&weight.t()?)?;
    let flat = match bias {
        Some(bias) => flat.broadcast_add(bias)?,
        None => flat,
    };
    if let Some(last) = shape.last_mut() {
        *last = out;
    }
    flat.reshape(shape)
}
