//! Repair by any mode, on batches that say which mode is best.

use candle_core::{DType, Device};

use super::{Candidate, Comparison, compare};
use crate::analysis::{ModelInfo, Moments, moments};
use crate::corpus::{Corpus, Purpose};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{Batch, Gates, Network};
use crate::plan::Plan;
use crate::repair::{
    Basis, RefitRequest, Repair, RepairMode, RepairRecord, Ridge, StreamRequest, Tried, held_bytes, refit, stream,
};
use crate::task::Ticket;

/// Passes over a text in whose time a repair in the stream is made, more or less: two, for the whole model and the pruned one go
/// through it layer by layer, and as much as another for the products and the fits. Between what the benches found with hidden
/// states in memory, 2.5, and in a file, 3.3.
pub const STREAM_PASSES: f64 = 3.0;

/// What a repair rests on.
#[derive(Clone, Copy)]
pub struct Calibration<'a> {
    pub model: &'a Model,
    pub network: &'a Network,
    /// Text to calibrate on; batches as they are read. Every second one is held out where something is to be judged.
    pub corpus: &'a Corpus,
    /// Second moments over it, where they are known already.
    pub moments: Option<&'a Moments>,
    /// Most bytes of hidden states to hold; more wait in a temporary file. Absent where memory is not bounded.
    pub hold: Option<u64>,
}

/// What a repair is asked to be.
#[derive(Clone, Copy, Debug)]
pub struct RepairRequest<'a> {
    pub plan: &'a Plan,
    pub mode: RepairMode,
    /// How the ridge of a layer is found.
    pub ridge: Ridge,
    /// Whether repair in the stream chooses the heads of each layer anew, as many as the plan keeps. [`RepairMode::Auto`] then
    /// measures those of the plan too; without it, it never leaves the plan, whose pictures, votes and file are of its heads.
    pub choose: bool,
}

/// Repairs plans on the same text: what is read for one serves the next.
pub struct Mender<'a> {
    calibration: Calibration<'a>,
    moments: Option<Moments>,
    batches: Option<Vec<Batch>>,
}

impl<'a> Mender<'a> {
    /// Nothing is read yet.
    pub fn new(calibration: Calibration<'a>) -> Self {
        Self { calibration, moments: None, batches: None }
    }

    /// Repairs a plan. [`RepairMode::Auto`] measures no repair, refit and stream, each fitted on half of the batches, on the
    /// other half, by loss or, where the model predicts nothing, by the cosine of embeddings; the best is fitted on all of
    /// them.
    ///
    /// # Errors
    ///
    /// The plan does not fit the model, or there is no input.
    pub fn repair(&mut self, request: &RepairRequest<'_>, ticket: &Ticket) -> Result<Repair> {
        if request.choose && !matches!(request.mode, RepairMode::Stream | RepairMode::Auto) {
            return Err(
                Error::usage(format!("repair by {} does not choose heads", request.mode)).hint("use the mode stream")
            );
        }
        match request.mode {
            RepairMode::Auto => self.best(request, ticket),
            mode => self.by(request, mode, Basis::All, ticket),
        }
    }

    fn info(&self) -> Result<ModelInfo> {
        ModelInfo::of(self.calibration.model, self.calibration.network.dtype())
    }

    fn by(&mut self, request: &RepairRequest<'_>, mode: RepairMode, basis: Basis, ticket: &Ticket) -> Result<Repair> {
        let Calibration { model, network, corpus, .. } = self.calibration;
        let RepairRequest { plan, ridge, choose, .. } = *request;
        let reader = model.reader(&Device::Cpu, DType::F32);
        match mode {
            RepairMode::None => Ok(Repair::new(RepairRecord {
                mode,
                model: self.info()?,
                input: corpus.describe(),
                readings: Vec::new(),
                tokens: 0,
                kept: plan.kept.clone(),
                method: plan.method.clone(),
                sites: Default::default(),
                measured: Vec::new(),
                notes: Vec::new(),
            })),
            RepairMode::Refit | RepairMode::Scale => {
                let info = self.info()?;
                let is_known = self.calibration.moments.is_some() || self.moments.is_some();
                let [of_moments, of_fit] = ticket.parts([if is_known { 0.0 } else { 3.0 }, 1.0]);
                let known = match (self.calibration.moments, &mut self.moments) {
                    (Some(known), _) => known,
                    (None, Some(known)) => &*known,
                    (None, empty) => {
                        let total = corpus.total().map(|t| t.value());
                        let batches = corpus.batches(network.device());
                        let mut found = moments(network, info, batches, total, &corpus.describe(), &of_moments)?;
                        found.readings.push(corpus.reading(ticket)?);
                        empty.insert(found)
                    }
                };
                refit(model.spec(), &reader, known, &RefitRequest { plan, mode, ridge, basis }, &of_fit)
            }
            RepairMode::Stream => {
                let info = self.info()?;
                let batches = match &mut self.batches {
                    Some(batches) => &*batches,
                    empty => &*empty.insert(corpus.batches(network.device()).collect::<Result<_>>()?),
                };
                let spills = match self.calibration.hold {
                    Some(most) => held_bytes(network, batches)? > most,
                    None => false,
                };
                let request = StreamRequest { plan, choose, ridge, basis, spills };
                let mut repair = stream(network, &reader, info, batches, &corpus.describe(), &request, ticket)?;
                repair.record.readings.push(corpus.reading(ticket)?);
                Ok(repair)
            }
            RepairMode::Auto => Err(Error::usage("auto is no mode by itself")),
        }
    }

