//! Writing GGUF files: what they say of a model, and tensors that may be quantized (version 3 of the format).

use std::io::Write as _;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use super::gguf_names::{ALIGNMENT, TYPES};
use super::write::{tensor_bytes, write_with};
use crate::error::{Error, Result};

/// A tensor that is going to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor {
    /// Name in the file.
    pub name: String,
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub dtype: GgmlDType,
}

impl GgufTensor {
    /// Bytes of the tensor.
    pub fn bytes(&self) -> u64 {
        let elements: u64 = self.shape.iter().map(|d| *d as u64).product();
        elements / self.dtype.block_size() as u64 * self.dtype.type_size() as u64
    }
}

/// The format's number of an element type.
fn type_code(dtype: GgmlDType) -> Result<u32> {
    let found = TYPES.iter().find(|(_, known)| *known == dtype);
    found.map(|(code, _)| *code).ok_or_else(|| Error::new(format!("tensors of type {dtype:?} are not written")))
}

/// Writes the file at `path`, asking `content` for the numbers of one tensor at a time. Gives its bytes.
///
/// # Errors
/// Where a tensor comes in another shape than announced, or the disk fails; nothing is left behind then.
pub fn write_gguf(
    path: &Path,
    metadata: &[(String, Value)],
    tensors: &[GgufTensor],
    mut content: impl FnMut(usize) -> Result<Tensor>,
) -> Result<u64> {
    let mut head = Vec::new();
    head.extend_from_slice(b"GGUF");
    head.extend_from_slice(&3u32.to_le_bytes());
    head.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    head.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put_text(&mut head, key);
        head.extend_from_slice(&value_code(value).to_le_bytes());
        put_value(&mut head, value)?;
    }
    let mut offset = 0u64;
    for tensor in tensors {
        put_text(&mut head, &tensor.name);
        head.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
        // The innermost axis comes first.
        for size in tensor.shape.iter().rev() {
            head.extend_from_slice(&(*size as u64).to_le_bytes());
        }
        head.extend_from_slice(&type_code(tensor.dtype)?.to_le_bytes());
        head.extend_from_slice(&offset.to_le_bytes());
        offset = (offset + tensor.bytes()).next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
    write_with(path, |file| {
        file.write_all(&head)?;
        for (index, tensor) in tensors.iter().enumerate() {
            let numbers = content(index)?;
            if numbers.dims() != tensor.shape {
                let what = format!("tensor '{}' came as {:?}, not {:?}", tensor.name, numbers.dims(), tensor.shape);
                return Err(Error::new(what));
            }
            let bytes = match tensor.dtype {
                GgmlDType::F32 => tensor_bytes(&numbers.to_dtype(DType::F32)?)?,
                GgmlDType::F16 => tensor_bytes(&numbers.to_dtype(DType::F16)?)?,
                GgmlDType::BF16 => tensor_bytes(&numbers.to_dtype(DType::BF16)?)?,
                blocks => {
                    // A part of another tensor would be taken with what stands before it.
                    let numbers = numbers.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.force_contiguous()?;
                    QTensor::quantize(&numbers, blocks)?.data()?.into_owned()
                }
            };
            if bytes.len() as u64 != tensor.bytes() {
                return Err(Error::new(format!("tensor '{}' came with a wrong size", tensor.name)));
            }
            file.write_all(&bytes)?;
            let past = bytes.len().next_multiple_of(ALIGNMENT as usize) - bytes.len();
            file.write_all(&[0u8; ALIGNMENT as usize][..past])?;
        }
        Ok(())
    })?;
    Ok(head.len() as u64 + offset)
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(&(text.len() as u64).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

/// The format's number of the type of a value.
fn value_code(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn put_value(to: &mut Vec<u8>, value: &Value) -> Result<()> {
    match value {
        Value::U8(v) => to.push(*v),
        Value::I8(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::U16(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::I16(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::U32(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::I32(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::U64(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::I64(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::F32(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::F64(v) => to.extend_from_slice(&v.to_le_bytes()),
        Value::Bool(v) => to.push(u8::from(*v)),
        Value::String(v) => put_text(to, v),
        Value::Array(values) => {
            let code = values.first().map_or(4, value_code);
            if values.iter().any(|value| value_code(value) != code) {
                return Err(Error::new("the values of a list are of several types"));
            }
            to.extend_from_slice(&code.to_le_bytes());
            to.extend_from_slice(&(values.len() as u64).to_le_bytes());
            for value in values {
                put_value(to, value)?;
            }
        }
    }
    Ok(())
}
