//! `pillars plan`.

use super::analyze::list;
use super::args::{AmountArgs, PlanArgs};
use super::console::Console;
use crate::analysis::{Analysis, Document};
use crate::error::Result;
use crate::plan::{Amount, Plan, Request, propose, snap};

pub(super) fn run(args: &PlanArgs, console: &Console) -> Result<()> {
    let analysis = Analysis::read(&args.analysis)?;
    let request =
        Request { method: args.method, amount: args.amount.amount(), seed: args.seed, allow_empty: args.allow_empty };
    let proposed = propose(&analysis, &request)?;
    let (mut plan, notes) = snap(&analysis, &proposed)?;
    plan.notes.extend(notes);
    plan.write(&args.out)?;
    for note in &plan.notes {
        console.warn(note);
    }
    if args.json { console.print(&plan.to_json()?) } else { console.print(&summary(&plan)) }
}

impl AmountArgs {
    pub fn amount(&self) -> Amount {
        match (self.keep, self.ratio, self.threshold) {
            (Some(keep), _, _) => Amount::Keep(keep as usize),
            (_, Some(ratio), _) => Amount::Ratio(ratio),
            (_, _, Some(threshold)) => Amount::Threshold(threshold),
            _ => Amount::Groups,
        }
    }
}

fn summary(plan: &Plan) -> String {
    let kept: usize = plan.kept.values().map(Vec::len).sum();
    let heads: usize = plan.heads.values().sum();
    let mut lines = vec![format!("{kept} of {heads} heads stay, by {}", plan.method)];
    for (site, kept) in &plan.kept {
        let heads = plan.heads.get(site).copied().unwrap_or(0);
        lines.push(format!("{:<12} {:>3} of {heads:<3} {}", site.to_string(), kept.len(), list(kept)));
    }
    lines.join("\n")
}
