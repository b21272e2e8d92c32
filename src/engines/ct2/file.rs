//! `model.bin` of CTranslate2 (version 6 of the format): a header, variables one after the other, other names of them.
//!
//! Everything is little-endian. A text is a `u16` length that counts a zero byte behind it. A variable is its name, its
//! rank (`u8`), its axes (`u32` each), its type (`u8`), its bytes (`u32`), and these. A variable without axes is a
//! setting of the model.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{open_file, write_with};
use crate::error::{Error, Result};

/// The version of the format.
const VERSION: u32 = 6;

/// Types of numbers, by their numbers in the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ct2Type {
    F32 = 0,
    Int8 = 1,
    Int16 = 2,
    Int32 = 3,
    F16 = 4,
    Bf16 = 5,
}

impl Ct2Type {
    const ALL: [Self; 6] = [Self::F32, Self::Int8, Self::Int16, Self::Int32, Self::F16, Self::Bf16];

    /// Bytes of a number.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Int8 => 1,
            Self::Int16 | Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::Int32 => 4,
        }
    }

    /// The type in which tensors have it, for numbers that are no integers.
    pub(super) fn dtype(self) -> Option<DType> {
        match self {
            Self::F32 => Some(DType::F32),
            Self::F16 => Some(DType::F16),
            Self::Bf16 => Some(DType::BF16),
            Self::Int8 | Self::Int16 | Self::Int32 => None,
        }
    }
}

/// What a file says of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ct2Entry {
    pub name: String,
    /// Row-major; empty for a setting.
    pub shape: Vec<usize>,
    pub kind: Ct2Type,
}

impl Ct2Entry {
    /// Bytes of its numbers.
    pub(super) fn bytes(&self) -> u64 {
        self.shape.iter().map(|d| *d as u64).product::<u64>() * self.kind.bytes()
    }

    /// Whether the format can say how large it is.
    ///
    /// # Errors
    /// Where it cannot.
    pub(super) fn check(&self) -> Result<()> {
        if u32::try_from(self.bytes()).is_err() {
            let what = format!("'{}' takes {} bytes, and the format holds at most 4 GiB", self.name, self.bytes());
            return Err(Error::new(what).hint("store it in f16 or int8"));
        }
        Ok(())
    }
}

/// The head of a file: which model it is, its variables, and other names of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ct2Head {
    /// The class of models.
    pub class: String,
    /// How variables of this class are named.
    pub revision: u32,
    pub entries: Vec<Ct2Entry>,
    /// A name, and that of the variable that it stands for.
    pub aliases: Vec<(String, String)>,
}

/// Writes the file at `path`, asking `content` for the bytes of one variable at a time.
///
/// # Errors
/// Where a variable comes with other bytes than announced, or the disk fails; nothing is left behind then.
pub(super) fn write(path: &Path, head: &Ct2Head, mut content: impl FnMut(usize) -> Result<Vec<u8>>) -> Result<()> {
    write_with(path, |file| {
        file.write_all(&VERSION.to_le_bytes())?;
        put_text(file, &head.class)?;
        file.write_all(&head.revision.to_le_bytes())?;
        file.write_all(&number(head.entries.len())?)?;
        for (index, entry) in head.entries.iter().enumerate() {
            put_text(file, &entry.name)?;
            file.write_all(&[u8::try_from(entry.shape.len()).map_err(|_| too_large(&entry.name))?])?;
            for axis in &entry.shape {
                file.write_all(&number(*axis)?)?;
            }
            file.write_all(&[entry.kind as u8])?;
            let bytes = content(index)?;
            if bytes.len() as u64 != entry.bytes() {
                return Err(Error::new(format!("'{}' came with {} bytes", entry.name, bytes.len())));
            }
            file.write_all(&number(bytes.len())?)?;
            file.write_all(&bytes)?;
        }
        file.write_all(&number(head.aliases.len())?)?;
        for (alias, name) in &head.aliases {
            put_text(file, alias)?;
            put_text(file, name)?;
        }
        Ok(())
    })
}

fn too_large(what: &str) -> Error {
    Error::new(format!("'{what}' is larger than the format can say"))
}

fn number(size: usize) -> Result<[u8; 4]> {
    u32::try_from(size).map(u32::to_le_bytes).map_err(|_| too_large(&size.to_string()))
}

