//! Training batches without end, with a position that can be saved.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::corpus::{Batches, Corpus};
use crate::error::{Error, Result};
use crate::network::Batch;

/// Where in the data a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Passes over the corpus that are complete.
    pub pass: u64,
    /// Batches of this pass that were handed out.
    pub batch: u64,
}

/// Batches of a corpus, pass after pass; each pass has an order of its own.
pub struct Feed {
    corpus: Corpus,
    device: Device,
    position: Position,
    open: Option<Batches>,
}

impl Feed {
    /// Batches from `position` on.
    pub fn new(corpus: &Corpus, device: &Device, position: Position) -> Self {
        Self { corpus: corpus.clone(), device: device.clone(), position, open: None }
    }

    /// Where the next batch comes from.
    pub fn position(&self) -> Position {
        self.position
    }

    pub fn next_batch(&mut self) -> Result<Batch> {
        // A pass that ends at once, twice in a row, would end at once for ever.
        for _ in 0..2 {
            if self.open.is_none() {
                let mut batches = self.corpus.pass(&self.device, self.position.pass);
                // What was handed out before is read again and put aside, so that a pass continues as it began.
                for _ in 0..self.position.batch {
                    if batches.next().transpose()?.is_none() {
                        break;
                    }
                }
                self.open = Some(batches);
            }
            if let Some(batch) = self.open.as_mut().and_then(Iterator::next) {
                self.position.batch += 1;
                return batch;
            }
            self.open = None;
            self.position = Position { pass: self.position.pass + 1, batch: 0 };
        }
        Err(Error::new("the input holds no batch").at(self.corpus.input().path()))
    }
}
