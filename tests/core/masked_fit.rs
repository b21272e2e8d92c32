//! A masked-language model is repaired for what it is scored on.
use pillars::analysis::{Moments, moments};
use pillars::corpus::{Corpus, CorpusSettings, Input, Intake, Purpose};
use pillars::model::Model;
use pillars::plan::Plan;
use pillars::repair::RepairMode;
use pillars::run::{Opened, RepairSpec, Spec};
use pillars::task::Ticket;

use candle_core::{DType, Device};

/// Second moments over masked input, straight from the batches that are scored.
fn masked(model: &Model, settings: &CorpusSettings, input: &Input) -> Moments {
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let intake = Intake::of(model).unwrap();
    let folder = model.checkpoint().folder();
    let corpus = Corpus::open(input, folder, &intake, settings, &Ticket::default()).unwrap();
    let info = pillars::analysis::ModelInfo::of(model, DType::F32).unwrap();
    let scored = corpus.with(|s| s.purpose = Purpose::Score);
    let plain = moments(&network, info.clone(), corpus.batches(&Device::Cpu), None, "x", &Ticket::default()).unwrap();
    let found = moments(&network, info, scored.batches(&Device::Cpu), None, "x", &Ticket::default()).unwrap();
    assert_ne!(plain.sites, found.sites, "masks change what heads put out");
    found
}

#[test]
fn moments_and_repairs_are_those_of_masked_input() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    let model = samples.join("rxnfp-bert-pretrained");
    let input = Input::Text(samples.join("reactions.txt"));
    let spec = Spec {
        input: Some(input.clone()),
        batches: Some(2),
        batch_size: Some(2),
        seq_len: Some(24),
        moments: true,
        kinds: false,
        evidence: false,
        ..Spec::default()
    };
    let opened = Opened::open(&model, &Ticket::default()).unwrap();
    let run = spec.check(&opened).unwrap();
    let settings = CorpusSettings { batches: Some(2), batch_size: 2, seq_len: Some(24), ..CorpusSettings::default() };
    let expected = masked(&opened.model, &settings, &input);
    let analyzed = run.analyze(&Ticket::default()).unwrap();
    let found = analyzed.moments.unwrap();
    assert!(analyzed.analysis.settings.moments && found.input == analyzed.analysis.settings.input);
    assert_eq!(found.batches, analyzed.analysis.batches);
    for (site, own) in &found.sites {
        assert_eq!(own.halves, expected.sites[site].halves, "{site}");
        assert!(own.sensitivity.is_some());
    }
    // Made anew for a repair they are the same.
    let plan = Plan::from_mask(opened.model.spec().sites().iter().map(|(site, _)| (*site, [0, 2])).collect());
    let wanted = RepairSpec { mode: RepairMode::Refit, ..RepairSpec::default() };
    let known = run.repair(&plan, Some(&found), &wanted, &Ticket::default()).unwrap();
    let made = run.repair(&plan, None, &wanted, &Ticket::default()).unwrap();
    assert_eq!(known.record.sites, made.record.sites);
}
