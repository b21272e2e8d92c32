//! `pillars analyze` and `pillars merge`.

use std::path::{Path, PathBuf};

use super::args::{AnalyzeArgs, MergeArgs, Score};
use super::console::Console;
use super::open::Session;
use crate::analysis::{self, Analysis, Analyzer, Document, ModelInfo, Settings, baseline, magnitude};
use crate::corpus::{Corpus, CorpusPart, Purpose};
use crate::error::{Error, Result};
use crate::training::gate_importance;
use crate::words::counted;

pub(super) fn run(args: &AnalyzeArgs, console: &Console) -> Result<()> {
    if args.memory.memory.is_some() && args.scores.contains(&Score::Importance) {
        return Err(Error::usage("importance needs gradients through the whole model, which --memory does not bound")
            .hint("leave out one of the two"));
    }
    let inputs: Vec<&Path> = args.input.path().into_iter().chain([args.model.as_path()]).collect();
    let out = Analysis::claim(&args.out, &inputs)?;
    let session = Session::open(&args.model, &args.common, console)?;
    let (result, timings) = console.watch(|ticket| {
        let corpus = session.corpus(&args.input, &args.common, Purpose::Observe, ticket)?;
        let corpus = corpus.with(|s| s.order = args.order);
        let corpus = held(corpus, args.held_out_every, |every| CorpusPart::Training { every });
        let mut settings = Settings {
            features: args.feature.clone(),
            groups: args.groups.clone(),
            metric: args.metric,
            clustering: args.clustering,
            seed: args.common.seed,
            cka: args.cka,
            confidence: args.scores.contains(&Score::Confidence),
            ..Settings::default()
        };
        ticket.stage("load weights", None, "");
        let needs = Analyzer::needs(session.model.spec(), &settings);
        let corpus = session.fit(corpus, &args.common, &args.memory, needs)?;
        let network = session.network(&session.model, &corpus, &args.memory, needs)?;
        settings = settings.reading(&corpus);
        let info = ModelInfo::of(&session.model, session.dtype)?;
        let (batches, total) = (corpus.batches(&session.device), corpus.total().map(|t| t.value()));
        let (mut result, timings) = analysis::analyze_timed(&network, info, batches, total, &settings, ticket)?;
        if args.scores.contains(&Score::Magnitude) {
            let weights = session.model.reader(&session.device, session.dtype);
            result.set_baseline(baseline::MAGNITUDE, magnitude(session.model.spec(), &weights)?)?;
        }
        if args.scores.contains(&Score::Importance) {
            let scored = corpus.with(|s| s.purpose = Purpose::Score);
            let seed = args.common.seed;
            gate_importance(&network, scored.batches(&session.device), seed, ticket)?.record(&mut result)?;
        }
        Ok((result, timings))
    })?;
    result.write(out.path())?;
    for note in &result.notes {
        console.warn(note);
    }
    console.warn(&timings.to_string());
    if args.common.json { console.print(&result.to_json()?) } else { console.print(&summary(&result)) }
}

/// The part of a corpus that takes part where every N-th batch is held out.
pub(super) fn held(corpus: Corpus, every: Option<u64>, part: impl Fn(u64) -> CorpusPart) -> Corpus {
    match every {
        Some(every) => corpus.with(|s| s.part = part(every)),
        None => corpus,
    }
}

pub(super) fn merge(args: &MergeArgs, console: &Console) -> Result<()> {
    let inputs: Vec<&Path> = args.analyses.iter().map(PathBuf::as_path).collect();
    let out = Analysis::claim(&args.out, &inputs)?;
    let parts = args.analyses.iter().map(|path| Analysis::read(path)).collect::<Result<Vec<_>>>()?;
    let merged = analysis::merge(&parts)?;
    merged.write(out.path())?;
    if args.json { console.print(&merged.to_json()?) } else { console.print(&summary(&merged)) }
}

/// A table of the sites: groups of the first feature map, how clear they are, votes and what they keep.
fn summary(analysis: &Analysis) -> String {
    let mut lines = vec![format!("{} in {}", counted(analysis.tokens, "tokens"), counted(analysis.batches, "batches"))];
    let Some(feature) = analysis.settings.features.first() else { return lines.join("\n") };
    lines.push(format!(
        "{:<12} {:>5} {:>7} {:>10}  {:<24} {:<24} kept",
        "site",
        "heads",
        "groups",
        "silhouette",
        feature.name(),
        "votes"
    ));
    for site in &analysis.sites {
        let Some(found) = site.features.get(feature) else { continue };
        let groups = found.groups.iter().max().map_or(0, |g| g + 1);
        let silhouette = found.mean_silhouette.map_or("-".to_owned(), |s| format!("{s:.3}"));
        lines.push(format!(
            "{:<12} {:>5} {groups:>7} {silhouette:>10}  {:<24} {:<24} {}",
            site.site.to_string(),
            site.heads,
            list(&found.groups),
            list(&site.votes),
            list(&site.kept),
        ));
    }
    if let Some(size) = analysis.settings.batch_size {
        lines.push(format!(
            "Votes are cast by batches of {size} sequences and depend on how the input is cut into them; Gram matrices and \
             the groups made from them do not."
        ));
    }
    lines.join("\n")
}

/// Numbers with spaces between them.
pub(super) fn list<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}
