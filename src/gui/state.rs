//! Everything that the window shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::findings::{Findings, Results, is_of_same};
use super::jobs::{AttentionKey, Jobs, NextStep, RegroupKey};
use super::messages::Messages;
use super::past::ShownTraining;
use super::purpose::PathPurpose;
use super::repairing::{MadeRepair, Repairing};
use super::selection::Selection;
use super::wording::{in_controls, worded};
use crate::analysis::{FeatureAnalysis, Grouping, SiteAnalysis};
use crate::chart::SideBySide;
use crate::corpus::{Input, InputPreview, InputUnit};
use crate::engines::Quantization;
use crate::error::{Error, ErrorKind};
use crate::evaluation::curve::Curves;
use crate::evaluation::{LOSS, Measured};
use crate::hub::{CachedModel, HubCache, short_name};
use crate::network::{FeatureMap, Head, InputSpec, Site, SiteKind};
use crate::plan::{BudgetRecord, Plan, QualityBudget, Ranking, SiteShape};
use crate::pruning::{OutputFormat, Report};
use crate::repair::Repair;
use crate::run::{AttentionInput, BudgetSpec, Checked, Fault, Opened, Patterns, Placed, RunEstimate, Spec};
use crate::tensor::DeviceChoice;
use crate::training::{TrainSettings, missing_loss};
use crate::workspace::{ComparedPlan, Draft, History, Outlook, ProgramSettings, Proposal, Store, Workspace};

/// A box over the window that has the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    Palette,
    /// A path to type.
    Path(PathPurpose),
    Shortcuts,
    /// Models of the hub's cache to choose from.
    Cached,
    /// The first rows of the input.
    Rows,
    /// What this program is.
    About,
    /// Whether to leave while work is under way.
    Quit,
    /// Whether to stop the work on the model that is open, for this.
    Stop(NextStep),
}

/// How a pruned checkpoint is written, and what came of it.
#[derive(Default)]
pub struct Export {
    /// How removed heads are written.
    pub format: OutputFormat,
    /// How an engine's file stores weights, where it can; else as [`crate::run::PruneSpec::quantization`] says.
    pub quantization: Option<Quantization>,
    /// Whether a folder that holds nothing but an earlier export may be replaced.
    pub force: bool,
    /// The last export of the model.
    pub done: Option<(PathBuf, Report)>,
    /// Why the last export failed.
    pub failure: Option<Error>,
    /// How many came to one or the other here, so that a view knows that something came.
    pub outcomes: u64,
}

impl Export {
    /// Keeps why an export could not be made.
    pub(super) fn fail(&mut self, error: Error) {
        self.failure = Some(error);
        self.outcomes += 1;
    }

    /// How `format` stores weights: as was chosen, where it can.
    pub fn quantization_of(&self, format: OutputFormat) -> Option<Quantization> {
        match format {
            OutputFormat::Folder(_) => None,
            OutputFormat::Engine(engine) => self.quantization.filter(|way| Quantization::of(engine).contains(way)),
        }
    }
}

/// A training run: what it is asked to do, what it tells, what came of it.
#[derive(Default)]
pub struct TrainingState {
    /// What the next one is asked to do.
    pub settings: TrainSettings,
    /// Whether it begins with fresh weights.
    pub from_scratch: bool,
    /// Whether it goes on with the run in the folder.
    pub resume: bool,
    /// The one under way, or the last.
    pub run: ShownTraining,
    /// Why the last one failed.
    pub failure: Option<Error>,
    /// What was shown before the one under way: it comes back where that one is refused.
    pub(super) before: Option<ShownTraining>,
}

/// A workspace whose model is not where it was.
pub struct Lost {
    /// The workspace, waiting for its model.
    pub workspace: Workspace,
    /// Why the model cannot be opened.
    pub error: Error,
}