fn put_text(file: &mut impl Write, text: &str) -> Result<()> {
    let length = u16::try_from(text.len() + 1).map_err(|_| too_large(text))?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(text.as_bytes())?;
    Ok(file.write_all(&[0])?)
}

/// A written file, read back.
#[derive(Debug)]
pub(super) struct Ct2File {
    path: PathBuf,
    pub head: Ct2Head,
    /// Where the numbers of each variable begin.
    begins: BTreeMap<String, (usize, u64)>,
}

impl Ct2File {
    /// Reads the head of the file at `path`.
    ///
    /// # Errors
    /// Where it is none of this format, or shorter than it says.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let place = |e: Error| e.at(path);
        let file = open_file(path).map_err(|e| place(e.into()))?;
        let mut reader = Ct2Reader { left: file.metadata()?.len(), at: 0, file: BufReader::new(file) };
        let read = || -> Result<Self> {
            let version = reader.u32()?;
            if version != VERSION {
                return Err(Error::new(format!("it is of version {version} of the format, not {VERSION}")));
            }
            let (class, revision) = (reader.text()?, reader.u32()?);
            let mut head = Ct2Head { class, revision, entries: Vec::new(), aliases: Vec::new() };
            let mut begins = BTreeMap::new();
            for index in 0..reader.u32()? as usize {
                let name = reader.text()?;
                let rank = reader.bytes(1)?.first().copied().unwrap_or(0);
                let shape = (0..rank).map(|_| Ok(reader.u32()? as usize)).collect::<Result<Vec<_>>>()?;
                let code = usize::from(reader.bytes(1)?.first().copied().unwrap_or(0));
                let unknown = || Error::new(format!("'{name}' is of type {code}, which the format does not have"));
                let kind = *Ct2Type::ALL.get(code).ok_or_else(unknown)?;
                let entry = Ct2Entry { name, shape, kind };
                let bytes = u64::from(reader.u32()?);
                if bytes != entry.bytes() {
                    return Err(Error::new(format!("'{}' has {bytes} bytes for {:?}", entry.name, entry.shape)));
                }
                begins.insert(entry.name.clone(), (index, reader.at));
                reader.skip(bytes)?;
                head.entries.push(entry);
            }
            for _ in 0..reader.u32()? {
                head.aliases.push((reader.text()?, reader.text()?));
            }
            Ok(Self { path: path.to_owned(), head, begins })
        };
        let mut read = read;
        read().map_err(place)
    }

    /// The bytes of the variable `name`.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let missing = || Error::new(format!("'{name}' is missing")).at(&self.path);
        let (index, begin) = *self.begins.get(name).ok_or_else(missing)?;
        let entry = self.head.entries.get(index).ok_or_else(missing)?;
        let mut file = open_file(&self.path)?;
        file.seek(SeekFrom::Start(begin))?;
        // No more than `open` found there.
        let mut bytes = Vec::new();
        file.take(entry.bytes()).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The numbers of the variable `name` in f32: of 8 bits those times the factors of their rows.
    ///
    /// # Errors
    /// Where there is none of this name, or it is no matrix.
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor> {
        let bytes = self.bytes(name)?;
        let entry = self.begins.get(name).and_then(|(index, _)| self.head.entries.get(*index));
        let entry = entry.ok_or_else(|| Error::new(format!("'{name}' is missing")).at(&self.path))?;
        if let Some(dtype) = entry.kind.dtype() {
            let tensor = Tensor::from_raw_buffer(&bytes, dtype, &entry.shape, &Device::Cpu)?;
            return Ok(tensor.to_dtype(DType::F32)?);
        }
        if entry.kind != Ct2Type::Int8 {
            return Err(Error::new(format!("'{name}' is no matrix")).at(&self.path));
        }
        let numbers: Vec<f32> = bytes.iter().map(|byte| f32::from(i8::from_le_bytes([*byte]))).collect();
        let rows = entry.shape.first().copied().unwrap_or(0);
        let scales = self.tensor(&format!("{name}_scale"))?.reshape((rows, 1))?;
        let scaled = Tensor::from_vec(numbers, entry.shape.as_slice(), &Device::Cpu)?.flatten_from(1)?;
        Ok(scaled.broadcast_div(&scales)?.reshape(entry.shape.as_slice())?)
    }
}

/// Reads what is left of a file and no more.
struct Ct2Reader {
    file: BufReader<File>,
    left: u64,
    at: u64,
}

