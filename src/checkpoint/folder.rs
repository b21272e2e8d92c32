//! Opening a checkpoint folder and reading tensors from it.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::header::{TensorEntry, read_header};
use super::no_checkpoint::{explain_file, explain_folder};
use super::pickle::read_pickle_header;
use super::regular::{open_file, read_text};
use super::{Config, GgufTensors, Stored};
use crate::error::{Error, Result};
use crate::words::{counted, hexadecimal};

/// Files that hold all weights, and those that list the files that do, in the order in which they are looked for.
const SINGLE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const INDEX: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];

/// What a header says of a tensor.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    pub stored: Stored,
    pub shape: Vec<usize>,
    /// Bytes in the type in which it is read: those in the file, but for quantized tensors.
    pub bytes: usize,
    begin: u64,
    shard: usize,
}

impl TensorInfo {
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|d| *d as u64).product()
    }
}

/// An opened folder: its configuration and the headers of its files. Weights are read on request.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    config: Config,
    shards: Vec<(PathBuf, Arc<File>)>,
    order: Vec<String>,
    tensors: HashMap<String, TensorInfo>,
    wrapper: String,
    repeated: Vec<String>,
    made: Option<Arc<GgufSource>>,
}

/// What a checkpoint that is no folder is read through.
#[derive(Debug)]
struct GgufSource {
    tensors: GgufTensors,
    /// Holds what stands beside the weights of a folder. It goes with the last that reads it.
    side: tempfile::TempDir,
}

/// What programs that wrap a model put before every name when they write its state as it is in memory: compilation, data
/// parallel training, adapters.
const WRAPPERS: [&str; 4] = ["_orig_mod.", "_fsdp_wrapped_module.", "module.", "base_model.model."];

