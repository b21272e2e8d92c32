//! One pass over a corpus, and the merging of such passes.

use super::document::{Analysis, Baseline, ModelInfo};
use super::tally::{Tally, join_baselines, site_names};
use super::{GramProbe, Settings, baseline};
use crate::error::{Error, Result};
use crate::model::Needs;
use crate::network::{AttentionSpec, Batch, FeatureMap, Gates, Network, NetworkSpec};
use crate::task::Ticket;

/// An analysis under way: batches go in one by one, and what they gave so far can be looked at in between.
pub struct Analyzer {
    model: ModelInfo,
    with_cka: bool,
    tally: Tally,
    probe: GramProbe,
}

impl Analyzer {
    /// Begins an analysis of `network`; settings that its layers cannot meet are refused.
    pub fn new(network: &Network, model: ModelInfo, settings: &Settings) -> Result<Self> {
        Ok(Self {
            model,
            with_cka: settings.cka,
            tally: Tally::new(network.spec(), settings)?,
            probe: GramProbe::new(&settings.features).with_cka(settings.cka).with_confidence(settings.confidence),
        })
    }

    /// Runs batches that advance together through the network and counts their votes, batch by batch in their order.
    /// `gates` are open for a model as it is.
    pub fn add(&mut self, network: &Network, batches: &[Batch], gates: &Gates, ticket: &Ticket) -> Result<()> {
        // Logits are not looked at, so the language-model head need not run.
        network.hidden_of(batches, gates, &mut self.probe, ticket)?;
        let mut grams = self.probe.take_batches();
        // A network without a head left is not seen at all.
        grams.resize_with(batches.len(), Default::default);
        for (grams, batch) in grams.iter().zip(batches) {
            self.tally.add_batch(grams, batch.token_count()? as u64)?;
        }
        Ok(())
    }

    /// What an analysis of a network of `spec` holds: Gram matrices of a batch until its group is done; second moments
    /// and products of output weights throughout, where CKA or residual maps are asked for.
    pub fn needs(spec: &NetworkSpec, settings: &Settings) -> Needs {
        let sites = spec.sites();
        let number = size_of::<f64>() as u64;
        let grams: u64 = sites.iter().map(|(_, a)| (a.heads * a.heads) as u64 * number).sum();
        let square = |a: &AttentionSpec| ((a.heads * a.head_dim) as u64).pow(2) * number;
        let squares: u64 = sites.iter().map(|(_, a)| square(a)).sum();
        let largest = sites.iter().map(|(_, a)| square(a)).max().unwrap_or(0);
        let residual = settings.features.contains(&FeatureMap::Residual);
        let kept = u64::from(settings.cka) + u64::from(residual);
        // That of the batch at hand comes on top.
        let passing = if kept > 0 { largest } else { 0 };
        Needs {
            per_batch: grams * settings.features.len() as u64,
            throughout: grams * settings.features.len() as u64 + squares * kept + passing,
            attention: settings.confidence || settings.features.contains(&FeatureMap::Attention),
            ..Needs::ONE
        }
    }

    /// Batches so far.
    pub fn batches(&self) -> u64 {
        self.tally.batches()
    }

    /// The analysis of the batches so far.
    pub fn snapshot(&self) -> Result<Analysis> {
        let mut analysis = self.tally.clone().finish(&self.model)?;
        for site in &mut analysis.sites {
            if self.with_cka {
                site.cka = self.probe.cka(site.site)?;
            }
            if let Some((values, samples)) = self.probe.confidence(site.site) {
                site.baselines.insert(baseline::CONFIDENCE.to_owned(), Baseline { values, samples });
            }
        }
        Ok(analysis)
    }
}

/// Analyses `network` over `batches`, `total` of them where that is known: Gram matrices and groups of every layer,
/// votes batch by batch. Votes depend on the batches and their order alone, not on how many advance together.
pub fn analyze(
    network: &Network,
    model: ModelInfo,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    settings: &Settings,
    ticket: &Ticket,
) -> Result<Analysis> {
    let mut analyzer = Analyzer::new(network, model, settings)?;
    ticket.stage("analyse", total, "batches");
    let needs = Analyzer::needs(network.spec(), settings);
    for group in network.groups(batches.into_iter(), needs.copies, needs.per_batch) {
        let group = group?;
        analyzer.add(network, &group, &Gates::open(), ticket)?;
        ticket.advance(group.len() as u64)?;
    }
    ticket.stage("group heads", None, "sites");
    analyzer.snapshot()
}

/// Adds analyses of different parts of a corpus, in the order given: the same as one analysis of the whole. Another
/// model or other settings are refused.
pub fn merge(parts: &[Analysis]) -> Result<Analysis> {
    let Some((first, rest)) = parts.split_first() else {
        return Err(Error::usage("there is nothing to merge"));
    };
    let mut tally = Tally::of(first)?;
    let mut inputs = vec![first.settings.input.clone()];
    let mut baselines: Vec<_> = first.sites.iter().map(|s| s.baselines.clone()).collect();
    for (index, part) in rest.iter().enumerate() {
        let refuse = |what: String| {
            Err(Error::new(format!("analysis {} is of {what} than analysis 1", index + 2))
                .hint("merge analyses of parts of one corpus, made with the same model and settings"))
        };
        let (model, other) = (&first.model, &part.model);
        if model.fingerprint != other.fingerprint || site_names(first) != site_names(part) {
            return refuse(format!("another model ({})", other.path));
        }
        if model.dtype != other.dtype {
            return refuse(format!("a model run in another type ({})", other.dtype));
        }
        if let Some(setting) = first.settings.conflict(&part.settings) {
            return refuse(format!("other settings ({setting})"));
        }
        tally.add(&Tally::of(part)?)?;
        if !inputs.contains(&part.settings.input) {
            inputs.push(part.settings.input.clone());
        }
        for (sum, site) in baselines.iter_mut().zip(&part.sites) {
            *sum = join_baselines(sum, &site.baselines);
        }
    }
    let mut merged = tally.finish(&first.model)?;
    merged.settings.input = inputs.join(" + ");
    for (site, baselines) in merged.sites.iter_mut().zip(baselines) {
        site.baselines = baselines;
    }
    if rest.is_empty() {
        for (site, original) in merged.sites.iter_mut().zip(&first.sites) {
            site.cka = original.cka.clone();
        }
    } else if first.settings.cka {
        merged.notes.push("linear CKA does not add over parts; analyse the whole corpus to get it".to_owned());
    }
    Ok(merged)
}
