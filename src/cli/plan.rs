//! `pillars plan`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::analyze::list;
use super::args::{AmountArgs, PlanArgs, WithoutEvidenceArg};
use super::budget::{alignment_heads, claim_repair, within};
use super::console::Console;
use super::open::{open, warn_of_fallback};
use super::repair::SHARES;
use crate::analysis::{Analysis, Document, Moments};
use crate::error::{Error, Result};
use crate::plan::{Amount, Explained, Plan, PlanRequest, heads_of_kinds, pin, record_kinds, snap, why};
use crate::repair::{explain, propose};
use crate::run::Checked;

pub(super) fn run(args: &PlanArgs, console: &Console) -> Result<()> {
    let folder = args.folder();
    let inputs: Vec<&Path> =
        args.input.path().into_iter().chain(folder.as_deref()).chain([args.analysis.as_path()]).collect();
    let out = args.out.as_deref().map(|out| Plan::claim(out, &inputs)).transpose()?;
    let beside = claim_repair(args, &inputs)?;
    let analysis = Analysis::read(&args.analysis)?;
    let moments = moments_for(args, &analysis)?;
    let known = (&analysis, moments.as_ref());
    let (mut plan, repair) = match args.budget.chosen() {
        Some(budget) => within(args, budget, known, console)?,
        None => {
            let mut pinned = heads_of_kinds(&analysis, &args.pin_kind)?;
            if args.pin_alignment {
                pinned.extend(alignment_heads(args, &analysis)?);
            }
            let plan = sized(args, known, console)?;
            let mut plan = if pinned.is_empty() { plan } else { pin(&analysis, &plan, &pinned)? };
            record_kinds(&analysis, &mut plan, &args.pin_kind)?;
            (plan, None)
        }
    };
    if args.per_batch {
        by_batches(args, known, &mut plan, console)?;
    }
    if let Some(moments) = &moments {
        console.watch(|ticket| explain(&mut plan, moments, ticket))?;
    }
    let reasons = why(&analysis, &plan)?;
    if let Some((repair, beside)) = repair.zip(beside) {
        repair.write(beside.path())?;
        console.wrote(beside.path());
    }
    if let Some(out) = &out {
        plan.write(out.path())?;
        console.wrote(out.path());
    }
    console.warn_all(&plan.notes);
    if args.common.json {
        // What the file holds, and why.
        let mut fields: Map<String, Value> = serde_json::from_str(&plan.to_json()?)?;
        fields.insert("why".to_owned(), serde_json::to_value(&reasons)?);
        return console.print(&Value::Object(fields).to_string());
    }
    let mut lines = vec![summary(&plan, &analysis)];
    if args.why {
        for (site, reasons) in &reasons {
            lines.extend(reasons.iter().enumerate().map(|(head, reason)| format!("{site} head {head:<3} {reason}")));
        }
    }
    console.print(&lines.join("\n"))
}

/// A plan of a given size.
fn sized(args: &PlanArgs, known: (&Analysis, Option<&Moments>), console: &Console) -> Result<Plan> {
    let (analysis, moments) = known;
    let request = args.request()?;
    request.ranking.check(analysis).map_err(|e| e.at(&args.analysis))?;
    match args.rounds {
        // The model is asked for the heads that stay to tell when a word was said.
        1 if !args.per_batch && (args.input.is_given() || (args.folder().is_some() && !args.pin_alignment)) => {
            let what = if args.input.is_given() { "the input" } else { "the model" };
            Err(Error::usage(format!("a plan in one round comes from the analysis alone and does not read {what}"))
                .hint(format!("give --rounds, --per-batch or --max-loss-increase, or leave {what} out")))
        }
        // Its notes are in the plan already.
        1 => Ok(snap(analysis, &propose(analysis, moments, &request)?)?.0),
        _ => in_rounds(args, analysis, request, console),
    }
}

/// The second moments of the analysis: those that the method needs, or that are there to say more of a plan.
fn moments_for(args: &PlanArgs, analysis: &Analysis) -> Result<Option<Moments>> {
    let are_there = analysis.settings.moments && Moments::path_beside(&args.analysis).is_file();
    let is_one_round = args.rounds == 1;
    match is_one_round && (args.method.needs_moments() || args.budget.repair.repairs() || are_there) {
        true => Moments::read_beside(&args.analysis, analysis).map(Some),
        false => Ok(None),
    }
}