/// Everything that the window shows. Panels read it; only `dispatch` changes it.
pub struct State {
    /// Where settings are kept.
    pub store: Store,
    /// Settings of the program.
    pub settings: ProgramSettings,
    pub model: Option<Opened>,
    /// The path being opened, for the welcome screen.
    pub opening: Option<PathBuf>,
    /// Why the last path could not be opened.
    pub open_failure: Option<(PathBuf, Error)>,
    /// A workspace whose model is not where it was.
    pub lost: Option<Lost>,
    /// The file of the workspace, where it was opened from one or saved to one.
    pub file: Option<PathBuf>,
    /// What a person wrote about the model.
    pub notes: String,
    /// Whether results were looked at in the views of one layer.
    pub has_looked: bool,
    /// Whether the plan that results propose was seen in Prune.
    pub has_seen_plan: bool,
    /// Where this machine can compute.
    pub devices: Vec<DeviceChoice>,
    /// Where the model computes, once something ran.
    pub placed: Option<Placed>,
    /// What the next run is asked to do.
    pub run: Spec,
    /// By what share the loss may rise, or another measure fall, for a plan to be worth having, where somebody said.
    pub quality_share: Option<f64>,
    /// The measure that the budget of quality is of, where the input gives it; without it the first that the input gives.
    pub quality_measure: Option<String>,
    /// The first rows of an input, and how they are read by its columns; for the panel on the left.
    pub rows: Option<(Input, Result<Option<InputPreview>, Error>)>,
    /// The same for measuring quality, which what the run left out of another input does not narrow.
    pub measuring: Spec,
    /// Those settings checked against the model; `None` without one.
    pub checked: Option<Result<Checked, Vec<Fault>>>,
    /// What a run with these settings will read, and how long it takes; from a few batches of it.
    pub estimate: Option<(Spec, RunEstimate)>,
    /// When the run under way began, and seconds that the last one took.
    pub run_began: Option<Instant>,
    pub last_run_secs: Option<f64>,
    /// Seconds that the network took in it for what it read.
    pub last_pass_secs: Option<f64>,
    /// What the last run found out.
    pub results: Option<Results>,
    /// How the settings of the next run differ from those of the results, in words.
    pub differences: Vec<String>,
    /// The plans being edited, with their history, a step of which is the last run.
    pub draft: History<Draft, Findings>,
    /// What the plan being edited would do; `None` without a model.
    pub outlook: Option<Result<Outlook, Error>>,
    /// The same for every plan, in their order.
    pub compared: Vec<ComparedPlan>,
    /// Why the proposal of the plan being edited cannot be made.
    pub proposal_fault: Option<Error>,
    pub measured: Vec<Measured>,
    /// Quality against the share of heads kept; while it is measured, its points so far.
    pub curves: Option<Arc<Curves>>,
    pub measured_revision: u64,
    /// Another analysis or model, shown beside what is open in place of the overview.
    pub beside: Option<Arc<SideBySide>>,
    /// How often something was set beside it, so that pictures know it anew.
    pub comparisons: usize,
    /// How plans are repaired.
    pub repairing: Repairing,
    /// How a pruned checkpoint is written.
    pub export: Export,
    pub training: TrainingState,
    /// The input whose attention is shown.
    pub shown: AttentionInput,
    pub patterns: Option<(AttentionKey, Arc<Patterns>)>,
    /// Why there are no attention patterns.
    pub pattern_fault: Option<Error>,
    /// Another grouping of the layer that is shown, as a question: what if.
    pub regrouped: Option<(RegroupKey, Grouping)>,
    /// The number of groups asked for in that question.
    pub what_if: Option<usize>,
    pub selection: Selection,
    pub jobs: Jobs,
    pub messages: Messages,
    /// Where the models lie that programs downloaded.
    pub cache: HubCache,
    /// What lay there when it was looked into last, or why it could not be.
    pub cached: Option<Result<Vec<CachedModel>, Error>>,
    /// The box that has the keyboard.
    pub overlay: Option<Overlay>,
    /// The path that was refused last, what it was typed for into that box, and why.
    pub refused: Option<(PathPurpose, PathBuf, Error)>,
    /// Counts changes of the plan, so that what is computed from it knows when it is out of date.
    pub plan_revision: u64,
}