impl Ct2Reader {
    fn take(&mut self, count: u64) -> Result<()> {
        if count > self.left {
            return Err(Error::new(format!("it claims {count} bytes where {} are left", self.left)));
        }
        self.left -= count;
        self.at += count;
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        self.take(count as u64)?;
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        self.take(count)?;
        Ok(self.file.seek_relative(i64::try_from(count).unwrap_or(i64::MAX))?)
    }

    fn u32(&mut self) -> Result<u32> {
        let bytes = self.bytes(4)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    }

    fn text(&mut self) -> Result<String> {
        let length = self.bytes(2)?.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte));
        let mut bytes = self.bytes(length)?;
        bytes.pop();
        String::from_utf8(bytes).map_err(|_| Error::new("a name is no text"))
    }
}

/// Bytes of `numbers` in 8 bits, and the factor of every row, by which they are to be divided: the largest number of a row
/// becomes 127.
pub(super) fn in_eight_bits(numbers: &Tensor) -> Result<(Vec<u8>, Vec<f32>)> {
    let rows = numbers.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2::<f32>()?;
    let (mut bytes, mut scales) = (Vec::new(), Vec::with_capacity(rows.len()));
    for row in &rows {
        let largest = row.iter().fold(0f32, |largest, number| largest.max(number.abs()));
        // A factor that f32 can hold, of a row of nothing 1.
        let largest = if largest == 0.0 { 127.0 } else { largest.max(127.0 / f32::MAX) };
        let scale = 127.0 / largest;
        let round = |number: &f32| (number * scale).round_ties_even() as i8;
        bytes.extend(row.iter().flat_map(|number| round(number).to_le_bytes()));
        scales.push(scale);
    }
    Ok((bytes, scales))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Ct2Head {
        let entry = |name: &str, shape: &[usize], kind| Ct2Entry { name: name.to_owned(), shape: shape.to_vec(), kind };
        Ct2Head {
            class: "WhisperSpec".to_owned(),
            revision: 3,
            entries: vec![entry("a/num_heads", &[], Ct2Type::Int16), entry("a/weight", &[2, 3], Ct2Type::F32)],
            aliases: vec![("b/weight".to_owned(), "a/weight".to_owned())],
        }
    }

    fn written(path: &Path) {
        let numbers: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        write(path, &head(), |index| Ok(if index == 0 { vec![4, 0] } else { numbers.clone() })).unwrap();
    }

    #[test]
    fn a_file_is_byte_for_byte_what_the_converter_of_the_engine_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        written(&path);
        // By `ModelSpec._serialize` of the Python package, with struct.pack.
        let mut want = b"\x06\0\0\0\x0c\0WhisperSpec\0\x03\0\0\0\x02\0\0\0".to_vec();
        want.extend_from_slice(b"\x0c\0a/num_heads\0\0\x02\x02\0\0\0\x04\0");
        want.extend_from_slice(b"\x09\0a/weight\0\x02\x02\0\0\0\x03\0\0\0\0\x18\0\0\0");
        want.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
        want.extend_from_slice(b"\x01\0\0\0\x09\0b/weight\0\x09\0a/weight\0");
        assert_eq!(std::fs::read(&path).unwrap(), want);
        let file = Ct2File::open(&path).unwrap();
        assert_eq!(file.head, head());
        assert_eq!(file.tensor("a/weight").unwrap().to_vec2::<f32>().unwrap(), [[0., 1., 2.], [3., 4., 5.]]);
    }

    #[test]
    fn files_that_are_shorter_than_they_say_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        written(&path);
        let whole = std::fs::read(&path).unwrap();
        for keep in 0..whole.len() {
            std::fs::write(&path, &whole[..keep]).unwrap();
            assert!(Ct2File::open(&path).is_err(), "{keep}");
        }
    }

    #[test]
    fn rows_have_a_factor_each_in_eight_bits() {
        let numbers = Tensor::new(&[[0.5f32, -1.0], [0.0, 0.0], [254.0, 1.0]], &Device::Cpu).unwrap();
        let (bytes, scales) = in_eight_bits(&numbers).unwrap();
        let numbers: Vec<i8> = bytes.iter().map(|b| i8::from_le_bytes([*b])).collect();
        // 63.5 and 0.5 go to the even neighbor.
        assert_eq!(numbers, [64, -127, 0, 0, 127, 0]);
        assert_eq!(scales, [127.0, 1.0, 0.5]);
    }
}
