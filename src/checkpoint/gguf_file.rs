//! Reading GGUF files. A file from somewhere else is data: what it claims is held against its length before memory is asked
//! for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, ggml_file};
use candle_core::{Device, Tensor};

use super::gguf_names::{ALIGNMENT, TYPES};
use super::regular::open_file;
use crate::error::{Error, Result};

/// Axes of a tensor at most.
const MOST_AXES: u32 = 8;
/// Depth of lists in lists at most.
const DEEPEST: usize = 4;

/// Whether a file is named as those of the format are.
pub(crate) fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) && path.is_file()
}

/// What a header says of a tensor.
#[derive(Clone, Debug)]
struct Place {
    shape: Vec<usize>,
    dtype: GgmlDType,
    /// First byte, from the start of the file.
    begin: u64,
}

/// An opened GGUF file: its metadata and the places of its tensors were read and checked against its length.
#[derive(Clone, Debug)]
pub struct GgufFile {
    path: PathBuf,
    values: Vec<(String, Value)>,
    places: HashMap<String, Place>,
    length: u64,
}

impl GgufFile {
    /// Opens `path`, reading its header and no weights.
    ///
    /// # Errors
    /// Where it is no GGUF file, or says of itself what its length cannot hold.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open_file(path).map_err(|e| Error::from(e).at(path))?;
        let length = file.metadata().map_err(|e| Error::from(e).at(path))?.len();
        let mut header = Header { file: BufReader::new(file), left: length, length };
        let read = header.read().map_err(|e| {
            let e = e.at(path);
            // What only a newer release could read says so itself.
            e.hint("download it again")
        })?;
        Ok(Self { path: path.to_path_buf(), values: read.0, places: read.1, length })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What it says under `key`.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Everything that it says, in the order of the file.
    pub fn values(&self) -> &[(String, Value)] {
        &self.values
    }

    /// Names of all tensors, in the order of their bytes.
    pub fn names(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.places.iter().collect();
        all.sort_by_key(|(name, place)| (place.begin, name.as_str()));
        all.into_iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Shape and element type of a tensor.
    pub fn info(&self, name: &str) -> Option<(&[usize], GgmlDType)> {
        self.places.get(name).map(|place| (place.shape.as_slice(), place.dtype))
    }

    /// First byte of a tensor, from the start of the file.
    pub(super) fn begin(&self, name: &str) -> Option<u64> {
        self.places.get(name).map(|place| place.begin)
    }

    /// The numbers of a tensor, f32 on the processor.
    ///
    /// # Errors
    /// Where there is no such tensor, or the file changed.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let Some((shape, _)) = self.info(name) else {
            return Err(Error::new(format!("the file has no tensor '{name}'")).at(&self.path));
        };
        let rows = shape.split_last().map_or(1, |(_, rows)| rows.iter().product());
        let shape = shape.to_vec();
        Ok(self.rows(name, 0, rows)?.reshape(shape)?)
    }

    /// `count` rows of a tensor from row `from` on, f32 on the processor, `[count, length of a row]`; only they are read.
    ///
    /// # Errors
    /// As of [`GgufFile::tensor`].
    pub fn rows(&self, name: &str, from: usize, count: usize) -> Result<Tensor> {
        let wrong = |e: Error| e.within(format_args!("tensor '{name}'")).at(&self.path);
        let place = self.places.get(name).ok_or_else(|| wrong(Error::new("it is not there")))?;
        let row = place.shape.last().copied().unwrap_or(1);
        let row_bytes = row / place.dtype.block_size() * place.dtype.type_size();
        let all = place.shape.iter().product::<usize>().checked_div(row).unwrap_or(0);
        if from.saturating_add(count) > all {
            return Err(wrong(Error::new(format!("it has {all} rows, {} were asked for", from.saturating_add(count)))));
        }
        let read = || -> Result<Tensor> {
            let mut file = open_file(&self.path)?;
            file.seek(SeekFrom::Start(place.begin + (from * row_bytes) as u64))?;
            // Its place was checked against the length of the file when it was opened.
            let mut bytes = vec![0u8; count * row_bytes];
            file.read_exact(&mut bytes)?;
            let stored = ggml_file::qtensor_from_ggml(place.dtype, &bytes, vec![count, row], &Device::Cpu)?;
            Ok(stored.dequantize(&Device::Cpu)?)
        };
        read().map_err(wrong)
    }
}

/// Metadata and the places of tensors.
type GgufHeader = (Vec<(String, Value)>, HashMap<String, Place>);

/// A header under reading.
struct Header {
    file: BufReader<File>,
    /// Bytes that are left of the file.
    left: u64,
    length: u64,
}

