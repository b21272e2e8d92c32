//! `pillars plan`.

use std::path::Path;

use super::analyze::list;
use super::args::{AmountArgs, PlanArgs};
use super::console::Console;
use super::open::{open, warn_of_fallback};
use crate::analysis::{Analysis, Document, Moments};
use crate::error::{Error, Result};
use crate::plan::{Amount, Explained, Plan, PlanRequest, snap};
use crate::repair::{explained, propose, shares};

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
    let moments = moments_for(args, &analysis)?;
    let mut plan = match args.rounds {
        1 if args.input.is_given() || args.model.is_some() => {
            return Err(
                Error::usage("a plan in one round reads no input").hint("give --rounds, or leave the input out")
            );
        }
        // Its notes are in the plan already.
        1 => snap(&analysis, &propose(&analysis, moments.as_ref(), &request)?)?.0,
        _ => in_rounds(args, &analysis, request, console)?,
    };
    if let Some(moments) = &moments {
        plan.explained = shares(&console.watch(|ticket| explained(moments, &plan, ticket))?);
    }
    plan.write(out.path())?;
    for note in &plan.notes {
        console.warn(note);
    }
    if args.common.json { console.print(&plan.to_json()?) } else { console.print(&summary(&plan)) }
}

/// The second moments of the analysis: those that the method needs, or that are there to say more of a plan.
fn moments_for(args: &PlanArgs, analysis: &Analysis) -> Result<Option<Moments>> {
    let are_there = analysis.settings.moments && Moments::path_beside(&args.analysis).is_file();
    let is_one_round = args.rounds == 1;
    match is_one_round && (args.method.method.needs_moments() || are_there) {
        true => Moments::read_beside(&args.analysis, analysis).map(Some),
        false => Ok(None),
    }
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
        let told = plan.explained.get(&site).map(explained_words).unwrap_or_default();
        lines.push(format!("{:<12} {:>3} of {heads:<3} {}{told}", site.to_string(), kept.len(), list(kept)));
    }
    if !plan.explained.is_empty() {
        lines.push(
            "Shares of what the attention of a layer adds that the heads that stay can say: masked, after a refit, and after \
             a refit on batches that it did not read."
                .to_owned(),
        );
    }
    lines.join("\n")
}

/// `  explained 71.0 %, refit 93.0 %, 92.0 % held out`.
fn explained_words(found: &Explained) -> String {
    let share = |x: f64| format!("{:.1} %", 100.0 * x);
    let held_out = found.held_out.map(|x| format!(", {} held out", share(x))).unwrap_or_default();
    format!("  explained {}, refit {}{held_out}", share(found.masked), share(found.calibration))
}
