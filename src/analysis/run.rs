//! One pass over a corpus.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Moments;
use super::document::{Analysis, Baseline, ModelInfo};
use super::tally::Tally;
use super::{AnalysisSettings, GramProbe, KindProbe, baseline};
use crate::corpus::Shard;
use crate::error::{Error, Result};
use crate::model::Needs;
use crate::network::{AttentionSpec, Batch, FeatureMap, Gates, Network, NetworkSpec, Probe, Site, SiteMaps};
use crate::task::Ticket;

/// Where the time of an analysis went. It differs from run to run, so it is no part of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Time in the forward pass.
    pub forward: Duration,
    /// Gram matrices, and what CKA, residual maps and confidence need.
    pub gram: Duration,
    /// Second moments of head outputs, where they were asked for, with the passes that only they need.
    pub moments: Duration,
    /// Groups and votes of every batch, and those of the whole.
    pub grouping: Duration,
}

impl Timings {
    /// Share of the whole that the network took, `0..=1`.
    pub fn forward_share(&self) -> f64 {
        self.forward.as_secs_f64() / self.total().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The sum of all shares.
    pub fn total(&self) -> Duration {
        self.forward + self.gram + self.moments + self.grouping
    }
}

impl std::fmt::Display for Timings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total = self.total().as_secs_f64();
        let share = |part: Duration| 100.0 * part.as_secs_f64() / total.max(f64::MIN_POSITIVE);
        write!(f, "{:.1} % forward pass, {:.1} % Gram matrices, ", share(self.forward), share(self.gram))?;
        if !self.moments.is_zero() {
            write!(f, "{:.1} % second moments, ", share(self.moments))?;
        }
        write!(f, "{:.1} % groups and votes of {total:.2} s", share(self.grouping))
    }
}

/// An analysis under way: batches go in one by one, and what they gave so far can be looked at in between.
pub struct Analyzer {
    model: ModelInfo,
    with_cka: bool,
    input: String,
    tally: Tally,
    probe: GramProbe,
    kinds: Option<KindProbe>,
    network: Duration,
    grouping: Duration,
}

impl Analyzer {
    /// Begins an analysis of `network`; settings that its layers cannot meet are refused.
    pub fn new(network: &Network, model: ModelInfo, settings: &AnalysisSettings) -> Result<Self> {
        Ok(Self {
            model,
            with_cka: settings.cka,
            input: settings.input.clone(),
            tally: Tally::new(network.spec(), settings)?,
            probe: GramProbe::new(&settings.features)
                .with_cka(settings.cka)
                .with_moments(settings.moments)
                .of_shard(settings.shard)
                .with_confidence(settings.confidence),
            kinds: None,
            network: Duration::ZERO,
            grouping: Duration::ZERO,
        })
    }

    /// Also measures what heads do, on the first batches.
    #[must_use]
    pub fn with_kinds(mut self, kinds: Option<KindProbe>) -> Self {
        self.kinds = kinds;
        self
    }

    /// Runs batches that advance together through the network and counts their votes, batch by batch in their order.
    /// `gates` are open for a model as it is.
    pub fn add(&mut self, network: &Network, batches: &[Batch], gates: &Gates, ticket: &Ticket) -> Result<()> {
        let began = Instant::now();
        match &mut self.kinds {
            Some(kinds) => {
                kinds.prepare(batches, network.spec())?;
                network.run_probe(batches, gates, &mut Both { grams: &mut self.probe, kinds }, ticket)?;
            }
            None => network.run_probe(batches, gates, &mut self.probe, ticket)?,
        }
        self.network += began.elapsed();
        let began = Instant::now();
        let mut grams = self.probe.take_batches();
        // A network without a head left is not seen at all.
        grams.resize_with(batches.len(), Default::default);
        for (grams, batch) in grams.iter().zip(batches) {
            self.tally.add_batch(grams, batch.token_count()? as u64)?;
        }
        self.grouping += began.elapsed();
        Ok(())
    }

    /// What an analysis of a network of `spec` holds: Gram matrices of a batch until its group is done; second moments
    /// and products of output weights throughout, where CKA or residual maps are asked for.
    pub fn needs(spec: &NetworkSpec, settings: &AnalysisSettings) -> Needs {
        let sites = spec.sites();
        let number = size_of::<f64>() as u64;
        let grams: u64 = sites.iter().map(|(_, a)| (a.heads * a.heads) as u64 * number).sum();
        let square = |a: &AttentionSpec| ((a.heads * a.head_dim) as u64).pow(2) * number;
        let squares: u64 = sites.iter().map(|(_, a)| square(a)).sum();
        let largest = sites.iter().map(|(_, a)| square(a)).max().unwrap_or(0);
        let residual = settings.features.contains(&FeatureMap::Residual) || settings.moments;
        // Moments are of two halves.
        let sums = if settings.moments { 2 } else { u64::from(settings.cka) };
        let kept = sums + u64::from(residual);
        // That of the batch at hand comes on top.
        let passing = if kept > 0 { largest } else { 0 };
        Needs {
            per_batch: grams * settings.features.len() as u64,
            // Votes, margins and cosines for every number of groups are as large as three Gram matrices.
            throughout: 4 * grams * settings.features.len() as u64 + squares * kept + passing,
            attention: settings.confidence || settings.features.contains(&FeatureMap::Attention),
            ..Needs::ONE
        }
    }

