//! `pillars prune`.

use serde_json::{Value, json};

use super::args::PruneArgs;
use super::console::Console;
use super::evaluate::table;
use super::open::Session;
use crate::corpus::{Corpus, Purpose};
use crate::error::Result;
use crate::evaluation::{COMPARED_COPIES, Candidate, Comparison, compare};
use crate::model::Needs;
use crate::network::Gates;
use crate::plan::{Cost, Plan, Saving};
use crate::pruning::{self, Draft, ExportOptions, Report};
use crate::task::Ticket;

/// Length at which a forecast counts; sizes and cache per token do not depend on it.
const FORECAST_LENGTH: usize = 128;

/// What comparing the original with the written model needs.
const MEASURING: Needs = Needs { networks: 2, copies: COMPARED_COPIES, ..Needs::ONE };

pub(super) fn run(args: &PruneArgs, console: &Console) -> Result<()> {
    let session = Session::open(&args.model, &args.common, console)?;
    let plan = session.plan(&args.plan)?;
    if args.dry_run {
        return forecast(&session, &plan, args.common.json, console);
    }
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
        let mut batches = corpus.as_ref().map(|c| c.batches(&session.device));
        let input = batches.as_mut().map(|b| b as &mut dyn Iterator<Item = _>);
        let draft = pruning::write(&session.model, &plan, args.format, &args.out, &options, input, ticket)?;
        let comparison = match &corpus {
            Some(corpus) => Some(measure(&session, args, &draft, corpus, ticket)?),
            None => None,
        };
        let measured = comparison.as_ref().map(serde_json::to_value).transpose()?;
        Ok((draft.finish(measured)?, comparison))
    })?;
    for note in &report.notes {
        console.warn(note);
    }
    if args.common.json {
        let mut document = serde_json::to_value(&report)?;
        if let Value::Object(keys) = &mut document {
            keys.insert("path".to_owned(), json!(args.out));
        }
        return console.print_json(&document);
    }
    console.print(&summary(args, &report, comparison.as_ref()))
}

/// What the formats would give; nothing is written.
fn forecast(session: &Session, plan: &Plan, as_json: bool, console: &Console) -> Result<()> {
    let saving = Saving::of(session.model.spec(), plan, FORECAST_LENGTH)?;
    let width = session.model.stored().bytes();
    let cache = |cost: &Cost| cost.cache_bytes_per_token(width);
    if as_json {
        return console.print_json(&json!({
            "parameters": {"before": saving.before.parameters, "compact": saving.after.parameters, "masked": saving.before.parameters},
            "bytes": {"before": saving.before.bytes(width), "compact": saving.after.bytes(width), "masked": saving.before.bytes(width)},
            "cache_bytes_per_token": {"before": cache(&saving.before), "compact": cache(&saving.after), "masked": cache(&saving.before)},
        }));
    }
    let row = |name: &str, cost: &Cost, opens: &str| {
        format!("{name:<10} {:>14} {:>14} {:>16}  {opens}", cost.parameters, cost.bytes(width), cache(cost))
    };
    console.print(
        &[
            format!("{:<10} {:>14} {:>14} {:>16}  opens in", "", "parameters", "bytes", "cache B/token"),
            row("original", &saving.before, "-"),
            row("compact", &saving.after, "Pillars"),
            row("masked", &saving.before, "whatever opens the original"),
        ]
        .join("\n"),
    )
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

fn summary(args: &PruneArgs, report: &Report, comparison: Option<&Comparison>) -> String {
    let change = |before: u64, after: u64| 100.0 * (after as f64 / before.max(1) as f64 - 1.0);
    let heads: usize = report.kept.values().map(Vec::len).sum();
    let mut lines = vec![
        format!("{} checkpoint in {}", report.export_format, args.out.display()),
        format!("heads kept       {heads} in {} sites", report.kept.len()),
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
        format!(
            "agreement        {:.1e} of the largest of the masked model's {}, over {} positions",
            report.agreement.relative, report.agreement.compared, report.agreement.positions
        ),
    ];
    if let Some(comparison) = comparison {
        lines.push(table(comparison));
    }
    lines.join("\n")
}
