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
        Request { ranking: args.method, amount: args.amount.amount(), seed: args.seed, allow_empty: args.allow_empty };
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
        let keep = self.keep.map(|n| Amount::Keep(n as usize));
        keep.or(self.ratio.map(Amount::Ratio))
            .or(self.layer_ratio.map(Amount::LayerRatio))
            .or(self.threshold.map(Amount::Threshold))
            .unwrap_or_default()
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