impl State {
    pub fn new(store: Store, settings: ProgramSettings, jobs: Jobs) -> Self {
        Self {
            store,
            settings,
            model: None,
            opening: None,
            open_failure: None,
            lost: None,
            file: None,
            notes: String::new(),
            has_looked: false,
            has_seen_plan: false,
            devices: vec![DeviceChoice::Auto, DeviceChoice::Cpu],
            placed: None,
            run: Spec::default(),
            quality_share: None,
            quality_measure: None,
            rows: None,
            measuring: Spec::default(),
            checked: None,
            estimate: None,
            run_began: None,
            last_run_secs: None,
            last_pass_secs: None,
            results: None,
            differences: Vec::new(),
            draft: History::new(Draft::default()),
            outlook: None,
            compared: Vec::new(),
            proposal_fault: None,
            measured: Vec::new(),
            curves: None,
            measured_revision: 0,
            beside: None,
            comparisons: 0,
            repairing: Repairing::default(),
            export: Export::default(),
            training: TrainingState::default(),
            shown: AttentionInput::Nth(0),
            patterns: None,
            pattern_fault: None,
            regrouped: None,
            what_if: None,
            selection: Selection::default(),
            jobs,
            messages: Messages::default(),
            cache: HubCache::of_user(),
            cached: None,
            overlay: None,
            refused: None,
            plan_revision: 0,
        }
    }

    /// What the model that is open is called in the names of files.
    pub(super) fn model_name(&self) -> &str {
        self.model.as_ref().map_or("model", |model| model.facts.name.as_str())
    }

    /// The results that are shown, with what was made of them; `None` before a first run.
    pub(super) fn findings(&self) -> Option<Findings> {
        let results = self.results.clone()?;
        Some(Findings {
            results: Some(results),
            repairs: self.repairing.made().to_vec(),
            measured: self.measured.clone(),
            curves: self.curves.clone(),
        })
    }

    /// Shows others in place of those that are shown. What was measured since of weights as they are holds whichever run
    /// chose the heads, and stays.
    pub(super) fn exchange(&mut self, others: &mut Findings) {
        std::mem::swap(&mut others.results, &mut self.results);
        std::mem::swap(&mut others.measured, &mut self.measured);
        std::mem::swap(&mut others.curves, &mut self.curves);
        self.repairing.exchange(&mut others.repairs);
        for since in others.measured.iter().filter(|m| m.repair.is_none()) {
            if !self.measured.iter().any(|known| is_of_same(known, since)) {
                self.measured.push(since.clone());
            }
        }
        self.measured_revision += 1;
        (self.regrouped, self.what_if) = (None, None);
        self.compare_settings();
    }

    /// Whether `head` stays in the plan being edited, as it can be carried out.
    pub fn is_kept(&self, head: Head) -> bool {
        match self.legal_plan() {
            Some(plan) => plan.kept.keeps(head),
            None => self.draft.now().active().is_kept(head),
        }
    }

    /// Whether a person had a hand in the plan being edited: it is no longer what the first run proposed.
    pub fn has_chosen(&self) -> bool {
        let draft = self.draft.now();
        let plan = draft.active();
        let first = self.first_proposal();
        let is_usual = |p: &Proposal| Proposal { without_evidence: first.without_evidence, ..p.clone() } == first;
        // What a method is asked for before a run is no choice yet.
        let is_first = self.results.is_none() || plan.proposal.as_ref().is_none_or(is_usual);
        draft.plans().len() > 1 || plan.pinned() > 0 || !is_first
    }

    /// What fills a plan that was not edited: for a model that was not trained here reconstruction, where the run
    /// gathered what it takes; votes else.
    pub fn first_proposal(&self) -> Proposal {
        let was_trained = self.model.as_ref().is_some_and(|model| model.facts.was_trained_here);
        let has_moments = self.results.as_ref().is_some_and(|results| results.moments.is_some());
        if has_moments && !was_trained { Proposal::untrained() } else { Proposal::first() }
    }

