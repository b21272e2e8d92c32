//! `pillars prune`.

use std::path::Path;

use serde_json::{Value, json};

use super::args::PruneArgs;
use super::console::Console;
use super::evaluate::table;
use super::open::{obtain_repair, read_plan};
use crate::analysis::Document;
use crate::chart::Unit;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::pruning::{BYTES, Counts, OutputFormat, Report, claim, opens_in_words};
use crate::repair::{RepairMode, RepairSource};
use crate::run::{Checked, Opened, PruneSpec, Spec, refusal};
use crate::task::Ticket;
use crate::words::printed;

pub(super) fn run(args: &PruneArgs, console: &Console) -> Result<()> {
    let mut formats = formats(args)?;
    let wanted = PruneSpec { force: args.force, ..PruneSpec::default() };
    // A forecast tells of the formats that are named, and else of every one.
    let told: Vec<OutputFormat> = match args.dry_run && args.format.is_empty() {
        true => OutputFormat::all().collect(),
        false => formats.clone(),
    };
    let wanted = args.storing.add_to(wanted, &told)?;
    let spec = Spec { held_out_every: args.held_out_every, ..args.common.spec(&args.input, args.memory.memory) };
    let opened = Opened::open(&args.model, &Ticket::default())?;
    let checked = spec.check_without_input(&opened).map_err(refusal)?;
    let plan = read_plan(&args.plan, &checked, console)?;
    if args.dry_run {
        let repair = planned_repair(args, &plan, &checked, console)?;
        console.warn_all(plan.foreign_to(&opened.facts.fingerprint).as_slice());
        let refused = forecast_formats(&checked, (&plan, repair), (&told, &wanted), args.common.json, console)?;
        // What is named and cannot be written would fail.
        return refused.filter(|_| !args.format.is_empty()).map_or(Ok(()), Err);
    }
    if args.format.is_empty() && recorded_format(args).is_none() {
        formats = vec![checked.usual_format(&plan)];
    }
    let out = args.out.clone().ok_or_else(|| Error::usage("name the folder to write with --out"))?;
    let wanted = PruneSpec { out: out.clone(), ..wanted };
    let _place = claim(&out, opened.model.checkpoint().place())?;
    // Making a repair may be hours of work.
    if let Some(RepairSource::Made(mode)) = &args.repair
        && mode.repairs()
    {
        checked.check_calibration(*mode)?;
        checked.check_export(&plan, true, &formats, &wanted)?;
    }
    let repair = obtain_repair(args.repair.as_ref(), (&args.plan, &plan), &checked, console)?;
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
    for (out, report) in &reports {
        console.wrote(out);
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
        formats.push(recorded_format(args).unwrap_or_default());
    }
    Ok(formats)
}

/// The format of the record that the plan comes from, where it comes from one.
fn recorded_format(args: &PruneArgs) -> Option<OutputFormat> {
    Report::read(&args.plan).ok().map(|report| report.export_format)
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
            obtain_repair(args.repair.as_ref(), (&args.plan, plan), checked, console)?.map(|found| found.record.mode)
        }
    })
}

/// The row of what files for engines are compared with, where that is less than the original.
const PART_READ: &str = "part read";
/// What that row is.
const PART_READ_MEANING: &str = "part read is what the network reads of the original's files; the file of an engine replaces \
    that alone, and its shares are of it";

