//! Reads back what was written: nodes, constants and weights of a file, for the proof.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::wire::{Fields, WireField};
use crate::checkpoint::open_file;
use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct Node {
    pub kind: String,
    pub inputs: Vec<String>,
    pub output: String,
    pub ints: HashMap<String, Vec<i64>>,
    pub floats: HashMap<String, f32>,
}

/// A graph whose initializers stay in the file until they are asked for.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub nodes: Vec<Node>,
    tensors: HashMap<String, OnnxTensor>,
    pub outputs: Vec<String>,
}

/// An initializer: where its bytes lie, or what they are where they are few.
#[derive(Debug)]
struct OnnxTensor {
    dims: Vec<usize>,
    element: u64,
    place: PathBuf,
    offset: u64,
    length: u64,
}

impl Loaded {
    /// Reads the file at `path` and finds its initializers, in it or in the file beside it that it refers to.
    ///
    /// # Errors
    /// Where the file is none that [`write`](super::write) makes.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let place = |e: Error| e.at(path);
        let file = open_file(path).map_err(|e| place(e.into()))?;
        let end = file.metadata().map_err(|e| place(e.into()))?.len();
        let mut reader = FieldReader { file: BufReader::new(file), at: 0 };
        let mut loaded = Self::default();
        let mut found = false;
        while reader.at < end {
            match reader.next(end).map_err(place)? {
                (7, Some(length)) => {
                    found = true;
                    loaded.graph(&mut reader, length, path).map_err(place)?;
                }
                (_, Some(length)) => reader.skip(length).map_err(place)?,
                _ => {}
            }
        }
        if found { Ok(loaded) } else { Err(place(Error::new("there is no graph in this file"))) }
    }

    fn graph(&mut self, reader: &mut FieldReader, length: u64, path: &Path) -> Result<()> {
        let end = reader.at + length;
        while reader.at < end {
            match reader.next(end)? {
                (1, Some(length)) => self.nodes.push(node(&reader.bytes(length)?)),
                (5, Some(length)) => {
                    let (name, initial) = initial(reader, length, path)?;
                    self.tensors.insert(name, initial);
                }
                (12, Some(length)) => self.outputs.extend(text_of(&reader.bytes(length)?, 1)),
                (_, Some(length)) => reader.skip(length)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The initializer called `name`, where there is one: integers as i64, floats as f32 or f16.
    ///
    /// # Errors
    /// Where its bytes are not what they should be.
    pub(super) fn tensor(&self, name: &str) -> Option<Result<Tensor>> {
        self.tensors.get(name).map(|initial| initial.read().map_err(|e| e.within(name)))
    }
}

impl OnnxTensor {
    fn read(&self) -> Result<Tensor> {
        let place = |e: std::io::Error| Error::from(e).at(&self.place);
        let mut file = open_file(&self.place).map_err(place)?;
        let held = file.metadata().map_err(place)?.len();
        if self.offset.checked_add(self.length).is_none_or(|end| end > held) {
            return Err(Error::new("the weights end before they should").at(&self.place));
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(place)?;
        let mut data = Vec::new();
        file.take(self.length).read_to_end(&mut data).map_err(place)?;
        let dtype = match self.element {
            1 => DType::F32,
            7 => DType::I64,
            10 => DType::F16,
            other => return Err(Error::new(format!("it has the element type {other}"))),
        };
        let bytes = self.dims.iter().try_fold(dtype.size_in_bytes(), |bytes, dim| bytes.checked_mul(*dim));
        if bytes != Some(data.len()) {
            return Err(Error::new(format!("it has {} bytes for {:?}", data.len(), self.dims)));
        }
        Ok(Tensor::from_raw_buffer(&data, dtype, &self.dims, &Device::Cpu)?)
    }
}

/// Reads the fields of a file one after the other.
struct FieldReader {
    file: BufReader<File>,
    at: u64,
}

impl FieldReader {
    /// The number of the next field of a message that ends at `end`, and its length; none where it is a number, which is
    /// passed over.
    fn next(&mut self, end: u64) -> Result<(u32, Option<u64>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).unwrap_or(u32::MAX);
        let length = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            5 => {
                self.skip(4)?;
                None
            }
            2 => Some(self.varint()?),
            _ => return Err(Error::new("this is no such file")),
        };
        if length.is_some_and(|length| self.at.checked_add(length).is_none_or(|past| past > end)) {
            return Err(Error::new("the file ends before it should"));
        }
        Ok((number, length))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.file.read_exact(&mut byte)?;
            self.at += 1;
            let [byte] = byte;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::new("this is no such file"))
    }

    /// So many bytes, of which [`FieldReader::next`] said that they are there.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.by_ref().take(length).read_to_end(&mut bytes)?;
        self.at += length;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<()> {
        self.file.seek_relative(i64::try_from(length).unwrap_or(i64::MAX))?;
        self.at += length;
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn text_of(message: &[u8], number: u32) -> Option<String> {
    Fields(message).find_map(|field| match field {
        (found, WireField::Bytes(bytes)) if found == number => Some(text(bytes)),
        _ => None,
    })
}

fn node(message: &[u8]) -> Node {
    let mut node = Node::default();
    for field in Fields(message) {
        match field {
            (1, WireField::Bytes(name)) => node.inputs.push(text(name)),
            (2, WireField::Bytes(name)) => node.output = text(name),
            (4, WireField::Bytes(kind)) => node.kind = text(kind),
            (5, WireField::Bytes(attribute)) => {
                let name = text_of(attribute, 1).unwrap_or_default();
                for field in Fields(attribute) {
                    match field {
                        (3 | 8, WireField::Int(value)) => {
                            node.ints.entry(name.clone()).or_default().push(value.cast_signed());
                        }
                        (2, WireField::Float(value)) => {
                            node.floats.insert(name.clone(), value);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    node
}

/// An initializer and its name, from a message of `length` bytes of the file at `path`.
fn initial(reader: &mut FieldReader, length: u64, path: &Path) -> Result<(String, OnnxTensor)> {
    let end = reader.at + length;
    let mut name = String::new();
    let mut found = OnnxTensor { dims: Vec::new(), element: 0, place: path.to_owned(), offset: 0, length: 0 };
    while reader.at < end {
        let begin = reader.at;
        match reader.next(end)? {
            (9, Some(length)) => {
                (found.offset, found.length) = (reader.at, length);
                reader.skip(length)?;
            }
            (number, length) => {
                // What is no data is short: it is read again as a message of one field.
                let past = reader.at + length.unwrap_or(0);
                reader.file.seek_relative(-i64::try_from(reader.at - begin).unwrap_or(0))?;
                reader.at = begin;
                let bytes = reader.bytes(past - begin)?;
                match (number, Fields(&bytes).next().map(|(_, field)| field)) {
                    (1, Some(WireField::Int(dim))) => found.dims.push(usize::try_from(dim).unwrap_or(usize::MAX)),
                    (2, Some(WireField::Int(code))) => found.element = code,
                    (8, Some(WireField::Bytes(bytes))) => name = text(bytes),
                    (13, Some(WireField::Bytes(entry))) => {
                        let value = text_of(entry, 2).unwrap_or_default();
                        match text_of(entry, 1).as_deref() {
                            Some("location") => found.place = path.with_file_name(beside(&value)?),
                            Some("offset") => found.offset = value.parse().unwrap_or(u64::MAX),
                            Some("length") => found.length = value.parse().unwrap_or(u64::MAX),
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok((name, found))
}

/// A name of a file beside another, which leads nowhere else.
fn beside(name: &str) -> Result<&str> {
    match Path::new(name).components().collect::<Vec<_>>().as_slice() {
        [Component::Normal(_)] => Ok(name),
        _ => Err(Error::new(format!("'{name}' is no file beside this one"))),
    }
}