/// The wrappers' prefix that all names share.
fn wrapper(names: &[String]) -> String {
    let mut prefix = String::new();
    while let Some(next) =
        WRAPPERS.iter().map(|w| format!("{prefix}{w}")).find(|w| names.iter().all(|n| n.starts_with(w)))
    {
        prefix = next;
    }
    prefix
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Checkpoint {
    /// Opens `folder`, reading `config.json` and every header but no weights.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            let hint = "give a folder that holds config.json and model.safetensors";
            return Err(explain_file(folder)
                .unwrap_or_else(|| Error::new("no such model folder").hint(hint))
                .at(folder));
        }
        if let Some(error) = shard_names(folder).err().and_then(|_| explain_folder(folder)) {
            return Err(error);
        }
        Self::open_with(folder, Config::read(&folder.join("config.json"))?)
    }

    /// Opens the weights in `folder` under a configuration that is not, or not yet, in it.
    pub fn open_with(folder: &Path, config: Config) -> Result<Self> {
        let mut shards = Vec::new();
        let mut order = Vec::new();
        let mut tensors = HashMap::new();
        let mut repeated = Vec::new();
        for name in shard_names(folder)? {
            let path = folder.join(&name);
            for TensorEntry { name, stored, shape, begin, bytes } in read_any_header(&path)? {
                let info = TensorInfo { stored, shape, bytes, begin, shard: shards.len() };
                // Of a tensor that is in two files transformers takes that of the last.
                match tensors.insert(name.clone(), info) {
                    Some(_) => repeated.push(name),
                    None => order.push(name),
                }
            }
            let file = open_file(&path).map_err(|e| Error::from(e).at(&path))?;
            shards.push((path, Arc::new(file)));
        }
        if order.is_empty() {
            return Err(Error::new("the checkpoint holds no tensors").at(folder));
        }
        let wrapper = wrapper(&order);
        if !wrapper.is_empty() {
            let bare = |name: String| name.strip_prefix(&wrapper).map_or(name.clone(), str::to_owned);
            order = order.into_iter().map(bare).collect();
            tensors = tensors.into_iter().map(|(name, info)| (bare(name), info)).collect();
        }
        Ok(Self { folder: folder.to_path_buf(), config, shards, order, tensors, wrapper, repeated, made: None })
    }

    /// The tensors of a GGUF file under `config`; `side` holds the files that would stand beside the weights of a folder.
    pub(crate) fn of_gguf(config: Config, made: GgufTensors, side: tempfile::TempDir) -> Result<Self> {
        let path = made.path().to_path_buf();
        let mut order: Vec<(u64, String)> = Vec::new();
        let mut tensors = HashMap::new();
        for name in made.names() {
            let (stored, shape, begin) = made.info(name)?;
            let bytes = shape.iter().try_fold(stored.bytes(), |n, d| n.checked_mul(*d));
            let bytes = bytes.ok_or_else(|| Error::new(format!("tensor '{name}' is too large")).at(&path))?;
            order.push((begin, name.clone()));
            tensors.insert(name.clone(), TensorInfo { stored, shape, bytes, begin, shard: 0 });
        }
        order.sort();
        let file = open_file(&path).map_err(|e| Error::from(e).at(&path))?;
        Ok(Self {
            folder: path.clone(),
            config,
            shards: vec![(path, Arc::new(file))],
            order: order.into_iter().map(|(_, name)| name).collect(),
            tensors,
            wrapper: String::new(),
            repeated: Vec::new(),
            made: Some(Arc::new(GgufSource { tensors: made, side })),
        })
    }

    /// What was opened: a folder, or a GGUF file.
    pub fn place(&self) -> &Path {
        &self.folder
    }

    /// The folder of the files that go with the weights: tokenizer, preprocessor, card.
    pub fn folder(&self) -> &Path {
        self.made.as_ref().map_or(&self.folder, |made| made.side.path())
    }

    /// The configuration, as `config.json` has it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the files put before every name because the model was wrapped when it was written; names here are without it.
    pub fn wrapper(&self) -> Option<&str> {
        Some(self.wrapper.as_str()).filter(|wrapper| !wrapper.is_empty())
    }

    /// Tensors that are in more than one file; that of the last file is read.
    pub fn repeated(&self) -> &[String] {
        &self.repeated
    }

    /// Names of all tensors in the order of the files.
    pub fn names(&self) -> &[String] {
        &self.order
    }

    /// Files that hold weights.
    pub fn weight_files(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|(path, _)| path.as_path())
    }

    /// What the header says of a tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// Bytes that all tensors together take in the files: of quantized ones in their blocks.
    pub fn bytes(&self) -> u64 {
        self.order.iter().map(|name| self.bytes_in_file(name)).sum()
    }

    /// Bytes that a tensor takes in its file, fewer than [`TensorInfo::bytes`] where it is quantized; 0 where it is not there.
    pub fn bytes_in_file(&self, name: &str) -> u64 {
        let read = self.tensors.get(name).map_or(0, |info| info.bytes as u64);
        self.made.as_ref().and_then(|made| made.tensors.bytes_in_file(name).ok()).unwrap_or(read)
    }

    /// The name of the blocks in which a tensor is quantized in its file, `Q4_1`; `None` where its numbers stand as they are.
    pub fn block_name(&self, name: &str) -> Option<&'static str> {
        self.made.as_ref().and_then(|made| made.tensors.block_name(name))
    }

    /// Bytes of all tensors together in the types in which they are read.
    pub fn read_bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.bytes as u64).sum()
    }

    /// The raw bytes of a tensor.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let info = self.required(name)?;
        self.read_range(name, 0, info.bytes)
    }

    /// `length` raw bytes of a tensor from byte `from`.
    pub fn read_range(&self, name: &str, from: usize, length: usize) -> Result<Vec<u8>> {
        // The length is checked before memory is asked for.
        self.within(name, from, length)?;
        let mut bytes = vec![0u8; length];
        self.read_into(name, from, &mut bytes)?;
        Ok(bytes)
    }

    /// The file that holds a tensor.
    pub(super) fn file_of(&self, name: &str) -> Result<&Path> {
        let shard = self.shards.get(self.required(name)?.shard);
        shard.map(|(path, _)| path.as_path()).ok_or_else(|| Error::new("a file of the checkpoint is missing"))
    }

    /// Fills `bytes` with those of a tensor from byte `from` on.
    pub(super) fn read_into(&self, name: &str, from: usize, bytes: &mut [u8]) -> Result<()> {
        let info = self.within(name, from, bytes.len())?;
        let (path, file) =
            self.shards.get(info.shard).ok_or_else(|| Error::new("a file of the checkpoint is missing"))?;
        if let Some(made) = &self.made {
            return made.tensors.read_into(name, from, bytes).map_err(|e| e.at(path));
        }
        // Read at a position instead of mapping: a file that shrinks under us is an error here, not a crash.
        read_exact_at(file, bytes, info.begin + from as u64)
            .map_err(|e| Error::new(format!("cannot read tensor '{name}': {e}")).at(path))
    }

    /// The tensor, where it has `length` bytes from byte `from`; its place was checked against the file when it was
    /// opened.
    fn within(&self, name: &str, from: usize, length: usize) -> Result<&TensorInfo> {
        let info = self.required(name)?;
        let end = from.saturating_add(length);
        if end > info.bytes {
            return Err(Error::new(format!("tensor '{name}' has {} bytes, {end} were asked for", info.bytes)));
        }
        Ok(info)
    }

    /// A tensor in the type and place wanted; floats convert, integers keep their type.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let info = self.required(name)?;
        let raw = Tensor::from_raw_buffer(&self.read(name)?, info.stored.dtype(), &info.shape, &Device::Cpu)?;
        let converted = if raw.dtype().is_float() { raw.to_dtype(dtype)? } else { raw };
        Ok(converted.to_device(device)?)
    }

    /// A short name of this checkpoint's contents: a hash of the configuration, the headers and a sample of every
    /// tensor's bytes, so that it is quick for any size yet moves when weights are trained.
    pub fn fingerprint(&self) -> Result<String> {
        const SAMPLE: usize = 4096;
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(self.config.value())?);
        for name in &self.order {
            let info = self.required(name)?;
            hash.update(name.as_bytes());
            hash.update(info.stored.name().as_bytes());
            for d in &info.shape {
                hash.update(d.to_le_bytes());
            }
            let length = info.bytes.min(SAMPLE);
            hash.update(self.read_range(name, (info.bytes - length) / 2, length)?);
        }
        Ok(hexadecimal(hash.finalize().iter().take(8)))
    }

    /// [`Checkpoint::info`] of a tensor that has to be there.
    ///
    /// # Errors
    /// Where the checkpoint has no such tensor.
    pub fn required(&self, name: &str) -> Result<&TensorInfo> {
        self.tensors
            .get(name)
            .ok_or_else(|| Error::new(format!("the checkpoint has no tensor '{name}'")).at(self.place()))
    }
}

