//! Running a model over its input.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device};

use crate::analysis::{Analysis, Analyzer, ModelInfo};
use crate::corpus::Corpus;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{Gates, Network};
use crate::task::Ticket;
use crate::tensor::{DeviceChoice, device_name};
use crate::workspace::{CheckedRun, ModelFacts, Precision};

/// The weights of the open model, loaded once and shared by everything that runs it.
#[derive(Clone, Default)]
pub struct LoadedNetwork(Arc<Mutex<Option<Held>>>);

/// Where and in which type it was loaded, and the network.
type Held = (DeviceChoice, Precision, Arc<Network>);

impl std::fmt::Debug for LoadedNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoadedNetwork")
    }
}

impl LoadedNetwork {
    /// The network on a device and in a type; loads it where the last one was elsewhere.
    pub fn get(
        &self,
        model: &Model,
        device: DeviceChoice,
        precision: Precision,
        ticket: &Ticket,
    ) -> Result<Arc<Network>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, kind, network)) = held.as_ref()
            && (*at, *kind) == (device, precision)
        {
            return Ok(Arc::clone(network));
        }
        // Room for the new one before it is loaded.
        *held = None;
        ticket.stage("load weights", None, "tensors");
        let (place, _) = device.open()?;
        let network = Arc::new(model.network(&place, precision.dtype())?);
        ticket.check()?;
        *held = Some((device, precision, Arc::clone(&network)));
        Ok(network)
    }
}

/// Features, groups and votes of every layer.
pub fn analyse(
    model: &Model,
    facts: &ModelFacts,
    loaded: &LoadedNetwork,
    run: &CheckedRun,
    ticket: &Ticket,
) -> Result<Analysis> {
    ticket.stage("read the input", None, "lines");
    let corpus = Corpus::open(&run.input, model.checkpoint().folder(), &run.intake, &run.corpus, ticket)?;
    let network = loaded.get(model, run.device, run.precision, ticket)?;
    let mut settings = run.analysis.clone();
    settings.input = corpus.describe();
    let info = model_info(facts, network.dtype());
    let mut analyzer = Analyzer::new(&network, info, &settings)?;
    ticket.stage("analyse", corpus.total().map(|t| t.value()), "batches");
    for batch in corpus.batches(network.device()) {
        ticket.check()?;
        analyzer.add(&network, &batch?, &Gates::open())?;
        ticket.advance(1)?;
    }
    if analyzer.batches() == 0 {
        return Err(Error::new("the input holds nothing to read").at(run.input.path()));
    }
    ticket.stage("group heads", None, "layers");
    let mut analysis = analyzer.snapshot()?;
    analysis.notes.extend(corpus.notes());
    Ok(analysis)
}

/// Where a network runs, for a person.
pub fn place(device: &Device, dtype: DType) -> String {
    format!("{} {}", device_name(device), dtype.as_str())
}

fn model_info(facts: &ModelFacts, dtype: DType) -> ModelInfo {
    ModelInfo {
        path: facts.folder.display().to_string(),
        family: facts.model_type.to_owned(),
        fingerprint: facts.fingerprint.clone(),
        dtype: dtype.as_str().to_owned(),
        sites: facts.shape.sites().len(),
        heads: facts.heads(),
    }
}