    fn best(&mut self, request: &RepairRequest<'_>, ticket: &Ticket) -> Result<Repair> {
        let shared = crate::plan::Shape::from(self.calibration.network.spec()).shared();
        let one_by_one = shared.iter().all(|class| class.len() == 1);
        let share = |is_tried: bool| if is_tried { STREAM_PASSES + 1.0 } else { 0.0 };
        let chooses = one_by_one && request.choose;
        // Every way is made and judged, and the best is made again.
        let dearest = if one_by_one { STREAM_PASSES } else { 1.0 };
        let [none, refit, stream, chosen, last] = ticket.parts([1.0, 2.0, share(one_by_one), share(chooses), dearest]);
        let ways = [
            (RepairMode::None, false, true, none),
            (RepairMode::Refit, false, true, refit),
            (RepairMode::Stream, false, one_by_one, stream),
            (RepairMode::Stream, true, chooses, chosen),
        ];
        let mut measured = Vec::new();
        for (mode, choose, _, ticket) in ways.into_iter().filter(|(_, _, is_tried, _)| *is_tried) {
            let passes = if mode == RepairMode::Stream { STREAM_PASSES } else { f64::from(mode.repairs()) };
            let [made, judged] = ticket.parts([passes, 1.0]);
            let tried = self.by(&RepairRequest { choose, ..*request }, mode, Basis::Even, &made)?;
            measured.push(Tried { is_chosen: choose, ..self.judge(&tried, &judged)? });
        }
        // Of equals the simpler, which comes first.
        let worse = |m: &Tried| m.loss.unwrap_or(-m.cosine);
        let best = measured.iter().min_by(|a, b| worse(a).total_cmp(&worse(b)));
        let (best, choose) = best.map_or((RepairMode::None, false), |m| (m.mode, m.is_chosen));
        let mut repair = self.by(&RepairRequest { choose, ..*request }, best, Basis::All, &last)?;
        repair.record.measured = measured;
        if !one_by_one {
            repair.record.notes.push("layers share their weights, so repair in the stream was not tried".to_owned());
        }
        if !best.repairs() {
            repair.record.notes.push("no repair did better on held-out batches than none".to_owned());
        }
        Ok(repair)
    }

    /// How a repair does on the batches with odd numbers.
    fn judge(&self, tried: &Repair, ticket: &Ticket) -> Result<Tried> {
        let Calibration { model, network, corpus, .. } = self.calibration;
        let repaired = model.repaired_network(network, &tried.outputs)?;
        let gates = Gates::keep(network.spec(), &tried.record.kept, network.dtype(), network.device())?;
        let open = Gates::open();
        let scored = corpus.with(|s| s.purpose = Purpose::Score);
        let half = scored.total().map(|total| total.value() / 2);
        let batches = scored.batches(network.device()).enumerate();
        let mut odd = batches.filter(|(i, _)| i % 2 == 1).map(|(_, batch)| batch).peekable();
        if odd.peek().is_none() {
            return Err(Error::new("there is no batch to judge by")
                .hint("auto needs two batches or more: one to fit on and one to judge by; smaller batches make more"));
        }
        let before = Candidate { network, gates: &open };
        let after = Candidate { network: &repaired, gates: &gates };
        let found: Comparison = compare(before, after, odd, half, ticket)?;
        Ok(Tried {
            mode: tried.record.mode,
            is_chosen: false,
            loss: found.after.loss_per_token.filter(|loss| loss.is_finite()),
            cosine: found.similarity.mean_cosine,
        })
    }
}