/// Says what each of `formats` would give; nothing is written. Gives why the first of those that cannot be written cannot.
fn forecast_formats(
    checked: &Checked,
    (plan, repair): (&Plan, Option<RepairMode>),
    (formats, wanted): (&[OutputFormat], &PruneSpec),
    as_json: bool,
    console: &Console,
) -> Result<Option<Error>> {
    let tell = |format: &OutputFormat| {
        let told = checked.forecast(plan, repair.is_some(), &PruneSpec { format: *format, ..wanted.clone() });
        (*format, told)
    };
    let told: Vec<_> = formats.iter().map(tell).collect();
    if as_json {
        let documents = told.iter().map(|(format, told)| match told {
            Ok(forecast) => Ok(serde_json::to_value(forecast)?),
            Err(error) => Ok(json!({"format": format, "refused": error.to_string()})),
        });
        let formats = documents.collect::<Result<Vec<Value>>>()?;
        let notes = plan.foreign_to(&checked.opened().facts.fingerprint).into_iter().collect::<Vec<_>>();
        console.print_json(&json!({"formats": formats, "repair": repair, "notes": notes}))?;
        return Ok(first_refusal(told));
    }
    let title = ["parameters", "", BYTES, "", "cache B/token"];
    let line = |name: &str, [a, b, c, d, e]: [&str; 5], opens: &str| {
        format!("{name:<10} {a:>14} {b:>9} {c:>16} {d:>9} {e:>16}  {opens}")
    };
    let row = |name: &str, of: [Counts; 3], is_after: bool, opens: &str| {
        let cell = |counts: Counts| (if is_after { counts.after } else { counts.before }).to_string();
        let share = |counts: Counts| if is_after { change(counts) } else { String::new() };
        let [parameters, bytes, cache] = of;
        line(name, [&cell(parameters), &share(parameters), &cell(bytes), &share(bytes), &cell(cache)], opens)
    };
    let mut lines = vec![line("", title, "opens in")];
    let counted = told.iter().filter_map(|(_, told)| told.as_ref().ok()).find(|t| t.attention_parameters.before > 0);
    let counted = counted.map(|told| {
        format!(
            "parameters are {WHOLE_MODEL}; {} has {} of them in its attention layers",
            told.format,
            before_after(told.attention_parameters)
        )
    });
    let mut remarks: Vec<String> = repair
        .map(|mode| {
            format!("repaired by {mode}: sizes are the same, the output projections of the heads that stay are new")
        })
        .into_iter()
        .chain(counted)
        .collect();
    let mut originals: Vec<[u64; 3]> = Vec::new();
    for (format, told) in &told {
        match told {
            Ok(told) => {
                let sizes = [told.parameters, told.bytes, told.cache_bytes_per_token];
                let before = sizes.map(|counts| counts.before);
                // What formats replace: a folder all of its files, an engine's file what the network reads of them.
                if !originals.contains(&before) {
                    let name = if originals.is_empty() { "original" } else { PART_READ };
                    lines.push(row(name, sizes, false, "-"));
                    originals.push(before);
                }
                lines.push(row(format.name(), sizes, true, &opens_in_words(&told.opens_in)));
                remarks.extend(told.notes.iter().map(|note| format!("{format}: {note}")));
            }
            Err(error) => remarks.push(format!("{format}: {error}")),
        }
    }
    if originals.len() > 1 {
        remarks.insert(0, PART_READ_MEANING.to_owned());
    }
    console.print(&lines.into_iter().chain(remarks).collect::<Vec<_>>().join("\n"))?;
    Ok(first_refusal(told))
}

/// Why the first format that cannot be written cannot.
fn first_refusal<T>(told: Vec<(OutputFormat, Result<T>)>) -> Option<Error> {
    told.into_iter().find_map(|(format, told)| told.err().map(|error| error.within(format)))
}

/// What parameters are of.
pub(super) const WHOLE_MODEL: &str = "those of the whole model";

/// By what share a number changed: `−12.9 %`.
fn change(counts: Counts) -> String {
    Unit::change(counts.before as f64, counts.after as f64).unwrap_or_else(|| "no change".to_owned())
}

/// `100 -> 80 (−20 %)`.
pub(super) fn before_after(counts: Counts) -> String {
    format!("{} -> {} ({})", counts.before, counts.after, change(counts))
}

pub(super) fn summary(out: &Path, report: &Report) -> String {
    let mut lines = vec![
        match report.export_format {
            OutputFormat::Folder(format) => format!("{format} checkpoint in {}", out.display()),
            OutputFormat::Engine(engine) => format!("{engine} file in {}", out.display()),
        },
        format!("heads kept       {} of {}", report.heads.after, report.heads.before),
        format!("parameters       {} of the whole model", before_after(report.parameters)),
    ];
    if report.attention_parameters.before > 0 {
        lines.push(format!("                 {} of attention", before_after(report.attention_parameters)));
    }
    lines.push(format!("{BYTES} {}", before_after(report.bytes)));
    let cache = report.cache_bytes_per_token;
    if cache.before > 0 {
        let change = change(cache);
        lines.push(format!("cache per token  {} -> {} bytes ({change})", cache.before, cache.after));
    }
    if let Some(speeds) = &report.speed {
        let (name, before) = (format!("{} per sec", speeds.before.unit.noun()), speeds.before.tokens_per_sec);
        lines.push(format!("{name:<16} {before:.1} before; run against run {}", speeds.change()));
    }
    if let Some(repair) = &report.repair {
        lines.push(match repair.mode {
            RepairMode::None => format!("repaired         {}", RepairMode::LEFT),
            mode => format!("repaired         by {mode} on {} tokens", repair.tokens),
        });
    }
    lines.push(format!("opens in         {}", opens_in_words(&report.opens_in)));
    lines.push(format!(
        "agreement        {} of the largest {} of the {}, over {} positions",
        printed(format!("{:.1e}", report.agreement.relative)),
        report.agreement.compared,
        report.agreement.reference.name(),
        report.agreement.positions
    ));
    lines.extend(report.measured.as_ref().map(|measured| table(measured, false)));
    lines.join("\n")
}