    /// The plan being edited, every layer named; `None` without a model.
    pub fn plan(&self) -> Option<Plan> {
        Some(self.draft.now().active().plan(&self.model.as_ref()?.facts.shape))
    }

    /// The plan being edited as it can be carried out.
    pub fn legal_plan(&self) -> Option<&Plan> {
        Some(&self.outlook.as_ref()?.as_ref().ok()?.legal)
    }

    /// The quality that was measured for exactly the heads that stay now.
    pub fn measured_now(&self) -> Option<&Measured> {
        self.measured_of(self.legal_plan()?)
    }

    /// The method by which a search from the plan being edited looks for heads: the one that fills it, or that chose what a
    /// search found or a curve gave. `None` where it was chosen by hand.
    pub fn searched_by(&self) -> Option<Ranking> {
        let plan = self.draft.now().active();
        let by_proposal = plan.proposal.as_ref().map(|proposal| proposal.method.into());
        by_proposal.or_else(|| plan.base.method.parse().ok())
    }

    /// What asks reconstruction for the heads of the plan being edited, where it does and the run summed what that takes.
    pub fn chosen_by_moments(&self) -> Option<&Proposal> {
        self.draft.now().active().proposal.as_ref().filter(|proposal| self.chooses_by_moments(proposal))
    }

    /// Whether reconstruction chooses what `proposal` asks for.
    pub fn chooses_by_moments(&self, proposal: &Proposal) -> bool {
        proposal.method.needs_moments() && self.results.as_ref().is_some_and(|results| results.moments.is_some())
    }

    /// Whether a search tries every method: where that was chosen, and where no method chose the plan to search from.
    pub fn tries_every_method(&self) -> bool {
        self.settings.every_method || (self.results.is_some() && self.searched_by().is_none())
    }

    /// What a search measured of exactly the heads that stay now.
    pub fn searched_now(&self) -> Option<&BudgetRecord> {
        let (legal, active) = (self.legal_plan()?, self.draft.now().active());
        // Only then is a plan of every head worth making, which a frame has no time for.
        active.budget()?;
        legal.budget.as_ref().filter(|_| self.plan().is_some_and(|plan| plan.kept == legal.kept))
    }

    /// The quality that was measured on this input for exactly the heads that `plan` keeps: repaired where plans are, or of
    /// the masked plan alone, where nothing else was measured.
    pub fn measured_of(&self, plan: &Plan) -> Option<&Measured> {
        let repaired = self.measured_as(plan, true).filter(|_| self.repairing.is_on());
        repaired.or_else(|| self.measured_as(plan, false))
    }

    /// What a measurement of `plan` is of where the plan was not repaired, and why it was not.
    pub fn unrepaired_words(&self, plan: &Plan, measured: &Measured) -> Option<String> {
        if measured.repair.is_some() {
            return None;
        }
        let why = match &measured.unrepaired {
            _ if self.keeps_all(plan) => {
                return Some("Every head stays: there is nothing to mask or to repair".to_owned());
            }
            Some(why) => in_controls(why),
            None if self.repairing.is_on() => {
                "it was measured before Repair was switched on; measure it again".to_owned()
            }
            None => "Repair is switched off".to_owned(),
        };
        Some(format!("Measured with the pruned heads masked, not repaired: {why}"))
    }

    /// Whether `plan` keeps every head of the model.
    pub fn keeps_all(&self, plan: &Plan) -> bool {
        self.model.as_ref().is_some_and(|model| plan.keeps_all(&model.facts.shape))
    }

    /// The quality that was measured on this input for exactly the heads that `plan` keeps, with repair or without.
    pub fn measured_as(&self, plan: &Plan, is_repaired: bool) -> Option<&Measured> {
        let is_now = |m: &&Measured| self.measuring.reading_differences(&m.reading, &m.dtype).is_empty();
        let of_plan = self.measured.iter().rev().filter(|m| m.kept == plan.kept && m.repair.is_some() == is_repaired);
        of_plan.into_iter().find(is_now)
    }

