//! What is measured.

use crate::analysis::{Analysis, Moments};
use crate::corpus::Corpus;
use crate::evaluation::Benchmark;
use crate::model::Model;
use crate::network::{Network, Weights};

/// A model whose heads are masked and measured, and what that rests on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub network: &'a Network,
    /// Its weights, where speed is to be measured on smaller models.
    pub weights: Option<&'a dyn Weights>,
    /// Where the choices come from.
    pub analysis: &'a Analysis,
    /// What quality is measured on: text that the analysis did not read.
    pub corpus: &'a Corpus,
    /// What reconstruction and repair rest on, where they are wanted.
    pub moments: Option<&'a Moments>,
    /// The model that the network is of, where repair is wanted.
    pub model: Option<&'a Model>,
    /// What the input asks besides the loss.
    pub benchmark: Option<&'a Benchmark>,
}
