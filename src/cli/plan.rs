//! `pillars plan`.

use std::path::Path;

use super::analyze::list;
use super::args::{AmountArgs, PlanArgs};
use super::console::Console;
use super::open::{open, warn_of_fallback};
use crate::analysis::{Analysis, Document, Moments};
use crate::error::{Error, Result};
use crate::plan::{Amount, Plan, PlanRequest, snap};
use crate::repair::propose;

pub(super) fn run(args: &PlanArgs, console: &Console) -> Result<()> {
    let model = args.model.as_deref();
    let inputs: Vec<&Path> = args.input.path().into_iter().chain(model).chain([args.analysis.as_path()]).collect();
    let out = Plan::claim(&args.out, &inputs)?;
    let analysis = Analysis::read(&args.analysis)?;
    let request = PlanRequest {
        ranking: args.method,
        amount: args.amount.amount(),
        seed: args.common.seed,
        allow_empty: args.allow_empty,
    };
    let plan = match args.rounds {
        1 if args.input.is_given() || args.model.is_some() => {
            return Err(
                Error::usage("a plan in one round reads no input").hint("give --rounds, or leave the input out")
            );
        }
        1 => {
            let moments = match request.ranking.method.needs_moments() {
                true => Some(Moments::read_beside(&args.analysis, &analysis)?),
                false => None,
            };
            // Its notes are in the plan already.
            snap(&analysis, &propose(&analysis, moments.as_ref(), &request)?)?.0
        }
        _ => in_rounds(args, &analysis, request, console)?,
    };
    plan.write(out.path())?;
    for note in &plan.notes {
        console.warn(note);
    }
    if args.common.json { console.print(&plan.to_json()?) } else { console.print(&summary(&plan)) }
}

fn in_rounds(args: &PlanArgs, analysis: &Analysis, request: PlanRequest, console: &Console) -> Result<Plan> {
    let folder = args.model.clone().unwrap_or_else(|| analysis.model.path.clone().into());
    let mut spec = args.common.spec(&args.input, None);
    // Batches vote, so they are those of the first analysis where nothing else is asked for.
    spec.batch_size = spec.batch_size.or(analysis.settings.batch_size);
    spec.seq_len = spec.seq_len.or(analysis.settings.seq_len);
    let checked = open(&folder, &spec)?;
    let plan = console.watch(|ticket| checked.plan_in_rounds(analysis, request, args.rounds as usize, ticket))?;
    warn_of_fallback(&checked, console);
    Ok(plan)
}

impl AmountArgs {
    pub(super) fn amount(&self) -> Amount {
        let keep = self.keep.map(|n| Amount::Keep(n as usize));
        keep.or(self.ratio.map(Amount::Ratio))
            .or(self.layer_ratio.map(Amount::LayerRatio))
            .or(self.threshold.map(Amount::Threshold))
            .unwrap_or_default()
    }
}

fn summary(plan: &Plan) -> String {
    let kept = plan.kept.heads();
    let heads: usize = plan.heads.values().sum();
    let rounds = plan.rounds.map(|n| format!(" in {n} rounds")).unwrap_or_default();
    let mut lines = vec![format!("{kept} of {heads} heads stay, by {}{rounds}", plan.method)];
    for (site, kept) in plan.kept.iter() {
        let heads = plan.heads.get(&site).copied().unwrap_or(0);
        lines.push(format!("{:<12} {:>3} of {heads:<3} {}", site.to_string(), kept.len(), list(kept)));
    }
    lines.join("\n")
}
