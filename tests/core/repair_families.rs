//! Repair of every family: made, written, and what comes back computes what the masked model computes whose output
//! projections were replaced.
use std::path::Path;

use crate::common::heads::{families, open};
use crate::common::{loses_heads, relative_difference};
use crate::repair::{plan, sum};
use candle_core::{DType, Device, Tensor};
use pillars::analysis::ModelInfo;
use pillars::engines::{self, EngineOptions};
use pillars::model::Model;
use pillars::network::{Batch, Gates, Network, NoProbe, TokenMask};
use pillars::plan::{Plan, Shape};
use pillars::pruning::{self, AGREEMENT, Engine, ExportFormat, ExportOptions, Reference, sample_batches};
use pillars::repair::{Basis, RefitRequest, Repair, RepairMode, Ridge, StreamRequest, refit, stream};
use pillars::task::Ticket;

/// What a repair rests on here: batches of random input of whatever kind the family reads.
fn calibration(model: &Model) -> Vec<Batch> {
    sample_batches(model.spec(), 6, 7).unwrap()
}

fn refitted(model: &Model, network: &Network, plan: &Plan) -> Repair {
    let moments = sum(model, network, &calibration(model));
    let request = RefitRequest { plan, mode: RepairMode::Refit, ridge: Ridge::Fixed(1e-3), basis: Basis::All };
    let reader = model.reader(&Device::Cpu, DType::F32);
    refit(model.spec(), &reader, &moments, &request, &Ticket::default()).unwrap()
}

fn streamed(model: &Model, network: &Network, plan: &Plan) -> pillars::Result<Repair> {
    let request = StreamRequest { plan, choose: false, ridge: Ridge::Auto, basis: Basis::All, spills: false };
    let info = ModelInfo::of(model, DType::F32).unwrap();
    let reader = model.reader(&Device::Cpu, DType::F32);
    stream(network, &reader, info, &calibration(model), "random input", &request, &Ticket::default())
}

/// Logits, or the last hidden state, and which positions are real.
fn states(network: &Network, gates: &Gates, batch: &Batch) -> (Tensor, TokenMask) {
    let hidden = network.hidden(batch, gates, &mut NoProbe).unwrap();
    match network.spec().output {
        Some(_) => (network.logits(&hidden.states).unwrap(), hidden.mask),
        None => (hidden.states, hidden.mask),
    }
}

/// By how much what is written in `folder` differs from the masked model whose projections are those of `repair`, and that
/// from the model that is only masked.
fn differences(
    folder: &Path,
    model: &Model,
    network: &Network,
    plan: &Plan,
    repair: &Repair,
    batch: &Batch,
) -> [f64; 2] {
    let gates = Gates::keep(model.spec(), &plan.kept, DType::F32, &Device::Cpu).unwrap();
    let replaced = model.repaired_network(network, &repair.outputs).unwrap();
    let (want, real) = states(&replaced, &gates, batch);
    let written = Model::open(folder).unwrap().network(&Device::Cpu, DType::F32).unwrap();
    let (got, _) = states(&written, &Gates::open(), batch);
    let (masked, _) = states(network, &gates, batch);
    [&got, &masked].map(|found| relative_difference(found, &want, &real, 1))
}

#[test]
fn every_family_is_repaired_and_written_as_the_masked_model_with_new_projections() {
    let folder = tempfile::tempdir().unwrap();
    let mut in_the_stream = 0;
    for family in families() {
        let (model, network, batch) = open(&family, DType::F32);
        let plan = plan(&model);
        let classes = Shape::from(model.spec()).shared();
        let mut repairs = vec![refitted(&model, &network, &plan)];
        match streamed(&model, &network, &plan) {
            Ok(found) => repairs.push(found),
            Err(error) => {
                assert!(classes.iter().any(|class| class.len() > 1), "{family}: {error}");
                assert!(error.to_string().contains("share their weights"), "{family}: {error}");
            }
        }
        in_the_stream += repairs.len() - 1;
        for repair in &repairs {
            let mode = repair.record.mode;
            assert_eq!(repair.outputs.len(), classes.len(), "{family} {mode}");
            for (site, found) in &repair.record.sites {
                let held_out = found.held_out.unwrap_or_else(|| panic!("{family} {mode} {site}: nothing was held out"));
                assert!(
                    held_out.is_finite() && (mode == RepairMode::Refit || held_out <= found.masked),
                    "{family} {site}"
                );
            }
            let compact = loses_heads(&model).then_some(ExportFormat::Compact);
            for format in compact.into_iter().chain([ExportFormat::Masked]) {
                let what = format!("{family} {mode} {format}");
                let (out, ticket) = (folder.path().join(&what), Ticket::default());
                let options = ExportOptions { timing: None, repair: Some(repair.clone()), ..ExportOptions::default() };
                let report = pruning::export(&model, &plan, format, &out, &options, None, &ticket)
                    .unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(report.agreement.reference, Reference::Repaired, "{what}");
                assert_eq!(report.repair.as_ref(), Some(&repair.record), "{what}");
                let [written, masked] = differences(&out, &model, &network, &plan, repair, &batch);
                assert!(written <= AGREEMENT, "{what}: {written:.1e}");
                assert!(mode != RepairMode::Refit || masked > AGREEMENT, "{what}: the repair changes something");
            }
        }
    }
    assert!(in_the_stream >= families().len() - 3, "{in_the_stream}");
}

#[test]
fn files_for_engines_hold_the_new_projections() {
    let folder = tempfile::tempdir().unwrap();
    for (engine, family) in [
        (Engine::Onnx, "bart"),
        (Engine::Onnx, "vit"),
        (Engine::Gguf, "llama"),
        (Engine::Ct2, "gpt2"),
        (Engine::Ct2, "bart"),
    ] {
        let what = format!("{engine} {family}");
        let (model, network, batch) = open(family, DType::F32);
        let plan = plan(&model);
        let repair = refitted(&model, &network, &plan);
        let out = folder.path().join(&what);
        let options = EngineOptions { repair: Some(repair.clone()), ..EngineOptions::default() };
        // It writes nothing that differs from the masked model with these projections.
        let report = engines::export(engine, &model, &plan, &out, &options, &Ticket::default())
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(report.agreement.reference, Reference::Repaired, "{what}");
        assert!(report.agreement.relative <= AGREEMENT && report.agreement.positions > 0, "{what}");
        assert_eq!(report.repair.as_ref(), Some(&repair.record), "{what}");
        if engine == Engine::Gguf {
            let file = out.join("model.gguf");
            let [written, masked] = differences(&file, &model, &network, &plan, &repair, &batch);
            assert!(written <= AGREEMENT && masked > AGREEMENT, "{what}: {written:.1e} {masked:.1e}");
        }
    }
}
