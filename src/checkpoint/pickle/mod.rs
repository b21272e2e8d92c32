//! Checkpoints as `torch.save` writes them: a zip archive with a pickle that names tensors and an entry for the bytes of
//! each storage.
//!
//! The pickle is read by a machine that executes nothing. An entry that is no tensor, or a tensor that does not lie in one
//! piece, is an error: nothing is passed over in silence. Tensors are then read where they lie, as those of safetensors.

mod machine;
mod zip;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use self::machine::{Id, Machine, Object};
use self::zip::ZipEntry;
use super::{Stored, TensorEntry, lfs_pointer};
use crate::checkpoint::open_file;
use crate::error::{Error, Result};

/// Longest pickle: some thousand tensors take some hundred kilobytes.
const LONGEST: u64 = 1 << 28;

/// What to do about a file that is not read.
const HINT: &str = "convert the model to safetensors (save_pretrained does)";

/// Under which keys programs keep the tensors of a model beside other things.
const STATES: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// Reads what `path` says of its tensors and checks it against its length; no weights are read.
///
/// # Errors
/// Where the file is broken, of a release before 1.6, or holds something else than tensors that lie in one piece.
pub(super) fn read_pickle_header(path: &Path) -> Result<Vec<TensorEntry>> {
    read(path).map_err(|e| lfs_pointer(path).unwrap_or(e).at(path))
}

fn read(path: &Path) -> Result<Vec<TensorEntry>> {
    let mut file = open_file(path)?;
    let mut beginning = [0u8; 4];
    let is_zip = file.read_exact(&mut beginning).is_ok() && beginning == *b"PK\x03\x04";
    if !is_zip {
        let what = "not an archive as PyTorch writes it since release 1.6";
        return Err(Error::new(what).hint("open it in PyTorch and save it again, or convert it to safetensors"));
    }
    let entries = zip::entries(&mut file)?;
    let pickle = entries.iter().find(|e| e.name == "data.pkl" || e.name.ends_with("/data.pkl"));
    let pickle = pickle.ok_or_else(|| Error::new("the archive holds no 'data.pkl'").hint(HINT))?;
    if pickle.bytes > LONGEST {
        return Err(Error::new(format!("its pickle has {} bytes, which no checkpoint needs", pickle.bytes)).hint(HINT));
    }
    let folder = pickle.name.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = entries.iter().find(|e| e.name == format!("{folder}byteorder"))
        && bytes_of(&mut file, order, 16)? != b"little"
    {
        return Err(Error::new("its numbers are big-endian").hint(HINT));
    }
    let bytes = bytes_of(&mut file, pickle, LONGEST)?;
    let mut machine = Machine::default();
    let root = machine.read(&bytes)?;
    let state = state(&machine, root)?;
    let reader = PickledTensors { machine: &machine, entries: &entries, folder };
    let mut tensors = Vec::with_capacity(state.len());
    for (key, value) in state {
        let Object::Text(name) = machine.get(*key) else {
            return Err(Error::new("an entry has no name").hint(HINT));
        };
        let (stored, shape, begin, count) =
            reader.tensor(*value, 0).map_err(|what| Error::new(format!("the entry '{name}' {what}")).hint(HINT))?;
        tensors.push(TensorEntry { name: name.clone(), stored, shape, begin, bytes: count });
    }
    Ok(tensors)
}

/// The bytes of an entry whose place was checked, at most `most`.
fn bytes_of(file: &mut File, entry: &ZipEntry, most: u64) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(entry.begin))?;
    let mut bytes = Vec::new();
    file.take(entry.bytes.min(most)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The dictionary that holds the tensors: the whole, or one of its entries.
fn state(machine: &Machine, root: Id) -> Result<&[(Id, Id)]> {
    let Object::Dict(entries) = machine.get(root) else {
        return Err(Error::new("the pickle is no dictionary of tensors").hint(HINT));
    };
    let inner = entries.iter().find_map(|(key, value)| match (machine.get(*key), machine.get(*value)) {
        (Object::Text(key), Object::Dict(inner)) if STATES.contains(&key.as_str()) => Some(inner),
        _ => None,
    });
    Ok(inner.unwrap_or(entries))
}

struct PickledTensors<'a> {
    machine: &'a Machine,
    entries: &'a [ZipEntry],
    /// What names in the archive begin with.
    folder: &'a str,
}

/// Element type, shape, first byte in the file and number of bytes.
type TensorPlace = (Stored, Vec<usize>, u64, usize);

