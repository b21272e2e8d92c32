//! The header of one safetensors file.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use candle_core::DType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::regular::open_file;
use crate::error::{Error, Result};
use crate::tensor::Precision;

/// The format's own limit on headers.
const LONGEST_HEADER: u64 = 100_000_000;

/// Element types that can be stored and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    U32,
    U64,
    I16,
    U16,
    I8,
    /// 8-bit float with 5 bits of exponent, as quantized weights have it.
    F8E5M2,
    /// 8-bit float with 4 bits of exponent, as quantized weights have it.
    F8E4M3,
    U8,
    /// One byte per truth value.
    Bool,
}

impl From<Precision> for Stored {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::BF16,
            Precision::F16 => Self::F16,
        }
    }
}

impl Stored {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::F8E5M2 | Self::F8E4M3 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The name in reports, as `config.json` writes it where it can.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I16 => "int16",
            Self::U16 => "uint16",
            Self::I8 => "int8",
            Self::F8E5M2 => "float8_e5m2",
            Self::F8E4M3 => "float8_e4m3fn",
            Self::U8 => "uint8",
            Self::Bool => "bool",
        }
    }

    /// The type that candle reads the bytes as; types that no network reads as an integer of their size.
    pub fn dtype(self) -> DType {
        match self {
            Self::F64 => DType::F64,
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            Self::I64 | Self::U64 => DType::I64,
            Self::I16 | Self::U16 => DType::I16,
            Self::I32 => DType::I32,
            Self::U32 => DType::U32,
            Self::I8 | Self::F8E5M2 | Self::F8E4M3 | Self::U8 | Self::Bool => DType::U8,
        }
    }

    /// The type that a tensor's elements are stored as.
    pub fn of(dtype: DType) -> Option<Self> {
        [Self::F64, Self::F32, Self::F16, Self::BF16, Self::I64, Self::I32, Self::U32, Self::U8]
            .into_iter()
            .find(|stored| stored.dtype() == dtype)
    }

    /// The type as the safetensors crate names it.
    pub fn safetensors(self) -> Dtype {
        match self {
            Self::F64 => Dtype::F64,
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
            Self::I64 => Dtype::I64,
            Self::I32 => Dtype::I32,
            Self::U32 => Dtype::U32,
            Self::U64 => Dtype::U64,
            Self::I16 => Dtype::I16,
            Self::U16 => Dtype::U16,
            Self::I8 => Dtype::I8,
            Self::F8E5M2 => Dtype::F8_E5M2,
            Self::F8E4M3 => Dtype::F8_E4M3,
            Self::U8 => Dtype::U8,
            Self::Bool => Dtype::BOOL,
        }
    }

    fn from_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::I64 => Self::I64,
            Dtype::I32 => Self::I32,
            Dtype::U32 => Self::U32,
            Dtype::U64 => Self::U64,
            Dtype::I16 => Self::I16,
            Dtype::U16 => Self::U16,
            Dtype::I8 => Self::I8,
            Dtype::F8_E5M2 => Self::F8E5M2,
            Dtype::F8_E4M3 => Self::F8E4M3,
            Dtype::U8 => Self::U8,
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }
}

/// One tensor of a file.
#[derive(Clone, Debug)]
pub struct TensorEntry {
    pub name: String,
    pub stored: Stored,
    pub shape: Vec<usize>,
    /// First byte, from the start of the file.
    pub begin: u64,
    pub bytes: usize,
}

/// Reads and checks the header of `path` against its length; entries come in the order of their bytes.
pub fn read_header(path: &Path) -> Result<Vec<TensorEntry>> {
    Ok(read_header_with_metadata(path)?.0)
}

/// [`read_header`] and the texts that the file carries beside its tensors (`__metadata__`).
pub(super) fn read_header_with_metadata(path: &Path) -> Result<(Vec<TensorEntry>, HashMap<String, String>)> {
    read_unplaced(path).map_err(|e| e.at(path))
}

/// What to say of a file that Git LFS would have replaced; `None` where `path` is none of its pointers.
pub fn lfs_pointer(path: &Path) -> Option<Error> {
    const BEGINNING: &[u8] = b"version https://git-lfs";
    let mut beginning = [0u8; BEGINNING.len()];
    open_file(path).ok()?.read_exact(&mut beginning).ok()?;
    let what = "this is a Git LFS pointer, not the file that it stands for";
    (beginning == BEGINNING).then(|| Error::new(what).hint("run 'git lfs pull' in the repository"))
}

fn read_unplaced(path: &Path) -> Result<(Vec<TensorEntry>, HashMap<String, String>)> {
    let mut file = open_file(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(std::io::Error::from(std::io::ErrorKind::IsADirectory).into());
    }
    let length = about.len();
    let broken = |why: String| Error::new(format!("not a readable safetensors file ({why})")).hint("download it again");
    let mut prefix = [0u8; 8];
    file.read_exact(&mut prefix).map_err(|_| broken(format!("{length} bytes are no header")))?;
    if let Some(error) = lfs_pointer(path) {
        return Err(error);
    }
    let header_bytes = u64::from_le_bytes(prefix);
    if header_bytes > LONGEST_HEADER || header_bytes.saturating_add(8) > length {
        return Err(broken(format!("its header claims {header_bytes} bytes in a file of {length}")));
    }
    let mut text = Vec::new();
    (&mut file).take(header_bytes).read_to_end(&mut text)?;
    let metadata: Metadata = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    // Checks that shapes, types and offsets agree and that tensors follow each other without a hole.
    let tensors =
        metadata.offset_keys().into_iter().filter_map(|n| metadata.info(&n).cloned().map(|i| (n, i))).collect();
    let texts = metadata.metadata().clone().unwrap_or_default();
    let metadata = Metadata::new(None, tensors).map_err(|e| broken(e.to_string()))?;
    let data = length - 8 - header_bytes;
    if metadata.data_len() as u64 != data {
        return Err(broken(format!("its header describes {} bytes of data, the file has {data}", metadata.data_len())));
    }
    let mut entries = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let stored = Stored::from_safetensors(info.dtype).ok_or_else(|| {
            Error::new(format!("tensor '{name}' has type {:?}, which is not supported", info.dtype))
                .hint("convert the checkpoint to float32, float16 or bfloat16")
        })?;
        let (begin, end) = info.data_offsets;
        entries.push(TensorEntry {
            stored,
            shape: info.shape.clone(),
            begin: 8 + header_bytes + begin as u64,
            bytes: end.saturating_sub(begin),
            name,
        });
    }
    Ok((entries, texts))
}
