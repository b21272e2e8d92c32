//! `pillars analyze` and `pillars merge`.

use std::path::{Path, PathBuf};

use super::args::{AnalyzeArgs, MergeArgs, ScoreArg};
use super::console::Console;
use super::open::open;
use crate::analysis::{self, Analysis, Document, Moments, SiteAnalysis, baseline};
use crate::error::{Error, Result};
use crate::network::FeatureMap;
use crate::plan::{Amount, Method, PlanRequest, propose};
use crate::repair::replaceability;
use crate::run::{Analyzed, Spec};
use crate::words::{counted, printed};

pub(super) fn run(args: &AnalyzeArgs, console: &Console) -> Result<()> {
    if args.scores.len() > 1 && args.scores.contains(&ScoreArg::None) {
        return Err(Error::usage("--scores none goes with no other score").hint("leave out none, or the others"));
    }
    let inputs: Vec<&Path> = args.input.path().into_iter().chain([args.model.as_path()]).collect();
    let out = Analysis::claim(&args.out, &inputs)?;
    let beside = args.moments.then(|| Moments::claim_beside(&args.out, &inputs)).transpose()?;
    let checked = open(&args.model, &spec(args))?;
    let Analyzed { analysis, moments, timings } = console.watch(|ticket| checked.analyze(ticket))?;
    if let Some((moments, beside)) = moments.zip(beside) {
        moments.write(beside.path())?;
        console.wrote(beside.path());
    }
    analysis.write(out.path())?;
    console.wrote(out.path());
    console.warn_all(&analysis.notes);
    console.warn(&timings.to_string());
    if args.common.json { console.print(&analysis.to_json()?) } else { console.print(&summary(&analysis)) }
}

/// What the arguments ask for.
fn spec(args: &AnalyzeArgs) -> Spec {
    let common = args.common.spec(&args.input, args.memory.memory);
    let wants = |score: ScoreArg, usual: bool| match args.scores.as_slice() {
        [] => usual,
        scores => scores.contains(&score),
    };
    Spec {
        order: args.order,
        held_out_every: args.held_out_every,
        shard: args.shard,
        features: args.feature.clone(),
        groups: args.groups.clone(),
        metric: args.metric,
        clustering: args.clustering,
        cka: args.cka,
        moments: args.moments,
        kinds: !args.no_kinds,
        evidence: !args.no_evidence,
        confidence: wants(ScoreArg::Confidence, common.confidence),
        magnitude: wants(ScoreArg::Magnitude, common.magnitude),
        importance: wants(ScoreArg::Importance, common.importance),
        ..common
    }
}

pub(super) fn merge(args: &MergeArgs, console: &Console) -> Result<()> {
    let inputs: Vec<&Path> = args.analyses.iter().map(PathBuf::as_path).collect();
    let out = Analysis::claim(&args.out, &inputs)?;
    let parts = args.analyses.iter().map(|path| Analysis::read(path)).collect::<Result<Vec<_>>>()?;
    let name = |index: usize| args.analyses.get(index).map_or_else(String::new, |path| path.display().to_string());
    let mut merged = analysis::merge_named(&parts, &name)?;
    if merged.settings.moments {
        let read = |(path, part): (&PathBuf, &Analysis)| Moments::read_beside(path, part);
        let mut parts = args.analyses.iter().zip(&parts).map(read);
        if let Some(mut sum) = parts.next().transpose()? {
            for more in parts {
                sum.add(&more?)?;
            }
            merged.set_baseline(baseline::REPLACEABILITY, replaceability(&sum)?)?;
            merged.conclude();
            merged.notes.retain(|note| !Moments::is_doubt(note));
            merged.notes.extend(sum.doubts());
            let beside = Moments::claim_beside(&args.out, &inputs)?;
            sum.write(beside.path())?;
            console.wrote(beside.path());
        }
    }
    merged.write(out.path())?;
    console.wrote(out.path());
    console.warn_all(&merged.notes);
    if args.json { console.print(&merged.to_json()?) } else { console.print(&summary(&merged)) }
}

