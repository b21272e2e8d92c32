//! Settings that fit an open model: its input and its network, within the bound on memory.

use std::sync::Arc;

use candle_core::Device;

use super::{Opened, Spec};
use crate::corpus::{Corpus, Input, Intake, Purpose};
use crate::error::{Error, Result};
use crate::model::{MemoryPlan, Model, Needs};
use crate::network::Network;
use crate::task::Ticket;

/// Settings that fit a model, with that model: what can run. Made by [`Spec::check`].
#[derive(Clone, Debug)]
pub struct Checked {
    spec: Spec,
    opened: Opened,
    intake: Intake,
}

impl Checked {
    pub(super) fn new(spec: Spec, opened: Opened, intake: Intake) -> Self {
        Self { spec, opened, intake }
    }

    /// What was asked for.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The model that it was checked against.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// What the model takes in.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    pub(super) fn model(&self) -> &Model {
        &self.opened.model
    }

    /// What the model reads.
    ///
    /// # Errors
    /// Where none was named.
    pub fn input(&self) -> Result<&Input> {
        self.spec.input.as_ref().ok_or_else(|| Error::usage("no input is given").hint("choose what the model reads"))
    }

    /// Where the model computes.
    pub fn device(&self) -> Result<Device> {
        self.opened.loaded.device(self.spec.device)
    }

    /// The input for `purpose`: the part that is analyzed, or the part that quality is measured on.
    pub fn corpus(&self, purpose: Purpose, ticket: &Ticket) -> Result<Corpus> {
        ticket.stage("read the input", None, "lines");
        let folder = self.model().checkpoint().folder();
        Corpus::open(self.input()?, folder, &self.intake, &self.spec.reading(purpose), ticket)
    }

    /// The corpus in the largest batches that memory has room for.
    ///
    /// # Errors
    /// Where not even the smallest fits, with how much would do.
    pub fn fit(&self, corpus: Corpus, needs: Needs) -> Result<Corpus> {
        let device = self.device()?;
        let mut refused = Ok(corpus.clone());
        for size in self.spec.batch_sizes() {
            let corpus = corpus.with(|s| s.batch_size = size);
            let Some(room) = self.room(&corpus, needs) else { return Ok(corpus) };
            match self.model().check_room(&device, self.spec.precision.dtype(), &room) {
                Ok(()) => return Ok(corpus),
                Err(error) => refused = Err(error),
            }
        }
        refused
    }

    /// The model's network, whole or left in the checkpoint, as memory allows.
    pub fn network(&self, corpus: &Corpus, needs: Needs, ticket: &Ticket) -> Result<Arc<Network>> {
        let Spec { device, precision, .. } = self.spec;
        self.opened.loaded.get(self.model(), device, precision, self.room(corpus, needs), ticket)
    }

    /// The memory for `needs` and batches of `corpus`; `None` where it is not bounded.
    pub(super) fn room(&self, corpus: &Corpus, needs: Needs) -> Option<MemoryPlan> {
        Some(MemoryPlan { limit: self.spec.memory?, largest: corpus.largest(self.model().spec()), needs })
    }

    /// What a person should know of where it ran and what it read, for the notes of a result.
    pub(super) fn notes(&self, corpus: &Corpus) -> Vec<String> {
        let fallback = self.opened.loaded.placed().and_then(|placed| placed.fallback);
        fallback.into_iter().chain(self.model().notes().iter().cloned()).chain(corpus.notes()).collect()
    }
}
