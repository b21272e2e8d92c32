//! Settings that fit an open model: its input and its network, within the bound on memory.

use std::sync::Arc;

use candle_core::Device;

use super::phases::PHASES;
use super::spec::{Fault, Field, kind_fault, path_fault};
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
    /// Seconds of the phases of a run, where it was estimated.
    pub(super) foretold: Option<[f64; PHASES]>,
}

impl Checked {
    pub(super) fn new(spec: Spec, opened: Opened, intake: Intake) -> Self {
        Self { spec, opened, intake, foretold: None }
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
        self.spec.input.as_ref().ok_or_else(no_input)
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

    /// Whether the bound on memory, where there is one, has room for `needs` and batches of `corpus`.
    pub(super) fn has_room(&self, corpus: &Corpus, needs: Needs) -> Result<bool> {
        let Some(room) = self.room(corpus, needs) else { return Ok(true) };
        Ok(self.model().check_room(&self.device()?, self.spec.precision.dtype(), &room).is_ok())
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

/// What is said where nothing is named to be read.
pub(super) fn no_input() -> Error {
    Error::usage("no input is given").hint("choose what the model reads")
}

impl Spec {
    /// Checks everything that can be known without reading the input; every fault at once.
    ///
    /// # Errors
    /// Every fault, that no input is named among them.
    pub fn check(&self, opened: &Opened) -> Result<Checked, Vec<Fault>> {
        let mut faults = Vec::new();
        if self.input.is_none() {
            faults.push(Fault { field: Field::Input, error: no_input() });
        }
        match self.check_without_input(opened) {
            Ok(checked) if faults.is_empty() => Ok(checked),
            Ok(_) => Err(faults),
            Err(others) => Err(faults.into_iter().chain(others).collect()),
        }
    }

    /// [`Spec::check`] for work that can do without an input; one that is named is checked all the same.
    ///
    /// # Errors
    /// Every fault.
    pub fn check_without_input(&self, opened: &Opened) -> Result<Checked, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |field, error| faults.push(Fault { field, error });
        let model = &opened.model;
        let intake = Intake::of(model);
        if let Some(input) = &self.input {
            let kind = intake.as_ref().ok().and_then(|intake| kind_fault(input, intake));
            if let Some(error) = path_fault(input, model.checkpoint().folder()).or(kind) {
                fault(Field::Input, error);
            }
        }
        if self.features.is_empty() {
            fault(Field::Features, Error::usage("choose at least one feature map"));
        }
        if self.batch_size == Some(0) {
            fault(Field::Batches, Error::usage("a batch needs at least one sequence"));
        }
        if self.held_out_every.is_some_and(|every| every < 2) {
            fault(Field::Batches, Error::usage("holding every batch out leaves nothing to read"));
        }
        if self.memory.is_some() && self.importance {
            let what = "importance needs gradients through the whole model, whose memory has no bound";
            fault(Field::Memory, Error::usage(what).hint("leave out importance or the memory limit"));
        }
        let sites = model.spec().sites();
        let names: Vec<_> = sites.iter().map(|(site, _)| *site).collect();
        let groups = sites.iter().map(|(site, a)| self.groups.at(*site, a.heads).map(drop));
        if let Some(error) = std::iter::once(self.groups.check(&names)).chain(groups).find_map(Result::err) {
            fault(Field::Groups, error);
        }
        match intake {
            Ok(intake) if faults.is_empty() => Ok(Checked::new(self.clone(), opened.clone(), intake)),
            Ok(_) => Err(faults),
            Err(error) => {
                faults.push(Fault { field: Field::Input, error });
                Err(faults)
            }
        }
    }
}