impl Header {
    fn read(&mut self) -> Result<GgufHeader> {
        if self.bytes(4)? != b"GGUF" {
            return Err(Error::new("not a GGUF file"));
        }
        let version = self.number::<4>().map(u32::from_le_bytes)?;
        if !(2..=3).contains(&version) {
            let what = format!("a GGUF file of version {version}; versions 2 and 3 are read");
            return Err(Error::new(what).hint("convert it with a current release of llama.cpp"));
        }
        let tensors = self.count(24)?;
        let values = self.count(13)?;
        let mut said = Vec::new();
        for _ in 0..values {
            let key = self.text()?;
            let code = self.number::<4>().map(u32::from_le_bytes)?;
            said.push((key, self.value(code, 0)?));
        }
        let alignment = match said.iter().find(|(key, _)| key == "general.alignment") {
            None => ALIGNMENT,
            Some((_, Value::U32(alignment))) if alignment.is_power_of_two() => u64::from(*alignment),
            Some(_) => return Err(Error::new("its alignment is no power of two")),
        };
        let mut places = HashMap::new();
        for _ in 0..tensors {
            let (name, place) = self.tensor()?;
            if places.insert(name.clone(), place).is_some() {
                return Err(Error::new(format!("it holds two tensors '{name}'")));
            }
        }
        let data = (self.length - self.left).next_multiple_of(alignment);
        for (name, place) in &mut places {
            place.begin = place.begin.saturating_add(data);
            let elements = place.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64));
            let bytes = elements.map(|n| n / place.dtype.block_size() as u64 * place.dtype.type_size() as u64);
            let end = bytes.and_then(|bytes| bytes.checked_add(place.begin));
            let row = place.shape.last().copied().unwrap_or(1);
            if end.is_none_or(|end| end > self.length) || !row.is_multiple_of(place.dtype.block_size()) {
                return Err(Error::new(format!("tensor '{name}' does not fit in the {} bytes there are", self.length)));
            }
        }
        Ok((said, places))
    }

    fn tensor(&mut self) -> Result<(String, Place)> {
        let name = self.text()?;
        let axes = self.number::<4>().map(u32::from_le_bytes)?;
        if axes > MOST_AXES {
            return Err(Error::new(format!("tensor '{name}' has {axes} axes")));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            let size = usize::try_from(self.number::<8>().map(u64::from_le_bytes)?);
            shape.push(size.map_err(|_| Error::new(format!("tensor '{name}' is too large")))?);
        }
        // The innermost axis comes first.
        shape.reverse();
        let code = self.number::<4>().map(u32::from_le_bytes)?;
        let dtype = TYPES.iter().find(|(known, _)| *known == code).map(|(_, dtype)| *dtype).ok_or_else(|| {
            Error::new(format!("tensor '{name}' is of type {code} of the format, which is not read"))
                .hint("use a file in f32, f16, bf16, q8_0, q4_0 to q5_1 or q2_k to q6_k")
        })?;
        let begin = self.number::<8>().map(u64::from_le_bytes)?;
        Ok((name, Place { shape, dtype, begin }))
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, least: u64) -> Result<u64> {
        let count = self.number::<8>().map(u64::from_le_bytes)?;
        if count.saturating_mul(least) > self.left {
            return Err(Error::new(format!("its header claims {count} entries in {} bytes", self.left)));
        }
        Ok(count)
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        if count > self.left {
            return Err(Error::new(format!("its header claims {count} bytes where {} are left", self.left)));
        }
        // No more than the file has.
        let mut bytes = Vec::new();
        self.file.by_ref().take(count).read_to_end(&mut bytes)?;
        self.left -= count;
        if bytes.len() as u64 != count {
            return Err(Error::new("the file ends inside its header"));
        }
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        if N as u64 > self.left {
            return Err(Error::new("the file ends inside its header"));
        }
        self.file.read_exact(&mut bytes)?;
        self.left -= N as u64;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number::<8>().map(u64::from_le_bytes)?;
        // A token may be no text of its own.
        Ok(String::from_utf8_lossy(&self.bytes(length)?).into_owned())
    }

    fn value(&mut self, code: u32, depth: usize) -> Result<Value> {
        Ok(match code {
            0 => Value::U8(u8::from_le_bytes(self.number()?)),
            1 => Value::I8(i8::from_le_bytes(self.number()?)),
            2 => Value::U16(u16::from_le_bytes(self.number()?)),
            3 => Value::I16(i16::from_le_bytes(self.number()?)),
            4 => Value::U32(u32::from_le_bytes(self.number()?)),
            5 => Value::I32(i32::from_le_bytes(self.number()?)),
            6 => Value::F32(f32::from_le_bytes(self.number()?)),
            7 => Value::Bool(u8::from_le_bytes(self.number()?) != 0),
            8 => Value::String(self.text()?),
            9 if depth < DEEPEST => {
                let code = self.number::<4>().map(u32::from_le_bytes)?;
                let least = match code {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    4..=6 => 4,
                    9 => 12,
                    _ => 8,
                };
                let count = self.count(least)?;
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(self.value(code, depth + 1)?);
                }
                Value::Array(list)
            }
            10 => Value::U64(u64::from_le_bytes(self.number()?)),
            11 => Value::I64(i64::from_le_bytes(self.number()?)),
            12 => Value::F64(f64::from_le_bytes(self.number()?)),
            _ => return Err(Error::new(format!("a value of type {code}, which the format does not have"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::gguf::{GgufTensor, write_gguf};

    fn numbers(rows: usize, row: usize) -> Tensor {
        let values: Vec<f32> = (0..rows * row).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        Tensor::from_vec(values, (rows, row), &Device::Cpu).unwrap()
    }

    #[test]
    fn values_and_tensors_come_back_in_every_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let metadata = vec![
            ("general.architecture".to_owned(), Value::String("llama".to_owned())),
            ("n".to_owned(), Value::U32(7)),
            ("list".to_owned(), Value::Array(vec![Value::I32(3), Value::I32(-1)])),
            ("texts".to_owned(), Value::Array(vec![Value::String("a b".to_owned()), Value::String(String::new())])),
            ("flag".to_owned(), Value::Bool(true)),
        ];
        let types = [
            (GgmlDType::F32, 0.0),
            (GgmlDType::F16, 1e-3),
            (GgmlDType::BF16, 1e-2),
            (GgmlDType::Q8_0, 1e-2),
            (GgmlDType::Q4K, 0.1),
            (GgmlDType::Q6K, 0.04),
        ];
        let tensors: Vec<GgufTensor> = types
            .iter()
            .map(|(dtype, _)| GgufTensor { name: format!("{dtype:?}"), shape: vec![3, 256], dtype: *dtype })
            .collect();
        let written = write_gguf(&path, &metadata, &tensors, |_| Ok(numbers(3, 256))).unwrap();
        assert_eq!(written, std::fs::metadata(&path).unwrap().len());
        let file = GgufFile::open(&path).unwrap();
        assert!(matches!(file.value("n"), Some(Value::U32(7))) && file.values().len() == 5);
        let Some(Value::Array(list)) = file.value("list") else { panic!("no list") };
        assert!(matches!(list.as_slice(), [Value::I32(3), Value::I32(-1)]));
        assert_eq!(file.names(), tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>());
        let want = numbers(3, 256).to_vec2::<f32>().unwrap();
        for ((dtype, bound), tensor) in types.iter().zip(&tensors) {
            assert_eq!(file.info(&tensor.name).unwrap(), (&[3usize, 256][..], *dtype));
            let got = file.tensor(&tensor.name).unwrap().to_vec2::<f32>().unwrap();
            let apart = got.iter().flatten().zip(want.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= *bound, "{dtype:?}: {apart}");
            assert_eq!(file.rows(&tensor.name, 1, 2).unwrap().to_vec2::<f32>().unwrap(), got[1..]);
        }
        assert!(file.rows("F32", 2, 2).unwrap_err().to_string().contains("it has 3 rows, 4 were asked for"));
        assert!(file.tensor("other").is_err());
    }

    #[test]
    fn files_that_are_shorter_than_they_say_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let tensor = GgufTensor { name: "x".to_owned(), shape: vec![64, 64], dtype: GgmlDType::F32 };
        write_gguf(&path, &[], &[tensor], |_| Ok(numbers(64, 64))).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for keep in [0, 3, 10, 30, 60, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..keep]).unwrap();
            let error = GgufFile::open(&path).unwrap_err().to_string();
            assert!(error.contains("a.gguf; download it again"), "{keep}: {error}");
        }
    }

    #[test]
    fn claims_are_refused_before_memory_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let refused = |parts: &[&[u8]]| {
            std::fs::write(&path, parts.concat()).unwrap();
            GgufFile::open(&path).unwrap_err().to_string()
        };
        let (magic, version) = (b"GGUF".as_slice(), 3u32.to_le_bytes());
        let number = |n: u64| n.to_le_bytes();
        let huge = refused(&[magic, &version, &number(1 << 60), &number(0)]);
        assert!(huge.starts_with("its header claims 1152921504606846976 entries"), "{huge}");
        let text = refused(&[magic, &version, &number(0), &number(1), &number(1 << 40), &[0; 32]]);
        assert!(text.starts_with("its header claims 1099511627776 bytes"), "{text}");
        let key = [number(17).as_slice(), b"general.alignment", &4u32.to_le_bytes(), &0u32.to_le_bytes()].concat();
        assert!(refused(&[magic, &version, &number(0), &number(1), &key]).contains("no power of two"));
        let old = refused(&[magic, &1u32.to_le_bytes(), &number(0), &number(0)]);
        assert!(old.contains("version 1") && old.contains("llama.cpp"), "{old}");
    }
}
