//! What a decoder remembers of what it has read, so that the next token costs one position.

use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;

use crate::error::Result;

/// Keys and values of one attention layer, `[N, H, S, d]` each.
#[derive(Debug)]
pub(super) struct KeyValues {
    held: Mutex<Option<[Tensor; 2]>>,
    /// Whether each step adds some; those of an encoder's result stay.
    grows: bool,
}

impl KeyValues {
    fn new(grows: bool) -> Self {
        Self { held: Mutex::new(None), grows }
    }

    fn get(&self) -> Option<[Tensor; 2]> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All keys and values, where none can be added.
    pub(super) fn known(&self) -> Option<[Tensor; 2]> {
        if self.grows { None } else { self.get() }
    }

    /// What is held with new keys and values behind it, which is held from now on.
    pub(super) fn extended(&self, new: [Tensor; 2]) -> Result<[Tensor; 2]> {
        let all = match self.get() {
            Some([keys, values]) if self.grows => {
                [Tensor::cat(&[&keys, &new[0]], 2)?, Tensor::cat(&[&values, &new[1]], 2)?]
            }
            _ => new,
        };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(all.clone());
        Ok(all)
    }

    fn select(&self, rows: &Tensor) -> Result<()> {
        if let Some([keys, values]) = self.get() {
            let chosen = [keys.contiguous()?.index_select(rows, 0)?, values.contiguous()?.index_select(rows, 0)?];
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(chosen);
        }
        Ok(())
    }
}

/// What a decoder remembers: keys and values of every layer, its own and those of the encoder's result.
#[derive(Debug)]
pub struct DecoderMemory {
    layers: Vec<[KeyValues; 2]>,
    /// Positions that were read.
    pub(super) read: usize,
}

impl DecoderMemory {
    pub(super) fn new(layers: usize) -> Self {
        let layer = |_| [KeyValues::new(true), KeyValues::new(false)];
        Self { layers: (0..layers).map(layer).collect(), read: 0 }
    }

    /// Keys and values of a layer: its own, and those of its cross attention.
    pub(super) fn layer(&self, index: usize) -> Option<&[KeyValues; 2]> {
        self.layers.get(index)
    }

    /// Goes on with `rows` of the hypotheses so far, in this order; `other_sources` where they read other encoder results
    /// than before.
    ///
    /// # Errors
    /// Where memory does not suffice.
    pub fn select(&mut self, rows: &Tensor, other_sources: bool) -> Result<()> {
        for [own, cross] in &self.layers {
            own.select(rows)?;
            if other_sources {
                cross.select(rows)?;
            }
        }
        Ok(())
    }
}
