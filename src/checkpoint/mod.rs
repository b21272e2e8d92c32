//! Folders in Hugging Face layout: `config.json` and safetensors, single or sharded.
//!
//! A checkpoint from somewhere else is data. Headers are read first and every size is checked against the
//! file before memory is asked for; nothing is executed; no name leads out of the folder.

mod config;
mod floats;
mod folder;
mod header;
mod write;

pub use config::Config;
pub use folder::{Checkpoint, TensorInfo};
pub use header::{Entry, Stored, read_header};
pub use write::{Content, FolderWriter, TensorPlan, tensor_bytes, write_atomically, write_safetensors};
