//! `pillars plan` within a budget of quality.

use std::collections::BTreeSet;
use std::path::Path;

use super::args::PlanArgs;
use super::budget_args::Methods;
use super::console::Console;
use super::open::{open, warn_of_fallback};
use crate::analysis::{Analysis, Moments};
use crate::checkpoint::OutFile;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::Head;
use crate::plan::{Plan, QualityBudget};
use crate::repair::{Repair, RepairMode};
use crate::run::{BudgetSpec, Spec};

/// Claims the file of the repair, where one is asked for.
pub(super) fn claim_repair(args: &PlanArgs, inputs: &[&Path]) -> Result<Option<OutFile>> {
    match args.budget.repair {
        RepairMode::None => Ok(None),
        _ if args.budget.chosen().is_none() => Err(Error::usage("a plan of a given size is repaired afterwards")
            .hint("run pillars repair with the plan, or give --max-loss-increase")),
        _ => {
            let refused =
                || Error::usage("the repair is written beside the plan").hint("name the plan's file with --out");
            let out = args.out.as_deref().ok_or_else(refused)?;
            Repair::claim(&Repair::path_beside(out), inputs).map(Some)
        }
    }
}

/// The heads that the model of the analysis names to tell when a word was said.
pub(super) fn alignment_heads(args: &PlanArgs, analysis: &Analysis) -> Result<BTreeSet<Head>> {
    let folder = args.folder_of(analysis)?;
    let heads = Model::open(&folder)?.alignment_heads();
    if heads.is_empty() {
        let what = "generation_config.json names no alignment_heads of this model";
        return Err(Error::new(what).at(folder).hint("leave out --pin-alignment"));
    }
    Ok(heads)
}

/// The smallest plan within the budget.
pub(super) fn within(
    args: &PlanArgs,
    budget: QualityBudget,
    (analysis, moments): (&Analysis, Option<&Moments>),
    console: &Console,
) -> Result<(Plan, Option<Repair>)> {
    console.warn_all(budget.doubtful().as_slice());
    if args.rounds > 1 {
        return Err(Error::usage("a budget is not searched in rounds").hint("leave out --rounds"));
    }
    let folder = args.folder_of(analysis)?;
    let common = args.common.spec(&args.input, None);
    // Batches that were held out are those of the same cut of the same input.
    let left_out = analysis.settings.held_out_every.filter(|_| !common.reads_other_than(analysis));
    let spec = Spec {
        held_out_every: args.budget.held_out_every.or(left_out),
        batch_size: common.batch_size.or(analysis.settings.batch_size),
        seq_len: common.seq_len.or(analysis.settings.seq_len),
        ..common
    };
    let checked = open(&folder, &spec)?;
    let rankings = match &args.method {
        Methods::All => Vec::new(),
        Methods::Named(rankings) => rankings.clone(),
    };
    let wanted = BudgetSpec {
        rankings,
        budget,
        metric: args.budget.quality_metric.clone(),
        repair: args.budget.repair,
        allow_empty: args.allow_empty,
        pinned: args.pin_kind.clone(),
        heads: if args.pin_alignment { alignment_heads(args, analysis)? } else { BTreeSet::new() },
        gone: BTreeSet::new(),
        without_evidence: args.prunes_unproven(),
    };
    let found = console.watch(|ticket| checked.plan_within((analysis, moments), &wanted, ticket))?;
    warn_of_fallback(&checked, console);
    Ok(found)
}
