//! Safetensors files of this program's own: tensors, and one JSON record that says what they are.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::header::{TensorEntry, read_header_with_metadata};
use super::regular::open_file;
use super::write::write_safetensors_with;
use super::{FileKind, MARKER, Stored, TensorPlan, tensor_bytes};
use crate::error::{Error, Result};

/// Keys of `__metadata__`, beside [`MARKER`].
const VERSION: &str = "version";
const RECORD: &str = "record";

/// An opened file: its record was read, its tensors are read on request.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    entries: HashMap<String, TensorEntry>,
    texts: HashMap<String, String>,
}

impl RecordFile {
    /// Opens `path`, which must hold a file of `format` that is no newer than `version`; `noun` is what a message
    /// calls it, with its article.
    ///
    /// # Errors
    ///
    /// The file is missing or broken, of another format, or newer.
    pub fn open(path: &Path, format: &str, version: u64, noun: &str) -> Result<Self> {
        let (entries, texts) = read_header_with_metadata(path).map_err(|error| match FileKind::document_at(path) {
            Some(found) => Error::new(format!("this is {found}, not {noun}")).at(path),
            None => error,
        })?;
        let place = |error: Error| Err(error.at(path));
        match texts.get(MARKER) {
            Some(found) if found == format => {}
            _ => return place(Error::new(format!("this file does not hold {noun}"))),
        }
        match texts.get(VERSION).and_then(|v| v.parse::<u64>().ok()) {
            Some(found) if (1..=version).contains(&found) => {}
            _ => {
                return place(
                    Error::new(format!("this is {noun} of a version that this release does not know"))
                        .hint("open it with the release of pillars that wrote it"),
                );
            }
        }
        let entries = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        Ok(Self { path: path.to_path_buf(), entries, texts })
    }

    /// What the file says of itself.
    pub fn record<T: DeserializeOwned>(&self) -> Result<T> {
        let text = self.texts.get(RECORD).map_or("", String::as_str);
        serde_json::from_str(text).map_err(|e| Error::new(format!("its record cannot be read: {e}")).at(&self.path))
    }

    /// Whether it holds a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// A tensor of floats, on the processor as `dtype`.
    ///
    /// # Errors
    ///
    /// It is not there, has another shape than `shape`, or holds no floats, or what is no number.
    pub fn tensor(&self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        self.read(name, Some(shape), dtype).map_err(|e| e.at(&self.path))
    }

    /// [`RecordFile::tensor`] of any shape.
    pub fn any_tensor(&self, name: &str, dtype: DType) -> Result<Tensor> {
        self.read(name, None, dtype).map_err(|e| e.at(&self.path))
    }

    fn read(&self, name: &str, shape: Option<&[usize]>, dtype: DType) -> Result<Tensor> {
        let entry = self.entries.get(name).ok_or_else(|| Error::new(format!("'{name}' is missing")))?;
        let shape = shape.unwrap_or(&entry.shape);
        if entry.shape != shape || !entry.stored.dtype().is_float() {
            return Err(Error::new(format!("'{name}' is {:?}, not {shape:?} floats", entry.shape)));
        }
        let mut file = open_file(&self.path)?;
        file.seek(SeekFrom::Start(entry.begin))?;
        // The header was checked against the length of the file before memory is asked for.
        let mut bytes = vec![0u8; entry.bytes];
        file.read_exact(&mut bytes)?;
        let tensor = Tensor::from_raw_buffer(&bytes, entry.stored.dtype(), shape, &Device::Cpu)?.to_dtype(dtype)?;
        // What is no number leaves no 0, and whatever is computed with it is none either.
        if tensor.elem_count() > 0 && (&tensor * 0.0)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()? != 0.0 {
            return Err(Error::new(format!("'{name}' is damaged: it holds what is no number")));
        }
        Ok(tensor)
    }

    /// Writes `tensors` and what `record` says of them; readers of `path` see the old file or all of the new.
    pub fn write(
        path: &Path,
        format: &str,
        version: u64,
        record: &impl Serialize,
        tensors: &[(String, Tensor)],
    ) -> Result<()> {
        let metadata = BTreeMap::from([
            (MARKER, format.to_owned()),
            (VERSION, version.to_string()),
            (RECORD, serde_json::to_string(record)?),
        ]);
        let plan = |(name, tensor): &(String, Tensor)| {
            let stored = Stored::of(tensor.dtype());
            let stored = stored.ok_or_else(|| Error::new(format!("'{name}' has a type that is not written")))?;
            Ok(TensorPlan { name: name.clone(), stored, shape: tensor.dims().to_vec() })
        };
        let plans = tensors.iter().map(plan).collect::<Result<Vec<_>>>()?;
        let mut next = tensors.iter();
        write_safetensors_with(path, &metadata, &plans, |_| match next.next() {
            Some((_, tensor)) => tensor_bytes(tensor),
            None => unreachable!("one plan was made of each tensor"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_and_their_record_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let x = Tensor::new(&[[1.5f64, -2.0]], &Device::Cpu).unwrap();
        let tensors = vec![("x".to_owned(), x), ("y".to_owned(), Tensor::new(&[3f32], &Device::Cpu).unwrap())];
        RecordFile::write(&path, "ours", 2, &("note", 7), &tensors).unwrap();
        let file = RecordFile::open(&path, "ours", 2, "note").unwrap();
        assert_eq!(file.record::<(String, u64)>().unwrap(), ("note".to_owned(), 7));
        let x = file.tensor("x", &[1, 2], DType::F64).unwrap();
        assert_eq!(x.to_vec2::<f64>().unwrap(), [[1.5, -2.0]]);
        assert_eq!(file.tensor("y", &[1], DType::F64).unwrap().to_vec1::<f64>().unwrap(), [3.0]);
        assert!(file.has("y") && !file.has("z"));
        let broken = [f32::NAN, f32::INFINITY].map(|x| Tensor::new(&[1.0, x], &Device::Cpu).unwrap());
        for tensor in broken {
            RecordFile::write(&path, "ours", 2, &(), &[("x".to_owned(), tensor)]).unwrap();
            let error = RecordFile::open(&path, "ours", 2, "note").unwrap().tensor("x", &[2], DType::F32).unwrap_err();
            assert!(error.to_string().contains("'x' is damaged") && error.to_string().contains("a.safetensors"));
        }
        for (name, shape) in [("x", &[2, 1][..]), ("z", &[1])] {
            assert!(file.tensor(name, shape, DType::F64).is_err());
        }
        for (format, version) in [("theirs", 2), ("ours", 1)] {
            assert!(RecordFile::open(&path, format, version, "note").is_err(), "{format} {version}");
        }
    }
}
