//! Tensors that wait in a temporary file, which no other program sees and which goes with the program.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::tensor_bytes;
use crate::error::{Error, Result};

/// A temporary file of tensors by number.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    end: u64,
    slots: Vec<Option<SpilledTensor>>,
}

#[derive(Debug)]
struct SpilledTensor {
    at: u64,
    bytes: usize,
    shape: Vec<usize>,
    dtype: DType,
    device: Device,
}

impl Spill {
    /// An empty file in the folder of the system for such.
    pub(super) fn new() -> Result<Self> {
        let folder = std::env::temp_dir();
        let file = tempfile::tempfile_in(&folder).map_err(|e| {
            Error::from(e).at(&folder).hint("name a folder with room by TMPDIR, or raise the bound on memory")
        })?;
        Ok(Self { file, end: 0, slots: Vec::new() })
    }

    /// Puts `x` under `slot`, in the place of what was there.
    pub(super) fn put(&mut self, slot: usize, x: &Tensor) -> Result<()> {
        let bytes = tensor_bytes(x)?;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let fits = self.slots.get(slot).and_then(Option::as_ref).filter(|before| before.bytes == bytes.len());
        let at = match fits {
            Some(before) => before.at,
            None => self.end,
        };
        let write = |mut file: &File| -> std::io::Result<()> {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&bytes)
        };
        write(&self.file).map_err(|e| {
            Error::from(e).at(std::env::temp_dir()).hint("name a folder with room by TMPDIR, or read fewer batches")
        })?;
        self.end = self.end.max(at + bytes.len() as u64);
        let entry = SpilledTensor {
            at,
            bytes: bytes.len(),
            shape: x.dims().to_vec(),
            dtype: x.dtype(),
            device: x.device().clone(),
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(entry);
        }
        Ok(())
    }

    /// What was put under `slot` last.
    pub(super) fn get(&self, slot: usize) -> Result<Tensor> {
        let missing = || Error::new("there is no such batch");
        let entry = self.slots.get(slot).and_then(Option::as_ref).ok_or_else(missing)?;
        let mut bytes = vec![0; entry.bytes];
        let read = |mut file: &File, bytes: &mut [u8]| -> std::io::Result<()> {
            file.seek(SeekFrom::Start(entry.at))?;
            file.read_exact(bytes)
        };
        read(&self.file, &mut bytes).map_err(|e| Error::from(e).at(std::env::temp_dir()))?;
        let x = Tensor::from_raw_buffer(&bytes, entry.dtype, &entry.shape, &Device::Cpu)?;
        Ok(x.to_device(&entry.device)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_as_they_were_put_last() {
        let mut spill = Spill::new().unwrap();
        let tensor = |from: f32, rows: usize| {
            let values: Vec<f32> = (0..rows * 3).map(|i| from + i as f32).collect();
            Tensor::from_vec(values, (rows, 3), &Device::Cpu).unwrap()
        };
        let half = tensor(0.5, 2).to_dtype(DType::F16).unwrap();
        for (slot, x) in
            [(0, tensor(1.0, 2)), (3, tensor(9.0, 4)), (0, tensor(-1.0, 2)), (1, half.clone()), (3, tensor(7.0, 5))]
        {
            spill.put(slot, &x).unwrap();
        }
        let values = |slot: usize| spill.get(slot).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(values(0), tensor(-1.0, 2).to_vec2::<f32>().unwrap());
        assert_eq!(values(3), tensor(7.0, 5).to_vec2::<f32>().unwrap());
        assert_eq!(spill.get(1).unwrap().to_vec2::<half::f16>().unwrap(), half.to_vec2::<half::f16>().unwrap());
        assert!(spill.get(2).is_err() && spill.get(9).is_err());
    }
}
