//! Running a model over its input.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device};

use crate::analysis::{Analysis, Analyzer, ModelInfo, analyze, baseline, magnitude};
use crate::corpus::{Corpus, Purpose};
use crate::error::Result;
use crate::model::{Model, Room};
use crate::network::Network;
use crate::task::Ticket;
use crate::tensor::{DeviceChoice, Precision, device_name};
use crate::training::gate_importance;
use crate::workspace::CheckedRun;

/// The weights of the open model, loaded once and shared by everything that runs it.
#[derive(Clone, Default)]
pub struct LoadedNetwork {
    held: Arc<Mutex<Option<Held>>>,
    /// Apart from the weights, which are locked while they load.
    placed: Arc<Mutex<Option<Placed>>>,
}

/// Where, in which type and in how much memory it was loaded, and the network.
type Held = ((DeviceChoice, Precision, Option<Room>), Arc<Network>);

/// Where a model computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The device, e.g. `cuda:0`.
    pub device: String,
    /// Why it is not the fastest one, where that was wanted and cannot be used.
    pub fallback: Option<String>,
}

impl std::fmt::Debug for LoadedNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoadedNetwork")
    }
}

impl LoadedNetwork {
    /// Where the model computes, once something ran; never waits.
    pub fn placed(&self) -> Option<Placed> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The network where and as `run` wants it, within `room` where memory is bounded; loads it where the last one was
    /// another.
    pub fn get(&self, model: &Model, run: &CheckedRun, room: Option<Room>, ticket: &Ticket) -> Result<Arc<Network>> {
        let key = (run.device, run.precision, room);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, network)) = held.as_ref()
            && *of == key
        {
            return Ok(Arc::clone(network));
        }
        // Room for the new one before it is loaded.
        *held = None;
        ticket.stage("load weights", None, "tensors");
        let (place, fallback) = run.device.open()?;
        let placed = Placed { device: device_name(&place), fallback };
        *self.placed.lock().unwrap_or_else(PoisonError::into_inner) = Some(placed);
        let dtype = run.precision.dtype();
        let network = Arc::new(match &room {
            Some(room) => model.network_within(&place, dtype, room)?,
            None => model.network(&place, dtype)?,
        });
        ticket.check()?;
        *held = Some((key, Arc::clone(&network)));
        Ok(network)
    }
}

/// Features, groups and votes of every layer.
pub fn analyse(model: &Model, loaded: &LoadedNetwork, run: &CheckedRun, ticket: &Ticket) -> Result<Analysis> {
    ticket.stage("read the input", None, "lines");
    let corpus = Corpus::open(&run.input, model.checkpoint().folder(), &run.intake, &run.corpus, ticket)?;
    let corpus = corpus.with(|s| s.part = run.observed());
    let mut settings = run.analysis.clone();
    let room = run.room(model, &corpus, Analyzer::needs(model.spec(), &settings));
    let network = loaded.get(model, run, room, ticket)?;
    settings = settings.reading(&corpus);
    let info = ModelInfo::of(model, network.dtype())?;
    let (batches, total) = (corpus.batches(network.device()), corpus.total().map(|t| t.value()));
    let mut analysis = analyze(&network, info, batches, total, &settings, ticket)?;
    analysis.notes.extend(corpus.notes());
    let weights = model.reader(network.device(), network.dtype());
    analysis.set_baseline(baseline::MAGNITUDE, magnitude(model.spec(), &weights)?)?;
    if run.importance {
        let scored = corpus.with(|s| s.purpose = Purpose::Score);
        gate_importance(&network, scored.batches(network.device()), settings.seed, ticket)?.record(&mut analysis)?;
    }
    Ok(analysis)
}

/// Where a network runs, for a person.
pub fn place(device: &Device, dtype: DType) -> String {
    format!("{} {}", device_name(device), dtype.as_str())
}
