//! A graph becomes a file, one tensor at a time.

use std::io::Write as _;
use std::path::Path;

use candle_core::DType;

use super::graph::{ElementType, Graph, Initializer, tensor_header};
use super::wire::WireMessage;
use crate::checkpoint::{tensor_bytes, write_with};
use crate::error::{Error, Result};
use crate::network::Weights;
use crate::task::Ticket;

/// Operator set of the graphs.
pub(super) const OPSET: i64 = 17;

/// A message of protocol buffers cannot be longer than 2 GiB. Weights of larger models lie in a file of their own.
const LARGEST_MESSAGE: u64 = (1 << 31) - (1 << 20);

/// Bytes at which a tensor of that file may begin, so that it can be mapped into memory.
const ALIGNMENT: u64 = 4096;

/// Version 8 of the file format, which knows operator set 17.
const IR_VERSION: i64 = 8;

/// Writes `graph` with the weights that `weights` hands out to `path`. Where the file would be too long for the format,
/// the weights go to a file beside it with `_data` behind its name.
pub(super) fn write(
    path: &Path,
    graph: Graph,
    weights: &dyn Weights,
    largest: Option<u64>,
    ticket: &Ticket,
) -> Result<()> {
    let (base, list) = graph.finish("pillars");
    let inline: u64 = list.iter().map(|w| field_length(5, tensor_length(w))).sum();
    ticket.stage("write weights", Some(list.len() as u64), "tensors");
    if base.as_bytes().len() as u64 + inline <= largest.unwrap_or(LARGEST_MESSAGE) {
        let (head, tail) = (model_head(base.as_bytes().len() as u64 + inline), model_tail());
        write_with(path, |file| {
            file.write_all(head.as_bytes())?;
            file.write_all(base.as_bytes())?;
            for weight in &list {
                let mut tensor = tensor_header(&weight.name, weight.stored, &weight.dims);
                tensor.announce(9, weight.bytes());
                let mut field = WireMessage::default();
                field.announce(5, tensor_length(weight));
                file.write_all(field.as_bytes())?;
                file.write_all(tensor.as_bytes())?;
                file.write_all(&data(weights, weight)?)?;
                ticket.advance(1)?;
            }
            file.write_all(tail.as_bytes())?;
            Ok(())
        })?;
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned() + "_data";
    let beside = path.with_file_name(&name);
    let mut tensors = Vec::with_capacity(list.len());
    let mut at = 0u64;
    write_with(&beside, |file| {
        for weight in &list {
            let begin = at.next_multiple_of(ALIGNMENT);
            file.write_all(&vec![0; usize::try_from(begin - at).unwrap_or(0)])?;
            file.write_all(&data(weights, weight)?)?;
            at = begin + weight.bytes();
            tensors.push(external(weight, &name, begin));
            ticket.advance(1)?;
        }
        Ok(())
    })?;
    let mut content = base;
    for tensor in &tensors {
        content.message(5, tensor);
    }
    let (head, tail) = (model_head(content.as_bytes().len() as u64), model_tail());
    write_with(path, |file| {
        for part in [&head, &content, &tail] {
            file.write_all(part.as_bytes())?;
        }
        Ok(())
    })
}

/// What stands before the graph of a `ModelProto`: version, producer, and the key and length of the graph.
fn model_head(graph: u64) -> WireMessage {
    let mut head = WireMessage::default();
    head.int(1, IR_VERSION).bytes(2, b"pillars").bytes(3, env!("CARGO_PKG_VERSION").as_bytes()).announce(7, graph);
    head
}

/// What stands behind it: the operator set.
fn model_tail() -> WireMessage {
    let mut set = WireMessage::default();
    set.bytes(1, b"").int(2, OPSET);
    let mut tail = WireMessage::default();
    tail.message(8, &set);
    tail
}

/// Bytes of its whole `TensorProto`.
fn tensor_length(weight: &Initializer) -> u64 {
    let header = tensor_header(&weight.name, weight.stored, &weight.dims).as_bytes().len() as u64;
    header + field_length(9, weight.bytes())
}

/// Bytes of a field with `length` bytes of content.
fn field_length(field: u32, length: u64) -> u64 {
    let mut key = WireMessage::default();
    key.announce(field, length);
    key.as_bytes().len() as u64 + length
}

/// A tensor whose bytes lie in the file `name` from `begin` on.
fn external(weight: &Initializer, name: &str, begin: u64) -> WireMessage {
    let mut tensor = tensor_header(&weight.name, weight.stored, &weight.dims);
    let length = weight.bytes();
    for (key, value) in [("location", name.to_owned()), ("offset", begin.to_string()), ("length", length.to_string())] {
        let mut entry = WireMessage::default();
        entry.bytes(1, key.as_bytes()).bytes(2, value.as_bytes());
        tensor.message(13, &entry);
    }
    tensor.int(14, 1);
    tensor
}

/// The elements of a weight as they are stored.
fn data(weights: &dyn Weights, weight: &Initializer) -> Result<Vec<u8>> {
    let mut tensor = weights.get(weight.role)?;
    if weight.transposed {
        tensor = tensor.t()?;
    }
    let dtype = if weight.stored == ElementType::Float16 { DType::F16 } else { DType::F32 };
    let bytes = tensor_bytes(&tensor.to_dtype(dtype)?.contiguous()?)?;
    if bytes.len() as u64 != weight.bytes() {
        return Err(Error::new(format!("'{}' came as {:?}, not {:?}", weight.role, tensor.dims(), weight.dims)));
    }
    Ok(bytes)
}