/// The header of a file of either kind.
fn read_any_header(path: &Path) -> Result<Vec<TensorEntry>> {
    match path.extension().is_some_and(|extension| extension == "bin") {
        true => read_pickle_header(path),
        false => read_header(path),
    }
}

/// What of the weights is not in `folder`; none where they are all there.
pub(crate) fn missing_weights(folder: &Path) -> Option<String> {
    let error = shard_names(folder).err()?;
    Some(match error.path().filter(|path| !path.exists()).and_then(Path::file_name) {
        Some(name) => format!("{} is not there", name.to_string_lossy()),
        None if error.path() == Some(folder) => "its weights are not there".to_owned(),
        None => error.to_string(),
    })
}

/// File names of the weights, each inside the folder, or in folders that are in it.
fn shard_names(folder: &Path) -> Result<Vec<String>> {
    let mut index_path = None;
    for (single, index) in SINGLE.into_iter().zip(INDEX) {
        if folder.join(single).is_file() {
            return Ok(vec![single.to_owned()]);
        }
        let path = folder.join(index);
        if path.is_file() {
            index_path = Some(path);
            break;
        }
    }
    let Some(index_path) = index_path else {
        if let Some(error) = SINGLE.into_iter().chain(INDEX).find_map(|name| amiss(&folder.join(name))) {
            return Err(error);
        }
        if let Some((count, index)) = unlisted_shards(folder) {
            let what =
                format!("the weights lie in {}, and {index}, which lists them, is not there", counted(count, "files"));
            return Err(Error::new(what).at(folder).hint("download it too, or save the model again with transformers"));
        }
        let what = format!("neither {}, {} nor their indices are there", SINGLE[0], SINGLE[1]);
        return Err(Error::new(what).at(folder).hint("give a folder in Hugging Face layout"));
    };
    let text = read_text(&index_path).map_err(|e| Error::from(e).at(&index_path))?;
    let index: Index = serde_json::from_str(&text).map_err(|e| Error::from(e).at(&index_path))?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    for name in &names {
        use std::path::Component;
        let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        let parts = || Path::new(name).components();
        if !parts().all(is_inside) || !parts().any(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::new(format!("the index names '{name}', which leads out of the folder")).at(&index_path));
        }
        let path = folder.join(name);
        if !path.is_file() {
            let missing = || Error::new("a file that the index names is missing").at(&path).hint("download it again");
            return Err(amiss(&path).unwrap_or_else(missing));
        }
    }
    Ok(names)
}

/// What is wrong with something that is there and cannot be read as a file.
fn amiss(path: &Path) -> Option<Error> {
    let is_link = path.symlink_metadata().ok()?.is_symlink();
    let what = match path.metadata() {
        Ok(found) if found.is_dir() => "this is a folder, not a file",
        Ok(_) => "this is not a regular file",
        Err(_) if is_link => "this is a link that leads to no file",
        Err(error) => return Some(Error::from(error).at(path)),
    };
    Some(Error::new(what).at(path).hint("put the file itself there, or download it again"))
}

/// How many files are parts of weights by their names, `model-00001-of-00002.safetensors`, and the index that would list them.
fn unlisted_shards(folder: &Path) -> Option<(usize, &'static str)> {
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    SINGLE.into_iter().zip(INDEX).find_map(|(single, index)| {
        let (stem, ending) = single.rsplit_once('.')?;
        let is_part = |name: &&String| {
            let inside = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending)?.strip_suffix('.'));
            inside.is_some_and(|part| part.starts_with('-') && part.contains("-of-"))
        };
        let count = names.iter().filter(is_part).count();
        (count > 0).then_some((count, index))
    })
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], from: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, from)
}

#[cfg(windows)]
fn read_exact_at(file: &File, bytes: &mut [u8], from: u64) -> std::io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|r| !r.is_empty()) {
        match std::os::windows::fs::FileExt::seek_read(file, rest, from + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}
