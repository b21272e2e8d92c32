//! `pillars compare`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{CommonArgs, InputArgs, MemoryArgs};
use super::console::Console;
use super::evaluate::side_by_side;
use super::open::open;
use crate::analysis::{Analysis, AnalysisAgreement, Document};
use crate::checkpoint::is_gguf;
use crate::error::{Error, Result};
use crate::run::{Opened, Twins};
use crate::task::Ticket;
use crate::words::printed;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pillars compare monday.json tuesday.json
  pillars compare MODEL MODEL/smaller --text corpus.txt")]
pub(super) struct CompareArgs {
    /// An analysis, or a model: a folder in Hugging Face layout, a GGUF file, or OWNER/NAME as it lies in the hub's cache
    pub first: PathBuf,
    /// Another of the same kind
    pub second: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
}

pub(super) fn run(args: &CompareArgs, console: &Console) -> Result<()> {
    for path in [&args.first, &args.second] {
        if !path.exists() {
            return Err(Error::new("there is no such file or folder").at(path));
        }
    }
    let is_model = |path: &Path| path.is_dir() || is_gguf(path);
    match (is_model(&args.first), is_model(&args.second)) {
        (true, true) => models(args, console),
        (false, false) => analyses(args, console),
        _ => Err(Error::usage("one of these is a model and the other an analysis")
            .hint("compare two analyses, or two models on an input")),
    }
}

fn analyses(args: &CompareArgs, console: &Console) -> Result<()> {
    let read = |path: &Path| Analysis::read(path);
    let agreement = AnalysisAgreement::of(&read(&args.first)?, &read(&args.second)?);
    if agreement.sites.is_empty() {
        return Err(Error::new("the two analyses have no attention layer with as many heads in common")
            .at(&args.second)
            .hint("compare analyses of one model, or of models of one shape"));
    }
    if !agreement.same_model {
        console.warn("the two analyses are of different models of one shape: their heads need not correspond");
    }
    if args.input.is_given() {
        console.warn("the input is not read: analyses hold all that is compared");
    }
    if let Some(setting) = agreement.differs_in {
        console.warn(&format!("the two analyses differ in their settings ({setting})"));
    }
    if args.common.json {
        return console.print_json(&agreement);
    }
    let mut lines = vec![format!(
        "{:<14}{:<28}{:<28}{:>14}{:>12}",
        "site", "kept", "kept by the other", "adjusted Rand", "cosines"
    )];
    for site in &agreement.sites {
        let [kept, other] = site.kept.clone().map(|heads| words(&heads));
        for (map, feature) in &site.features {
            lines.push(format!(
                "{:<14}{kept:<28}{other:<28}{:>14}{:>12.3}  {map}",
                site.site.to_string(),
                printed(format!("{:.3}", feature.adjusted_rand)),
                feature.cosine_difference
            ));
        }
    }
    lines.push(format!("kept in common   {:.1} %", 100.0 * agreement.kept_in_common));
    if let Some(mean) = agreement.mean_adjusted_rand {
        let mean = printed(format!("{mean:.3}"));
        lines.push(format!("adjusted Rand    {mean} on average: 1 the same groups, 0 as by chance"));
    }
    lines.push("cosines: mean absolute difference of the cosine between two heads".to_owned());
    console.print(&lines.join("\n"))
}

fn models(args: &CompareArgs, console: &Console) -> Result<()> {
    let checked = open(&args.first, &args.common.spec(&args.input, args.memory.memory))?;
    let other = Opened::open(&args.second, &Ticket::default())?;
    let twins = console.watch(|ticket| checked.compare_models(&other, ticket))?;
    console.warn_all(&twins.notes);
    if args.common.json { console.print_json(&twins) } else { console.print(&table(&twins)) }
}

fn table(twins: &Twins) -> String {
    let mut lines = vec![side_by_side(&twins.comparison, twins.reading.unit, ["first", "second"])];
    lines.push(format!(
        "{:<14}{:>8}{:>8}{:>14}{:>14}  least alike",
        "site", "heads", "other", "mean cosine", "least cosine"
    ));
    for site in &twins.sites {
        let least = site.cosines.iter().min_by(|a, b| a.1.total_cmp(b.1));
        let mean = site.cosines.values().sum::<f64>() / (site.cosines.len() as f64).max(1.0);
        let [ours, theirs] = [site.heads[0].len(), site.heads[1].len()];
        match least {
            Some((head, cosine)) => {
                let [mean, cosine] = [mean, *cosine].map(|x| printed(format!("{x:.4}")));
                lines.push(format!(
                    "{:<14}{ours:>8}{theirs:>8}{mean:>14}{cosine:>14}  head {head}",
                    site.site.to_string()
                ));
            }
            None => lines.push(format!("{:<14}{ours:>8}{theirs:>8}{:>14}{:>14}", site.site.to_string(), "-", "-")),
        }
    }
    lines.push("cosine: between what a head adds to the residual stream in one model and in the other".to_owned());
    lines.join("\n")
}

fn words(heads: &[usize]) -> String {
    heads.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}
