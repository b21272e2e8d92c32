//! `pillars prune`.

use std::path::Path;

use serde_json::{Value, json};

use super::args::PruneArgs;
use super::console::Console;
use super::evaluate::table;
use super::open::Session;
use crate::analysis::Document;
use crate::corpus::{BatchOrder, Corpus, Purpose};
use crate::error::{Error, Result};
use crate::evaluation::{COMPARED_COPIES, Candidate, Comparison, compare};
use crate::model::Needs;
use crate::network::Gates;
use crate::plan::Plan;
use crate::pruning::{self, Draft, ExportOptions, Format, Report, Speeds, forecast};
use crate::task::Ticket;

/// What comparing the original with the written model needs.
const MEASURING: Needs = Needs { networks: 2, copies: COMPARED_COPIES, ..Needs::ONE };

pub(super) fn run(args: &PruneArgs, console: &Console) -> Result<()> {
    let session = Session::open(&args.model, &args.common, console)?;
    let plan = session.plan(&args.plan)?;
    if args.dry_run {
        return foretell(&session, &plan, args.common.json, console);
    }
    let format = format(args);
    let out = args.out.as_deref().ok_or_else(|| Error::usage("name the folder to write with --out"))?;
    let (report, comparison) = console.watch(|ticket| {
        let options = ExportOptions {
            force: args.force,
            device: session.device.clone(),
            seed: args.common.seed,
            memory: args.memory.memory,
            ..ExportOptions::default()
        };
        let corpus = if args.input.is_given() {
            let corpus = session.corpus(&args.input, &args.common, Purpose::Score, ticket)?;
            Some(session.fit(corpus, &args.common, &args.memory, MEASURING)?)
        } else {
            None
        };
        // The proof reads the first batches, which shall not be those of the shortest lines.
        let first = corpus.as_ref().map(|c| c.with(|s| s.order = BatchOrder::AsRead));
        let mut batches = first.as_ref().map(|c| c.batches(&session.device));
        let input = batches.as_mut().map(|b| b as &mut dyn Iterator<Item = _>);
        let draft = pruning::write(&session.model, &plan, format, out, &options, input, ticket)?;
        let comparison = match &corpus {
            Some(corpus) => Some(measure(&session, args, &draft, corpus, ticket)?),
            None => None,
        };
        Ok((draft.finish(comparison.clone())?, comparison))
    })?;
    for note in &report.notes {
        console.warn(note);
    }
    if args.common.json {
        let mut document = serde_json::to_value(&report)?;
        if let Value::Object(keys) = &mut document {
            keys.insert("path".to_owned(), json!(out));
        }
        return console.print_json(&document);
    }
    console.print(&summary(out, &report, comparison.as_ref()))
}

/// The format that was asked for, else the one of the record that the plan comes from.
fn format(args: &PruneArgs) -> Format {
    let recorded = || Report::read(&args.plan).ok().map(|report| report.export_format);
    args.format.or_else(recorded).unwrap_or_default()
}

/// What every format would give; nothing is written.
fn foretell(session: &Session, plan: &Plan, as_json: bool, console: &Console) -> Result<()> {
    let told: Vec<_> = Format::ALL.iter().map(|&format| (format, forecast(&session.model, plan, format))).collect();
    if as_json {
        let formats = told.into_iter().map(|(format, told)| match told {
            Ok(forecast) => Ok(serde_json::to_value(forecast)?),
            Err(error) => Ok(json!({"format": format, "refused": error.to_string()})),
        });
        return console.print_json(&json!({"formats": formats.collect::<Result<Vec<Value>>>()?}));
    }
    let mut lines = vec![format!("{:<10} {:>14} {:>14} {:>16}  opens in", "", "parameters", "bytes", "cache B/token")];
    let row = |name: &str, [parameters, bytes, cache]: [u64; 3], opens: &str| {
        format!("{name:<10} {parameters:>14} {bytes:>14} {cache:>16}  {opens}")
    };
    if let Some(Ok(first)) = told.iter().map(|(_, told)| told).find(|told| told.is_ok()) {
        let before = [first.parameters.before, first.bytes.before, first.cache_bytes_per_token.before];
        lines.push(row("original", before, "-"));
    }
    let mut remarks = Vec::new();
    for (format, told) in &told {
        match told {
            Ok(told) => {
                let after = [told.parameters.after, told.bytes.after, told.cache_bytes_per_token.after];
                lines.push(row(format.name(), after, &told.opens_in.join(", ")));
                remarks.extend(told.notes.iter().map(|note| format!("{format}: {note}")));
            }
            Err(error) => remarks.push(format!("{format}: {error}")),
        }
    }
    console.print(&lines.into_iter().chain(remarks).collect::<Vec<_>>().join("\n"))
}

/// Quality of the original and of the written model on the whole input.
fn measure(session: &Session, args: &PruneArgs, draft: &Draft, corpus: &Corpus, ticket: &Ticket) -> Result<Comparison> {
    let before = session.network(&session.model, corpus, &args.memory, MEASURING)?;
    let after = session.network(draft.model(), corpus, &args.memory, MEASURING)?;
    let open = Gates::open();
    compare(
        Candidate { network: &before, gates: &open },
        Candidate { network: &after, gates: &open },
        corpus.batches(&session.device),
        corpus.total().map(|t| t.value()),
        ticket,
    )
}

fn summary(out: &Path, report: &Report, comparison: Option<&Comparison>) -> String {
    let change = |before: u64, after: u64| 100.0 * (after as f64 / before.max(1) as f64 - 1.0);
    let heads = report.kept.heads();
    let mut lines = vec![
        format!("{} checkpoint in {}", report.export_format, out.display()),
        format!("heads kept       {heads} in {} sites", report.kept.sites()),
        format!(
            "parameters       {} -> {} ({:+.1} %)",
            report.parameters.before,
            report.parameters.after,
            change(report.parameters.before, report.parameters.after)
        ),
        format!(
            "bytes            {} -> {} ({:+.1} %)",
            report.bytes.before,
            report.bytes.after,
            change(report.bytes.before, report.bytes.after)
        ),
    ];
    let cache = report.cache_bytes_per_token;
    if cache.before > 0 {
        let change = change(cache.before, cache.after);
        lines.push(format!("cache per token  {} -> {} bytes ({change:+.1} %)", cache.before, cache.after));
    }
    if let Some(Speeds { before, after }) = &report.speed {
        let (before, after) = (before.tokens_per_sec, after.tokens_per_sec);
        lines.push(format!("tokens per sec   {before:.0} -> {after:.0} ({:+.1} %)", 100.0 * (after / before - 1.0)));
    }
    lines.push(format!("opens in         {}", report.opens_in.join("; ")));
    lines.push(format!(
        "agreement        {:.1e} of the largest {} of the {}, over {} positions",
        report.agreement.relative,
        report.agreement.compared,
        report.agreement.reference.name(),
        report.agreement.positions
    ));
    if let Some(comparison) = comparison {
        lines.push(table(comparison));
    }
    lines.join("\n")
}