/// A table of the sites: groups of the first feature map, how clear they are, votes and what they keep.
fn summary(analysis: &Analysis) -> String {
    let mut lines = vec![format!(
        "{} in {}",
        counted(analysis.tokens, analysis.unit().noun()),
        counted(analysis.batches, "batches")
    )];
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
        let silhouette = found.mean_silhouette.map_or("-".to_owned(), |s| printed(format!("{s:.3}")));
        lines.push(format!(
            "{:<12} {:>5} {groups:>7} {silhouette:>10}  {:<24} {:<24} {}",
            site.site.to_string(),
            site.heads,
            list(&found.groups),
            list(&site.votes),
            list(&site.kept),
        ));
    }
    lines.extend(legend(analysis, *feature));
    lines.extend(kinds(analysis));
    lines.extend(evidence(analysis));
    if let Some(size) = analysis.settings.batch_size {
        lines.push(format!(
            "Votes are cast by batches of {size} sequences and depend on how the input is cut into them; Gram matrices and \
             the groups made from them do not."
        ));
    }
    lines.join("\n")
}

/// What the columns of the table are of, and how what a plan keeps differs from them.
fn legend(analysis: &Analysis, shown: FeatureMap) -> Vec<String> {
    let maps: Vec<&str> = analysis.settings.features.iter().map(|map| map.name()).collect();
    let mut lines = Vec::new();
    if maps.len() > 1 {
        lines.push(format!(
            "Groups and silhouette are those of {}; votes and kept are of {} together (votes:MAP of pillars plan lets one count \
             alone).",
            shown.name(),
            maps.join(", ")
        ));
    }
    let Ok(plan) = propose(analysis, &PlanRequest::new(Method::Votes, Amount::Groups)) else { return lines };
    let others: Vec<String> = analysis
        .sites
        .iter()
        .filter_map(|site| {
            let kept = plan.kept_at(site.site, site.heads);
            (kept != site.kept).then(|| match kept.len() == site.heads {
                true => format!("{} whole", site.site),
                false => format!("{} {}", site.site, list(&kept)),
            })
        })
        .collect();
    if !others.is_empty() {
        lines.push(format!(
            "Kept is one head a group. Of these layers pillars plan keeps others where no amount is named: {}.",
            others.join(", ")
        ));
    }
    lines
}

/// What heads do, where it was measured: layer by layer those that a kind fits.
fn kinds(analysis: &Analysis) -> Vec<String> {
    let told = |site: &SiteAnalysis| {
        let heads: Vec<String> = (0..site.heads)
            .filter_map(|head| site.kind(head).map(|(kind, score)| format!("{head} {kind} {score:.2}")))
            .collect();
        (!heads.is_empty()).then(|| format!("{:<12} {}", site.site.to_string(), heads.join(", ")))
    };
    let lines: Vec<String> = analysis.sites.iter().filter_map(told).collect();
    let title = (!lines.is_empty()).then(|| "What heads do, by number:".to_owned());
    title.into_iter().chain(lines).collect()
}

/// What speaks for redundancy, where it was weighed. Layers of which the same is to be told, as that too little was read, share a
/// line.
fn evidence(analysis: &Analysis) -> Vec<String> {
    let mut told: Vec<(&str, Vec<String>)> = Vec::new();
    for site in &analysis.sites {
        let Some(found) = &site.evidence else { continue };
        match told.iter_mut().find(|(sentence, _)| *sentence == found.sentence.as_str()) {
            Some((_, names)) => names.push(site.site.to_string()),
            None => told.push((found.sentence.as_str(), vec![site.site.to_string()])),
        }
    }
    let line = |(sentence, names): (&str, Vec<String>)| format!("{:<12} {sentence}", names.join(", "));
    let lines: Vec<String> = told.into_iter().map(line).collect();
    let title = (!lines.is_empty()).then(|| "Is it redundancy?".to_owned());
    title.into_iter().chain(lines).chain(analysis.evidence.iter().map(|e| e.sentence.clone())).collect()
}

/// Numbers with spaces between them.
pub(super) fn list<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}
