//! Reads roles from a checkpoint.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::stored::StoredRole;
use super::{Model, Part};
use crate::error::{Error, Result};
use crate::network::{Network, Role, Weights};

impl Model {
    /// Loads the weights and gives the network.
    pub fn network(&self, device: &Device, dtype: DType) -> Result<Network> {
        Network::load(self.spec(), &self.weights(device, dtype))
    }

    /// Hands out this model's tensors by role and holds them: each stored tensor once, however many roles read it.
    pub fn weights(&self, device: &Device, dtype: DType) -> Loader {
        Loader::new(self.reader(device, dtype))
    }

    /// Reads this model's tensors by role and holds none.
    pub fn reader(&self, device: &Device, dtype: DType) -> Reader {
        Reader::new(self, device, dtype)
    }
}

/// Reads a model's tensors by role in one type and place, afresh each time: it holds nothing.
#[derive(Clone, Debug)]
pub struct Reader {
    model: Model,
    device: Device,
    dtype: DType,
}

impl Reader {
    pub(super) fn new(model: &Model, device: &Device, dtype: DType) -> Self {
        Self { model: model.clone(), device: device.clone(), dtype }
    }

    fn place(&self, role: Role) -> Result<&StoredRole> {
        self.model.place(role).ok_or_else(|| Error::new(format!("the model has no '{role}'")))
    }

    fn read(&self, place: &StoredRole) -> Result<Tensor> {
        let checkpoint = self.model.checkpoint();
        let info = checkpoint.required(&place.name)?;
        // The tensor itself, or one of those that are stacked in it, and its first number.
        let (shape, from) = match place.slab {
            Some(slab) => {
                let own = info.shape.get(1..).unwrap_or(&[]);
                (own, slab * own.iter().product::<usize>())
            }
            None => (info.shape.as_slice(), 0),
        };
        let turned = place.layout.transposed && shape.len() == 2;
        let columns: usize = shape.iter().skip(1).product();
        let all = shape.first().copied().unwrap_or(1);
        let whole = 0..if turned { columns } else { all };
        let along = joined(place.rows.clone().unwrap_or_else(|| Vec::from([whole])));
        let floats = if turned {
            // The role's rows are columns here.
            let width: usize = along.iter().map(Range::len).sum();
            let of_row = |row: usize| {
                let first = from + row * columns;
                along.iter().map(move |r| first + r.start..first + r.end)
            };
            // Rows of which everything is read follow each other.
            let ranges = joined((0..all).flat_map(of_row).collect());
            checkpoint.floats(&place.name, &ranges, self.dtype)?.reshape((all, width))?.t()?.contiguous()?
        } else {
            let ranges: Vec<_> = along.iter().map(|r| from + r.start * columns..from + r.end * columns).collect();
            checkpoint.floats(&place.name, &ranges, self.dtype)?
        };
        let floats = match place.layout.part {
            Part::Alternate(index) => {
                let rows = place.shape.first().copied().unwrap_or(0);
                floats.reshape((rows, 2, ()))?.narrow(1, index, 1)?.contiguous()?
            }
            _ => floats,
        };
        Ok(floats.reshape(place.shape.as_slice())?.to_device(&self.device)?)
    }
}

/// Ranges that follow each other made one.
fn joined(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

impl Weights for Reader {
    fn get(&self, role: Role) -> Result<Tensor> {
        self.read(self.place(role)?)
    }

    fn rows(&self, role: Role, ranges: &[Range<usize>]) -> Result<Tensor> {
        let place = self.place(role)?;
        if place.layout.transposed || place.rows.is_some() || place.slab.is_some() {
            return crate::network::roles::rows_of(&self.get(role)?, ranges);
        }
        let [rows, width] = place.shape.as_slice() else {
            return Err(Error::new(format!("'{role}' is no table")));
        };
        if ranges.iter().any(|r| r.end > *rows) {
            return Err(Error::new(format!("'{role}' has {rows} rows; one behind them was asked for")));
        }
        let numbers: Vec<_> = ranges.iter().map(|r| r.start * width..r.end * width).collect();
        let floats = self.model.checkpoint().floats(&place.name, &numbers, self.dtype)?;
        Ok(floats.reshape(((), *width))?.to_device(&self.device)?)
    }
}

/// Hands out a model's tensors by role and holds them, each once, so that shared layers and tied tables are one tensor.
#[derive(Debug)]
pub struct Loader {
    reader: Reader,
    /// By stored name and first row.
    ready: RefCell<HashMap<(String, usize), Tensor>>,
}

impl Loader {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, ready: RefCell::default() }
    }
}

impl Weights for Loader {
    fn get(&self, role: Role) -> Result<Tensor> {
        let place = self.reader.place(role)?;
        let (name, row) = place.block();
        let block = (name.to_owned(), row);
        if let Some(ready) = self.ready.borrow().get(&block) {
            return Ok(ready.clone());
        }
        let tensor = self.reader.read(place)?;
        self.ready.borrow_mut().insert(block, tensor.clone());
        Ok(tensor)
    }
}
