//! `pillars prune`.

use std::path::Path;

use serde_json::{Value, json};

use super::args::PruneArgs;
use super::console::Console;
use super::evaluate::table;
use super::open::{obtain_repair, read_plan};
use crate::analysis::Document;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::pruning::{OutputFormat, Report};
use crate::repair::{RepairMode, RepairSource};
use crate::run::{Checked, Opened, PruneSpec, Spec, refusal};
use crate::task::Ticket;

pub(super) fn run(args: &PruneArgs, console: &Console) -> Result<()> {
    let formats = formats(args)?;
    let wanted = PruneSpec { force: args.force, ..PruneSpec::default() };
    // A forecast tells of every format.
    let of_all: Vec<OutputFormat> = OutputFormat::all().collect();
    let wanted = args.storing.add_to(wanted, if args.dry_run { &of_all } else { &formats })?;
    let spec = Spec { held_out_every: args.held_out_every, ..args.common.spec(&args.input, args.memory.memory) };
    let opened = Opened::open(&args.model, &Ticket::default())?;
    let checked = spec.check_without_input(&opened).map_err(refusal)?;
    let plan = read_plan(&args.plan, &checked)?;
    if args.dry_run {
        let repair = planned_repair(args, &plan, &checked, console)?;
        console.warn_all(plan.foreign_to(&opened.facts.fingerprint).as_slice());
        return forecast_all(&checked, (&plan, repair), &wanted, args.common.json, console);
    }
    let out = args.out.clone().ok_or_else(|| Error::usage("name the folder to write with --out"))?;
    let wanted = PruneSpec { out: out.clone(), ..wanted };
    let repair =
        obtain_repair(args.repair.as_ref(), (&args.plan, &plan), false, &checked, console)?.map(|found| found.repair);
    let reports = console.watch(|ticket| match formats.as_slice() {
        [format] => {
            let wanted = PruneSpec { format: *format, ..wanted.clone() };
            Ok(vec![(out.clone(), checked.prune(&plan, repair.as_ref(), &wanted, ticket)?)])
        }
        several => {
            let reports = checked.prune_several(&plan, repair.as_ref(), several, &wanted, ticket)?;
            Ok(reports.into_iter().map(|report| (out.join(report.export_format.name()), report)).collect())
        }
    })?;
    for (_, report) in &reports {
        console.warn_all(&report.notes);
    }
    // What was measured on one input has the same notes in every format.
    let measured = reports.iter().find_map(|(_, report)| report.measured.as_ref());
    console.warn_all(measured.map_or(&[], |measured| &measured.notes));
    if args.common.json {
        let documents = reports.iter().map(|(out, report)| report_of(out, report)).collect::<Result<Vec<_>>>()?;
        return match <[Value; 1]>::try_from(documents) {
            Ok([one]) => console.print_json(&one),
            Err(several) => console.print_json(&json!({"exports": several})),
        };
    }
    let texts: Vec<String> = reports.iter().map(|(out, report)| summary(out, report)).collect();
    console.print(&texts.join("\n\n"))
}

/// The record of what was written, and where.
pub(super) fn report_of(out: &Path, report: &Report) -> Result<Value> {
    let mut document = serde_json::to_value(report)?;
    if let Value::Object(keys) = &mut document {
        keys.insert("path".to_owned(), json!(out.to_string_lossy()));
    }
    Ok(document)
}

/// The formats that were asked for, each once, else the one of the record that the plan comes from.
fn formats(args: &PruneArgs) -> Result<Vec<OutputFormat>> {
    let mut formats: Vec<OutputFormat> = Vec::new();
    for format in &args.format {
        if formats.contains(format) {
            return Err(Error::usage(format!("the format {format} is named twice")));
        }
        formats.push(*format);
    }
    if formats.is_empty() {
        let recorded = Report::read(&args.plan).ok().map(|report| report.export_format);
        formats.push(recorded.unwrap_or_default());
    }
    Ok(formats)
}

/// The way of repair that an export would take, after everything about it that can be known was checked.
fn planned_repair(args: &PruneArgs, plan: &Plan, checked: &Checked, console: &Console) -> Result<Option<RepairMode>> {
    Ok(match args.repair {
        Some(RepairSource::Made(RepairMode::None)) => None,
        Some(RepairSource::Made(mode)) => {
            checked.check_calibration(mode)?;
            Some(mode)
        }
        Some(RepairSource::File(_)) | None => {
            obtain_repair(args.repair.as_ref(), (&args.plan, plan), false, checked, console)?
                .map(|found| found.repair.record.mode)
        }
    })
}

/// What every format would give; nothing is written.
fn forecast_all(
    checked: &Checked,
    (plan, repair): (&Plan, Option<RepairMode>),
    wanted: &PruneSpec,
    as_json: bool,
    console: &Console,
) -> Result<()> {
    let tell = |format| checked.forecast(plan, repair.is_some(), &PruneSpec { format, ..wanted.clone() });
    let told: Vec<_> = OutputFormat::all().map(|format| (format, tell(format))).collect();
    if as_json {
        let formats = told.into_iter().map(|(format, told)| match told {
            Ok(forecast) => Ok(serde_json::to_value(forecast)?),
            Err(error) => Ok(json!({"format": format, "refused": error.to_string()})),
        });
        let formats = formats.collect::<Result<Vec<Value>>>()?;
        let notes = plan.foreign_to(&checked.opened().facts.fingerprint).into_iter().collect::<Vec<_>>();
        return console.print_json(&json!({"formats": formats, "repair": repair, "notes": notes}));
    }
    let mut lines = vec![format!("{:<10} {:>14} {:>14} {:>16}  opens in", "", "parameters", "bytes", "cache B/token")];
    let row = |name: &str, [parameters, bytes, cache]: [u64; 3], opens: &str| {
        format!("{name:<10} {parameters:>14} {bytes:>14} {cache:>16}  {opens}")
    };
    if let Some(Ok(first)) = told.iter().map(|(_, told)| told).find(|told| told.is_ok()) {
        let before = [first.parameters.before, first.bytes.before, first.cache_bytes_per_token.before];
        lines.push(row("original", before, "-"));
    }
    let mut remarks: Vec<String> = repair
        .map(|mode| {
            format!("repaired by {mode}: sizes are the same, the output projections of the heads that stay are new")
        })
        .into_iter()
        .collect();
    for (format, told) in &told {
        match told {
            Ok(told) => {
                let after = [told.parameters.after, told.bytes.after, told.cache_bytes_per_token.after];
                lines.push(row(format.name(), after, &told.opens_in.join("; ")));
                remarks.extend(told.notes.iter().map(|note| format!("{format}: {note}")));
            }
            Err(error) => remarks.push(format!("{format}: {error}")),
        }
    }
    console.print(&lines.into_iter().chain(remarks).collect::<Vec<_>>().join("\n"))
}

pub(super) fn summary(out: &Path, report: &Report) -> String {
    let change = |before: u64, after: u64| 100.0 * (after as f64 / before as f64 - 1.0);
    let mut lines = vec![
        match report.export_format {
            OutputFormat::Folder(format) => format!("{format} checkpoint in {}", out.display()),
            OutputFormat::Engine(engine) => format!("{engine} file in {}", out.display()),
        },
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
        let name = format!("{} per sec", speeds.before.unit.noun());
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
