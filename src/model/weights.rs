//! Reading roles from a checkpoint.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::Model;
use super::open::Place;
use crate::error::{Error, Result};
use crate::network::Weights;

/// Hands out a model's tensors by role in one type and place.
pub struct Loader<'a> {
    model: &'a Model,
    device: Device,
    dtype: DType,
    /// Tensors by stored name and first row, so that shared layers and tied tables are held once.
    ready: RefCell<HashMap<(String, usize), Tensor>>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(model: &'a Model, device: &Device, dtype: DType) -> Self {
        Self { model, device: device.clone(), dtype, ready: RefCell::default() }
    }

    fn read(&self, place: &Place) -> Result<Tensor> {
        let checkpoint = self.model.checkpoint();
        let info = checkpoint.info(&place.name).ok_or_else(|| Error::new("a tensor vanished"))?;
        let columns: usize = info.shape.iter().skip(1).product();
        let transposed = place.layout.transposed && info.shape.len() == 2;
        let raw = match &place.rows {
            // Rows of a row-major tensor are bytes in a row: read those alone.
            Some(rows) if !transposed => {
                let row_bytes = columns * info.stored.bytes();
                let mut bytes = Vec::with_capacity(rows.iter().map(|r| r.len() * row_bytes).sum());
                for range in rows {
                    bytes.extend(checkpoint.read_range(
                        &place.name,
                        range.start * row_bytes,
                        range.len() * row_bytes,
                    )?);
                }
                Tensor::from_raw_buffer(&bytes, info.stored.dtype(), &place.shape, &Device::Cpu)?
            }
            rows => {
                let whole = Tensor::from_raw_buffer(
                    &checkpoint.read(&place.name)?,
                    info.stored.dtype(),
                    &info.shape,
                    &Device::Cpu,
                )?;
                let turned = if transposed { whole.t()? } else { whole };
                let parts = match rows {
                    None => turned,
                    // A layer that lost all its heads.
                    Some(rows) if rows.is_empty() => turned.narrow(0, 0, 0)?,
                    Some(rows) => {
                        let parts =
                            rows.iter().map(|r| Ok(turned.narrow(0, r.start, r.len())?)).collect::<Result<Vec<_>>>()?;
                        Tensor::cat(&parts, 0)?
                    }
                };
                parts.contiguous()?.reshape(place.shape.as_slice())?
            }
        };
        Ok(raw.to_dtype(self.dtype)?.to_device(&self.device)?)
    }
}

impl Weights for Loader<'_> {
    fn get(&self, role: &str) -> Result<Tensor> {
        let place = self.model.place(role).ok_or_else(|| Error::new(format!("the model has no '{role}'")))?;
        let first = place.rows.as_ref().and_then(|r| r.first()).map_or(0, |r| r.start);
        let key = (place.name.clone(), first);
        if let Some(ready) = self.ready.borrow().get(&key) {
            return Ok(ready.clone());
        }
        let tensor = self.read(place)?;
        self.ready.borrow_mut().insert(key, tensor.clone());
        Ok(tensor)
    }
}