impl PickledTensors<'_> {
    /// A tensor, behind whatever wraps it; else what is wrong, as the end of a sentence.
    fn tensor(&self, id: Id, depth: usize) -> Result<TensorPlace, String> {
        let none = || "is no tensor".to_owned();
        let Object::Call(callable, arguments) = self.machine.get(id) else { return Err(none()) };
        let (Object::Global(module, name), Object::Tuple(arguments)) =
            (self.machine.get(*callable), self.machine.get(*arguments))
        else {
            return Err(none());
        };
        let inner = arguments.first().copied().filter(|_| depth < 4);
        match (module.as_str(), name.as_str()) {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => self.rebuilt(arguments),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                self.tensor(inner.ok_or_else(none)?, depth + 1)
            }
            ("torch._tensor", "_rebuild_from_type_v2") => {
                // The function and its arguments stand for themselves here.
                match (inner.map(|id| self.machine.get(id)), arguments.get(2).map(|id| self.machine.get(*id))) {
                    (Some(Object::Global(module, name)), Some(Object::Tuple(arguments)))
                        if module == "torch._utils" && name.starts_with("_rebuild_tensor") =>
                    {
                        self.rebuilt(arguments)
                    }
                    _ => Err(none()),
                }
            }
            _ => Err(format!("is made by {module}.{name}, which is not known")),
        }
    }

    /// A tensor from the arguments storage, offset, size, stride.
    fn rebuilt(&self, arguments: &[Id]) -> Result<TensorPlace, String> {
        let broken = || "is described in a way that is not known".to_owned();
        let [storage, offset, size, stride, ..] = arguments else { return Err(broken()) };
        let number = |id: &Id| match self.machine.get(*id) {
            Object::Int(number) => u64::try_from(*number).map_err(|_| broken()),
            _ => Err(broken()),
        };
        let numbers = |id: &Id| match self.machine.get(*id) {
            Object::Tuple(items) | Object::List(items) => items.iter().map(number).collect::<Result<Vec<u64>, _>>(),
            _ => Err(broken()),
        };
        let (offset, shape, strides) = (number(offset)?, numbers(size)?, numbers(stride)?);
        let Object::Outside(storage) = self.machine.get(*storage) else { return Err(broken()) };
        let Object::Tuple(storage) = self.machine.get(*storage) else { return Err(broken()) };
        let [_, kind, key, ..] = storage.as_slice() else { return Err(broken()) };
        let (Object::Global(_, kind), Object::Text(key)) = (self.machine.get(*kind), self.machine.get(*key)) else {
            return Err(broken());
        };
        let stored = stored(kind).ok_or_else(|| format!("is stored as {kind}, which is not known"))?;
        if shape.len() != strides.len() || !is_contiguous(&shape, &strides) {
            return Err("is a transposed or strided view, which does not lie in one piece".to_owned());
        }
        let entry = self.entries.iter().find(|entry| entry.name == format!("{}data/{key}", self.folder));
        let entry = entry.ok_or_else(|| format!("is stored under '{key}', which the archive does not hold"))?;
        let width = stored.bytes() as u64;
        let bytes = shape.iter().try_fold(width, |n, d| n.checked_mul(*d));
        let from = offset.checked_mul(width);
        let end = bytes.zip(from).and_then(|(bytes, from)| bytes.checked_add(from));
        let (Some(bytes), Some(from), Some(end)) = (bytes, from, end) else { return Err(broken()) };
        if end > entry.bytes {
            return Err(format!("claims {end} bytes of a storage of {}", entry.bytes));
        }
        let size = |n: u64| usize::try_from(n).map_err(|_| broken());
        Ok((stored, shape.into_iter().map(size).collect::<Result<_, _>>()?, entry.begin + from, size(bytes)?))
    }
}

/// The element type of a storage class.
fn stored(class: &str) -> Option<Stored> {
    Some(match class {
        "FloatStorage" => Stored::F32,
        "DoubleStorage" => Stored::F64,
        "HalfStorage" => Stored::F16,
        "BFloat16Storage" => Stored::BF16,
        "LongStorage" => Stored::I64,
        "IntStorage" => Stored::I32,
        "ShortStorage" => Stored::I16,
        "CharStorage" => Stored::I8,
        "ByteStorage" => Stored::U8,
        "BoolStorage" => Stored::Bool,
        _ => return None,
    })
}

/// Whether numbers follow each other row by row; axes of one, and tensors of nothing, have any stride.
fn is_contiguous(shape: &[u64], strides: &[u64]) -> bool {
    let mut expected = 1u64;
    shape.contains(&0)
        || shape.iter().zip(strides).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == expected;
            expected = expected.saturating_mul(*size);
            fits
        })
}