    /// Where the time went so far, without what [`Analyzer::snapshot`] takes.
    pub fn timings(&self) -> Timings {
        let (watched, moments) = (self.probe.time(), self.probe.moments_time());
        Timings {
            forward: self.network.saturating_sub(watched),
            gram: watched.saturating_sub(moments),
            moments,
            grouping: self.grouping,
        }
    }

    /// How many batches were added so far.
    pub fn batches(&self) -> u64 {
        self.tally.batches()
    }

    /// The second moments of the batches so far; `None` where the settings do not ask for them.
    pub fn moments(&self, spec: &NetworkSpec) -> Result<Option<Moments>> {
        moments_of(&self.probe, spec, &self.model, &self.input, self.batches())
    }

    /// The analysis of the batches so far.
    pub fn snapshot(&self) -> Result<Analysis> {
        let mut analysis = self.tally.clone().finish(&self.model)?;
        for site in &mut analysis.sites {
            if self.with_cka {
                site.cka = self.probe.cka(site.site)?;
            }
            let measured = [
                (baseline::CONFIDENCE, self.probe.confidence(site.site)),
                (baseline::ENTROPY, self.probe.entropy(site.site)),
            ];
            for (name, found) in measured {
                if let Some((values, samples)) = found {
                    site.baselines.insert(name.to_owned(), Baseline::means(values, samples));
                }
            }
            for (kind, scores) in self.kinds.iter().flat_map(|kinds| kinds.scores(site.site)) {
                site.baselines.insert(kind.name().to_owned(), scores);
            }
        }
        let missing = self.kinds.iter().filter(|_| self.batches() > 0).filter_map(KindProbe::missing);
        analysis.notes.extend(missing.map(str::to_owned));
        Ok(analysis)
    }
}

/// Two probes on one pass.
struct Both<'a> {
    grams: &'a mut GramProbe,
    kinds: &'a mut KindProbe,
}

impl Probe for Both<'_> {
    fn wants_attention(&self, site: Site) -> bool {
        self.grams.wants_attention(site) || self.kinds.wants_attention(site)
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        self.grams.see(maps)?;
        self.kinds.see(maps)
    }
}

/// Analyses `network` over `batches`, `total` of them where that is known: Gram matrices and groups of every layer,
/// votes batch by batch. Votes depend on the batches and their order alone, not on how many advance together.
pub fn analyze(
    network: &Network,
    model: ModelInfo,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    settings: &AnalysisSettings,
    ticket: &Ticket,
) -> Result<Analysis> {
    Ok(analyze_timed(network, model, batches, total, settings, None, ticket)?.0)
}

/// [`analyze`], the second moments where `settings` ask for them, and where the time went; `kinds` measures on the way what heads
/// do.
pub fn analyze_timed(
    network: &Network,
    model: ModelInfo,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    settings: &AnalysisSettings,
    kinds: Option<KindProbe>,
    ticket: &Ticket,
) -> Result<(Analysis, Option<Moments>, Timings)> {
    let mut analyzer = Analyzer::new(network, model, settings)?.with_kinds(kinds);
    ticket.stage("analyze", total, "batches");
    let needs = Analyzer::needs(network.spec(), settings);
    for group in network.groups(batches.into_iter(), needs.copies, needs.per_batch) {
        let group = group?;
        analyzer.add(network, &group, &Gates::open(), ticket)?;
        ticket.advance(group.len() as u64)?;
    }
    ticket.stage("group heads", None, "sites");
    let began = Instant::now();
    let found = analyzer.snapshot()?;
    let timings = analyzer.timings();
    let timings = Timings { grouping: timings.grouping + began.elapsed(), ..timings };
    Ok((found, analyzer.moments(network.spec())?, timings))
}

/// What `probe` kept of a network of `spec`.
fn moments_of(
    probe: &GramProbe,
    spec: &NetworkSpec,
    model: &ModelInfo,
    input: &str,
    batches: u64,
) -> Result<Option<Moments>> {
    let mut sites = BTreeMap::new();
    for (site, attention) in spec.sites() {
        let stored = spec.stored_layer(site).unwrap_or(site.layer);
        if let Some(moments) = probe.moments(site, attention, stored)? {
            sites.insert(site, moments);
        }
    }
    let (model, input) = (model.clone(), input.to_owned());
    let moments = Moments { model, input, readings: Vec::new(), batches, sites };
    Ok((!moments.sites.is_empty()).then_some(moments))
}

/// Second moments of `network` over `batches`, which `input` names, without an analysis of them.
pub fn moments(
    network: &Network,
    model: ModelInfo,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    input: &str,
    ticket: &Ticket,
) -> Result<Moments> {
    moments_of_piece(network, model, batches, total, (input, None), ticket)
}

/// [`moments`] over the batches of a piece of an input, where it is one of several.
pub fn moments_of_piece(
    network: &Network,
    model: ModelInfo,
    batches: impl IntoIterator<Item = Result<Batch>>,
    total: Option<u64>,
    (input, shard): (&str, Option<Shard>),
    ticket: &Ticket,
) -> Result<Moments> {
    ticket.stage("sum second moments", total, "batches");
    let mut probe = GramProbe::new(&[]).with_moments(true).of_shard(shard);
    let mut count = 0;
    for group in network.groups(batches.into_iter(), Needs::ONE.copies, 0) {
        let group = group?;
        network.run_probe(&group, &Gates::open(), &mut probe, ticket)?;
        probe.take_batches();
        count += group.len() as u64;
        ticket.advance(group.len() as u64)?;
    }
    let found = moments_of(&probe, network.spec(), &model, input, count)?;
    found.ok_or_else(|| Error::new("there was no input to sum moments over"))
}