    /// The first rows of the input that is chosen now. While other columns of it are looked at, those before stay.
    pub fn first_rows(&self) -> Option<&Result<Option<InputPreview>, Error>> {
        let (of, rows) = self.rows.as_ref()?;
        let now = self.run.input.as_ref()?;
        (of.path() == now.path() && of.kind() == now.kind()).then_some(rows)
    }

    /// The measures of quality that this input gives: those that were measured, or those that are known before.
    pub fn quality_measures(&self) -> Vec<String> {
        match (self.measured_now(), &self.checked) {
            (Some(measured), _) => measured.comparison.measures(),
            (None, Some(Ok(run))) => run.quality_measures(),
            (None, _) => Vec::new(),
        }
    }

    /// The share that a plan may cost.
    pub fn quality_share(&self) -> f64 {
        self.quality_share.unwrap_or_else(|| BudgetSpec::default().budget.most())
    }

    /// What a plan may cost, and the metric that this is of, where it is of one.
    pub fn quality_budget(&self) -> (QualityBudget, Option<String>) {
        let (share, measures) = (self.quality_share(), self.quality_measures());
        let usual = self.checked.as_ref().and_then(|run| run.as_ref().ok()?.usual_quality_measure());
        let chosen = [self.quality_measure.clone(), usual].into_iter().flatten().find(|name| measures.contains(name));
        match chosen.or_else(|| measures.first().cloned()) {
            Some(name) if name != LOSS => (QualityBudget::MetricDrop(share), Some(name)),
            _ => (QualityBudget::LossShare(share), None),
        }
    }

    /// The repair of the plan being edited.
    pub fn repair_now(&self) -> Option<&Arc<Repair>> {
        self.made_repair().map(|made| &made.repair)
    }

    /// That with how it came to be asked for.
    pub fn made_repair(&self) -> Option<&MadeRepair> {
        self.repairing.of(&self.legal_plan()?.kept)
    }

    /// The layer shown by views of one layer.
    pub fn site(&self) -> Option<Site> {
        let first = || Some(self.model.as_ref()?.facts.shape.sites().first()?.site);
        self.selection.site.or_else(first)
    }

    /// What the last run found out about the layer that is shown.
    pub fn site_results(&self) -> Option<&SiteAnalysis> {
        self.results.as_ref()?.analysis.site(self.site()?)
    }

    /// The feature map shown: the one chosen where the last run has it, else its first.
    pub fn feature(&self) -> Option<FeatureMap> {
        let ran = &self.results.as_ref()?.analysis.settings.features;
        self.selection.feature.filter(|f| ran.contains(f)).or_else(|| ran.first().copied())
    }

    /// What the last run found out about the layer and the feature map that are shown.
    pub fn feature_results(&self) -> Option<&FeatureAnalysis> {
        self.site_results()?.features.get(&self.feature()?)
    }

