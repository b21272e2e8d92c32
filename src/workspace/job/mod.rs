//! Every piece of long work that a front end hands to a worker, in one place.

mod analyse;
mod attention;
mod export;
mod measure;
mod open;
mod rounds;
mod train;

use std::path::PathBuf;
use std::sync::Arc;

pub use analyse::{LoadedNetwork, Placed, analyse, place};
pub use attention::{Patterns, Shown, attention};
pub use export::{ExportRequest, export};
pub use measure::{Measured, measure, measure_curves};
pub use open::{Place, open_model, open_place, open_workspace};
pub use rounds::Rounds;
pub use train::{Told, TrainRequest, Watched, train};

use crate::model::Model;
use crate::plan::Shape;

/// A model that was opened, with what can be told without its weights.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The model.
    pub model: Arc<Model>,
    /// What it is.
    pub facts: ModelFacts,
    /// Its weights, once something ran.
    pub loaded: LoadedNetwork,
}

/// What can be said of a model from its headers.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// The folder.
    pub folder: PathBuf,
    /// Last part of the folder's name.
    pub name: String,
    /// Name of the family, e.g. `BERT`.
    pub family: &'static str,
    /// `model_type` of its configuration, e.g. `bert`.
    pub model_type: &'static str,
    /// Digest of configuration, headers and samples of the weights.
    pub fingerprint: String,
    /// Its attention layers.
    pub shape: Shape,
    /// Head dimension of every layer, in the order of the shape.
    pub head_dims: Vec<usize>,
    /// Width of the residual stream.
    pub width: usize,
    /// Parameters that the network reads.
    pub parameters: u64,
    /// Bytes of the weights on disk.
    pub bytes: u64,
    /// Element type of most weights.
    pub dtype: &'static str,
    /// Bytes of one number of that type.
    pub stored_width: usize,
    /// Stored tensors that the network does not read.
    pub unused: usize,
    /// Whether a tokenizer lies in the folder.
    pub has_tokenizer: bool,
    /// Whether some layer already lost heads.
    pub is_pruned: bool,
}

impl ModelFacts {
    /// Attention heads of the whole model.
    pub fn heads(&self) -> usize {
        self.shape.sites().iter().map(|s| s.heads).sum()
    }

    /// True where query heads share key/value heads somewhere.
    pub fn is_grouped(&self) -> bool {
        self.shape.sites().iter().any(|s| s.kv_heads != s.heads)
    }
}