/// Lets every batch choose by itself, for the record of the plan.
fn by_batches(
    args: &PlanArgs,
    (analysis, moments): (&Analysis, Option<&Moments>),
    plan: &mut Plan,
    console: &Console,
) -> Result<()> {
    let request = args.request()?;
    let moments = moments.filter(|_| request.ranking.method.needs_moments()).ok_or_else(|| {
        Error::usage("batches choose by the method reconstruction").hint("give --method reconstruction")
    })?;
    let checked = open_of_analysis(args, analysis)?;
    let found = console.watch(|ticket| checked.choices_by_batch(analysis, moments, &request, ticket))?;
    found.record(plan);
    Ok(())
}

/// The model of the analysis with the input that is named. Batches vote and choose, so they are those of the analysis where
/// nothing else is asked for.
fn open_of_analysis(args: &PlanArgs, analysis: &Analysis) -> Result<Checked> {
    let folder = args.folder_of(analysis)?;
    let mut spec = args.common.spec(&args.input, None);
    spec.batch_size = spec.batch_size.or(analysis.settings.batch_size);
    spec.seq_len = spec.seq_len.or(analysis.settings.seq_len);
    open(&folder, &spec)
}

fn in_rounds(args: &PlanArgs, analysis: &Analysis, request: PlanRequest, console: &Console) -> Result<Plan> {
    let checked = open_of_analysis(args, analysis)?;
    let plan = console.watch(|ticket| checked.plan_in_rounds(analysis, request, args.rounds as usize, ticket))?;
    warn_of_fallback(&checked, console);
    Ok(plan)
}

impl PlanArgs {
    /// What is asked of one method.
    fn request(&self) -> Result<PlanRequest> {
        Ok(PlanRequest {
            ranking: self.method.single()?,
            amount: self.amount.amount(),
            seed: self.common.seed,
            allow_empty: self.allow_empty,
            without_evidence: self.prunes_unproven(),
        })
    }

    /// Whether layers in which nothing speaks for redundancy lose heads too, where that was said.
    pub(super) fn prunes_unproven(&self) -> Option<bool> {
        self.without_evidence.map(|asked| asked == WithoutEvidenceArg::Prune)
    }

    /// The model that was named, behind the analysis or by `--model`.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        self.folder.clone().or_else(|| self.model.clone())
    }

    /// The model that was named, or else the one that was analyzed.
    ///
    /// # Errors
    /// Where that is not there any more, or has a name that no text holds.
    pub(super) fn folder_of(&self, analysis: &Analysis) -> Result<PathBuf> {
        if let Some(named) = self.folder() {
            return Ok(named);
        }
        let path = PathBuf::from(&analysis.model.path);
        if path.exists() {
            return Ok(path);
        }
        let from = self.analysis.display();
        let what = match analysis.model.path.contains(char::REPLACEMENT_CHARACTER) {
            true => format!("the name of the analyzed model is no text, which {from} cannot hold"),
            false => format!("no such model folder, which {from} names as the one that was analyzed"),
        };
        Err(Error::new(what).at(path).hint("name MODEL behind the analysis"))
    }
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

fn summary(plan: &Plan, analysis: &Analysis) -> String {
    let kept = plan.kept.heads();
    let heads: usize = plan.heads.values().sum();
    let rounds = plan.rounds.map(|n| format!(" in {n} rounds")).unwrap_or_default();
    let mut lines = vec![format!("{kept} of {heads} heads stay, by {}{rounds}", plan.method)];
    if let Some(found) = &plan.budget {
        lines.push(found.sentence());
        lines.extend(analysis.beyond_redundancy(&plan.kept, &found.measure).map(|words| format!("  {words}")));
        lines.extend(found.path_lines().into_iter().map(|line| format!("  tried {line}")));
    }
    for (site, kept) in plan.kept.iter() {
        let heads = plan.heads.get(&site).copied().unwrap_or(0);
        let told = plan.explained.get(&site).map(explained_words).unwrap_or_default();
        lines.push(format!("{:<12} {:>3} of {heads:<3} {}{told}", site.to_string(), kept.len(), list(kept)));
    }
    if !plan.explained.is_empty() {
        lines.push(format!(
            "What a refit by one ridge for all layers would do; pillars repair finds one for each. {SHARES}"
        ));
    }
    lines.join("\n")
}

/// `  masked 29.0 %, fitted 7.0 %, held out 8.0 %, explained 92.0 %`, in the words of `pillars repair`.
fn explained_words(found: &Explained) -> String {
    let share = |x: f64| format!("{:.1} %", 100.0 * x);
    let lost = |said: f64| share(1.0 - said);
    let held_out = found.held_out.map(|x| format!(", held out {}", lost(x))).unwrap_or_default();
    let explained = found.held_out.map_or_else(|| "not known".to_owned(), share);
    format!("  masked {}, fitted {}{held_out}, explained {explained}", lost(found.masked), lost(found.calibration))
}
