//! What a written file holds, as weights of a network.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::network::{Network, NetworkSpec, Weights};

/// Bytes of hidden states that wait between layers of the proof; more of them wait on the disk.
pub(super) const WAITING: u64 = 256 << 20;

/// Weights that lie in a file, in f32 on the processor.
pub(super) type WrittenWeights = Arc<dyn Weights + Send + Sync>;

/// The network that an engine computes of a written file.
#[derive(Clone)]
pub(super) struct WrittenNetwork {
    pub spec: NetworkSpec,
    pub weights: WrittenWeights,
}

impl fmt::Debug for WrittenNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrittenNetwork").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl WrittenNetwork {
    /// It, with weights left in the file until a pass comes to them, and `waiting` bytes between layers.
    pub(super) fn streamed(&self, waiting: u64) -> Result<Network> {
        Network::stream(&self.spec, self.weights.clone(), waiting)
    }

    /// It, with all weights in memory.
    pub(super) fn loaded(&self) -> Result<Network> {
        Network::load(&self.spec, &*self.weights)
    }
}
