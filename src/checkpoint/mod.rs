//! Folders in Hugging Face layout: `config.json` and safetensors, or what `torch.save` wrote, single or sharded.
//!
//! A checkpoint from somewhere else is data. Headers are read first and every size is checked against the
//! file before memory is asked for; nothing is executed; no name leads out of the folder.

mod config;
mod floats;
mod folder;
mod folder_writer;
mod foreign;
mod gguf;
mod gguf_file;
mod gguf_names;
mod gguf_tensors;
mod header;
mod hidden;
mod lock;
mod no_checkpoint;
mod out_file;
pub(crate) mod path_text;
mod pickle;
mod piece_merges;
mod record_file;
mod regular;
mod snapshot;
mod tensor_file;
mod unique_keys;
mod work_folder;
mod write;

use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

pub use config::Config;
pub(crate) use folder::missing_weights;
pub use folder::{Checkpoint, TensorInfo};
pub use folder_writer::FolderWriter;
pub use gguf::{GgufTensor, write_gguf};
pub use gguf_file::GgufFile;
pub(crate) use gguf_file::is_gguf;
pub(crate) use gguf_names::{GPT2, SPLITS, WHOLE_WORDS, block_name, token_type};
pub(crate) use gguf_tensors::{GgufPart, GgufTensors};
pub use header::{Stored, TensorEntry, lfs_pointer, read_header};
pub(crate) use hidden::copy_file;
pub use lock::Lock;
pub use out_file::{FileKind, MARKER, OutFile, real_path};
pub(crate) use piece_merges::piece_merges;
pub use record_file::RecordFile;
pub(crate) use regular::{open_file, read_file, read_text};
pub(crate) use snapshot::{MODELS, Snapshot, model_name};
pub use tensor_file::TensorFile;
pub(crate) use tensor_file::free_bytes;
pub(crate) use unique_keys::{UniqueKeys, twice};
pub use work_folder::{Taking, WorkFolder};
pub(crate) use write::write_with;
pub use write::{Content, TensorPlan, safetensors_header, tensor_bytes, write_atomically, write_safetensors};

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why nothing could be made at `path`, in words that name what the user named and not what is hidden beside it.
fn cannot_make(error: std::io::Error, path: &Path) -> Error {
    let above = folder_of(path);
    let there = above.ancestors().find(|folder| folder.exists()).unwrap_or(above);
    let no_place = "make it, or choose another place";
    let elsewhere = "choose another place";
    let (why, place, hint) = match error.kind() {
        ErrorKind::NotFound if !above.exists() => ("the folder does not exist", above, no_place),
        // Folders of the system answer that nothing is there when something is to be made in them.
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            ("the folder cannot be written", there, elsewhere)
        }
        ErrorKind::NotADirectory => ("what is above is a file, not a folder", there, elsewhere),
        ErrorKind::AlreadyExists => ("a file is there", path, elsewhere),
        kind => {
            let is_full = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            let hint = if is_full { crate::error::MAKE_ROOM } else { "the folder above must exist and be writable" };
            // The temporary file's own name follows the words.
            let words = error.to_string().split(" at path ").next().unwrap_or_default().to_owned();
            return Error::new(words).caused_by(error).at(path).hint(hint);
        }
    };
    Error::new(why).caused_by(error).at(place).hint(hint)
}

/// Makes the folder `path`, and what is missing above it.
pub(crate) fn make_folders(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| cannot_make(error, path))
}

/// Makes the folder `path` in one that is there.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir(path).map_err(|error| cannot_make(error, path))
}
