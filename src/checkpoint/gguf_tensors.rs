//! Tensors of a GGUF file in the order and scale of Hugging Face folders, made while they are read.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::gguf_names::block_name;
use super::{GgufFile, Stored};
use crate::error::{Error, Result};

/// Where the numbers of a tensor come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GgufPart {
    /// The tensor of the file.
    pub tensor: String,
    /// Its rows, or its numbers where it has one axis; `None` for all.
    pub rows: Option<Range<usize>>,
    /// Width of the heads in whose rows those that turn together stand next to each other, where they are to stand half a
    /// head apart.
    pub unturned: Option<usize>,
    /// Whether the file holds numbers that are greater by one.
    pub less_one: bool,
}

impl GgufPart {
    /// All of a tensor as it is.
    pub(crate) fn whole(tensor: impl Into<String>) -> Self {
        Self { tensor: tensor.into(), rows: None, unturned: None, less_one: false }
    }

    /// The row of the file that has row `row` of the tensor.
    fn source(&self, row: usize) -> usize {
        let within = match self.unturned {
            None => row,
            Some(dim) => {
                let (head, place) = (row / dim, row % dim);
                // Rows `[d/2, 2]` become `[2, d/2]`.
                head * dim + place % (dim / 2) * 2 + place / (dim / 2)
            }
        };
        self.rows.as_ref().map_or(0, |rows| rows.start) + within
    }
}

/// The tensors of a checkpoint that is a GGUF file.
#[derive(Debug)]
pub(crate) struct GgufTensors {
    file: GgufFile,
    parts: HashMap<String, GgufPart>,
}

impl GgufTensors {
    pub(crate) fn new(file: GgufFile, parts: HashMap<String, GgufPart>) -> Self {
        Self { file, parts }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.parts.keys()
    }

    fn part(&self, name: &str) -> Result<(&GgufPart, &[usize], GgmlDType)> {
        let part = self.parts.get(name).ok_or_else(|| Error::new(format!("there is no tensor '{name}'")))?;
        let (shape, dtype) = self
            .file
            .info(&part.tensor)
            .ok_or_else(|| Error::new(format!("the file has no tensor '{}'", part.tensor)).at(self.file.path()))?;
        Ok((part, shape, dtype))
    }

    /// Element type, shape and first byte in the file of a tensor.
    ///
    /// # Errors
    /// Where the file has no such tensor, or not of such a shape.
    pub(crate) fn info(&self, name: &str) -> Result<(Stored, Vec<usize>, u64)> {
        let (part, shape, dtype) = self.part(name)?;
        let mut shape = shape.to_vec();
        let wrong = || {
            let what = format!("tensor '{}' has the shape {shape:?}, which no such model has", part.tensor);
            Error::new(what).at(self.file.path())
        };
        let all = *shape.first().filter(|_| shape.len() <= 2).ok_or_else(wrong)?;
        let count = part.rows.as_ref().map_or(all, Range::len);
        let fits = part.rows.as_ref().is_none_or(|rows| rows.start <= rows.end && rows.end <= all);
        if !fits || part.unturned.is_some_and(|dim| dim == 0 || dim % 2 == 1 || count % dim != 0) {
            return Err(wrong());
        }
        if let Some(first) = shape.first_mut() {
            *first = count;
        }
        Ok((stored(dtype), shape, self.file.begin(&part.tensor).unwrap_or(0)))
    }

    /// Bytes that a tensor takes in the file, its share of one that holds several.
    ///
    /// # Errors
    /// As of [`GgufTensors::info`].
    pub(super) fn bytes_in_file(&self, name: &str) -> Result<u64> {
        let (_, shape, _) = self.info(name)?;
        let (_, _, dtype) = self.part(name)?;
        let numbers = shape.iter().map(|d| *d as u64).product::<u64>();
        Ok(numbers * dtype.type_size() as u64 / dtype.block_size().max(1) as u64)
    }

