//! A model that was opened, with what is known without its weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LoadedNetwork;
use crate::checkpoint::model_name;
use crate::corpus::TextTokenizer;
use crate::error::Result;
use crate::model::Model;
use crate::network::Head;
use crate::plan::Shape;
use crate::task::Ticket;
use crate::training::was_trained;

/// A model that was opened. Clones share it and its weights.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The model that was opened.
    pub model: Arc<Model>,
    /// What is known of the model.
    pub facts: Arc<ModelFacts>,
    /// Its weights, once something ran.
    pub loaded: LoadedNetwork,
}

/// What can be said of a model from its headers.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// The folder that was opened.
    pub folder: PathBuf,
    /// Its name on the hub where it lies in the hub's cache, else the last part of the folder's.
    pub name: String,
    /// Name of the family, e.g. `BERT`.
    pub family: &'static str,
    /// `model_type` of its configuration, e.g. `bert`.
    pub model_type: &'static str,
    /// Digest of configuration, headers and samples of the weights.
    pub fingerprint: String,
    /// The shape of its attention layers.
    pub shape: Shape,
    /// Head dimension of every layer, in the order of the shape.
    pub head_dims: Vec<usize>,
    /// Width of the residual stream.
    pub width: usize,
    /// Parameters that the network reads.
    pub parameters: u64,
    /// Bytes of the weights in the files.
    pub bytes: u64,
    /// The same in the types in which they are read and written again: more where they are quantized.
    pub read_bytes: u64,
    /// Element type of most weights in the files, or the blocks in which they are quantized there.
    pub dtype: &'static str,
    /// Bytes of one number of the type in which they are read.
    pub stored_width: usize,
    /// Stored tensors that the network does not read.
    pub unused: usize,
    /// Heads that tell when a word was said, which the model names.
    pub alignment: Vec<Head>,
    /// Whether a tokenizer lies in the folder.
    pub has_tokenizer: bool,
    /// Whether some layer already lost heads.
    pub is_pruned: bool,
    /// Whether a training run of this program left it.
    pub was_trained_here: bool,
}

impl Opened {
    /// Opens a checkpoint folder: configuration and headers, no weights.
    pub fn open(folder: &Path, ticket: &Ticket) -> Result<Self> {
        ticket.stage("reading headers", None, "files");
        let model = Model::open(folder)?;
        ticket.check()?;
        ticket.stage("computing the fingerprint", None, "tensors");
        let fingerprint = model.checkpoint().fingerprint()?;
        let spec = model.spec();
        let sites = spec.sites();
        let facts = ModelFacts {
            folder: folder.to_path_buf(),
            name: name_of(folder, model.checkpoint().folder()),
            family: model.family().title,
            model_type: model.family().model_type,
            fingerprint,
            shape: Shape::from(spec),
            head_dims: sites.iter().map(|(_, a)| a.head_dim).collect(),
            width: spec.last_stack().map_or(0, |s| s.width),
            parameters: model.parameters(),
            bytes: model.checkpoint().bytes(),
            read_bytes: model.checkpoint().read_bytes(),
            dtype: model.in_files(),
            stored_width: model.stored().bytes(),
            unused: model.unused().len(),
            alignment: model.alignment_heads().into_iter().collect(),
            has_tokenizer: TextTokenizer::is_in(model.checkpoint().folder()),
            was_trained_here: was_trained(folder),
            is_pruned: sites.iter().any(|(_, a)| a.heads != a.origin_heads),
        };
        Ok(Self { model: Arc::new(model), facts: Arc::new(facts), loaded: LoadedNetwork::default() })
    }
}

/// The name of a model in `inside` that was opened as `folder`: of two encoders with the one that was named.
fn name_of(folder: &Path, inside: &Path) -> String {
    match folder.file_name() {
        Some(part) if !folder.exists() && inside.join(part) == folder => {
            format!("{}/{}", model_name(inside), part.to_string_lossy())
        }
        _ => model_name(folder),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_checkpoint() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
        let facts = Opened::open(&folder, &Ticket::default()).unwrap().facts;
        assert_eq!(facts.name, "llama");
        assert!(facts.is_grouped() && !facts.is_pruned && !facts.has_tokenizer);
        assert_eq!(facts.head_dims.len(), facts.shape.sites().len());
        assert_eq!(facts.heads(), facts.shape.sites().iter().map(|s| s.heads).sum::<usize>());
    }
}
