//! Reads back what was written: nodes, constants and weights of a file, for the proof.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::wire::{Fields, WireField};
use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct Node {
    pub kind: String,
    pub inputs: Vec<String>,
    pub output: String,
    pub ints: HashMap<String, Vec<i64>>,
    pub floats: HashMap<String, f32>,
}

#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub nodes: Vec<Node>,
    /// Initializers: integers as i64, floats as f32 or f16.
    pub tensors: HashMap<String, Tensor>,
    pub outputs: Vec<String>,
}

impl Loaded {
    /// Reads the file at `path`, and the one beside it that it refers to.
    ///
    /// # Errors
    /// Where the file is none that [`write`](super::write) makes.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::from(e).at(path))?;
        let graph = Fields(&bytes).find_map(|field| match field {
            (7, WireField::Bytes(graph)) => Some(graph),
            _ => None,
        });
        let graph = graph.ok_or_else(|| Error::new("there is no graph in this file").at(path))?;
        let mut loaded = Self::default();
        for field in Fields(graph) {
            match field {
                (1, WireField::Bytes(node)) => loaded.nodes.push(self::node(node)),
                (5, WireField::Bytes(tensor)) => {
                    let (name, tensor) = self::tensor(tensor, path).map_err(|e| e.at(path))?;
                    loaded.tensors.insert(name, tensor);
                }
                (12, WireField::Bytes(port)) => loaded.outputs.extend(text_of(port, 1)),
                _ => {}
            }
        }
        Ok(loaded)
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

fn tensor(message: &[u8], path: &Path) -> Result<(String, Tensor)> {
    let (mut dims, mut element, mut name, mut data) = (Vec::new(), 0, String::new(), None);
    let (mut location, mut offset, mut length) = (None, 0u64, 0u64);
    for field in Fields(message) {
        match field {
            (1, WireField::Int(dim)) => dims.push(usize::try_from(dim).unwrap_or(usize::MAX)),
            (2, WireField::Int(code)) => element = code,
            (8, WireField::Bytes(bytes)) => name = text(bytes),
            (9, WireField::Bytes(bytes)) => data = Some(bytes.to_vec()),
            (13, WireField::Bytes(entry)) => {
                let value = text_of(entry, 2).unwrap_or_default();
                match text_of(entry, 1).as_deref() {
                    Some("location") => location = Some(value),
                    Some("offset") => offset = value.parse().unwrap_or(u64::MAX),
                    Some("length") => length = value.parse().unwrap_or(u64::MAX),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let data = match (data, location) {
        (Some(data), _) => data,
        (None, Some(location)) => external(&path.with_file_name(location), offset, length)?,
        (None, None) => Vec::new(),
    };
    let tensor = match element {
        1 => Tensor::from_raw_buffer(&data, DType::F32, &dims, &Device::Cpu)?,
        7 => Tensor::from_raw_buffer(&data, DType::I64, &dims, &Device::Cpu)?,
        10 => Tensor::from_raw_buffer(&data, DType::F16, &dims, &Device::Cpu)?,
        other => return Err(Error::new(format!("'{name}' has the element type {other}"))),
    };
    Ok((name, tensor))
}

fn external(path: &Path, offset: u64, length: u64) -> Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let place = |e: std::io::Error| Error::from(e).at(path);
    let mut file = fs::File::open(path).map_err(place)?;
    if offset.checked_add(length).is_none_or(|end| file.metadata().is_ok_and(|m| end > m.len())) {
        return Err(Error::new("the weights end before they should").at(path));
    }
    file.seek(SeekFrom::Start(offset)).map_err(place)?;
    let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact(&mut data).map_err(place)?;
    Ok(data)
}
