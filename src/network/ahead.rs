//! The next layer is read while batches pass the one before it, so that a disk and the processor work at a time.

use std::sync::mpsc::{Receiver, sync_channel};

use rayon::ThreadPoolBuilder;

use super::part::Deferred;
use super::{Layer, LayerSpec, StackKind};
use crate::error::Result;

/// At most one layer that is being read, or waits to be taken.
#[derive(Debug, Default)]
pub(super) struct Ahead(Option<(usize, Receiver<Result<Layer>>)>);

impl Ahead {
    /// Begins to read the layer at `index`, on a thread of its own: a thread that computes would stand still at a read.
    /// Nothing happens where the system gives no thread; the layer is then read when it is asked for.
    pub(super) fn begin(&mut self, index: usize, spec: &LayerSpec, weights: &Deferred, kind: StackKind) {
        let (spec, weights) = (spec.clone(), weights.clone());
        // One place: what is read waits there, and a reader whose pass has ended is not waited for.
        let (send, receive) = sync_channel(1);
        // Pieces of a tensor are read in parallel, here by a pool of one. It ends with its work.
        let Ok(pool) = ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "read ahead".to_owned()).build() else {
            return;
        };
        pool.spawn(move || {
            // Nobody takes what a pass that has ended asked for.
            let _ = send.send(Layer::load(&spec, &*weights.0, kind));
        });
        self.0 = Some((index, receive));
    }

    /// The layer at `index`, waited for, where its reading was begun and came to an end.
    pub(super) fn take(&mut self, index: usize) -> Option<Result<Layer>> {
        let (_, receive) = self.0.take().filter(|(begun, _)| *begun == index)?;
        receive.recv().ok()
    }
}
