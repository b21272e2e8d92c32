//! Which heads of the original model those of a pruned one are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Opened;
use crate::analysis::Document;
use crate::corpus::{CorpusPart, Reading};
use crate::evaluation::{IN_SAMPLE, SEARCHED_IN_SAMPLE};
use crate::network::Site;
use crate::plan::Plan;
use crate::pruning::{Engine, OutputFormat, RECORD, Report};

/// The heads of an opened model by their numbers in the model that it was pruned from: as its configuration says, or, where a
/// format has no place for that (`native`, `masked`, GGUF), as the record beside its weights does.
#[derive(Clone, Debug)]
pub(super) struct Origins(BTreeMap<Site, Vec<Option<usize>>>);

impl Origins {
    /// The origins of both models in one numbering. Where one was made from the other, that is the other's own.
    pub(super) fn of_both(one: &Opened, other: &Opened) -> [Self; 2] {
        let records = [one, other].map(record);
        let is_source = |record: &Option<Report>, model: &Opened| {
            record.as_ref().is_some_and(|record| record.fingerprint == model.facts.fingerprint)
        };
        let own = [is_source(&records[1], one), is_source(&records[0], other)];
        let [first, second] = records;
        [Self::new(one, first.filter(|_| !own[0])), Self::new(other, second.filter(|_| !own[1]))]
    }

    fn new(opened: &Opened, record: Option<Report>) -> Self {
        let places = record.map(|record| record.places).unwrap_or_default();
        let sites = opened.model.spec().sites().into_iter();
        let heads = sites.map(|(site, attention)| {
            // A record of other weights, by which files were exchanged, tells of other layers.
            let told = places.get(&site).filter(|heads| heads.len() == attention.heads);
            (site, told.cloned().unwrap_or_else(|| attention.origin.iter().copied().map(Some).collect()))
        });
        Self(heads.collect())
    }

    /// Whether no record tells which heads those of the model were.
    pub(super) fn is_silent(opened: &Opened) -> bool {
        record(opened).is_none()
    }

    /// Of every head of a site its number in the original; `None` where it is there for the shape alone.
    pub(super) fn at(&self, site: Site) -> &[Option<usize>] {
        self.0.get(&site).map_or(&[], Vec::as_slice)
    }

    /// The heads of a site that are more than a shape, ascending.
    pub(super) fn heads(&self, site: Site) -> Vec<usize> {
        let mut heads: Vec<usize> = self.at(site).iter().copied().flatten().collect();
        heads.sort_unstable();
        heads
    }
}

/// What to say of quality on what `reading` tells of, where `plan` was chosen on some of it.
pub(super) fn chosen_words(plan: &Plan, reading: &Reading) -> Option<&'static str> {
    // What an analysis read is not held out, whatever part is measured now.
    let is_held_out = |part: &CorpusPart| matches!(part, CorpusPart::HeldOut { .. });
    let was_read = plan.chosen_on.iter().any(|read| read.overlaps(reading) && !is_held_out(&read.part));
    let words = if was_read || !is_held_out(&reading.part) { IN_SAMPLE } else { SEARCHED_IN_SAMPLE };
    plan.was_chosen_on(reading).then_some(words)
}

/// What to say of quality on text that a trained model learned from.
const LEARNED: &str = "in-sample: the model learned from the text that quality is measured on, so it may do worse on other text; \
    measure on other text";

/// What to say of the quality of a model on what `reading` tells of, where its own record says that some of it went into the
/// model: its heads were chosen on it, its repair was calibrated on it, or its weights learned from it.
pub(super) fn in_sample_notes(opened: &Opened, reading: &Reading) -> Vec<String> {
    let Some(Report { plan, repair, trained, .. }) = record(opened) else { return Vec::new() };
    let repaired = repair.and_then(|repair| repair.in_sample_words(reading));
    let learned = trained.is_some_and(|trained| trained.readings.iter().any(|read| read.overlaps(reading)));
    let all = chosen_words(&plan, reading).into_iter().chain(repaired).chain(learned.then_some(LEARNED));
    all.map(str::to_owned).collect()
}

/// The record of the export that the model is, where it lies beside its weights.
fn record(opened: &Opened) -> Option<Report> {
    let place = opened.model.checkpoint().place();
    let path: PathBuf = if place.is_dir() { place.join(RECORD) } else { place.with_file_name(RECORD) };
    let record = Report::read(&path).ok()?;
    let is_it = match record.export_format {
        OutputFormat::Folder(_) => place.is_dir(),
        OutputFormat::Engine(Engine::Gguf) => {
            place.file_name().is_some_and(|name| record.files.iter().any(|file| name == file.as_str()))
        }
        OutputFormat::Engine(Engine::Onnx | Engine::Ct2) => false,
    };
    is_it.then_some(record)
}
