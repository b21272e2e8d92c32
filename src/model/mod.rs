//! From a checkpoint folder to a network: a family turns `config.json` into a
//! [`NetworkSpec`](crate::network::NetworkSpec) and says under which name, and where inside which tensor, each
//! role is stored.
//!
//! A family is data: see [`families`] for what adding one takes.
//!
//! [`Model::network`] loads a whole model. [`Model::network_within`] does so where it fits a [`MemoryLimit`] with the
//! batches that will come, else leaves its layers in the files, and refuses with the least memory that would do. Files
//! are read at a position and not mapped, so what is resident is what is held.

mod activation;
mod adapter;
mod alignment;
mod config_keys;
pub mod families;
mod family;
mod finding;
mod gguf;
mod kept;
mod layout;
mod memory;
mod narrowed;
mod open;
mod quantized;
mod repaired;
mod rope;
mod stock;
mod storage;
mod stored;
mod tied;
mod tower;
mod unread;
mod weights;

pub(crate) use alignment::{ALIGNMENT_FILE, ALIGNMENT_KEY};
pub use config_keys::{has_no_effect, unread_keys};
pub use family::{ConfigReader, DecoderStart, Family, TaskClass};
pub use kept::{KEPT_KEY, apply_kept, removable};
pub use layout::{Part, TensorLayout};
pub use memory::{MemoryLimit, MemoryPlan, Needs, PROGRAM};
pub use narrowed::NarrowedWeights;
pub use open::{HeadTensor, Model};
pub use repaired::{NewOutput, Repaired, output_module};
pub use stock::{HeadLimit, MlxLayers, RaggedNeed, StockHeads, UniformHeads};
pub use storage::Storage;
pub(crate) use stored::attention_of_role;
pub use weights::{Loader, Reader};
