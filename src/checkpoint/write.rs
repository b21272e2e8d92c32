//! Writing files and folders so that nothing half-written can be taken for whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};

use super::hidden::{file_beside, finish_file};
use super::{Checkpoint, Stored};
use crate::error::{Error, Result};

/// Writes `bytes` to a temporary file beside `path`, syncs it and renames it into place.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| Ok(file.write_all(bytes)?))
}

/// Fills a temporary file beside `path`, syncs it and renames it into place. Where `path` is a link to a file, that is replaced
/// and the link stays.
pub(crate) fn write_with(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let real = path.is_symlink().then(|| path.canonicalize().ok()).flatten();
    let path = real.as_deref().unwrap_or(path);
    let place = |e: Error| e.at(path);
    let (file, temporary) = file_beside(path)?.into_parts();
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    fill(&mut writer).map_err(place)?;
    let file = writer.into_inner().map_err(|e| place(e.into_error().into()))?;
    finish_file(&file, temporary, path)
}

/// Name, type and shape of a tensor that is going to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorPlan {
    /// Name in the file.
    pub name: String,
    pub stored: Stored,
    pub shape: Vec<usize>,
}

impl TensorPlan {
    /// Bytes of the tensor.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.stored.bytes()
    }
}

/// Elements of a tensor as they are stored: row-major, little-endian.
pub fn tensor_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    Ok(match flat.dtype() {
        DType::F64 => flat.to_vec1::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect(),
        DType::F32 => flat.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
        DType::F16 => flat.to_vec1::<half::f16>()?.into_iter().flat_map(half::f16::to_le_bytes).collect(),
        DType::BF16 => flat.to_vec1::<half::bf16>()?.into_iter().flat_map(half::bf16::to_le_bytes).collect(),
        DType::I64 => flat.to_vec1::<i64>()?.into_iter().flat_map(i64::to_le_bytes).collect(),
        DType::U32 => flat.to_vec1::<u32>()?.into_iter().flat_map(u32::to_le_bytes).collect(),
        DType::U8 => flat.to_vec1::<u8>()?,
        other => return Err(Error::new(format!("tensors of type {} are not written", other.as_str()))),
    })
}

/// Bytes copied from one file to another at a time.
const PIECE: usize = 8 << 20;

/// The bytes of a tensor that is written.
pub enum Content<'a> {
    Bytes(Vec<u8>),
    /// Those of a tensor of a checkpoint, by its name: copied piece by piece, whatever its size.
    Stored(&'a Checkpoint, String),
}

impl From<Vec<u8>> for Content<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Content<'_> {
    /// Writes the bytes and gives their number.
    fn write(&self, file: &mut impl Write) -> Result<usize> {
        match self {
            Self::Bytes(bytes) => {
                file.write_all(bytes)?;
                Ok(bytes.len())
            }
            Self::Stored(checkpoint, name) => {
                let length = checkpoint.required(name)?.bytes;
                for from in (0..length).step_by(PIECE) {
                    file.write_all(&checkpoint.read_range(name, from, PIECE.min(length - from))?)?;
                }
                Ok(length)
            }
        }
    }
}

/// Writes one safetensors file, asking `content_of` for one tensor at a time in the order of `tensors`.
pub fn write_safetensors<'a, C: Into<Content<'a>>>(
    path: &Path,
    tensors: &[TensorPlan],
    content_of: impl FnMut(&TensorPlan) -> Result<C>,
) -> Result<()> {
    write_safetensors_with(path, &BTreeMap::from([("format", "pt".to_owned())]), tensors, content_of)
}

/// [`write_safetensors`] with other texts beside the tensors.
pub(super) fn write_safetensors_with<'a, C: Into<Content<'a>>>(
    path: &Path,
    metadata: &BTreeMap<&str, String>,
    tensors: &[TensorPlan],
    mut content_of: impl FnMut(&TensorPlan) -> Result<C>,
) -> Result<()> {
    let text = safetensors_header(tensors, metadata)?;
    write_with(path, |file| {
        file.write_all(&text)?;
        for tensor in tensors {
            let content: Content<'a> = content_of(tensor)?.into();
            if content.write(file)? != tensor.bytes() {
                return Err(Error::new(format!("tensor '{}' came with a wrong size", tensor.name)));
            }
        }
        Ok(())
    })
}

/// The bytes of a safetensors file before its data: the length of the header, and the header with `metadata`, padded so
/// that the data begins at a multiple of eight bytes, as the format asks.
pub fn safetensors_header(tensors: &[TensorPlan], metadata: &BTreeMap<&str, String>) -> Result<Vec<u8>> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut offset = 0usize;
    for tensor in tensors {
        let end = offset + tensor.bytes();
        let dtype = serde_json::to_value(tensor.stored.safetensors())?;
        header
            .insert(tensor.name.clone(), json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut text = serde_json::to_vec(&Value::Object(header))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}
