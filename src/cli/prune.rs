//! `pillars prune`.

use std::path::Path;

use serde_json::{Value, json};

use super::args::PruneArgs;
use super::console::Console;
use super::evaluate::table;
use super::open::{read_plan, read_repair, repair_of};
use crate::analysis::Document;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::plan::Plan;
use crate::pruning::{ExportFormat, Report, forecast};
use crate::repair::RepairMode;
use crate::run::{Opened, PruneSpec, Spec, refusal};
use crate::task::Ticket;

pub(super) fn run(args: &PruneArgs, console: &Console) -> Result<()> {
    let spec = Spec { held_out_every: args.held_out_every, ..args.common.spec(&args.input, args.memory.memory) };
    let opened = Opened::open(&args.model, &Ticket::default())?;
    let checked = spec.check_without_input(&opened).map_err(refusal)?;
    let plan = read_plan(&args.plan, &checked)?;
    if args.dry_run {
        return foretell(&opened.model, &plan, args.common.json, console);
    }
    let out = args.out.clone().ok_or_else(|| Error::usage("name the folder to write with --out"))?;
    let wanted = PruneSpec { out: out.clone(), format: format(args), force: args.force };
    let repair =
        repair_of(args.repair.as_deref(), &args.plan).map(|path| read_repair(&path, &plan, &checked)).transpose()?;
    let report = console.watch(|ticket| checked.prune(&plan, repair.as_ref(), &wanted, ticket))?;
    console.warn_all(&report.notes);
    console.warn_all(report.measured.as_ref().map_or(&[], |measured| &measured.notes));
    if args.common.json {
        let mut document = serde_json::to_value(&report)?;
        if let Value::Object(keys) = &mut document {
            keys.insert("path".to_owned(), json!(out));
        }
        return console.print_json(&document);
    }
    console.print(&summary(&out, &report))
}

/// The format that was asked for, else the one of the record that the plan comes from.
fn format(args: &PruneArgs) -> ExportFormat {
    let recorded = || Report::read(&args.plan).ok().map(|report| report.export_format);
    args.format.or_else(recorded).unwrap_or_default()
}

/// What every format would give; nothing is written.
fn foretell(model: &Model, plan: &Plan, as_json: bool, console: &Console) -> Result<()> {
    let told: Vec<_> = ExportFormat::ALL.iter().map(|&format| (format, forecast(model, plan, format))).collect();
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

fn summary(out: &Path, report: &Report) -> String {
    let change = |before: u64, after: u64| 100.0 * (after as f64 / before.max(1) as f64 - 1.0);
    let mut lines = vec![
        format!("{} checkpoint in {}", report.export_format, out.display()),
        format!("heads kept       {} of {}", report.heads.after, report.heads.before),
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
    if let Some(speeds) = &report.speed {
        let (before, after) = (speeds.before.tokens_per_sec, speeds.after.tokens_per_sec);
        let name = format!("{} per sec", speeds.before.unit());
        lines.push(format!(
            "{name:<16} {before:.1} -> {after:.1} by the median runs; run against run {}",
            speeds.change()
        ));
    }
    if let Some(repair) = &report.repair {
        lines.push(match repair.mode {
            RepairMode::None => "repaired         not: of all modes none did best on held-out batches".to_owned(),
            mode => format!("repaired         by {mode} on {} tokens", repair.tokens),
        });
    }
    lines.push(format!("opens in         {}", report.opens_in.join("; ")));
    lines.push(format!(
        "agreement        {:.1e} of the largest {} of the {}, over {} positions",
        report.agreement.relative,
        report.agreement.compared,
        report.agreement.reference.name(),
        report.agreement.positions
    ));
    lines.extend(report.measured.as_ref().map(table));
    lines.join("\n")
}
