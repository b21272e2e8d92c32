//! Frozen weights: the training batches vote on which heads stay ([method](crate::method), section 6).

use candle_core::DType;

use super::{TrainSettings, Voting, gate_importance};
use crate::analysis::{self, Analysis, ModelInfo, baseline};
use crate::corpus::{BatchOrder, Corpus, Purpose};
use crate::error::Result;
use crate::model::Model;
use crate::network::Network;
use crate::plan::Method;
use crate::task::Ticket;

/// One pass of `network`, which runs the weights of `model`, over the batches of `training` that may vote. What
/// `methods` rank heads by besides votes is measured on the same batches.
pub fn vote(
    network: &Network,
    model: &Model,
    training: &Corpus,
    settings: &TrainSettings,
    voting: &Voting,
    methods: &[Method],
    ticket: &Ticket,
) -> Result<Analysis> {
    let constraint = &settings.constraint;
    let corpus = training.with(|s| {
        s.order = BatchOrder::AsRead;
        s.purpose = Purpose::Observe;
        s.batches = voting.batches;
    });
    let asked = analysis::AnalysisSettings {
        features: if voting.features.is_empty() { vec![constraint.feature] } else { voting.features.clone() },
        groups: constraint.groups.clone(),
        metric: constraint.metric,
        seed: settings.seed,
        confidence: methods.contains(&Method::Confidence),
        ..analysis::AnalysisSettings::default()
    }
    .reading(&corpus);
    let info = ModelInfo::of(model, DType::F32)?;
    let device = network.device();
    let total = corpus.total().map(|t| t.value());
    let mut found = analysis::analyze(network, info, corpus.batches(device), total, &asked, ticket)?;
    if methods.iter().any(|m| matches!(m, Method::Importance | Method::ImportanceNormalized)) {
        let scored = corpus.with(|s| s.purpose = Purpose::Score);
        let (batches, total) = (scored.batches(device), scored.total().map(|t| t.value()));
        gate_importance(network, batches, total, settings.seed, ticket)?.record(&mut found)?;
    }
    if methods.contains(&Method::Magnitude) {
        let scores = analysis::magnitude(model.spec(), &model.weights(device, DType::F32))?;
        found.set_baseline(baseline::MAGNITUDE, scores)?;
    }
    Ok(found)
}