    /// Heads whose attention is shown: those selected, else those of the layer that is shown.
    pub fn attention_heads(&self) -> impl Iterator<Item = Head> + '_ {
        let selected = &self.selection.heads;
        let site = || self.model.as_ref()?.facts.shape.get(self.site()?);
        let of_site = site().filter(|_| selected.is_empty());
        let whole = of_site.into_iter().flat_map(|s| (0..s.heads).map(move |h| Head::new(s.site, h)));
        selected.iter().copied().chain(whole)
    }

    /// What of the settings on the left needs attention; `None` where nothing does.
    pub fn faults(&self) -> Option<String> {
        let Some(Err(faults)) = &self.checked else { return None };
        let words: Vec<String> = faults.iter().map(|fault| worded(&fault.error)).collect();
        Some(words.join("; "))
    }

    /// Whether nothing follows the input whose attention is shown, or was to be.
    pub fn is_last_input(&self) -> bool {
        let is_shown = |key: &AttentionKey| key.0 == self.shown;
        let is_beyond = self.pattern_fault.as_ref().is_some_and(|e| e.kind() == ErrorKind::Usage);
        is_beyond || self.patterns.as_ref().is_some_and(|(of, patterns)| is_shown(of) && patterns.is_last)
    }

    /// What the model takes in one by one.
    pub fn unit(&self) -> InputUnit {
        self.model.as_ref().map_or(InputUnit::Tokens, |model| InputUnit::of_model(model.model.spec()))
    }

    /// Whether some stack of the model reads tokens, which can be cut.
    pub fn reads_tokens(&self) -> bool {
        let Some(spec) = self.model.as_ref().map(|model| model.model.spec()) else { return true };
        spec.encoder.iter().chain(&spec.decoder).any(|stack| matches!(stack.input, InputSpec::Tokens(_)))
    }

    /// What stands at one position of the layer that is shown, in a word.
    pub fn position(&self) -> &'static str {
        let stack = || {
            let (spec, site) = (self.model.as_ref()?.model.spec(), self.site()?);
            if site.kind == SiteKind::Encoder { spec.encoder.as_ref() } else { spec.decoder.as_ref() }
        };
        stack().map_or("token", |stack| stack.input.position())
    }

    /// Whether the model answers a labeled task in place of saying which token comes.
    pub fn has_task(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.model.spec().task.is_some())
    }

    /// Heads that stay and heads in all.
    pub fn kept_heads(&self) -> (usize, usize) {
        let Some(model) = &self.model else { return (0, 0) };
        (model.facts.shape.sites().iter().map(|site| self.kept_at(site)).sum(), model.facts.heads())
    }

    /// Heads of a layer that stay, in the plan being edited as it can be carried out.
    pub fn kept_at(&self, site: &SiteShape) -> usize {
        match self.legal_plan() {
            Some(plan) => plan.kept.get(site.site).map_or(site.heads, <[usize]>::len),
            None => self.draft.now().active().kept_at(site),
        }
    }

    /// The plan being edited as it is shown, drawn and saved: as it can be carried out, or as it stands where it cannot.
    pub fn shown_plan(&self) -> Option<Plan> {
        self.legal_plan().cloned().or_else(|| self.plan())
    }

    /// What quality is measured by, checked against the model; `None` where a run could not be made either.
    pub fn measuring_run(&self) -> Option<Checked> {
        let run = self.checked.as_ref()?.as_ref().ok()?;
        if self.measuring == self.run { Some(run.clone()) } else { self.measuring.check(run.opened()).ok() }
    }

    /// Why the model that is open cannot be trained on the input that is chosen, whatever else is set.
    pub fn missing_loss(&self) -> Option<&'static str> {
        missing_loss(self.model.as_ref()?.model.spec(), self.run.input.as_ref())
    }

    /// On which part of the input quality is measured, where a part is held out or the results are of another input.
    pub fn measured_part(&self) -> Option<String> {
        let input = short_name(self.run.input.as_ref()?.path());
        let analysis = self.results.as_ref().map(|results| &results.analysis);
        let other = analysis.filter(|analysis| self.run.reads_other_than(analysis)).and_then(|a| a.reading.as_ref());
        match (other.and_then(|reading| reading.source.as_ref()), self.run.held_out_every) {
            (Some(read), _) => {
                Some(format!("Quality is measured on all of {input}; the run read {}", short_name(read.path())))
            }
            (None, Some(every)) => {
                Some(format!("Quality is measured on 1 batch in {every} of {input}, which the run leaves out"))
            }
            (None, None) => None,
        }
    }

    /// Looks anew at how the settings on the left differ from those of the results.
    pub(super) fn compare_settings(&mut self) {
        self.measuring = self.run.measuring(self.results.as_ref().map(|results| &*results.analysis));
        let of = |results: &Results| self.run.analysis_differences(&results.analysis);
        self.differences = self.results.as_ref().map(of).unwrap_or_default();
    }
}