    /// The name of the blocks in which a tensor is quantized; `None` where it is not.
    pub(super) fn block_name(&self, name: &str) -> Option<&'static str> {
        self.part(name).ok().and_then(|(_, _, dtype)| block_name(dtype))
    }

    /// Fills `bytes` with those of a tensor from byte `from` on, in the type that [`GgufTensors::info`] says.
    pub(super) fn read_into(&self, name: &str, from: usize, bytes: &mut [u8]) -> Result<()> {
        let (part, shape, dtype) = self.part(name)?;
        let stored = stored(dtype);
        let width = stored.bytes();
        let (first, end) = (from / width, (from + bytes.len()).div_ceil(width));
        let mut raw = Vec::with_capacity((end - first) * width);
        let mut push = |number: f32| {
            let number = if part.less_one { number - 1.0 } else { number };
            match stored {
                Stored::F16 => raw.extend_from_slice(&f16::from_f32(number).to_le_bytes()),
                Stored::BF16 => raw.extend_from_slice(&bf16::from_f32(number).to_le_bytes()),
                _ => raw.extend_from_slice(&number.to_le_bytes()),
            }
        };
        match shape {
            [_, row] => {
                let row = *row;
                let (mut rows, mut skip) = (first / row.max(1)..end.div_ceil(row.max(1)), first % row.max(1));
                let mut left = end - first;
                while !rows.is_empty() {
                    // A head at a time where its rows change places, else all at once.
                    let here = match part.unturned {
                        Some(dim) => rows.start..rows.end.min((rows.start / dim + 1) * dim),
                        None => rows.clone(),
                    };
                    let sources = here.clone().map(|row| part.source(row));
                    let (low, high) = sources.clone().fold((usize::MAX, 0), |(l, h), s| (l.min(s), h.max(s + 1)));
                    let read = self.file.rows(&part.tensor, low, high - low)?.flatten_all()?.to_vec1::<f32>()?;
                    for source in sources {
                        let numbers = read.get((source - low) * row..(source - low + 1) * row).unwrap_or(&[]);
                        for number in numbers.iter().skip(skip).take(left) {
                            push(*number);
                        }
                        left -= left.min(row - skip);
                        skip = 0;
                    }
                    rows.start = here.end;
                }
            }
            _ => {
                let whole = self.file.tensor(&part.tensor)?.flatten_all()?.to_vec1::<f32>()?;
                (first..end).filter_map(|at| whole.get(part.source(at))).for_each(|number| push(*number));
            }
        }
        let skipped = from - first * width;
        let wanted = raw.get(skipped..skipped + bytes.len());
        let wanted = wanted.ok_or_else(|| Error::new(format!("tensor '{name}' ends early")).at(self.file.path()))?;
        bytes.copy_from_slice(wanted);
        Ok(())
    }
}

/// What a type of the format is read as: 16 bits stay, blocks become 32, which hold them exactly.
fn stored(dtype: GgmlDType) -> Stored {
    match dtype {
        GgmlDType::F16 => Stored::F16,
        GgmlDType::BF16 => Stored::BF16,
        _ => Stored::F32,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::checkpoint::{GgufTensor, write_gguf};

    #[test]
    fn any_bytes_of_a_tensor_are_those_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let numbers = Tensor::arange(0f32, 96.0, &Device::Cpu).unwrap().reshape((16, 6)).unwrap();
        let plan =
            |name: &str, shape: &[usize], dtype| GgufTensor { name: name.to_owned(), shape: shape.to_vec(), dtype };
        let plans = [plan("m", &[16, 6], GgmlDType::F16), plan("v", &[16], GgmlDType::F32)];
        let vector = numbers.narrow(1, 0, 1).unwrap().flatten_all().unwrap();
        write_gguf(&path, &[], &plans, |i| Ok([&numbers, &vector][i].clone())).unwrap();
        let turned = |tensor: &str, less_one| GgufPart {
            rows: Some(4..12),
            unturned: Some(4),
            less_one,
            ..GgufPart::whole(tensor)
        };
        let parts = [("m", turned("m", false)), ("v", turned("v", true)), ("w", GgufPart::whole("m"))];
        let tensors = GgufTensors::new(
            GgufFile::open(&path).unwrap(),
            parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect(),
        );
        let order = [4usize, 6, 5, 7, 8, 10, 9, 11];
        for (name, row, want) in [
            ("m", 6, order.iter().flat_map(|r| (0..6).map(move |c| (r * 6 + c) as f32)).collect::<Vec<_>>()),
            ("v", 1, order.iter().map(|r| (r * 6) as f32 - 1.0).collect()),
            ("w", 6, (0..96).map(|n| n as f32).collect()),
        ] {
            let (stored, shape, _) = tensors.info(name).unwrap();
            assert_eq!(shape.iter().product::<usize>(), want.len(), "{name} {row}");
            let whole: Vec<u8> = match stored {
                Stored::F16 => want.iter().flat_map(|n| f16::from_f32(*n).to_le_bytes()).collect(),
                _ => want.iter().flat_map(|n| n.to_le_bytes()).collect(),
            };
            for from in 0..whole.len() {
                for to in [from + 1, from + 7, from + 30, whole.len()] {
                    let to = to.min(whole.len());
                    let mut bytes = vec![0; to - from];
                    tensors.read_into(name, from, &mut bytes).unwrap();
                    assert_eq!(bytes, whole[from..to], "{name} {from}..{to}");
                }
            }
        }
        let broken = GgufPart { unturned: Some(3), ..GgufPart::whole("m") };
        let tensors = GgufTensors::new(GgufFile::open(&path).unwrap(), [("m".to_owned(), broken)].into());
        assert!(tensors.info("m").unwrap_err().to_string().contains("[16, 6], which no such model has"));
    }
}
